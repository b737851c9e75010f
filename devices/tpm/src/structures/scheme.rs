//! Schemes of keys (part 2, 11.1 and 11.2) and symmetric definitions.

use crate::constants::alg;
use crate::crypto::Hash;
use crate::rc::{Rc, Result};
use crate::wire::{Reader, Writer};

/// A scheme with its hash algorithm: of signing, encryption, key exchange or key derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scheme {
    pub(crate) id: u16,
    pub(crate) hash: Option<Hash>,
    /// Of XOR the key derivation, of ECDAA the count of a commitment.
    pub(crate) extra: u16,
}

/// What kinds of keys have which schemes: (scheme, kinds, signs, decrypts, has a hash).
const SCHEMES: [(u16, u16, bool, bool, bool); 10] = [
    (alg::RSASSA, alg::RSA, true, false, true),
    (alg::RSAPSS, alg::RSA, true, false, true),
    (alg::RSAES, alg::RSA, false, true, false),
    (alg::OAEP, alg::RSA, false, true, true),
    (alg::ECDSA, alg::ECC, true, false, true),
    (alg::ECDAA, alg::ECC, true, false, true),
    (alg::ECSCHNORR, alg::ECC, true, false, true),
    (alg::ECDH, alg::ECC, false, true, true),
    (alg::HMAC, alg::KEYEDHASH, true, false, true),
    (alg::XOR, alg::KEYEDHASH, false, true, true),
];

impl Scheme {
    pub(crate) const NULL: Scheme = Scheme { id: alg::NULL, hash: None, extra: alg::NULL };

    pub(crate) const fn is_null(&self) -> bool {
        self.id == alg::NULL
    }

    /// Whether a scheme belongs to a kind of key.
    pub(crate) fn is_of(id: u16, kind: u16) -> bool {
        SCHEMES.iter().any(|row| row.0 == id && row.1 == kind)
    }

    pub(crate) fn signs(&self) -> bool {
        SCHEMES.iter().any(|row| row.0 == self.id && row.2)
    }

    pub(crate) fn decrypts(&self) -> bool {
        SCHEMES.iter().any(|row| row.0 == self.id && row.3)
    }

    /// The scheme of a key of some kind: TPMT_RSA_SCHEME, TPMT_ECC_SCHEME, TPMT_KEYEDHASH_SCHEME.
    pub(crate) fn read(r: &mut Reader, kind: u16) -> Result<Scheme> {
        let id = r.u16()?;
        if id == alg::NULL {
            return Ok(Scheme::NULL);
        }
        let wrong = if kind == alg::ECC { Rc::SCHEME } else { Rc::VALUE };
        let row = SCHEMES.iter().find(|row| row.0 == id && row.1 == kind).ok_or(wrong)?;
        let hash = if row.4 { Some(Hash::read(r)?) } else { None };
        let mut extra = alg::NULL;
        // An encryption by XOR derives its mask, and so names a KDF beside the hash (part 2, 11.1).
        if id == alg::XOR {
            extra = r.u16()?;
            if !KDFS.contains(&extra) && extra != alg::NULL {
                return Err(Rc::KDF);
            }
        } else if id == alg::ECDAA {
            extra = r.u16()?;
        }
        Ok(Scheme { id, hash, extra })
    }

    /// TPMT_SIG_SCHEME.
    pub(crate) fn read_signing(r: &mut Reader) -> Result<Scheme> {
        let id = r.u16()?;
        if id == alg::NULL {
            return Ok(Scheme::NULL);
        }
        // Of any kind of key: whether it fits the one that signs, `signing_scheme` finds out.
        SCHEMES.iter().find(|row| row.0 == id && row.2).ok_or(Rc::SCHEME)?;
        let hash = Some(Hash::read(r)?);
        Ok(Scheme { id, hash, extra: if id == alg::ECDAA { r.u16()? } else { alg::NULL } })
    }

    /// TPMT_KDF_SCHEME.
    pub(crate) fn read_kdf(r: &mut Reader) -> Result<Scheme> {
        let id = r.u16()?;
        if id == alg::NULL {
            return Ok(Scheme::NULL);
        }
        if !KDFS.contains(&id) {
            return Err(Rc::KDF);
        }
        Ok(Scheme { id, hash: Some(Hash::read(r)?), extra: alg::NULL })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.u16(self.id);
        // Just what `read` takes: RSAES alone has no hash.
        if let Some(hash) = self.hash {
            w.u16(hash.id());
        }
        if self.id == alg::XOR || self.id == alg::ECDAA {
            w.u16(self.extra);
        }
    }
}

const KDFS: [u16; 3] = [alg::MGF1, alg::KDF1_SP800_56A, alg::KDF1_SP800_108];

/// A symmetric algorithm, TPMT_SYM_DEF and TPMT_SYM_DEF_OBJECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symmetric {
    Null,
    Aes { bits: u16, mode: u16 },
    Xor(Hash),
}

const MODES: [u16; 5] = [alg::CTR, alg::OFB, alg::CBC, alg::CFB, alg::ECB];

/// TPMI_ALG_CIPHER_MODE, or TPM_ALG_NULL.
pub(crate) fn read_mode(r: &mut Reader) -> Result<u16> {
    let mode = r.u16()?;
    if mode == alg::NULL || MODES.contains(&mode) { Ok(mode) } else { Err(Rc::MODE) }
}

impl Symmetric {
    /// The cipher for parameters and children of a key.
    pub(crate) fn is_cfb(&self) -> bool {
        matches!(self, Symmetric::Aes { mode: alg::CFB, .. })
    }

    /// Bytes of a key.
    pub(crate) fn key_size(&self) -> usize {
        match self {
            Symmetric::Aes { bits, .. } => usize::from(*bits) / 8,
            _ => 0,
        }
    }

    /// TPMT_SYM_DEF_OBJECT with TPM_ALG_NULL allowed.
    pub(crate) fn read_object(r: &mut Reader) -> Result<Symmetric> {
        match r.u16()? {
            alg::NULL => Ok(Symmetric::Null),
            alg::AES => Symmetric::read_aes(r),
            _ => Err(Rc::SYMMETRIC),
        }
    }

    /// TPMT_SYM_DEF with TPM_ALG_NULL allowed.
    pub(crate) fn read_session(r: &mut Reader) -> Result<Symmetric> {
        match r.u16()? {
            alg::NULL => Ok(Symmetric::Null),
            alg::AES => Symmetric::read_aes(r),
            alg::XOR => Ok(Symmetric::Xor(Hash::read(r)?)),
            _ => Err(Rc::SYMMETRIC),
        }
    }

    fn read_aes(r: &mut Reader) -> Result<Symmetric> {
        let bits = r.u16()?;
        if ![128, 192, 256].contains(&bits) {
            return Err(Rc::VALUE);
        }
        Ok(Symmetric::Aes { bits, mode: read_mode(r)? })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Symmetric::Null => w.u16(alg::NULL),
            Symmetric::Aes { bits, mode } => w.u16(alg::AES).u16(*bits).u16(*mode),
            Symmetric::Xor(hash) => w.u16(alg::XOR).u16(hash.id()),
        };
    }
}

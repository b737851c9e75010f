//! TPMT_SIGNATURE (part 2, 11.3).

use alloc::vec::Vec;

use crate::constants::{alg, limit};
use crate::crypto::ecc::MAX_COORDINATE;
use crate::crypto::{EccSignature, Hash};
use crate::rc::{Rc, Result};
use crate::wire::{Reader, Writer};

#[derive(Clone, Debug)]
pub(crate) enum Signature {
    Null,
    Rsa { scheme: u16, hash: Hash, bytes: Vec<u8> },
    Ecc { scheme: u16, hash: Hash, numbers: EccSignature },
    Hmac { hash: Hash, digest: Vec<u8> },
}

impl Signature {
    pub(crate) fn read(r: &mut Reader) -> Result<Signature> {
        let scheme = r.u16()?;
        if scheme == alg::NULL {
            return Ok(Signature::Null);
        }
        // ECDAA is missing: a TPM signs by it, and leaves verifying to others.
        if ![alg::RSASSA, alg::RSAPSS, alg::ECDSA, alg::ECSCHNORR, alg::HMAC].contains(&scheme) {
            return Err(Rc::SCHEME);
        }
        let hash = Hash::read(r)?;
        Ok(match scheme {
            alg::RSASSA | alg::RSAPSS => Signature::Rsa { scheme, hash, bytes: r.bytes(limit::RSA_BYTES)? },
            // Without a size in front, which the algorithm tells (TPMT_HA).
            alg::HMAC => Signature::Hmac { hash, digest: r.take(hash.size())?.to_vec() },
            _ => {
                let numbers = EccSignature { r: r.bytes(MAX_COORDINATE)?, s: r.bytes(MAX_COORDINATE)? };
                Signature::Ecc { scheme, hash, numbers }
            }
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Signature::Null => w.u16(alg::NULL),
            Signature::Rsa { scheme, hash, bytes } => w.u16(*scheme).u16(hash.id()).sized(bytes),
            Signature::Ecc { scheme, hash, numbers } => {
                w.u16(*scheme).u16(hash.id()).sized(&numbers.r).sized(&numbers.s)
            }
            Signature::Hmac { hash, digest } => w.u16(alg::HMAC).u16(hash.id()).raw(digest),
        };
    }

    pub(crate) const fn scheme(&self) -> u16 {
        match self {
            Signature::Null => alg::NULL,
            Signature::Rsa { scheme, .. } | Signature::Ecc { scheme, .. } => *scheme,
            Signature::Hmac { .. } => alg::HMAC,
        }
    }

    pub(crate) const fn hash(&self) -> Option<Hash> {
        match self {
            Signature::Null => None,
            Signature::Rsa { hash, .. } | Signature::Ecc { hash, .. } | Signature::Hmac { hash, .. } => {
                Some(*hash)
            }
        }
    }
}

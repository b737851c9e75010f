//! TPMT_PUBLIC (part 2, 12.2).

use alloc::vec::Vec;

use super::scheme::{Scheme, Symmetric};
use crate::constants::{alg, limit, object};
use crate::crypto::{Crypto, Curve, Hash, Point};
use crate::rc::{Rc, Result};
use crate::wire::{Reader, Writer};

/// TPMU_PUBLIC_PARMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parameters {
    Rsa { symmetric: Symmetric, scheme: Scheme, bits: u16, exponent: u32 },
    Ecc { symmetric: Symmetric, scheme: Scheme, curve: Curve, kdf: Scheme },
    KeyedHash { scheme: Scheme },
    SymCipher { symmetric: Symmetric },
}

/// TPMU_PUBLIC_ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unique {
    Bytes(Vec<u8>),
    Point(Point),
}

/// The public area of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Public {
    /// None for an object without a name.
    pub(crate) name_alg: Option<Hash>,
    pub(crate) attributes: u32,
    pub(crate) policy: Vec<u8>,
    pub(crate) parameters: Parameters,
    pub(crate) unique: Unique,
}

const DEFAULT_EXPONENT: u32 = 65537;

impl Parameters {
    /// TPMI_ALG_PUBLIC.
    pub(crate) const fn kind(&self) -> u16 {
        match self {
            Parameters::Rsa { .. } => alg::RSA,
            Parameters::Ecc { .. } => alg::ECC,
            Parameters::KeyedHash { .. } => alg::KEYEDHASH,
            Parameters::SymCipher { .. } => alg::SYMCIPHER,
        }
    }

    /// TPMT_PUBLIC_PARMS.
    pub(crate) fn read_with_kind(r: &mut Reader) -> Result<Parameters> {
        let kind = r.u16()?;
        Parameters::read(r, kind)
    }

    pub(crate) fn read(r: &mut Reader, kind: u16) -> Result<Parameters> {
        match kind {
            alg::RSA => {
                let (symmetric, scheme) = (Symmetric::read_object(r)?, Scheme::read(r, kind)?);
                let bits = r.u16()?;
                // The sizes that there is arithmetic for, each with a fixed number of words.
                if ![1024, 2048, 3072, 4096].contains(&bits) {
                    return Err(Rc::VALUE);
                }
                Ok(Parameters::Rsa { symmetric, scheme, bits, exponent: r.u32()? })
            }
            alg::ECC => Ok(Parameters::Ecc {
                symmetric: Symmetric::read_object(r)?,
                scheme: Scheme::read(r, kind)?,
                curve: Curve::read(r)?,
                kdf: Scheme::read_kdf(r)?,
            }),
            alg::KEYEDHASH => Ok(Parameters::KeyedHash { scheme: Scheme::read(r, kind)? }),
            alg::SYMCIPHER => match Symmetric::read_object(r)? {
                // For other kinds none means that they protect no children; a cipher's key is nothing without
                // its cipher.
                Symmetric::Null => Err(Rc::SYMMETRIC),
                symmetric => Ok(Parameters::SymCipher { symmetric }),
            },
            _ => Err(Rc::TYPE),
        }
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Parameters::Rsa { symmetric, scheme, bits, exponent } => {
                symmetric.write(w);
                scheme.write(w);
                w.u16(*bits).u32(*exponent);
            }
            Parameters::Ecc { symmetric, scheme, curve, kdf } => {
                symmetric.write(w);
                scheme.write(w);
                w.u16(curve.id());
                kdf.write(w);
            }
            Parameters::KeyedHash { scheme } => scheme.write(w),
            Parameters::SymCipher { symmetric } => symmetric.write(w),
        }
    }

    /// The scheme, of keys that have one.
    pub(crate) const fn scheme(&self) -> Scheme {
        match self {
            Parameters::Rsa { scheme, .. }
            | Parameters::Ecc { scheme, .. }
            | Parameters::KeyedHash { scheme } => *scheme,
            Parameters::SymCipher { .. } => Scheme::NULL,
        }
    }

    /// The symmetric algorithm, of keys that have one.
    pub(crate) const fn symmetric(&self) -> Symmetric {
        match self {
            Parameters::Rsa { symmetric, .. }
            | Parameters::Ecc { symmetric, .. }
            | Parameters::SymCipher { symmetric } => *symmetric,
            Parameters::KeyedHash { .. } => Symmetric::Null,
        }
    }

    /// The public exponent of an RSA key, where zero stands for the usual one.
    pub(crate) const fn exponent(&self) -> u32 {
        match self {
            Parameters::Rsa { exponent: 0, .. } => DEFAULT_EXPONENT,
            Parameters::Rsa { exponent, .. } => *exponent,
            _ => 0,
        }
    }
}

impl Unique {
    fn read(r: &mut Reader, kind: u16) -> Result<Unique> {
        match kind {
            alg::ECC => Ok(Unique::Point(Point::read(r)?)),
            alg::RSA => Ok(Unique::Bytes(r.bytes(limit::RSA_BYTES)?)),
            // A digest of what is secret in it.
            _ => Ok(Unique::Bytes(r.bytes(limit::DIGEST)?)),
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Unique::Bytes(bytes) => {
                w.sized(bytes);
            }
            Unique::Point(point) => point.write(w),
        }
    }
}

impl Public {
    pub(crate) const fn kind(&self) -> u16 {
        self.parameters.kind()
    }

    pub(crate) const fn has(&self, attribute: u32) -> bool {
        self.attributes & attribute == attribute
    }

    /// The bytes of `unique`, of all but ECC keys.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.unique {
            Unique::Bytes(bytes) => bytes,
            Unique::Point(_) => &[],
        }
    }

    /// The curve and point of an ECC key.
    pub(crate) const fn point(&self) -> Option<(Curve, &Point)> {
        match (&self.parameters, &self.unique) {
            (Parameters::Ecc { curve, .. }, Unique::Point(point)) => Some((*curve, point)),
            _ => None,
        }
    }

    /// A restricted decryption key: what can have children.
    pub(crate) const fn is_storage(&self) -> bool {
        self.has(object::RESTRICTED | object::DECRYPT) && !self.has(object::SIGN)
    }

    /// A storage key that others are protected by: no derivation parent.
    pub(crate) const fn is_parent(&self) -> bool {
        self.is_storage() && self.kind() != alg::KEYEDHASH
    }

    /// A parent from which objects are derived.
    pub(crate) const fn is_derivation_parent(&self) -> bool {
        self.is_storage() && self.kind() == alg::KEYEDHASH
    }

    pub(crate) const fn is_asymmetric(&self) -> bool {
        matches!(self.kind(), alg::RSA | alg::ECC)
    }

    /// Reads TPMT_PUBLIC; an object without a name algorithm is for `allows_null` only.
    pub(crate) fn read(r: &mut Reader, allows_null: bool) -> Result<Public> {
        let kind = r.u16()?;
        if ![alg::RSA, alg::ECC, alg::KEYEDHASH, alg::SYMCIPHER].contains(&kind) {
            return Err(Rc::TYPE);
        }
        let name_alg = if allows_null { Hash::read_or_null(r)? } else { Some(Hash::read(r)?) };
        let attributes = r.u32()?;
        // Reserved bits are part of the name: accepted today, they would mean something else in a later
        // version.
        if attributes & !object::ALL != 0 {
            return Err(Rc::RESERVED_BITS);
        }
        let policy = r.bytes(limit::DIGEST)?;
        let parameters = Parameters::read(r, kind)?;
        Ok(Public { name_alg, attributes, policy, parameters, unique: Unique::read(r, kind)? })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.u16(self.kind()).u16(Hash::id_or_null(self.name_alg)).u32(self.attributes).sized(&self.policy);
        self.parameters.write(w);
        self.unique.write(w);
    }

    pub(crate) fn marshal(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.into_vec()
    }

    /// The name: the name algorithm's identifier and the digest of the public area.
    pub(crate) fn name(&self, crypto: &dyn Crypto) -> Vec<u8> {
        // With the algorithm in front, so that digests of two algorithms can't be taken for each other (part
        // 1, 16).
        let Some(hash) = self.name_alg else { return Vec::new() };
        [&hash.id().to_be_bytes()[..], &crypto.digest(hash, &[&self.marshal()])].concat()
    }
}

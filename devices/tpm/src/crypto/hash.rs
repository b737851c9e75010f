//! Hash algorithms.

use crate::rc::{Rc, Result};
use crate::wire::Reader;

/// A hash algorithm of the TPM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hash {
    /// SHA-1 (FIPS 180-4).
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// All of them, in the order of their identifiers.
    pub const ALL: [Hash; 4] = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];

    /// TPM_ALG_ID.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Hash::Sha1 => 0x04,
            Hash::Sha256 => 0x0b,
            Hash::Sha384 => 0x0c,
            Hash::Sha512 => 0x0d,
        }
    }

    /// Bytes of a digest.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block(self) -> usize {
        match self {
            Hash::Sha1 | Hash::Sha256 => 64,
            Hash::Sha384 | Hash::Sha512 => 128,
        }
    }

    /// The digest of nothing but zeros, as long as this algorithm's.
    pub(crate) fn zero(self) -> alloc::vec::Vec<u8> {
        alloc::vec![0; self.size()]
    }

    /// What stands before a digest in RSASSA's padding (RFC 8017, 9.2): the DER of DigestInfo without it.
    pub(crate) const fn digest_info(self) -> &'static [u8] {
        match self {
            Hash::Sha1 => &[0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 0x14],
            Hash::Sha256 => {
                &[0x30, 0x31, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20]
            }
            Hash::Sha384 => {
                &[0x30, 0x41, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2, 5, 0, 4, 0x30]
            }
            Hash::Sha512 => {
                &[0x30, 0x51, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3, 5, 0, 4, 0x40]
            }
        }
    }

    pub(crate) fn from_id(id: u16) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.id() == id)
    }

    /// TPMI_ALG_HASH.
    pub(crate) fn read(r: &mut Reader) -> Result<Hash> {
        Hash::from_id(r.u16()?).ok_or(Rc::HASH)
    }

    /// TPMI_ALG_HASH or TPM_ALG_NULL.
    pub(crate) fn read_or_null(r: &mut Reader) -> Result<Option<Hash>> {
        match r.u16()? {
            crate::constants::alg::NULL => Ok(None),
            id => Hash::from_id(id).map(Some).ok_or(Rc::HASH),
        }
    }

    /// The identifier of an algorithm, or TPM_ALG_NULL for none.
    pub(crate) fn id_or_null(hash: Option<Hash>) -> u16 {
        hash.map_or(crate::constants::alg::NULL, Hash::id)
    }
}

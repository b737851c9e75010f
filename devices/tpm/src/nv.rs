//! Non-volatile indices (part 1, 37; part 2, 13).

use alloc::vec;
use alloc::vec::Vec;

use crate::constants::{handle, limit, nv};
use crate::crypto::{Crypto, Hash};
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::wire::{Reader, Writer};

/// TPMS_NV_PUBLIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NvPublic {
    pub(crate) index: u32,
    pub(crate) name_alg: Hash,
    pub(crate) attributes: u32,
    pub(crate) policy: Vec<u8>,
    pub(crate) size: u16,
}

/// An index with its data.
#[derive(Clone, Debug)]
pub(crate) struct NvIndex {
    pub(crate) public: NvPublic,
    pub(crate) auth: Secret,
    pub(crate) data: Secret,
}

/// Bytes of a counter, a bit field or a PIN index.
pub(crate) const NUMBER: u16 = 8;

impl NvPublic {
    pub(crate) fn read(r: &mut Reader) -> Result<NvPublic> {
        let index = r.u32()?;
        if handle::kind(index) != handle::NV {
            return Err(Rc::VALUE);
        }
        let name_alg = Hash::read(r)?;
        let attributes = r.u32()?;
        // As with objects: they are a part of the name, and may mean something in a later version.
        if attributes & nv::RESERVED != 0 {
            return Err(Rc::RESERVED_BITS);
        }
        let policy = r.bytes(limit::DIGEST)?;
        let size = r.u16()?;
        if usize::from(size) > limit::NV_INDEX_SIZE {
            return Err(Rc::SIZE);
        }
        Ok(NvPublic { index, name_alg, attributes, policy, size })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.u32(self.index).u16(self.name_alg.id()).u32(self.attributes).sized(&self.policy).u16(self.size);
    }

    /// The name of the index.
    pub(crate) fn name(&self, crypto: &dyn Crypto) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        [&self.name_alg.id().to_be_bytes()[..], &crypto.digest(self.name_alg, &[w.as_slice()])].concat()
    }

    pub(crate) const fn has(&self, attribute: u32) -> bool {
        self.attributes & attribute == attribute
    }

    /// TPM_NT, in place.
    pub(crate) const fn kind(&self) -> u32 {
        self.attributes & nv::TYPE
    }

    pub(crate) const fn is_pin(&self) -> bool {
        matches!(self.kind(), nv::PIN_FAIL | nv::PIN_PASS)
    }
}

impl NvIndex {
    pub(crate) fn new(public: NvPublic, auth: Secret) -> NvIndex {
        let data = vec![0; usize::from(public.size)].into();
        NvIndex { public, auth, data }
    }

    pub(crate) fn save(&self, w: &mut Writer) {
        self.public.write(w);
        w.sized(&self.auth).sized(&self.data);
    }

    pub(crate) fn read(r: &mut Reader) -> Result<NvIndex> {
        let public = NvPublic::read(r)?;
        let auth = Secret::auth(r.sized(limit::DIGEST)?);
        let data = Secret::copy(r.sized(limit::NV_INDEX_SIZE)?);
        // All that reads an index later counts on its data being as long as it says.
        if data.len() != usize::from(public.size) {
            return Err(Rc::SIZE);
        }
        Ok(NvIndex { public, auth, data })
    }

    /// The value of a counter or bit field.
    pub(crate) fn number(&self) -> u64 {
        self.data.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// The pinCount and pinLimit of a PIN index.
    pub(crate) fn pin(&self) -> (u32, u32) {
        let number = self.number();
        ((number >> 32) as u32, number as u32)
    }

    pub(crate) fn set_number(&mut self, number: u64) {
        self.data = Secret::copy(&number.to_be_bytes());
    }

    /// Replaces bytes that are within the index.
    pub(crate) fn replace(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        // In a copy, so that the index stays as it is if the bytes do not fit.
        let mut data = self.data.to_vec();
        let end = offset.checked_add(bytes.len()).ok_or(Rc::NV_RANGE)?;
        data.get_mut(offset..end).ok_or(Rc::NV_RANGE)?.copy_from_slice(bytes);
        self.data = data.into();
        Ok(())
    }
}

/// Which attribute lets a hierarchy read or write an index.
pub(crate) struct HierarchyAttributes {
    pub(crate) owner: u32,
    pub(crate) platform: u32,
}

pub(crate) const READ: HierarchyAttributes =
    HierarchyAttributes { owner: nv::OWNERREAD, platform: nv::PPREAD };

pub(crate) const WRITE: HierarchyAttributes =
    HierarchyAttributes { owner: nv::OWNERWRITE, platform: nv::PPWRITE };

impl Tpm {
    pub(crate) fn nv(&self, index: u32) -> Result<&NvIndex> {
        self.permanent.nv.get(&index).ok_or(Rc::HANDLE)
    }

    pub(crate) fn nv_mut(&mut self, index: u32) -> Result<&mut NvIndex> {
        self.permanent.nv.get_mut(&index).ok_or(Rc::HANDLE)
    }

    /// Whether the one who authorized a command may have this access to an index.
    fn check_nv_access(&self, by: u32, index: &NvIndex, access: &HierarchyAttributes) -> Result<()> {
        let needed = match by {
            handle::OWNER => access.owner,
            handle::PLATFORM => access.platform,
            // By its own value or policy: whether these may read or write was found out with the session.
            by if by == index.public.index => return Ok(()),
            _ => return Err(Rc::NV_AUTHORIZATION),
        };
        if index.public.has(needed) { Ok(()) } else { Err(Rc::NV_AUTHORIZATION) }
    }

    /// Whether an index may be read by the one who authorized it, and has been written.
    pub(crate) fn check_nv_read(&self, by: u32, index: u32) -> Result<&NvIndex> {
        let index = self.nv(index)?;
        if index.public.has(nv::READLOCKED) {
            return Err(Rc::NV_LOCKED);
        }
        self.check_nv_access(by, index, &READ)?;
        if !index.public.has(nv::WRITTEN) {
            return Err(Rc::NV_UNINITIALIZED);
        }
        Ok(index)
    }

    /// Whether an index may be written by the one who authorized it.
    pub(crate) fn check_nv_write(&self, by: u32, index: u32) -> Result<&NvIndex> {
        let index = self.nv(index)?;
        if index.public.has(nv::WRITELOCKED) {
            return Err(Rc::NV_LOCKED);
        }
        self.check_nv_access(by, index, &WRITE)?;
        Ok(index)
    }

    /// Changes the data of an index, which is written then. What is not orderly is saved at once.
    pub(crate) fn write_nv(
        &mut self,
        index: u32,
        change: impl FnOnce(&mut NvIndex) -> Result<()>,
    ) -> Result<()> {
        let index = self.nv_mut(index)?;
        change(index)?;
        // The first write is saved even if the index is orderly: it changes the public area, and so the name.
        let is_first = !index.public.has(nv::WRITTEN);
        index.public.attributes |= nv::WRITTEN;
        if is_first || !index.public.has(nv::ORDERLY) || is_counter_due(index) {
            self.touch();
        }
        Ok(())
    }
}

/// Steps of an orderly counter after which it is saved: TPM_PT_ORDERLY_COUNT.
pub(crate) const ORDERLY_COUNT: u64 = 0xff;

/// Whether an orderly counter has come to where it must be saved.
fn is_counter_due(index: &NvIndex) -> bool {
    // Saved at each multiple of 256: after a loss of power the saved value with its low byte set is as high
    // as any that was read (`forget_orderly_indices`).
    index.public.kind() == nv::COUNTER && index.number() & ORDERLY_COUNT == 0
}

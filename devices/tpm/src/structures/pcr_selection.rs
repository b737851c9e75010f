//! TPML_PCR_SELECTION (10.6.2, 10.9.7).

use alloc::vec;
use alloc::vec::Vec;

use crate::crypto::Hash;
use crate::pcr::COUNT;
use crate::rc::{Rc, Result};
use crate::wire::{Reader, Writer};

/// Bytes of a selection of PCRs, at least.
const BYTES: usize = COUNT / 8;

/// Some of the PCRs of one bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) hash: Hash,
    pub(crate) bits: Vec<u8>,
}

impl Selection {
    pub(crate) fn of(hash: Hash, has: impl Fn(usize) -> bool) -> Self {
        let mut selection = Selection { hash, bits: vec![0; BYTES] };
        for index in (0..COUNT).filter(|index| has(*index)) {
            selection.set(index);
        }
        selection
    }

    pub(crate) fn has(&self, index: usize) -> bool {
        self.bits.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    pub(crate) fn set(&mut self, index: usize) {
        if let Some(byte) = self.bits.get_mut(index / 8) {
            *byte |= 1 << (index % 8);
        }
    }

    pub(crate) fn clear(&mut self, index: usize) {
        if let Some(byte) = self.bits.get_mut(index / 8) {
            *byte &= !(1 << (index % 8));
        }
    }

    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        (0..COUNT).filter(|index| self.has(*index))
    }

    fn read(r: &mut Reader) -> Result<Self> {
        let hash = Hash::read(r)?;
        let size = usize::from(r.u8()?);
        // Digests are over these bytes: with other sizes there would be several ways to say the same.
        if size != BYTES {
            return Err(Rc::VALUE);
        }
        Ok(Selection { hash, bits: r.take(size)?.to_vec() })
    }

    fn write(&self, w: &mut Writer) {
        w.u16(self.hash.id()).u8(self.bits.len() as u8).raw(&self.bits);
    }
}

pub(crate) fn read(r: &mut Reader) -> Result<Vec<Selection>> {
    let count = r.u32()?;
    if count as usize > Hash::ALL.len() {
        return Err(Rc::SIZE);
    }
    (0..count).map(|_| Selection::read(r)).collect()
}

pub(crate) fn write(w: &mut Writer, selections: &[Selection]) {
    w.list(selections, |w, selection| selection.write(w));
}

//! Tickets (part 2, 10.7): proofs that this TPM has seen something, authenticated by a hierarchy's proof
//! value.

use alloc::vec::Vec;

use crate::constants::{handle, limit};
use crate::rc::{Rc, Result};
use crate::wire::{Reader, Writer};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) tag: u16,
    pub(crate) hierarchy: u32,
    pub(crate) digest: Vec<u8>,
}

impl Ticket {
    /// A ticket that proves nothing.
    pub(crate) const fn null(tag: u16) -> Ticket {
        Ticket { tag, hierarchy: handle::NULL, digest: Vec::new() }
    }

    /// Reads a ticket that must have one of these tags.
    pub(crate) fn read(r: &mut Reader, tags: &[u16]) -> Result<Ticket> {
        let tag = r.u16()?;
        if !tags.contains(&tag) {
            return Err(Rc::TAG);
        }
        let hierarchy = r.u32()?;
        if ![handle::OWNER, handle::ENDORSEMENT, handle::PLATFORM, handle::NULL].contains(&hierarchy) {
            return Err(Rc::VALUE);
        }
        Ok(Ticket { tag, hierarchy, digest: r.bytes(limit::DIGEST)? })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.u16(self.tag).u32(self.hierarchy).sized(&self.digest);
    }

    pub(crate) const fn is_null(&self) -> bool {
        // Both: what was created in the null hierarchy has a ticket that proves it, with a digest.
        self.hierarchy == handle::NULL && self.digest.is_empty()
    }
}

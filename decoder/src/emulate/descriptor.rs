//! Descriptors in GDT and LDT, and what the processor reads and writes of its own (APM 2, 4.7 and 4.8).

use super::memory::Place;
use super::{Abort, Emulation, Result};
use crate::bits::{CR0_PE, EFER_LMA, FLAG_VM};
use crate::walk::{Access, Kind};
use crate::{
    Exception, Machine, Mode, PAGE_BYTES, Segment, SegmentState, Size, SystemSegment, Table, vector,
};

/// A selector's bit that says LDT.
const TABLE_INDICATOR: u16 = 1 << 2;
/// Attributes: code or data, no system segment.
pub(super) const NOT_SYSTEM: u16 = 1 << 4;
/// Attributes of code: it runs at its caller's privilege level.
pub(super) const CONFORMING: u16 = 1 << 2;
/// Attributes, in the type of code and data: accessed.
const ACCESSED: u16 = 1;

/// The types of system segments and gates (APM 2, 4.7.4).
pub(super) mod kind {
    pub(crate) const TSS_16: u16 = 1;
    pub(crate) const LDT: u16 = 2;
    pub(crate) const TSS_16_BUSY: u16 = 3;
    pub(crate) const CALL_GATE_16: u16 = 4;
    pub(crate) const TASK_GATE: u16 = 5;
    pub(crate) const INTERRUPT_GATE_16: u16 = 6;
    pub(crate) const TRAP_GATE_16: u16 = 7;
    pub(crate) const TSS: u16 = 9;
    pub(crate) const TSS_BUSY: u16 = 11;
    pub(crate) const CALL_GATE: u16 = 12;
    pub(crate) const INTERRUPT_GATE: u16 = 14;
    pub(crate) const TRAP_GATE: u16 = 15;
}

/// A descriptor as it lies in its table.
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    pub(super) selector: u16,
    /// Its linear address.
    linear: u64,
    pub(super) low: u64,
    /// The upper eight bytes of a system segment or gate in long mode; else 0.
    pub(super) high: u64,
}

impl Descriptor {
    /// A gate of the IDT, which no selector means.
    pub(super) fn of_gate(low: u64, high: u64) -> Descriptor {
        Descriptor { selector: 0, linear: 0, low, high }
    }

    pub(super) fn attributes(self) -> u16 {
        (self.low >> 40 & 0xff | (self.low >> 52 & 0xf) << 8) as u16
    }

    /// The hidden part of a segment register that this is loaded into.
    pub(super) fn state(self) -> SegmentState {
        let limit = (self.low & 0xffff) as u32 | (self.low >> 32) as u32 & 0xf_0000;
        let is_in_pages = self.low >> 55 & 1 != 0;
        SegmentState {
            base: self.low >> 16 & 0xff_ffff | (self.low >> 56) << 24 | self.high << 32,
            limit: if is_in_pages { limit << 12 | 0xfff } else { limit },
            attributes: self.attributes(),
        }
    }

    pub(super) fn dpl(self) -> u8 {
        dpl(self.attributes())
    }

    pub(super) fn is_present(self) -> bool {
        self.attributes() & SegmentState::PRESENT != 0
    }

    /// Code or data.
    pub(super) fn is_segment(self) -> bool {
        self.attributes() & NOT_SYSTEM != 0
    }

    pub(super) fn is_code(self) -> bool {
        self.is_segment() && self.attributes() & SegmentState::CODE != 0
    }

    pub(super) fn is_conforming(self) -> bool {
        self.is_code() && self.attributes() & CONFORMING != 0
    }

    /// Data that can be written.
    pub(super) fn is_writable(self) -> bool {
        self.is_segment() && !self.is_code() && self.attributes() & SegmentState::WRITABLE != 0
    }

    pub(super) fn is_readable(self) -> bool {
        self.is_segment() && (!self.is_code() || self.attributes() & SegmentState::WRITABLE != 0)
    }

    /// The type of a system segment or gate, from [`kind`].
    pub(super) fn kind(self) -> u16 {
        self.attributes() & 0xf
    }

    /// This selector is what is wrong.
    pub(super) fn fault(self, vector: u8) -> Abort {
        Exception::of_selector(vector, self.selector).into()
    }
}

/// The privilege level in a segment's attributes.
pub(super) fn dpl(attributes: u16) -> u8 {
    (attributes >> 5 & 3) as u8
}

/// The privilege level in a selector.
pub(super) fn rpl(selector: u16) -> u8 {
    (selector & 3) as u8
}

/// Whether a selector selects nothing.
pub(super) fn is_null(selector: u16) -> bool {
    selector & !3 == 0
}

impl<M: Machine> Emulation<'_, M> {
    /// Whether selectors mean descriptors: neither real nor virtual-8086 mode.
    pub(super) fn is_protected(&self) -> bool {
        self.machine.paging().cr0 & CR0_PE != 0 && self.machine.rflags() & FLAG_VM == 0
    }

    pub(super) fn is_long(&self) -> bool {
        self.machine.paging().efer & EFER_LMA != 0
    }

    /// The descriptor that a selector means; #GP with it where its table has none.
    pub(super) fn descriptor(&mut self, selector: u16) -> Result<Descriptor> {
        let found = self.find_descriptor(selector)?;
        found.ok_or_else(|| Exception::of_selector(vector::GENERAL_PROTECTION, selector).into())
    }

    /// The same, or `None`: the null selector, or one beyond its table.
    pub(super) fn find_descriptor(&mut self, selector: u16) -> Result<Option<Descriptor>> {
        let (base, limit) = if selector & TABLE_INDICATOR == 0 {
            let table = self.machine.descriptor_table(Table::Gdt);
            (table.base, u32::from(table.limit))
        } else {
            let (_, state) = self.machine.system_segment(SystemSegment::Ldtr);
            // LDTR was loaded with a null selector.
            if state.attributes & SegmentState::PRESENT == 0 {
                return Ok(None);
            }
            (state.base, state.limit)
        };
        // The lower three bits are the table and the privilege level.
        let offset = u32::from(selector & !7);
        if is_null(selector) || offset + 7 > limit {
            return Ok(None);
        }
        let linear = base.wrapping_add(offset.into());
        let low = self.system_read(linear, Size::B8)?;
        let mut found = Descriptor { selector, linear, low, high: 0 };
        // System segments and gates have sixteen bytes in long mode (APM 2, 4.8.3).
        if !found.is_segment() && self.is_long() {
            if offset + 15 > limit {
                return Ok(None);
            }
            found.high = self.system_read(linear.wrapping_add(8), Size::B8)?;
        }
        Ok(Some(found))
    }

    /// The processor's own access to a linear address.
    pub(super) fn system_place(&mut self, linear: u64, size: Size, kind: Kind) -> Result<Place> {
        // A supervisor's access whatever CPL is, and without the way out that RFLAGS.AC gives explicit ones.
        let access = Access::implicit(kind);
        // In long mode the tables' bases have 64 bits, whatever code runs.
        let mask = if self.is_long() { u64::MAX } else { Mode::Bits32.linear_mask() };
        let linear = linear & mask;
        let split = PAGE_BYTES - linear % PAGE_BYTES;
        if split >= size.bytes() {
            let gpa = self.translate(linear, access, Segment::Ds)?;
            return Ok(Place::whole(gpa, size));
        }
        let next = linear.wrapping_add(split) & mask;
        // Asked about first: if the second page faults, no dirty bit of the first may have been set.
        self.translate(linear, access.probe(), Segment::Ds)?;
        let next = self.translate(next, access, Segment::Ds)?;
        let gpa = self.translate(linear, access, Segment::Ds)?;
        Ok(Place::split(gpa, next, split, size))
    }

    pub(super) fn system_read(&mut self, linear: u64, size: Size) -> Result<u64> {
        let place = self.system_place(linear, size, Kind::Read)?;
        Ok(self.load(place))
    }

    /// Sets the accessed bit of a segment that is being loaded, after every check of it.
    pub(super) fn set_accessed(&mut self, descriptor: Descriptor) -> Result<SegmentState> {
        let mut state = descriptor.state();
        // Not written again: a table may be in memory that cannot be written.
        if state.attributes & ACCESSED == 0 {
            self.set_type_bit(descriptor, ACCESSED)?;
            state.attributes |= ACCESSED;
        }
        Ok(state)
    }

    /// Sets a bit of a descriptor's type, atomically where it is in RAM.
    pub(super) fn set_type_bit(&mut self, descriptor: Descriptor, bit: u16) -> Result<()> {
        // The byte with the type alone, so that nothing else of the descriptor can be overwritten.
        let place = self.system_place(descriptor.linear.wrapping_add(5), Size::B1, Kind::Write)?;
        let old = descriptor.low >> 40 & 0xff;
        let new = old | u64::from(bit);
        let gpa = place.first();
        // Only over the byte that was checked: where another is, the descriptor may have become another.
        match self.machine.compare_exchange(gpa, Size::B1, old, new) {
            Some(found) if found == old => Ok(()),
            // Another vCPU has changed it.
            Some(_) => Err(Abort::Retry),
            None => {
                self.store(place, new);
                Ok(())
            }
        }
    }
}

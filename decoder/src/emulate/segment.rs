//! Loading and storing segment registers: MOV, POP, LDS and the like (APM 3), and instructions that look at
//! selectors: LAR, LSL, VERR, VERW and ARPL.

use super::descriptor::{Descriptor, dpl, is_null, kind, rpl};
use super::{Emulation, Result};
use crate::bits::{FLAG_VM, FLAG_ZF};
use crate::walk::Kind;
use crate::{
    Exception, Features, Machine, Mode, Operand, Operation, Processor, Segment, SegmentState, Size, Vendor,
    vector,
};

impl<M: Machine> Emulation<'_, M> {
    pub(super) fn mov_segment(&mut self) -> Result<()> {
        match (self.instruction.destination, self.instruction.source) {
            (Operand::Segment(number), _) => {
                let selector = self.memory_value()? as u16;
                self.load_segment(Segment::of(number), selector)
            }
            (_, Operand::Segment(number)) => {
                let place = self.operand_place(Kind::Write)?;
                let selector = self.machine.selector(Segment::of(number));
                self.store(place, selector.into());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// MOV SS and POP SS.
    pub(super) fn load_stack_segment(&mut self) -> Result<()> {
        match self.instruction.operation {
            Operation::MovSegment => self.mov_segment(),
            _ => self.pop_register(),
        }
    }

    /// The offset comes first in memory, then the selector.
    pub(super) fn load_far(&mut self) -> Result<()> {
        let (offset, selector) = self.far_pointer()?;
        // Before the register: a fault leaves that as it was.
        self.load_segment(Segment::of(self.instruction.immediate as u8), selector)?;
        self.set(self.instruction.destination, offset);
        Ok(())
    }

    /// A far pointer in memory, its offset as long as an access of the operand.
    pub(super) fn far_pointer(&mut self) -> Result<(u64, u16)> {
        let size = self.instruction.memory_size;
        let (segment, offset) = (self.instruction.segment, self.effective_address());
        let behind = offset.wrapping_add(size.bytes()) & self.instruction.address_size.mask();
        let first = self.place(segment, offset, size, Kind::Read)?;
        // Both places before either load: a device's answer can't be given back.
        let second = self.place(segment, behind, Size::B2, Kind::Read)?;
        Ok((self.load(first), self.load(second) as u16))
    }

    /// Loads ES, SS, DS, FS or GS.
    pub(super) fn load_segment(&mut self, segment: Segment, selector: u16) -> Result<()> {
        if !self.is_protected() {
            let state = self.real_segment(segment, selector);
            self.machine.set_segment(segment, selector, state);
            return Ok(());
        }
        let cpl = self.machine.cpl();
        let state = if segment == Segment::Ss {
            self.stack_segment(selector, cpl, vector::GENERAL_PROTECTION)?
        } else {
            self.data_segment(segment, selector, cpl)?
        };
        self.machine.set_segment(segment, selector, state);
        Ok(())
    }

    /// In real mode limit and attributes stay; in virtual-8086 mode they are always the same.
    pub(super) fn real_segment(&mut self, segment: Segment, selector: u16) -> SegmentState {
        let base = u64::from(selector) << 4;
        if self.machine.rflags() & FLAG_VM != 0 {
            return SegmentState { base, limit: 0xffff, attributes: SegmentState::VIRTUAL };
        }
        SegmentState { base, ..self.machine.segment(segment) }
    }

    fn data_segment(&mut self, segment: Segment, selector: u16, cpl: u8) -> Result<SegmentState> {
        if is_null(selector) {
            return Ok(self.null_segment(segment));
        }
        let found = self.descriptor(selector)?;
        // A selector counts with the rights of whoever it came from, if those are fewer.
        let privilege = cpl.max(rpl(selector));
        // Conforming code is open to be read from every level.
        if !found.is_readable() || !found.is_conforming() && privilege > found.dpl() {
            return Err(found.fault(vector::GENERAL_PROTECTION));
        }
        if !found.is_present() {
            return Err(found.fault(vector::NOT_PRESENT));
        }
        self.set_accessed(found)
    }

    /// What a null selector means: nothing can be accessed through it but in 64-bit code. AMD's older
    /// processors leave the base, which counts there for FS and GS.
    fn null_segment(&mut self, segment: Segment) -> SegmentState {
        let Processor { vendor, features } = self.machine.processor();
        let keeps_base = vendor == Vendor::Amd && !features.contains(Features::NULL_CLEARS_BASE);
        let base = if keeps_base { self.machine.segment(segment).base } else { 0 };
        SegmentState { base, limit: 0, attributes: 0 }
    }

    /// SS for code at `cpl`; `otherwise` is the exception for selectors that do not fit.
    pub(super) fn stack_segment(&mut self, selector: u16, cpl: u8, otherwise: u8) -> Result<SegmentState> {
        if is_null(selector) {
            // 64-bit code needs no stack segment, but programs at level 3 may not be without one.
            let is_allowed = self.instruction.mode == Mode::Bits64 && cpl < 3 && rpl(selector) == cpl;
            if !is_allowed {
                return Err(Exception::of_selector(otherwise, 0).into());
            }
            return Ok(SegmentState::null_stack(cpl));
        }
        let found = self.find_descriptor(selector)?;
        let found = found.ok_or_else(|| Exception::of_selector(otherwise, selector))?;
        if rpl(selector) != cpl || found.dpl() != cpl || !found.is_writable() {
            return Err(found.fault(otherwise));
        }
        if !found.is_present() {
            // #SS, where other segments raise #NP (APM 3, MOV).
            return Err(found.fault(vector::STACK));
        }
        self.set_accessed(found)
    }

    /// LAR, LSL, VERR and VERW: ZF says whether the selector is good, and nothing of it faults.
    pub(super) fn look_at_selector(&mut self) -> Result<()> {
        self.check_protected()?;
        let selector = self.memory_value()? as u16;
        let found = self.find_descriptor(selector)?.filter(|found| self.is_visible(*found));
        if let Some(found) = found {
            match self.instruction.operation {
                Operation::Lar => self.set(self.instruction.destination, found.low >> 32 & 0xff_ff00),
                Operation::Lsl => self.set(self.instruction.destination, found.state().limit.into()),
                _ => {}
            }
        }
        self.set_status(FLAG_ZF, if found.is_some() { FLAG_ZF } else { 0 });
        Ok(())
    }

    fn is_visible(&mut self, found: Descriptor) -> bool {
        // The selector may have been handed on by somebody with fewer rights.
        let privilege = self.machine.cpl().max(rpl(found.selector));
        let is_privileged = found.is_conforming() || privilege <= found.dpl();
        let is_long = self.is_long();
        is_privileged
            && match self.instruction.operation {
                Operation::Verr => found.is_readable(),
                Operation::Verw => found.is_writable(),
                Operation::Lar => found.is_segment() || has_rights(found.kind(), is_long),
                // LSL; no other operation comes here.
                _ => found.is_segment() || has_limit(found.kind(), is_long),
            }
    }

    /// ARPL raises the destination's RPL to the source's.
    pub(super) fn arpl(&mut self) -> Result<()> {
        self.check_protected()?;
        let wanted = self.value(self.instruction.source) & 3;
        let place = self.operand_place(Kind::Read)?;
        let old = self.load(place);
        let is_lower = old & 3 < wanted;
        // Only then is the right to write looked at.
        if is_lower {
            let place = self.operand_place(Kind::Write)?;
            self.store(place, old & !3 | wanted);
        }
        self.set_status(FLAG_ZF, if is_lower { FLAG_ZF } else { 0 });
        Ok(())
    }

    /// #UD in real and virtual-8086 mode.
    pub(super) fn check_protected(&self) -> Result<()> {
        if self.is_protected() { Ok(()) } else { Err(Exception::UNDEFINED_OPCODE.into()) }
    }

    /// BOUND: the lower limit comes first in memory.
    pub(super) fn bound(&mut self) -> Result<()> {
        let size = self.instruction.size;
        let (segment, offset) = (self.instruction.segment, self.effective_address());
        let behind = offset.wrapping_add(size.bytes()) & self.instruction.address_size.mask();
        let places =
            [self.place(segment, offset, size, Kind::Read)?, self.place(segment, behind, size, Kind::Read)?];
        let [lower, upper] = places.map(|place| size.sign_extend(self.load(place)) as i64);
        let index = size.sign_extend(self.value(self.instruction.destination)) as i64;
        if (lower..=upper).contains(&index) { Ok(()) } else { Err(Exception::BOUND_RANGE.into()) }
    }

    /// After a return to a lower privilege level, what is too privileged for it is nothing (APM 3, RET Far).
    pub(super) fn drop_privileged_segments(&mut self, cpl: u8) {
        for segment in [Segment::Es, Segment::Ds, Segment::Fs, Segment::Gs] {
            let state = self.machine.segment(segment);
            let is_conforming = state.attributes & SegmentState::CODE != 0
                && state.attributes & super::descriptor::CONFORMING != 0;
            // Left as they are, the less privileged code could read through them what it may not.
            if dpl(state.attributes) < cpl && !is_conforming {
                let null = self.null_segment(segment);
                self.machine.set_segment(segment, 0, null);
            }
        }
    }
}

/// The system types that LAR knows (APM 3, LAR).
fn has_rights(found: u16, is_long: bool) -> bool {
    match found {
        kind::LDT | kind::TSS | kind::TSS_BUSY | kind::CALL_GATE => true,
        kind::TSS_16 | kind::TSS_16_BUSY | kind::CALL_GATE_16 | kind::TASK_GATE => !is_long,
        _ => false,
    }
}

/// The system types that LSL knows (APM 3, LSL).
fn has_limit(found: u16, is_long: bool) -> bool {
    match found {
        kind::LDT | kind::TSS | kind::TSS_BUSY => true,
        kind::TSS_16 | kind::TSS_16_BUSY => !is_long,
        _ => false,
    }
}

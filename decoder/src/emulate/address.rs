//! From a memory operand to a linear address: segmentation and canonical form (APM 2, 4.12 and 5.3.1).

use super::{Emulation, Result};
use crate::bits::{CR0_PE, FLAG_VM};
use crate::walk::Kind;
use crate::{Exception, Machine, Mode, Register, Segment, SegmentState, Size, Vendor};

impl Exception {
    /// What a bad address in `segment` raises: #SS(0) through SS, else #GP(0).
    pub(super) fn of_segment(segment: Segment) -> Exception {
        if segment == Segment::Ss { Exception::STACK } else { Exception::GENERAL_PROTECTION }
    }
}

impl<M: Machine> Emulation<'_, M> {
    /// The offset in its segment of the memory operand, cut to the size of addresses.
    #[inline]
    pub(super) fn effective_address(&self) -> u64 {
        let instruction = self.instruction;
        // Sums wrap, and are cut to the address size only at the end, as a processor does it.
        let part = |register| match register {
            Register::None => 0,
            Register::Gpr(number) => self.machine.gpr(number),
            // From the next instruction's address.
            Register::Rip => self.machine.rip().wrapping_add(u64::from(instruction.length)),
        };
        part(instruction.base)
            .wrapping_add(part(instruction.index) << (instruction.scale & 3))
            .wrapping_add(instruction.displacement)
            & instruction.address_size.mask()
    }

    /// The linear address of `segment:offset`, unchecked.
    #[inline]
    pub(super) fn linear(&mut self, segment: Segment, offset: u64) -> u64 {
        match (self.instruction.mode, segment) {
            // The only segments whose base counts in 64-bit mode.
            (Mode::Bits64, Segment::Fs | Segment::Gs) => {
                self.machine.segment(segment).base.wrapping_add(offset)
            }
            // Neither base nor wrapping at 4 GiB.
            (Mode::Bits64, _) => offset,
            _ => self.machine.segment(segment).base.wrapping_add(offset) & 0xffff_ffff,
        }
    }

    /// Whether the segment lets `size` bytes at `offset` be accessed; in 64-bit mode, whether `linear` is
    /// canonical.
    #[inline]
    pub(super) fn check_segment(
        &mut self,
        segment: Segment,
        offset: u64,
        linear: u64,
        size: Size,
        kind: Kind,
    ) -> Result<()> {
        let is_good = if self.instruction.mode == Mode::Bits64 {
            self.machine.paging().is_canonical(linear)
        } else {
            self.is_in_segment(segment, offset, size, kind)
        };
        if is_good { Ok(()) } else { Err(Exception::of_segment(segment).into()) }
    }

    /// In 64-bit mode AMD's processors want first byte and last in canonical form, of the sum with the base
    /// as well as of the offset, before they look at alignment. Intel's look at the first byte of the sum,
    /// which [`Self::check_segment`] has done, and at the last one when they translate it.
    #[cold]
    pub(super) fn check_ends(&self, segment: Segment, offset: u64, linear: u64, size: Size) -> Result<()> {
        if self.instruction.vendor != Vendor::Amd || self.instruction.mode != Mode::Bits64 {
            return Ok(());
        }
        let last = size.bytes() - 1;
        let paging = self.machine.paging();
        let ends = [offset, offset.wrapping_add(last), linear, linear.wrapping_add(last)];
        let is_good = ends.into_iter().all(|address| paging.is_canonical(address));
        if is_good { Ok(()) } else { Err(Exception::of_segment(segment).into()) }
    }

    fn is_in_segment(&mut self, segment: Segment, offset: u64, size: Size, kind: Kind) -> bool {
        let state = self.machine.segment(segment);
        let is_protected = self.machine.paging().cr0 & CR0_PE != 0 && self.machine.rflags() & FLAG_VM == 0;
        // In 64 bits: an operand across 4 GiB is beyond the limit, and does not wrap.
        let last = offset.wrapping_add(size.bytes() - 1);
        (!is_protected || allows(state, kind)) && is_within(state, offset, last, is_protected)
    }
}

/// Whether the descriptor's type allows data accesses of `kind` (APM 2, 4.7).
fn allows(state: SegmentState, kind: Kind) -> bool {
    let has = |bit| state.attributes & bit != 0;
    let is_code = has(SegmentState::CODE);
    let is_writable = has(SegmentState::WRITABLE);
    // A null selector's segment is not present: nothing can be accessed through it.
    has(SegmentState::PRESENT)
        && match kind {
            Kind::Write => !is_code && is_writable,
            // The same bit means readable in code.
            Kind::Read | Kind::Execute => !is_code || is_writable,
        }
}

/// Whether the offsets lie within the limit. Real mode has limits, but no types (APM 2, 4.12).
fn is_within(state: SegmentState, first: u64, last: u64, is_protected: bool) -> bool {
    let limit = u64::from(state.limit);
    let expands_down = is_protected
        && state.attributes & (SegmentState::CODE | SegmentState::EXPAND_DOWN) == SegmentState::EXPAND_DOWN;
    if !expands_down {
        return last <= limit;
    }
    // Such a segment is what lies above its limit, up to the end that its size allows.
    let top = if state.attributes & SegmentState::BIG != 0 { 0xffff_ffff } else { 0xffff };
    first > limit && last <= top
}

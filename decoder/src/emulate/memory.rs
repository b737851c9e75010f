//! Accesses to memory: translated whole before anything is read or written, split where they cross a page.

use super::{Abort, Emulation, Result, Stop};
use crate::bits::{CR0_AM, FLAG_AC};
use crate::walk::{Access, Kind};
use crate::{Attributes, Exception, Machine, PAGE_BYTES, Segment, Size, Vendor};

/// How often a locked operation starts again because another vCPU was faster.
const ATTEMPTS: u32 = 64;

/// A memory operand, translated.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The guest physical address of its first byte.
    gpa: u64,
    /// The guest physical address of its first byte in the next page, if it crosses.
    next: u64,
    /// How many bytes lie in the first page.
    split: u64,
    size: Size,
}

impl Place {
    /// In one page.
    pub(super) fn whole(gpa: u64, size: Size) -> Place {
        Place { gpa, next: 0, split: size.bytes(), size }
    }

    /// In two pages, with `split` bytes in the first one.
    pub(super) fn split(gpa: u64, next: u64, split: u64, size: Size) -> Place {
        Place { gpa, next, split, size }
    }

    /// The guest physical address of its first byte.
    pub(super) fn first(self) -> u64 {
        self.gpa
    }

    fn crosses(self) -> bool {
        self.split < self.size.bytes()
    }

    /// The pieces of an access that crosses a page: address, size, and where in the operand, in bytes.
    fn pieces(self) -> impl Iterator<Item = (u64, Size, u64)> {
        let mut at = 0;
        core::iter::from_fn(move || {
            // A device sees an access that crosses a page as several, each of them aligned.
            let (gpa, end) = if at < self.split {
                (self.gpa.wrapping_add(at), self.split)
            } else {
                (self.next.wrapping_add(at - self.split), self.size.bytes())
            };
            (at < end).then(|| {
                let size = Size::largest_aligned(gpa, end - at);
                let piece = (gpa, size, at);
                at += size.bytes();
                piece
            })
        })
    }
}

impl<M: Machine> Emulation<'_, M> {
    /// Checks and translates the instruction's memory operand.
    #[inline]
    pub(super) fn operand_place(&mut self, kind: Kind) -> Result<Place> {
        let offset = self.effective_address();
        self.place(self.instruction.segment, offset, self.instruction.memory_size, kind)
    }

    /// Checks and translates `size` bytes at `segment:offset`. The order of the checks is the processor's: it
    /// shows where an access fails more than one.
    #[inline]
    pub(super) fn place(&mut self, segment: Segment, offset: u64, size: Size, kind: Kind) -> Result<Place> {
        let linear = self.checked(segment, offset, size, kind)?;
        let access = Access::explicit(kind, self.machine.cpl(), self.machine.rflags());
        // The common case, without the checks of a second page.
        if PAGE_BYTES - linear % PAGE_BYTES >= size.bytes() {
            let gpa = self.translate(linear, access, segment)?;
            return Ok(Place { gpa, next: 0, split: size.bytes(), size });
        }
        self.crossing_place(segment, offset, linear, size, access)
    }

    /// [`Emulation::place`] for string instructions, which go to the same page again and again: `slot` tells
    /// rSI from rDI. A translation may be kept for as long as an instruction lasts, as a processor's TLB
    /// does.
    pub(super) fn string_place(
        &mut self,
        slot: usize,
        segment: Segment,
        offset: u64,
        kind: Kind,
    ) -> Result<Place> {
        let size = self.instruction.size;
        let linear = self.checked(segment, offset, size, kind)?;
        let (page, in_page) = (linear / PAGE_BYTES, linear % PAGE_BYTES);
        // Two pages: of such an access nothing is kept.
        if PAGE_BYTES - in_page < size.bytes() {
            return self.place(segment, offset, size, kind);
        }
        let known = self.pages.get(slot).copied().flatten().filter(|known| known.0 == page);
        let base = match known {
            Some((_, base)) => base,
            None => {
                let access = Access::explicit(kind, self.machine.cpl(), self.machine.rflags());
                let base = self.translate(linear, access, segment)?.wrapping_sub(in_page);
                if let Some(recent) = self.pages.get_mut(slot) {
                    *recent = Some((page, base));
                }
                base
            }
        };
        Ok(Place { gpa: base.wrapping_add(in_page), next: 0, split: size.bytes(), size })
    }

    /// The linear address of `segment:offset`, after every check that comes before translation.
    #[inline]
    fn checked(&mut self, segment: Segment, offset: u64, size: Size, kind: Kind) -> Result<u64> {
        let linear = self.linear(segment, offset);
        let is_aligned = linear & (size.bytes() - 1) == 0;
        // Before canonical form and limits, as the processors do that were compared (docs/decoder.md).
        if !is_aligned && self.instruction.attributes.contains(Attributes::ALIGNED) {
            return Err(Exception::GENERAL_PROTECTION.into());
        }
        self.check_segment(segment, offset, linear, size, kind)?;
        // An aligned operand's last byte is canonical if its first is; only a base that was added can make
        // the offset differ from the sum.
        if !is_aligned || matches!(segment, Segment::Fs | Segment::Gs) {
            self.check_ends(segment, offset, linear, size)?;
        }
        if !is_aligned {
            self.check_alignment(size)?;
        }
        Ok(linear)
    }

    /// A place in two pages.
    #[cold]
    fn crossing_place(
        &mut self,
        segment: Segment,
        offset: u64,
        linear: u64,
        size: Size,
        access: Access,
    ) -> Result<Place> {
        let split = PAGE_BYTES - linear % PAGE_BYTES;
        // Outside 64-bit mode addresses wrap at 4 GiB, within an operand too.
        let next = linear.wrapping_add(split) & self.instruction.mode.linear_mask();
        // In 64-bit mode the second page's address may be beyond the canonical ones while the first is not.
        self.check_segment(segment, offset, next, size, access.kind())?;
        // The first page is only asked about first: its dirty bit must stay clear if the second one faults.
        self.translate(linear, access.probe(), segment)?;
        let next = self.translate(next, access, segment)?;
        let gpa = self.translate(linear, access, segment)?;
        Ok(Place { gpa, next, split, size })
    }

    #[inline]
    pub(super) fn translate(&mut self, linear: u64, access: Access, segment: Segment) -> Result<u64> {
        self.machine.translate(linear, access).map_err(|error| Abort::from_walk(error, segment))
    }

    /// #AC if it is enabled, for an access of `size` that isn't aligned. Of moves of 16 bytes that need no
    /// alignment manuals leave it open: AMD's processors check them, Intel's don't.
    fn check_alignment(&self, size: Size) -> Result<()> {
        let is_checked = (size != Size::B16 || self.instruction.vendor == Vendor::Amd)
            && self.machine.rflags() & FLAG_AC != 0
            && self.machine.cpl() == 3
            && self.machine.paging().cr0 & CR0_AM != 0;
        if is_checked { Err(Exception::ALIGNMENT_CHECK.into()) } else { Ok(()) }
    }

    #[inline]
    pub(super) fn load_piece(&mut self, gpa: u64, size: Size) -> u64 {
        match self.machine.read(gpa, size) {
            Some(value) => value,
            // A device's answer may have more bits than were asked for, which would show in flags.
            None => self.machine.device_read(gpa, size) & size.mask(),
        }
    }

    #[inline]
    pub(super) fn store_piece(&mut self, gpa: u64, size: Size, value: u64) {
        let value = value & size.mask();
        // Asked at the access itself, as what was RAM at the translation may not be any more.
        if self.machine.write(gpa, size, value).is_none() {
            self.machine.device_write(gpa, size, value);
        }
    }

    /// Reads an operand of at most eight bytes.
    #[inline]
    pub(super) fn load(&mut self, place: Place) -> u64 {
        if place.crosses() { self.load_wide(place) as u64 } else { self.load_piece(place.gpa, place.size) }
    }

    /// Writes an operand of at most eight bytes.
    #[inline]
    pub(super) fn store(&mut self, place: Place, value: u64) {
        if place.crosses() {
            self.store_wide(place, value.into());
        } else {
            self.store_piece(place.gpa, place.size, value);
        }
    }

    /// Reads an operand in pieces of at most eight bytes.
    pub(super) fn load_wide(&mut self, place: Place) -> u128 {
        let mut value = 0;
        for (gpa, size, at) in place.pieces() {
            value |= u128::from(self.load_piece(gpa, size)) << (at * 8);
        }
        value
    }

    /// Writes an operand in pieces of at most eight bytes.
    pub(super) fn store_wide(&mut self, place: Place, value: u128) {
        for (gpa, size, at) in place.pieces() {
            self.store_piece(gpa, size, (value >> (at * 8)) as u64);
        }
    }

    /// Replaces an operand of at most eight bytes by what `change` makes of it, atomically if the instruction
    /// is locked and the operand is in RAM. Returns the old value; `change` may have been called more than
    /// once.
    #[inline]
    pub(super) fn modify(&mut self, place: Place, mut change: impl FnMut(u64) -> u64) -> Result<u64> {
        // What is not locked is two accesses on a processor as well, between which others may write.
        if !self.instruction.attributes.contains(Attributes::LOCK) {
            let old = self.load(place);
            self.store(place, change(old));
            return Ok(old);
        }
        if place.crosses() {
            // Two pages are two accesses, which nothing here can make one.
            return Err(Abort::Stop(Stop::SplitLock));
        }
        // A device knows no compare-and-exchange: its lock makes each of the two accesses whole, and no
        // more can be had.
        let Some(mut old) = self.machine.read(place.gpa, place.size) else {
            let old = self.load(place);
            self.store(place, change(old));
            return Ok(old);
        };
        for _ in 0..ATTEMPTS {
            // From the value that was found, which may be another one in each round.
            let new = change(old) & place.size.mask();
            match self.machine.compare_exchange(place.gpa, place.size, old, new) {
                Some(found) if found == old => return Ok(old),
                Some(found) => old = found,
                None => break,
            }
        }
        // Others were faster each time. The guest is run again, so that interrupts have their turn, too.
        Err(Abort::Retry)
    }

    /// [`Emulation::modify`] for CMPXCHG16B, whose operand is aligned: stores `new` if the operand is
    /// `expected`.
    pub(super) fn compare_exchange_wide(&mut self, place: Place, expected: u128, new: u128) -> u128 {
        if self.instruction.attributes.contains(Attributes::LOCK)
            && let Some(found) = self.machine.compare_exchange_wide(place.gpa, expected, new)
        {
            return found;
        }
        // Not locked, or no RAM, where nothing atomic is to be had.
        let found = self.load_wide(place);
        self.store_wide(place, if found == expected { new } else { found });
        found
    }
}

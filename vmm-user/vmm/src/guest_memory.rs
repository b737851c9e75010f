//! Guest memory, mapped into the process: guest physical address `gpa` is at [`BASE`]` + gpa`.
//!
//! The guest writes it while we read: every access is volatile or atomic, and what is looked at twice is
//! copied once.
#![allow(unsafe_code, reason = "memory that the guest shares is reached through raw pointers")]

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use decoder::Size;
use runtime::abi::operation::{Handle, MemoryMap, MemoryRange};
use runtime::abi::status::Status;
use runtime::call;

const PAGE_BYTES: u64 = 4096;

/// Where guest memory begins in the process.
const BASE: u64 = 0x1000_0000_0000;

/// A range of guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub gpa: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// Where guest memory is, in order.
pub fn ranges(memory: Handle) -> Result<Vec<Range>, Status> {
    let mut ranges = Vec::new();
    for index in 0.. {
        match call(memory, MemoryRange { index, gpa: 0, bytes: 0 }) {
            Ok(range) => ranges.push(Range { gpa: range.gpa, bytes: range.bytes }),
            Err(Status::NotFound) => break,
            Err(status) => return Err(status),
        }
    }
    Ok(ranges)
}

/// All of guest memory.
#[derive(Clone, Debug)]
pub struct GuestRam {
    ranges: Vec<Range>,
    /// What is added to a guest physical address: [`BASE`], but in tests.
    base: u64,
}

impl GuestRam {
    /// Maps it.
    pub fn map(memory: Handle) -> Result<Self, Status> {
        let ranges = ranges(memory)?;
        // At one distance from their GPAs, so that an address is a sum and the range need only be checked.
        for range in &ranges {
            let address = BASE.checked_add(range.gpa).ok_or(Status::BadArgument)?;
            call(memory, MemoryMap { address, gpa: range.gpa, bytes: range.bytes })?;
        }
        Ok(Self { ranges, base: BASE })
    }

    /// A test's memory, from address 0.
    #[cfg(test)]
    pub fn of(memory: &'static mut [u64]) -> Self {
        let bytes = size_of_val(memory) as u64;
        Self {
            ranges: [Range { gpa: 0, bytes }].into(),
            base: memory.as_mut_ptr().expose_provenance() as u64,
        }
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Where in the process `bytes` at `gpa` are, if they are memory, all of them. There they stay.
    #[inline]
    pub fn address(&self, gpa: u64, bytes: u64) -> Option<u64> {
        // By differences: the guest chooses both numbers, and their sum may overflow.
        let inside = |r: &Range| gpa >= r.gpa && gpa - r.gpa < r.bytes && r.bytes - (gpa - r.gpa) >= bytes;
        self.ranges.iter().any(inside).then(|| self.base.wrapping_add(gpa))
    }

    /// Reads a little-endian value.
    #[inline]
    pub fn read(&self, gpa: u64, size: Size) -> Option<u64> {
        let address = self.address(gpa, size.bytes())?;
        // SAFETY: mapped for the life of the process, and at least that long; x86 loads need no alignment,
        // and an unaligned one is made byte by byte.
        unsafe {
            Some(match size {
                Size::B1 => u64::from((address as *const u8).read_volatile()),
                // A volatile access has to be aligned, and whoever makes another expects no whole one.
                _ if !address.is_multiple_of(size.bytes()) => bytewise(address, size.bytes()),
                Size::B2 => u64::from((address as *const u16).read_volatile()),
                Size::B4 => u64::from((address as *const u32).read_volatile()),
                _ => (address as *const u64).read_volatile(),
            })
        }
    }

    /// Writes a little-endian value.
    #[inline]
    pub fn write(&self, gpa: u64, size: Size, value: u64) -> Option<()> {
        let address = self.address(gpa, size.bytes())?;
        // SAFETY: as for `read`.
        unsafe {
            match size {
                Size::B1 => (address as *mut u8).write_volatile(value as u8),
                _ if !address.is_multiple_of(size.bytes()) => {
                    for (index, byte) in
                        value.to_le_bytes().into_iter().take(size.bytes() as usize).enumerate()
                    {
                        ((address + index as u64) as *mut u8).write_volatile(byte);
                    }
                }
                Size::B2 => (address as *mut u16).write_volatile(value as u16),
                Size::B4 => (address as *mut u32).write_volatile(value as u32),
                _ => (address as *mut u64).write_volatile(value),
            }
        }
        Some(())
    }

    /// Stores `new` if memory holds `expected`; what it held. Atomic where the address is aligned.
    pub fn compare_exchange(&self, gpa: u64, size: Size, expected: u64, new: u64) -> Option<u64> {
        let address = self.address(gpa, size.bytes())?;
        // There are no atomics that are not aligned: here another vCPU may come in between.
        if !address.is_multiple_of(size.bytes()) {
            let held = self.read(gpa, size)?;
            if held == expected & size.mask() {
                self.write(gpa, size, new)?;
            }
            return Some(held);
        }
        macro_rules! exchange {
            ($atomic:ty, $integer:ty) => {{
                // SAFETY: mapped, aligned, and only reached by atomic or volatile accesses.
                let cell = unsafe { &*(address as *const $atomic) };
                // A locked instruction orders all accesses of its processor, before it and behind it.
                let result = cell.compare_exchange(
                    expected as $integer,
                    new as $integer,
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                );
                Some(u64::from(result.unwrap_or_else(|held| held)))
            }};
        }
        match size {
            Size::B1 => exchange!(AtomicU8, u8),
            Size::B2 => exchange!(AtomicU16, u16),
            Size::B4 => exchange!(AtomicU32, u32),
            _ => exchange!(AtomicU64, u64),
        }
    }

    /// The same with sixteen bytes, aligned (CMPXCHG16B).
    pub fn compare_exchange_wide(&self, gpa: u64, expected: u128, new: u128) -> Option<u128> {
        // The address is masked below all the same: misaligned, the #GP would be this process's and not the
        // guest's.
        let address = self.address(gpa, 16)?;
        let (mut low, mut high) = (expected as u64, (expected >> 64) as u64);
        // SAFETY: mapped and aligned, which the caller promises of `gpa`; RBX is put back, as the compiler
        // keeps it for itself.
        unsafe {
            core::arch::asm!(
                "xchg {new_low}, rbx",
                "lock cmpxchg16b [{address}]",
                "mov rbx, {new_low}",
                address = in(reg) address & !15,
                new_low = inout(reg) new as u64 => _,
                in("rcx") (new >> 64) as u64,
                inout("rax") low,
                inout("rdx") high,
                options(nostack),
            );
        }
        Some(u128::from(high) << 64 | u128::from(low))
    }

    /// Copies bytes in. `false` when the range is not memory.
    #[must_use]
    pub fn copy_in(&self, gpa: u64, bytes: &[u8]) -> bool {
        let Some(address) = self.address(gpa, bytes.len() as u64) else { return false };
        // SAFETY: the range was just checked, and is not the slice's: that is the process's own memory.
        unsafe { copy(address as *mut u8, bytes.as_ptr(), bytes.len()) };
        true
    }

    /// Copies bytes out. `false` when the range is not memory.
    #[must_use]
    pub fn copy_out(&self, gpa: u64, bytes: &mut [u8]) -> bool {
        let Some(address) = self.address(gpa, bytes.len() as u64) else { return false };
        // SAFETY: as above.
        unsafe { copy(bytes.as_mut_ptr(), address as *const u8, bytes.len()) };
        true
    }

    /// Fills a range with zeroes. `false` when it is not memory.
    #[must_use]
    pub fn clear(&self, gpa: u64, bytes: u64) -> bool {
        const ZEROES: [u8; PAGE_BYTES as usize] = [0; PAGE_BYTES as usize];
        if self.address(gpa, bytes).is_none() {
            return false;
        }
        (0..bytes).step_by(ZEROES.len()).all(|offset| {
            let piece = ZEROES.get(..(bytes - offset).min(PAGE_BYTES) as usize).unwrap_or(&ZEROES);
            // Most of a guest's memory was never written: to look costs less, and leaves the host without a
            // page for it.
            self.is_zero(gpa + offset, piece.len() as u64) || self.copy_in(gpa + offset, piece)
        })
    }

    /// Whether a range is memory that holds zeroes, as far as looked: `false` for what is not whole words.
    fn is_zero(&self, gpa: u64, bytes: u64) -> bool {
        let Some(address) = self.address(gpa, bytes).filter(|address| (address | bytes).is_multiple_of(8))
        else {
            return false;
        };
        let words = (address..address + bytes).step_by(8);
        // SAFETY: as for `read`: the range was just checked, and the words are aligned.
        words.fold(0, |all, word| all | unsafe { (word as *const u64).read_volatile() }) == 0
    }

    /// Takes a range out of it, to whole pages: what is left is the guest's, and this is not. `None` if not
    /// all of the range is memory.
    pub fn take(&mut self, gpa: u64, bytes: u64) -> Option<Self> {
        // By pages, as nothing smaller can be kept from the guest.
        let start = gpa & !(PAGE_BYTES - 1);
        let end = gpa.checked_add(bytes)?.checked_next_multiple_of(PAGE_BYTES)?;
        if bytes == 0 {
            return None;
        }
        self.address(start, end - start)?;
        let parts = |range: &Range| {
            let range_end = range.gpa.saturating_add(range.bytes);
            let before = Range { gpa: range.gpa, bytes: start.clamp(range.gpa, range_end) - range.gpa };
            let after = end.clamp(range.gpa, range_end);
            // Of a range that this is not in, one of the two is all of it.
            match end <= range.gpa || range_end <= start {
                true => [*range, Range { gpa: range_end, bytes: 0 }],
                false => [before, Range { gpa: after, bytes: range_end - after }],
            }
        };
        self.ranges = self.ranges.iter().flat_map(parts).filter(|range| range.bytes > 0).collect();
        Some(Self { ranges: [Range { gpa: start, bytes: end - start }].into(), base: self.base })
    }

    /// Moves bytes within guest memory; the ranges may overlap. No vCPU runs yet. `false` when either is not
    /// memory.
    #[must_use]
    pub fn move_within(&self, to: u64, from: u64, bytes: u64) -> bool {
        let (Some(to), Some(from)) = (self.address(to, bytes), self.address(from, bytes)) else {
            return false;
        };
        // SAFETY: both ranges were checked; before the first vCPU runs nobody else touches them.
        unsafe { core::ptr::copy(from as *const u8, to as *mut u8, bytes as usize) };
        true
    }
}

/// Copies bytes, by instructions and not by a function that may take it that nobody else writes them.
///
/// # Safety
/// `count` bytes from `to` on may be written, and as many from `from` on be read; they do not overlap.
unsafe fn copy(to: *mut u8, from: *const u8, count: usize) {
    // Miri executes no assembly, and is to see what is accessed.
    if cfg!(miri) {
        for index in 0..count {
            // SAFETY: the caller's promise.
            unsafe { to.add(index).write_volatile(from.add(index).read_volatile()) };
        }
        return;
    }
    // SAFETY: the caller's promise; the direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!(
            "rep movsq",
            "mov ecx, {rest:e}",
            "rep movsb",
            rest = in(reg) count & 7,
            inout("rcx") count >> 3 => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// `bytes` (at most 8) from `address` are mapped.
unsafe fn bytewise(address: u64, bytes: u64) -> u64 {
    (0..bytes).fold(0, |value, index| {
        // SAFETY: the caller's promise.
        let byte = unsafe { ((address + index) as *const u8).read_volatile() };
        value | u64::from(byte) << (8 * index)
    })
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn any_number_of_bytes_is_copied() {
        let ram = GuestRam::of(Box::leak(vec![0u64; 64].into_boxed_slice()));
        let bytes: Vec<u8> = (1..=40).collect();
        let step = if cfg!(miri) { 5 } else { 1 };
        for start in (0..9).step_by(step) {
            for count in (0..40).step_by(step) {
                assert!(ram.copy_in(start, &[0; 60]));
                assert!(ram.copy_in(start, &bytes[..count]));
                let mut read = [0xee; 60];
                assert!(ram.copy_out(start, &mut read[..50]));
                assert_eq!((&read[..count], &read[count..50]), (&bytes[..count], &vec![0; 50 - count][..]));
                assert_eq!(read[50..], [0xee; 10]);
            }
        }
        assert!(!ram.copy_in(500, &[0; 20]) && !ram.copy_out(u64::MAX, &mut [0; 2]));
    }

    #[test]
    fn what_is_cleared_is_zero_and_nothing_else() {
        let ram = GuestRam::of(Box::leak(vec![0u64; 3 * 512].into_boxed_slice()));
        // A page with one bit, the last one; a page of zeroes; a part of a page, at no word's border.
        for (gpa, bytes) in [(0, 4096), (4096, 4096), (0, 3 * 4096), (4093, 4106), (8, 8), (9, 1)] {
            assert!(ram.copy_in(0, &vec![0x55; 3 * 4096]));
            assert!(ram.clear(gpa, bytes) && ram.clear(gpa, bytes));
            assert!(ram.copy_in(gpa + bytes - 1, &[1]) && ram.clear(gpa, bytes));
            let mut all = vec![0; 3 * 4096];
            assert!(ram.copy_out(0, &mut all));
            let inside = |index: u64| index >= gpa && index - gpa < bytes;
            let expected = (0..3 * 4096).map(|index| if inside(index) { 0 } else { 0x55 });
            assert!(all.iter().copied().eq(expected), "{gpa} {bytes}");
        }
        assert!(!ram.clear(4096, 3 * 4096) && !ram.clear(u64::MAX, 2));
    }

    #[test]
    fn what_is_taken_is_the_guests_no_more() {
        let whole = |gpa, bytes| Range { gpa, bytes };
        let all = [whole(0, 0xa0000), whole(0x10_0000, 0x10_0000)];
        // What is taken, what is left.
        let cases: [(u64, u64, &[Range]); 4] = [
            (0x10_0000, 0x10_0000, &[all[0]]),
            (0x10_0000, 1, &[all[0], whole(0x10_1000, 0xf_f000)]),
            (0x11_0800, 0x1000, &[all[0], whole(0x10_0000, 0x1_0000), whole(0x11_2000, 0xe_e000)]),
            (0x1f_f000, 0x1000, &[all[0], whole(0x10_0000, 0xf_f000)]),
        ];
        for (gpa, bytes, left) in cases {
            let mut ram = GuestRam { ranges: all.into(), base: 0 };
            let taken = ram.take(gpa, bytes).unwrap();
            assert_eq!(ram.ranges(), left, "{gpa:#x}");
            assert!(taken.address(gpa, bytes).is_some() && ram.address(gpa, 1).is_none());
        }
        for (gpa, bytes) in [(0x9_f000, 0x2000), (0xa_0000, 1), (0x10_0000, 0), (u64::MAX, 1)] {
            let mut ram = GuestRam { ranges: all.into(), base: 0 };
            assert!(ram.take(gpa, bytes).is_none());
            assert_eq!(ram.ranges(), all);
        }
    }
}

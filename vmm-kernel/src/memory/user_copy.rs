//! Copies between the kernel and the running process. Besides operations that are done where they lie
//! (`abi::in_place`), the only place that touches user memory.
//!
//! A user's pointer is *alleged*: a range is checked to lie in the user's half, and a fault on the way is a
//! refusal, not a crash: the page-fault handler finds the instruction in a table ([`fixup`]) and goes on
//! elsewhere. That a page was there a moment ago says nothing: another thread may take it away at any time.
//! Each byte is copied once.
#![allow(unsafe_code, reason = "reads and writes memory of a process, with SMAP opened for the copy")]

use core::arch::global_asm;

use vcpu_abi::status::Status;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::checks::access;
use crate::layout::{USER_END, USER_START};

global_asm!(
    r#"
    .pushsection .text.user_copy, "ax"
    .balign 16
    // rdi: to, rsi: from, rdx: bytes. Returns 0, or another number when not all was copied. By eight bytes
    // first, then the rest.
user_copy:
    mov rcx, rdx
    shr rcx, 3
    and edx, 7
    stac
2:  rep movsq
    mov ecx, edx
3:  rep movsb
4:  clac
    // RCX is what REP has not done, also behind a fault, from which the handler goes on at the label before.
    mov rax, rcx
    ret
    .balign 16
    // The same for whole words, of which RDX is the number.
user_copy_words:
    mov rcx, rdx
    stac
5:  rep movsq
6:  clac
    mov rax, rcx
    ret
    .popsection
    .pushsection fixups, "a"
    .long 5b - .
    .long 6b - .
    .long 2b - .
    .long 4b - .
    .long 3b - .
    .long 4b - .
    .popsection
    "#
);

unsafe extern "C" {
    fn user_copy(to: u64, from: u64, bytes: u64) -> u64;
    fn user_copy_words(to: u64, from: u64, words: u64) -> u64;
    /// The table of fixups: made by the linker of the section's parts.
    static __start_fixups: [i32; 2];
    static __stop_fixups: [i32; 2];
}

/// Where to go on after a page fault of the kernel at `rip`, if it accessed user memory there. Each such
/// instruction has two words in the section `fixups`: how far it is from the first, and how far that place is
/// from the second.
pub fn fixup(rip: u64) -> Option<u64> {
    let (start, end) = (&raw const __start_fixups, &raw const __stop_fixups);
    let count = (end as usize - start as usize) / size_of::<[i32; 2]>();
    // SAFETY: the linker puts all parts of the section one behind the other, and each is made of such pairs.
    let table = unsafe { core::slice::from_raw_parts(start, count) };
    let from = |word: &i32| (core::ptr::from_ref(word) as u64).wrapping_add_signed(i64::from(*word));
    table.iter().find(|[access, _]| from(access) == rip).map(|[_, continuation]| from(continuation))
}

/// A range that a process says it has: it lies in the user's half, and no more is known.
#[derive(Clone, Copy, Debug)]
pub struct AllegedRange {
    start: u64,
    bytes: u64,
}

impl AllegedRange {
    /// Checks that the range lies in the user's half.
    #[inline]
    pub fn new(start: u64, bytes: u64) -> Result<Self, Status> {
        let end = start.checked_add(bytes).ok_or(Status::BadPointer)?;
        // This alone keeps a process from the kernel's memory: an access to that would not fault, so nothing
        // would be mended.
        if start < USER_START || end > USER_END {
            return Err(Status::BadPointer);
        }
        Ok(Self { start, bytes })
    }

    /// Copies in. `to` is as long as the range at most.
    pub fn read(self, to: &mut [u8]) -> Result<(), Status> {
        let bytes = self.bytes.min(to.len() as u64);
        // SAFETY: `to` is valid for that many bytes; the source is user memory, whose faults are mended.
        let left = unsafe { user_copy(to.as_mut_ptr() as u64, self.start, bytes) };
        access::is_over();
        if left == 0 { Ok(()) } else { Err(Status::BadPointer) }
    }

    /// Copies out.
    pub fn write(self, from: &[u8]) -> Result<(), Status> {
        let bytes = self.bytes.min(from.len() as u64);
        // SAFETY: `from` is valid for that many bytes; the target is user memory, whose faults are mended.
        let left = unsafe { user_copy(self.start, from.as_ptr() as u64, bytes) };
        access::is_over();
        if left == 0 { Ok(()) } else { Err(Status::BadPointer) }
    }
}

/// Copies a value in.
pub fn read_value<T: FromBytes + IntoBytes>(address: u64) -> Result<T, Status> {
    let mut value = T::new_zeroed();
    AllegedRange::new(address, size_of::<T>() as u64)?.read(value.as_mut_bytes())?;
    Ok(value)
}

/// Copies a value of whole words to where it stays. A part of it may be there when the rest can't be read.
#[inline(always)]
pub fn read_into<T: FromBytes + IntoBytes>(address: u64, to: &mut T) -> Result<(), Status> {
    const { assert!(size_of::<T>().is_multiple_of(8)) };
    AllegedRange::new(address, size_of::<T>() as u64)?;
    let (to, words) = (to.as_mut_bytes().as_mut_ptr() as u64, size_of::<T>() as u64 / 8);
    // SAFETY: `to` is valid for that many words; the source is user memory, whose faults are mended.
    let left = unsafe { user_copy_words(to, address, words) };
    access::is_over();
    if left == 0 { Ok(()) } else { Err(Status::BadPointer) }
}

/// Copies a value of whole words out from where it stays.
#[inline(always)]
pub fn write_from<T: IntoBytes + Immutable>(address: u64, from: &T) -> Result<(), Status> {
    const { assert!(size_of::<T>().is_multiple_of(8)) };
    AllegedRange::new(address, size_of::<T>() as u64)?;
    let (from, words) = (from.as_bytes().as_ptr() as u64, size_of::<T>() as u64 / 8);
    // SAFETY: `from` is valid for that many words; the target is user memory, whose faults are mended.
    let left = unsafe { user_copy_words(address, from, words) };
    access::is_over();
    if left == 0 { Ok(()) } else { Err(Status::BadPointer) }
}

/// Copies a value out.
pub fn write_value<T: IntoBytes + Immutable>(address: u64, value: &T) -> Result<(), Status> {
    AllegedRange::new(address, size_of::<T>() as u64)?.write(value.as_bytes())
}

#[cfg(test)]
mod tests;

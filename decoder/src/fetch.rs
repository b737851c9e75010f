//! Fetching an instruction at CS:RIP.
//!
//! Bytes are copied once, and what is decoded is the copy: a guest that rewrites its code meanwhile gets
//! either the old instruction or the new one. The page behind is only looked at if the instruction reaches
//! into it.

use crate::decode::{MAX_LENGTH, Rejection, decode};
use crate::walk::{Access, WalkError};
use crate::{Exception, Instruction, Machine, Mode, PAGE_BYTES, Segment, Size};

/// Why there are no bytes, or no instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The guest's fault, to be injected: the fetch's own, #UD, or #GP for 16 bytes and more.
    Exception(Exception),
    /// The code, or a page table on the way to it, is at this guest physical address, which is not RAM.
    NotRam {
        /// The address.
        gpa: u64,
    },
    /// The guest is to be run again: page tables changed under the walk, or the instruction is none that
    /// exits.
    Retry,
    /// Not an instruction that is emulated: a logged stop. The bytes are in [`Code`].
    Unsupported,
}

/// Bytes fetched from CS:RIP on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Zeros after the last.
    bytes: [u8; 16],
    length: u8,
}

impl Code {
    /// No bytes yet.
    pub const EMPTY: Code = Code { bytes: [0; 16], length: 0 };

    /// What has been fetched, at most 15 bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }

    /// Fetches more bytes: those up to the end of the page, at most 15 in all.
    ///
    /// # Errors
    /// The [`FetchError`] of the first byte that is wanted; [`FetchError::Unsupported`] is none of them.
    pub fn extend(&mut self, machine: &mut impl Machine) -> Result<(), FetchError> {
        // From where the last round ended, and checked again: the next page has a translation of its own.
        let offset = machine.rip().wrapping_add(u64::from(self.length));
        let (linear, within_limit) = linear(machine, offset)?;
        // With the rights of a fetch: tables and code may be others than when the processor fetched.
        let gpa = machine.translate(linear, Access::fetch(machine.cpl())).map_err(FetchError::from)?;
        let in_page = PAGE_BYTES - linear % PAGE_BYTES;
        // Nearly always: two reads instead of one for each aligned piece.
        if self.length == 0 && in_page.min(within_limit) >= 16 {
            return self.fill(machine, gpa);
        }
        // Not a byte more than the page and the limit have: the next page may be absent, or a device that
        // must not be read.
        let wanted = u64::from(MAX_LENGTH - self.length.min(MAX_LENGTH));
        let end = in_page.min(within_limit).min(wanted);
        let mut at = 0;
        while at < end {
            let size = Size::largest_aligned(gpa.wrapping_add(at), end - at);
            self.push(machine, gpa.wrapping_add(at), size)?;
            at += size.bytes();
        }
        Ok(())
    }

    /// Takes 15 bytes in two reads.
    #[inline]
    fn fill(&mut self, machine: &mut impl Machine, gpa: u64) -> Result<(), FetchError> {
        // A sixteenth byte is read, which is in the same page and is thrown away.
        let mut read = |gpa| machine.read(gpa, Size::B8).ok_or(FetchError::NotRam { gpa });
        let window = u128::from(read(gpa)?) | u128::from(read(gpa.wrapping_add(8))?) << 64;
        self.bytes = (window & u128::MAX >> 8).to_le_bytes();
        self.length = MAX_LENGTH;
        Ok(())
    }

    fn push(&mut self, machine: &mut impl Machine, gpa: u64, size: Size) -> Result<(), FetchError> {
        let value = machine.read(gpa, size).ok_or(FetchError::NotRam { gpa })?;
        let start = usize::from(self.length);
        let slots = self.bytes.iter_mut().skip(start);
        for (slot, byte) in slots.zip(value.to_le_bytes()).take(size.bytes() as usize) {
            *slot = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Fetches and decodes the instruction at CS:RIP. `code` holds the bytes afterwards, as far as they were
/// needed, also if this fails.
///
/// # Errors
/// Each [`FetchError`].
#[inline]
pub fn fetch(machine: &mut impl Machine, code: &mut Code) -> Result<Instruction, FetchError> {
    let (mode, processor) = (machine.mode(), machine.processor());
    // Bytes that an earlier exit left are another instruction's.
    *code = Code::EMPTY;
    // Two pages at most hold 15 bytes; the third round can't be reached.
    for _ in 0..3 {
        let before = code.length;
        code.extend(machine)?;
        match decode(code.bytes(), mode, processor) {
            Ok(instruction) => return Ok(instruction),
            // Only as long as each round brings more bytes.
            Err(Rejection::Truncated) if code.length > before => {}
            Err(rejection) => return Err(rejection.into()),
        }
    }
    Err(FetchError::Unsupported)
}

/// The linear address of CS:`offset`, and how many bytes from there on are within the limit.
fn linear(machine: &mut impl Machine, offset: u64) -> Result<(u64, u64), FetchError> {
    // CS has neither base nor limit in 64-bit code (APM 2, 4.8.1).
    if machine.mode() == Mode::Bits64 {
        return Ok((offset, u64::MAX));
    }
    let cs = machine.segment(Segment::Cs);
    match u64::from(cs.limit).checked_sub(offset) {
        Some(left) => Ok((cs.base.wrapping_add(offset) & 0xffff_ffff, left + 1)),
        None => Err(FetchError::Exception(Exception::GENERAL_PROTECTION)),
    }
}

impl From<WalkError> for FetchError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Fault { error_code, address } => {
                FetchError::Exception(Exception::page_fault(error_code, address))
            }
            WalkError::NonCanonical => FetchError::Exception(Exception::GENERAL_PROTECTION),
            WalkError::Contended => FetchError::Retry,
        }
    }
}

impl From<Rejection> for FetchError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::TooLong => FetchError::Exception(Exception::GENERAL_PROTECTION),
            Rejection::Undefined => FetchError::Exception(Exception::UNDEFINED_OPCODE),
            // Such an instruction does not exit, so the guest has changed its code since.
            Rejection::NoMemory => FetchError::Retry,
            Rejection::Unsupported | Rejection::Truncated => FetchError::Unsupported,
        }
    }
}

//! Calls to the host by a page that is shared with it, the GHCB (GHCB, 2.6 and 4).
//!
//! The host may write the page at any time. So each field is loaded once, what was written is never read
//! again, and a register that the host did not mark as returned is an error, not an old value.

use core::fmt;

use plinth_snp_abi::exit::{self, IoInfo};
use plinth_snp_abi::ghcb::event::{ApCreation, ApOperation};
use plinth_snp_abi::ghcb::{
    BUFFER_OFFSET, Field, MAX_ENTRIES, MalformedInput, Outcome, PageStateEntry, PageStateHeader, USAGE_GHCB,
    event,
};
use zerocopy::{FromBytes, IntoBytes};

use super::word::VERSION;

/// The page, and the way to the host with it.
pub trait CallPage {
    /// Stores eight bytes at a multiple of eight within the page.
    fn write(&mut self, offset: usize, value: u64);
    /// Loads eight bytes, once.
    fn read(&mut self, offset: usize) -> u64;
    /// Gives the host the page, by VMGEXIT.
    fn call(&mut self);
    /// The page's guest physical address.
    fn gpa(&self) -> u64;
}

/// How wide an access of a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    Byte = 1,
    /// Two.
    Word = 2,
    /// Four.
    Double = 4,
}

impl Width {
    /// The bits of a value of this width.
    const fn mask(self) -> u32 {
        match self {
            Self::Byte => 0xff,
            Self::Word => 0xffff,
            Self::Double => u32::MAX,
        }
    }
}

/// Why a call is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The host wants an exception raised: for MSRs, the register is not there.
    Exception(u64),
    /// The host says that the call is malformed.
    Malformed(MalformedInput),
    /// The host says something that is not defined.
    Undefined(u64, u64),
    /// The host did not return this register.
    NotReturned(Field),
    /// The host stopped before this entry of a page state change, with this error.
    PageStates {
        /// The entry.
        entry: u16,
        /// SW_EXITINFO2.
        error: u64,
    },
    /// The host's header of a page state change is not one that can come of the one it was given.
    Header(PageStateHeader),
    /// More entries than the page has room for, or none.
    Entries(usize),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exception(event) => write!(f, "the host wants the exception {event:#x} raised"),
            Self::Malformed(reason) => write!(f, "the host says that the call is malformed: {reason:?}"),
            Self::Undefined(first, second) => {
                write!(f, "the host says {first:#x} and {second:#x}, which is not defined")
            }
            Self::NotReturned(field) => write!(f, "the host did not return {field:?}"),
            Self::PageStates { entry, error } => {
                write!(f, "the host stopped at page state {entry}: error {error:#x}")
            }
            Self::Header(header) => write!(f, "the host's header of page states is wrong: {header:?}"),
            Self::Entries(count) => write!(f, "{count} page states are not what the page has room for"),
        }
    }
}

/// Where the two words of the bitmap of valid fields are.
const VALID: [usize; 2] = [0x3f0, 0x3f8];
/// Where version and usage are, behind two reserved bytes.
const PROTOCOL: usize = 0xff8;

/// An event that the host is asked to handle.
struct Event<'a> {
    code: u64,
    info_1: u64,
    info_2: u64,
    /// Registers and the like, beside these.
    inputs: &'a [(Field, u64)],
}

/// The bit of a field in the bitmap of valid ones: its word, and its place there.
const fn valid_bit(field: Field) -> (usize, u64) {
    let number = field as usize / 8;
    (number / 64, 1 << (number % 64))
}

/// Has the host handle an event. Returns SW_EXITINFO2 and what is in these fields.
fn call<const N: usize>(
    page: &mut impl CallPage,
    event: &Event<'_>,
    outputs: [Field; N],
) -> Result<(u64, [u64; N]), CallError> {
    let own =
        [(Field::ExitCode, event.code), (Field::ExitInfo1, event.info_1), (Field::ExitInfo2, event.info_2)];
    let mut valid = [0; 2];
    for (field, value) in own.into_iter().chain(event.inputs.iter().copied()) {
        page.write(field as usize, value);
        let (word, bit) = valid_bit(field);
        if let Some(bits) = valid.get_mut(word) {
            *bits |= bit;
        }
    }
    for (offset, bits) in VALID.into_iter().zip(valid) {
        page.write(offset, bits);
    }
    page.write(PROTOCOL, (USAGE_GHCB as u64) << 32 | u64::from(VERSION) << 16);
    page.call();
    let [first, second] = [Field::ExitInfo1, Field::ExitInfo2].map(|field| page.read(field as usize));
    match Outcome::decode(first, second) {
        Outcome::Done(_) => {}
        Outcome::Exception(event) => return Err(CallError::Exception(event.0)),
        Outcome::Malformed(reason) => return Err(CallError::Malformed(reason)),
        Outcome::Undefined(first, second) => return Err(CallError::Undefined(first, second)),
    }
    let valid = VALID.map(|offset| page.read(offset));
    let mut values = [0; N];
    for (field, value) in outputs.into_iter().zip(&mut values) {
        let (word, bit) = valid_bit(field);
        if valid.get(word).is_none_or(|bits| bits & bit == 0) {
            return Err(CallError::NotReturned(field));
        }
        *value = page.read(field as usize);
    }
    Ok((second, values))
}

/// IN. What the host returns beyond the width is cut off.
///
/// # Errors
/// [`CallError`].
pub fn read_port(page: &mut impl CallPage, port: u16, width: Width) -> Result<u32, CallError> {
    let info_1 = IoInfo::new(port, width as u8, true).0;
    let event = Event { code: exit::IOIO, info_1, info_2: 0, inputs: &[] };
    let (_, [rax]) = call(page, &event, [Field::Rax])?;
    Ok(rax as u32 & width.mask())
}

/// OUT. The host sees no more of the value than the width.
///
/// # Errors
/// [`CallError`].
pub fn write_port(page: &mut impl CallPage, port: u16, width: Width, value: u32) -> Result<(), CallError> {
    let info_1 = IoInfo::new(port, width as u8, false).0;
    let inputs = [(Field::Rax, u64::from(value & width.mask()))];
    call(page, &Event { code: exit::IOIO, info_1, info_2: 0, inputs: &inputs }, []).map(drop)
}

/// RDMSR.
///
/// # Errors
/// [`CallError`]; an exception where the host has no such register.
pub fn read_msr(page: &mut impl CallPage, number: u32) -> Result<u64, CallError> {
    let inputs = [(Field::Rcx, u64::from(number))];
    let event = Event { code: exit::MSR, info_1: 0, info_2: 0, inputs: &inputs };
    let (_, [rax, rdx]) = call(page, &event, [Field::Rax, Field::Rdx])?;
    Ok(rdx << 32 | rax & 0xffff_ffff)
}

/// WRMSR.
///
/// # Errors
/// [`CallError`]; an exception where the host does not take it.
pub fn write_msr(page: &mut impl CallPage, number: u32, value: u64) -> Result<(), CallError> {
    let inputs =
        [(Field::Rcx, u64::from(number)), (Field::Rax, value & 0xffff_ffff), (Field::Rdx, value >> 32)];
    call(page, &Event { code: exit::MSR, info_1: 1, info_2: 0, inputs: &inputs }, []).map(drop)
}

/// Has the host run this vCPU, at a VMPL, by the VMSA at an address.
///
/// # Errors
/// [`CallError`].
pub fn set_vmsa(page: &mut impl CallPage, vmpl: u8, gpa: u64, features: u64) -> Result<(), CallError> {
    // There is the first vCPU, whose local APIC has the number 0.
    let creation = ApCreation { operation: ApOperation::Create, vmpl, apic_id: 0 };
    let inputs = [(Field::Rax, features)];
    let event = Event { code: event::AP_CREATION, info_1: creation.encode(), info_2: gpa, inputs: &inputs };
    call(page, &event, []).map(drop)
}

/// The same without a VMSA any more.
///
/// # Errors
/// [`CallError`].
pub fn forget_vmsa(page: &mut impl CallPage, vmpl: u8) -> Result<(), CallError> {
    let creation = ApCreation { operation: ApOperation::Destroy, vmpl, apic_id: 0 };
    let event = Event { code: event::AP_CREATION, info_1: creation.encode(), info_2: 0, inputs: &[] };
    call(page, &event, []).map(drop)
}

/// Has the host change the states of pages, as many as fit. It may take several calls: each time the host
/// says how far it came, and a host that does not come further is an error.
///
/// # Errors
/// [`CallError`].
pub fn change_pages(
    page: &mut impl CallPage,
    entries: impl ExactSizeIterator<Item = PageStateEntry>,
) -> Result<(), CallError> {
    let count = entries.len();
    let last = u16::try_from(count).ok().and_then(|count| count.checked_sub(1));
    let Some(end_entry) = last.filter(|_| count <= MAX_ENTRIES) else {
        return Err(CallError::Entries(count));
    };
    let header = |current_entry| PageStateHeader { current_entry, end_entry, reserved: 0 };
    let header_word = |header: PageStateHeader| u64::read_from_bytes(header.as_bytes()).unwrap_or_default();
    for (index, entry) in entries.enumerate() {
        page.write(BUFFER_OFFSET + 8 + index * 8, entry.0);
    }
    let inputs = [(Field::Scratch, page.gpa() + BUFFER_OFFSET as u64)];
    let mut current = 0;
    while current <= end_entry {
        page.write(BUFFER_OFFSET, header_word(header(current)));
        let event = Event { code: event::PAGE_STATE_CHANGE, info_1: 0, info_2: 0, inputs: &inputs };
        let (error, []) = call(page, &event, [])?;
        let said = PageStateHeader::read_from_bytes(page.read(BUFFER_OFFSET).as_bytes()).unwrap_or_default();
        if said.reserved != 0 || said.end_entry != end_entry || said.current_entry < current {
            return Err(CallError::Header(said));
        }
        if error != 0 || said.current_entry == current {
            return Err(CallError::PageStates { entry: said.current_entry, error });
        }
        current = said.current_entry;
    }
    // One past the last, and not further.
    if current == end_entry + 1 { Ok(()) } else { Err(CallError::Header(header(current))) }
}

#[cfg(test)]
mod tests;

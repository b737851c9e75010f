//! What holds for any fetch.

use super::{mode, only_marks_added, paging, processor};
use crate::small::SmallMachine;
use arbitrary::Arbitrary;
use decoder::fetch::{Code, FetchError, fetch};
use decoder::walk::Access;
use decoder::{
    Exception, GuestMemory, Instruction, Machine, Mode, Rejection, Segment, SegmentState, Size, decode,
};

/// The most bytes an instruction has.
const MAX_LENGTH: usize = 15;

/// A fetch to be made.
#[derive(Arbitrary, Clone, Debug)]
pub struct FetchInput {
    /// Selects the mode, with bit 6 the processor's maker, and with bit 7 long mode.
    pub mode: u8,
    /// The privilege level, modulo 4.
    pub cpl: u8,
    /// CR0, CR3, CR4.
    pub control: [u32; 3],
    /// Base and limit of CS.
    pub cs: (u32, u32),
    /// RIP.
    pub rip: u64,
    /// Code and page tables.
    pub fill: [u64; 8],
}

impl FetchInput {
    fn machine(&self) -> SmallMachine {
        let mut machine = SmallMachine {
            rip: self.rip,
            cpl: self.cpl % 4,
            processor: processor(self.mode),
            ..SmallMachine::new(&self.fill, paging(self.control, self.mode))
        };
        let attributes = match mode(self.mode) {
            Mode::Bits16 => 0x9b,
            Mode::Bits32 => 0xc9b,
            Mode::Bits64 => 0xa9b,
        };
        machine.segments[Segment::Cs as usize] =
            SegmentState { base: self.cs.0.into(), limit: self.cs.1, attributes };
        machine
    }
}

/// What is fetched is what is in memory, page by page, and changes nothing but accessed bits. Returns whether
/// it was an instruction.
///
/// # Panics
/// If that is not so.
pub fn check_fetch(input: &FetchInput) -> bool {
    let before = input.machine();
    let (mut machine, mut reference) = (before, before);
    // On a copy: the marks that it sets in page tables are compared too.
    let (bytes, length, expected) = reference_fetch(&mut reference);
    let mut code = Code::EMPTY;
    assert_eq!(fetch(&mut machine, &mut code), expected);
    assert_eq!(code.bytes(), &bytes[..length]);
    assert_eq!(machine, reference);
    assert!(only_marks_added(&before.ram, &machine.ram));
    // Whether the bytes are code or not: fetching has no other trace.
    assert_eq!(SmallMachine { ram: before.ram, ..machine }, before);
    expected.is_ok()
}

type Fetched = ([u8; MAX_LENGTH], usize, Result<Instruction, FetchError>);

/// Fetching written a second time: byte by byte, until they are an instruction.
fn reference_fetch(machine: &mut SmallMachine) -> Fetched {
    let mut bytes = [0; MAX_LENGTH];
    let mut length = 0;
    loop {
        if let Err(error) = reference_page(machine, &mut bytes, &mut length) {
            return (bytes, length, Err(error));
        }
        match decode(&bytes[..length], machine.mode(), machine.processor) {
            Err(Rejection::Truncated) => {}
            Err(rejection) => return (bytes, length, Err(rejection.into())),
            Ok(instruction) => return (bytes, length, Ok(instruction)),
        }
    }
}

/// The bytes up to the end of the page, the limit, or the longest instruction; an error if there is none.
fn reference_page(
    machine: &mut SmallMachine,
    bytes: &mut [u8; MAX_LENGTH],
    length: &mut usize,
) -> Result<(), FetchError> {
    let is_64 = machine.mode() == Mode::Bits64;
    let cs = machine.segments[Segment::Cs as usize];
    let mut gpa = None;
    while *length < MAX_LENGTH {
        let offset = machine.rip.wrapping_add(*length as u64);
        let linear = if is_64 { offset } else { cs.base.wrapping_add(offset) & 0xffff_ffff };
        let at = match gpa {
            // The next page has a translation of its own, which the next round makes.
            Some(_) if linear.is_multiple_of(4096) || (!is_64 && offset > cs.limit.into()) => break,
            Some(last) => last + 1,
            None if !is_64 && offset > cs.limit.into() => {
                return Err(FetchError::Exception(Exception::GENERAL_PROTECTION));
            }
            None => machine.translate(linear, Access::fetch(machine.cpl)).map_err(FetchError::from)?,
        };
        // By single bytes, so that nothing of how the decoder fetches is repeated here.
        bytes[*length] = machine.read(at, Size::B1).ok_or(FetchError::NotRam { gpa: at })? as u8;
        *length += 1;
        gpa = Some(at);
    }
    Ok(())
}

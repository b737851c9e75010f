//! What holds for any fetch.

use super::{efer, mode, only_marks_added, paging};
use crate::small::{SMALL_BYTES, SmallMachine};
use arbitrary::Arbitrary;
use decoder::fetch::{Cache, Code, FetchError, fetch, fetch_cached};
use decoder::walk::Access;
use decoder::{Exception, GuestMemory, Instruction, Machine, Mode, Rejection, Segment, Size, decode};

/// The most bytes an instruction has.
const MAX_LENGTH: usize = 15;

/// Fetches to be made one after the other, with the same cache.
#[derive(Arbitrary, Clone, Debug)]
pub struct FetchInput {
    /// Selects the mode, and with bit 7 long mode.
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
    /// What happens before each further fetch.
    pub steps: [FetchStep; 3],
}

/// What happens between two fetches.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct FetchStep {
    /// Whether RIP moves, the mode changes, or memory; otherwise nothing.
    pub what: u8,
    /// How far, to which, or where in memory.
    pub which: u8,
    /// The byte that is written there.
    pub byte: u8,
}

impl FetchInput {
    fn machine(&self) -> SmallMachine {
        let mut machine = SmallMachine {
            rip: self.rip,
            cpl: self.cpl % 4,
            ..SmallMachine::new(&self.fill, paging(self.control, self.mode))
        };
        let cs = &mut machine.segments[Segment::Cs as usize];
        (cs.base, cs.limit) = (self.cs.0.into(), self.cs.1);
        set_mode(&mut machine, self.mode);
        machine
    }
}

impl FetchStep {
    fn apply(self, machine: &mut SmallMachine) {
        match self.what % 4 {
            0 => machine.rip = machine.rip.wrapping_add_signed((self.which as i8).into()),
            1 => set_mode(machine, self.which),
            2 => machine.ram[usize::from(self.which) % SMALL_BYTES] = self.byte,
            _ => {}
        }
    }
}

fn set_mode(machine: &mut SmallMachine, selector: u8) {
    machine.paging.efer = efer(selector);
    machine.segments[Segment::Cs as usize].attributes = match mode(selector) {
        Mode::Bits16 => 0x9b,
        Mode::Bits32 => 0xc9b,
        Mode::Bits64 => 0xa9b,
    };
}

/// What is fetched is what is in memory, page by page, and changes nothing but accessed bits; with a cache it is the
/// same, whatever was fetched before. Returns how many fetches gave an instruction.
///
/// # Panics
/// If that is not so.
pub fn check_fetch(input: &FetchInput) -> usize {
    let mut machine = input.machine();
    let mut cache = Cache::<2>::default();
    let mut found = usize::from(check_one(&mut machine, &mut cache));
    for step in input.steps {
        step.apply(&mut machine);
        found += usize::from(check_one(&mut machine, &mut cache));
    }
    found
}

fn check_one(machine: &mut SmallMachine, cache: &mut Cache<2>) -> bool {
    let before = *machine;
    let mut reference = before;
    let (bytes, length, expected) = reference_fetch(&mut reference);
    let mut code = Code::EMPTY;
    assert_eq!(fetch(machine, &mut code), expected);
    assert_eq!(code.bytes(), &bytes[..length]);
    assert_eq!(*machine, reference);
    assert!(only_marks_added(&before.ram, &machine.ram));
    assert_eq!(SmallMachine { ram: before.ram, ..*machine }, before);

    let mut cached = before;
    let mut cached_code = Code::EMPTY;
    assert_eq!(fetch_cached(&mut cached, &mut cached_code, cache), expected);
    assert_eq!((cached, cached_code), (*machine, code));
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
        match decode(&bytes[..length], machine.mode()) {
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
            Some(_) if linear.is_multiple_of(4096) || (!is_64 && offset > cs.limit.into()) => break,
            Some(last) => last + 1,
            None if !is_64 && offset > cs.limit.into() => {
                return Err(FetchError::Exception(Exception::GENERAL_PROTECTION));
            }
            None => machine.translate(linear, Access::fetch(machine.cpl)).map_err(FetchError::from)?,
        };
        bytes[*length] = machine.read(at, Size::B1).ok_or(FetchError::NotRam { gpa: at })? as u8;
        *length += 1;
        gpa = Some(at);
    }
    Ok(())
}

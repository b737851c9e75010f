//! What must hold for any input at all. Fuzz targets and tests call these; each panics if it doesn't hold.

use crate::full;
use crate::reference_walk::{self, Ending, Request};
use crate::small::{SMALL_BYTES, SmallMachine};
use decoder::walk::{Access, Kind, Paging, WalkError, translate, walk};
use decoder::{Attributes, Instruction, Mode, Operation, Outcome, Rejection, SegmentState};

/// 16, 32 or 64 bits, by `selector`.
pub fn mode(selector: u8) -> Mode {
    [Mode::Bits16, Mode::Bits32, Mode::Bits64][usize::from(selector % 3)]
}

/// What is accepted is what a full decoder reads; more bytes make no difference, fewer are too few.
///
/// # Panics
/// If that is not so.
pub fn check_decode(bytes: &[u8], mode: Mode) {
    match decoder::decode(bytes, mode) {
        Ok(ours) => {
            let difference = full::difference(&ours, bytes);
            assert_eq!(difference, None, "{ours:?}\n{:?}", full::decode(bytes, mode));
            let (exact, _) = bytes.split_at(usize::from(ours.length));
            assert_eq!(decoder::decode(exact, mode), Ok(ours));
            let shorter = &exact[..exact.len() - 1];
            assert_eq!(decoder::decode(shorter, mode), Err(Rejection::Truncated));
        }
        Err(Rejection::Truncated) => assert!(bytes.len() < 15),
        Err(_) => {}
    }
}

/// The state an emulation starts from.
#[derive(Clone, Debug)]
pub struct EmulateInput {
    /// Selects the mode.
    pub mode: u8,
    /// The instruction and what follows it.
    pub code: [u8; 15],
    /// General registers.
    pub gprs: [u64; 16],
    /// RIP.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// The privilege level, modulo 4.
    pub cpl: u8,
    /// CR0, CR3, CR4; PG and PE as they are.
    pub control: [u64; 3],
    /// Base, limit and attributes of every segment but CS.
    pub segment: (u64, u32, u16),
    /// Bits of RAM and device.
    pub fill: [u64; 8],
}

impl EmulateInput {
    /// The machine it describes.
    fn machine(&self) -> SmallMachine {
        let mode = mode(self.mode);
        let (base, limit, attributes) = self.segment;
        let [cr0, cr3, cr4] = self.control;
        let mut ram = [0; SMALL_BYTES];
        for (bytes, value) in ram.chunks_exact_mut(8).zip(self.fill.iter().cycle()) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        let mut device = ram;
        device.reverse();
        SmallMachine {
            gprs: self.gprs,
            rip: self.rip,
            rflags: self.rflags,
            segments: [SegmentState { base, limit, attributes }; 6],
            cpl: self.cpl % 4,
            paging: Paging {
                cr0,
                cr3,
                cr4,
                efer: if mode == Mode::Bits64 { 0xd01 } else { 0x800 },
                pkru: 0,
                physical_bits: 40,
                gigabyte_pages: true,
            },
            xmm: u128::from(self.fill[0]) << 64 | u128::from(self.fill[1]),
            ram,
            device,
            is_all_device: false,
            device_bytes: 0,
        }
    }
}

/// An emulation ends, changes nothing if it fails, and does to a device what it does to RAM. Returns the outcome, if
/// the code is accepted.
///
/// # Panics
/// If that is not so.
pub fn check_emulate(input: &EmulateInput) -> Option<Outcome> {
    let instruction = decoder::decode(&input.code, mode(input.mode)).ok()?;
    let before = input.machine();
    let mut machine = before;
    let outcome = decoder::emulate(&instruction, &mut machine, 16);
    match outcome {
        Outcome::Done { single_step } => {
            let next = before.rip.wrapping_add(instruction.length.into());
            assert_eq!(
                machine.rip,
                next & if instruction.mode == Mode::Bits64 { u64::MAX } else { 0xffff_ffff }
            );
            assert_eq!(single_step, before.rflags & 0x100 != 0);
        }
        Outcome::Repeat { .. } => {
            assert!(repeats(&instruction));
            assert_eq!(machine.rip, before.rip);
        }
        _ if repeats(&instruction) => assert_eq!(machine.rip, before.rip),
        _ => assert_unchanged(&machine, &before),
    }
    assert_eq!((machine.rflags ^ before.rflags) & !(0x8d5 | 1 << 16), 0, "only status flags and RF change");
    check_short_cut(&instruction, &before, outcome, &machine);
    if before.paging.cr0 >> 31 & 1 == 0 {
        check_device(&instruction, &before, outcome, &machine);
    }
    Some(outcome)
}

/// The emulator's short cut does what the general way does.
fn check_short_cut(instruction: &Instruction, before: &SmallMachine, outcome: Outcome, after: &SmallMachine) {
    if instruction.attributes.contains(Attributes::SIMPLE) {
        let attributes = instruction.attributes - Attributes::SIMPLE;
        let mut machine = *before;
        assert_eq!(decoder::emulate(&Instruction { attributes, ..*instruction }, &mut machine, 16), outcome);
        assert_eq!(machine, *after);
    }
}

fn repeats(instruction: &Instruction) -> bool {
    instruction.attributes.intersects(Attributes::REP | Attributes::REPNE)
}

/// Whether accessed and dirty bits have been set, and nothing else.
fn only_marks_added(before: &[u8; SMALL_BYTES], after: &[u8; SMALL_BYTES]) -> bool {
    let (before, after) = (before.as_chunks().0, after.as_chunks().0);
    before.iter().zip(after).all(|(&old, &new)| {
        let (old, new) = (u128::from_le_bytes(old), u128::from_le_bytes(new));
        old & new == old && (new ^ old) & !u128::from_le_bytes([0x60; 16]) == 0
    })
}

/// A failed emulation has changed nothing; with paging, accessed and dirty bits may have been set in RAM.
fn assert_unchanged(after: &SmallMachine, before: &SmallMachine) {
    let is_paging = before.paging.cr0 >> 31 & 1 != 0;
    let mut expected = *before;
    if is_paging {
        expected.ram = after.ram;
        assert!(only_marks_added(&before.ram, &after.ram), "more than marks changed");
    }
    // LMSW may have read from a device.
    expected.device_bytes = after.device_bytes;
    assert_eq!(*after, expected);
}

/// The same emulation ends the same where all RAM is a device that behaves like RAM.
fn check_device(instruction: &Instruction, before: &SmallMachine, outcome: Outcome, after: &SmallMachine) {
    let mut machine = SmallMachine { is_all_device: true, ..*before };
    assert_eq!(decoder::emulate(instruction, &mut machine, 16), outcome);
    let expected = SmallMachine { is_all_device: true, device_bytes: machine.device_bytes, ..*after };
    assert_eq!(machine, expected);
    let is_port = matches!(instruction.operation, Operation::Ins | Operation::Outs);
    assert!(is_port || machine.device_bytes >= after.device_bytes);
}

/// A page walk to be made.
#[derive(Clone, Debug)]
pub struct WalkInput {
    /// CR0, CR3, CR4, EFER.
    pub control: [u64; 4],
    /// PKRU.
    pub pkru: u32,
    /// Bits of a physical address, modulo 21 above 32.
    pub physical_bits: u8,
    /// Whether there are 1 GiB pages.
    pub gigabyte_pages: bool,
    /// The address.
    pub linear: u64,
    /// Read, write or execute, modulo 3.
    pub kind: u8,
    /// CPL, modulo 4.
    pub cpl: u8,
    /// RFLAGS.AC.
    pub ac: bool,
    /// An implicit access.
    pub implicit: bool,
    /// What entries hold.
    pub entries: [u64; 8],
}

/// A walk ends as one written a second time does, and marking changes only marks.
///
/// # Panics
/// If that is not so.
pub fn check_walk(input: &WalkInput) {
    let [cr0, cr3, cr4, efer] = input.control;
    // Long mode is with PAE, or isn't.
    let cr4 = if efer >> 10 & 1 != 0 { cr4 | 0x20 } else { cr4 };
    let paging = Paging {
        cr0,
        cr3,
        cr4,
        efer,
        pkru: input.pkru,
        physical_bits: 32 + input.physical_bits % 21,
        gigabyte_pages: input.gigabyte_pages,
    };
    let kind = [Kind::Read, Kind::Write, Kind::Execute][usize::from(input.kind % 3)];
    let cpl = input.cpl % 4;
    let (access, request) = match (kind, input.implicit) {
        (Kind::Execute, _) => (Access::fetch(cpl), Request { kind, user: cpl == 3, ac: false }),
        (_, true) => (Access::implicit(kind), Request { kind, user: false, ac: false }),
        _ => {
            let flags = if input.ac { 1 << 18 } else { 0 };
            (Access::explicit(kind, cpl, flags), Request { kind, user: cpl == 3, ac: input.ac })
        }
    };
    let fill = EmulateInput {
        mode: 2,
        code: [0; 15],
        gprs: [0; 16],
        rip: 0,
        rflags: 2,
        cpl,
        control: [cr0, cr3, cr4],
        segment: (0, 0, 0),
        fill: input.entries,
    };
    let mut memory = fill.machine();
    let before = memory;
    let expected = reference_walk::walk(&mut memory, &paging, input.linear, request);
    let found = walk(&mut memory, &paging, input.linear, access);
    let ending = match found {
        Ok(translation) => Ending::Found(translation.gpa, translation.page_bytes),
        Err(WalkError::Fault { error_code, address }) => {
            assert!(address == input.linear || address == input.linear & 0xffff_ffff);
            Ending::Fault(error_code)
        }
        Err(WalkError::NonCanonical) => Ending::NonCanonical,
        Err(WalkError::Contended) => panic!("nobody contends"),
    };
    assert_eq!(ending, expected, "{input:x?}");
    assert_eq!(memory, before, "a walk changes nothing");
    check_marks(&mut memory, &paging, input.linear, access, found.is_ok());
}

/// Translating marks every entry that can be marked, and nothing else.
fn check_marks(memory: &mut SmallMachine, paging: &Paging, linear: u64, access: Access, walks: bool) {
    let before = *memory;
    if translate(memory, paging, linear, access).is_err() {
        return;
    }
    assert!(walks);
    // Where one entry serves two levels, marking it as the leaf outdates it as a table (that shows once), or sets bits
    // that are reserved in the other level's format.
    let Ok(translation) = translate(memory, paging, linear, access) else {
        return;
    };
    // What is not RAM reads all-ones, and nothing that came from there is kept.
    let is_absent = |&(_, value): &(u64, u64)| value == u64::MAX || value == 0xffff_ffff;
    assert!(translation.trace.still_holds(memory) || translation.trace.entries().iter().any(is_absent));
    assert!(only_marks_added(&before.ram, &memory.ram));
    let is_pae = paging.efer >> 10 & 1 == 0 && paging.cr4 >> 5 & 1 != 0;
    for &(_, value) in translation.trace.entries().iter().skip(usize::from(is_pae)) {
        assert_eq!(value >> 5 & 1, 1);
    }
    if let (Kind::Write, Some(&(_, leaf))) = (access.kind, translation.trace.entries().last()) {
        assert_eq!(leaf >> 6 & 1, 1);
    }
}

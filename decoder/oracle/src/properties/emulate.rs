//! What holds for any emulation.

use super::{mode, only_marks_added, paging, processor};
use crate::small::SmallMachine;
use arbitrary::Arbitrary;
use decoder::{Attributes, Instruction, Mode, Operand, Operation, Outcome, Segment, SegmentState};

/// The state an emulation starts from.
#[derive(Arbitrary, Clone, Debug)]
pub struct EmulateInput {
    /// Selects the mode, with bit 6 the processor's maker, and with bit 7 long mode.
    pub mode: u8,
    /// The instruction and what follows it.
    pub code: [u8; 15],
    /// General registers.
    pub gprs: [u64; 16],
    /// RIP.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u32,
    /// The privilege level, modulo 4.
    pub cpl: u8,
    /// CR0, CR3, CR4; PG and PE as they are.
    pub control: [u32; 3],
    /// Base, limit and attributes, the same of every segment.
    pub segment: (u32, u32, u16),
    /// Bits of RAM and device.
    pub fill: [u64; 8],
}

impl EmulateInput {
    /// The machine it describes.
    fn machine(&self) -> SmallMachine {
        let (base, limit, attributes) = self.segment;
        SmallMachine {
            gprs: self.gprs,
            rip: self.rip,
            rflags: self.rflags.into(),
            segments: [SegmentState { base: base.into(), limit, attributes }; 6],
            cpl: self.cpl % 4,
            processor: processor(self.mode),
            ..SmallMachine::new(&self.fill, paging(self.control, self.mode))
        }
    }
}

/// An emulation ends, changes nothing if it fails, and does to a device what it does to RAM. Returns the
/// outcome, if the code is accepted.
///
/// # Panics
/// If that is not so.
pub fn check_emulate(input: &EmulateInput) -> Option<Outcome> {
    let instruction = decoder::decode(&input.code, mode(input.mode), processor(input.mode)).ok()?;
    let before = input.machine();
    let mut machine = before;
    // So few that strings are often given back before their end.
    let outcome = decoder::emulate(&instruction, &mut machine, 16);
    match outcome {
        // Where it goes depends on all of the state; that it completes is all that can be said here.
        Outcome::Done { single_step } if branches(&instruction) => {
            assert_eq!(single_step, before.rflags & 0x100 != 0);
        }
        Outcome::Done { single_step } => {
            let next = before.rip.wrapping_add(instruction.length.into());
            assert_eq!(
                machine.rip,
                next & if instruction.mode == Mode::Bits64 { u64::MAX } else { 0xffff_ffff }
            );
            // Behind MOV SS and POP SS the next instruction is executed before a step is reported.
            let is_in_shadow = instruction.destination == Operand::Segment(Segment::Ss as u8);
            assert_eq!(single_step, before.rflags & 0x100 != 0 && !is_in_shadow);
        }
        Outcome::Repeat { .. } => {
            assert!(repeats(&instruction));
            assert_eq!(machine.rip, before.rip);
        }
        // The iterations before the fault stay, as on a processor.
        _ if repeats(&instruction) => assert_eq!(machine.rip, before.rip),
        _ if may_have_stored(&instruction) => {
            assert_unchanged(&SmallMachine { ram: before.ram, device: before.device, ..machine }, &before);
        }
        _ => assert_unchanged(&machine, &before),
    }
    if !matches!(instruction.operation, Operation::Popf | Operation::Iret) {
        let changed = (machine.rflags ^ before.rflags) & !(0x8d5 | 1 << 16);
        assert_eq!(changed, 0, "only status flags and RF change");
    }
    check_short_cut(&instruction, &before, outcome, &machine);
    // Page tables that are a device are not RAM, and a walk would end otherwise.
    if before.paging.cr0 >> 31 & 1 == 0 {
        check_device(&instruction, &before, outcome, &machine);
    }
    Some(outcome)
}

/// The emulator's short cut does what the general way does. In 64-bit code, for which it is, paging is on,
/// and translating an address finds out whether it is canonical.
fn check_short_cut(instruction: &Instruction, before: &SmallMachine, outcome: Outcome, after: &SmallMachine) {
    let is_paging = before.paging.cr0 >> 31 & 1 != 0 && before.paging.efer >> 10 & 1 != 0;
    if is_paging && instruction.attributes.contains(Attributes::PLAIN) {
        let attributes = instruction.attributes - Attributes::PLAIN;
        let mut machine = *before;
        assert_eq!(decoder::emulate(&Instruction { attributes, ..*instruction }, &mut machine, 16), outcome);
        assert_eq!(machine, *after);
    }
}

fn branches(instruction: &Instruction) -> bool {
    use Operation::*;
    matches!(instruction.operation, Jmp | Call | CallRelative | Ret | JmpFar | CallFar | RetFar | Iret)
}

/// Whether it may have changed memory before it fails: accessed bits of descriptors, and what several stores
/// have made of page tables that lie in the same memory.
fn may_have_stored(instruction: &Instruction) -> bool {
    use Operation::*;
    let loads_descriptors =
        matches!(instruction.operation, JmpFar | CallFar | RetFar | Iret | Ltr | LoadFar | MovSegment);
    loads_descriptors || matches!(instruction.operation, PopRegister | Enter | Pusha)
}

fn repeats(instruction: &Instruction) -> bool {
    instruction.attributes.intersects(Attributes::REP | Attributes::REPNE)
}

/// A failed emulation has changed nothing; with paging, accessed and dirty bits may have been set in RAM.
fn assert_unchanged(after: &SmallMachine, before: &SmallMachine) {
    let is_paging = before.paging.cr0 >> 31 & 1 != 0;
    let mut expected = *before;
    if is_paging {
        // Marks are checked by themselves.
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
    // More of the accesses reach a device now, and nothing else is different.
    let expected = SmallMachine { is_all_device: true, device_bytes: machine.device_bytes, ..*after };
    assert_eq!(machine, expected);
    let is_port = matches!(instruction.operation, Operation::Ins | Operation::Outs);
    assert!(is_port || machine.device_bytes >= after.device_bytes);
}

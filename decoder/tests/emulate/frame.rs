//! The stack on a device: PUSH, POP, PUSHA, POPA, PUSHF, POPF, ENTER and LEAVE.

use decoder::{Exception, Mode, Processor, Segment, Size, Vendor};
use decoder_oracle::TestMachine;

/// Where the stack is, all of it a device.
const TOP: u64 = 0x9000;

fn machine(mode: Mode) -> TestMachine {
    let mut machine = TestMachine::new(mode);
    machine.put_device(TOP - 0x100, &[0x11; 0x200]);
    machine.gprs = core::array::from_fn(|number| 0x0101_0101_0101_0100 * number as u64);
    if mode != Mode::Bits64 {
        machine.gprs = machine.gprs.map(|value| value & 0xffff_ffff);
    }
    machine.gprs[4] = TOP;
    machine
}

fn value(machine: &TestMachine, at: u64, size: Size) -> u64 {
    (0..size.bytes()).map(|byte| u64::from(machine.device[&(at + byte)]) << (8 * byte)).sum()
}

#[test]
fn push_and_pop_of_a_register() {
    let mut machine = machine(Mode::Bits64);
    machine.complete(&[0x50 + 3]);
    assert_eq!(machine.gprs[4], TOP - 8);
    assert_eq!(value(&machine, TOP - 8, Size::B8), machine.gprs[3]);
    machine.complete(&[0x58 + 7]);
    assert_eq!((machine.gprs[4], machine.gprs[7]), (TOP, machine.gprs[3]));
    machine.complete(&[0x41, 0x57]);
    assert_eq!(value(&machine, TOP - 8, Size::B8), machine.gprs[15]);
}

#[test]
fn the_stack_pointer_itself() {
    let mut machine = machine(Mode::Bits64);
    machine.complete(&[0x54]);
    assert_eq!(value(&machine, TOP - 8, Size::B8), TOP);
    machine.complete(&[0x5c]);
    assert_eq!(machine.gprs[4], TOP);
}

#[test]
fn immediates() {
    for (mode, code, size, expected) in [
        (Mode::Bits64, &[0x6a, 0xfe][..], Size::B8, !1),
        (Mode::Bits64, &[0x68, 1, 0, 0, 0x80], Size::B8, 0xffff_ffff_8000_0001),
        (Mode::Bits64, &[0x66, 0x6a, 0xfe], Size::B2, 0xfffe),
        (Mode::Bits32, &[0x6a, 0xfe], Size::B4, 0xffff_fffe),
        (Mode::Bits16, &[0x68, 1, 2], Size::B2, 0x201),
    ] {
        let mut machine = machine(mode);
        machine.complete(code);
        assert_eq!(machine.gprs[4], TOP - size.bytes(), "{mode:?} {code:02x?}");
        assert_eq!(value(&machine, machine.gprs[4], size), expected, "{mode:?} {code:02x?}");
    }
}

/// Of four bytes Intel's processors store two.
#[test]
fn segment_registers() {
    for (vendor, upper) in [(Vendor::Intel, 0x1111), (Vendor::Amd, 0)] {
        let mut machine = machine(Mode::Bits32);
        machine.processor = Processor::full(vendor);
        machine.selectors[Segment::Gs as usize] = 0x33;
        machine.complete(&[0x0f, 0xa8]);
        assert_eq!(value(&machine, TOP - 4, Size::B4), upper << 16 | 0x33, "{vendor:?}");
    }
}

#[test]
fn all_registers() {
    let mut machine = machine(Mode::Bits32);
    let before = machine.gprs;
    machine.complete(&[0x60]);
    assert_eq!(machine.gprs[4], TOP - 32);
    for (number, at) in [0, 1, 2, 3, 4, 5, 6, 7].into_iter().zip((0..8).rev()) {
        assert_eq!(value(&machine, TOP - 32 + 4 * at, Size::B4), before[number], "{number}");
    }
    machine.gprs = [0; 16];
    machine.gprs[4] = TOP - 32;
    machine.complete(&[0x61]);
    assert_eq!(machine.gprs[..8], before[..8]);
}

#[test]
fn flags() {
    let mut machine = machine(Mode::Bits64);
    machine.rflags = 0x1_0247 | 3 << 12;
    machine.complete(&[0x9c]);
    // RF is not pushed.
    assert_eq!(value(&machine, TOP - 8, Size::B8), 0x3247);
    machine.rflags = 2;
    machine.complete(&[0x9d]);
    assert_eq!(machine.rflags, 0x3247);
}

/// What POPF changes, by CPL and IOPL: flags before, all ones popped, flags after.
#[test]
fn privileged_flags() {
    const IF: u64 = 1 << 9;
    const IOPL: u64 = 3 << 12;
    for (cpl, iopl, changes) in [(0, 0, IF | IOPL), (3, 3, IF), (3, 0, 0), (1, 1, IF), (2, 1, 0)] {
        let mut machine = machine(Mode::Bits64);
        machine.put_device(TOP, &[0xff; 8]);
        (machine.cpl, machine.rflags) = (cpl, 2 | iopl << 12);
        machine.complete(&[0x9d]);
        let always = 0xdd5 | 1 << 14 | 1 << 18 | 1 << 21;
        assert_eq!(machine.rflags, 2 | always | changes | iopl << 12, "{cpl} {iopl}");
    }
}

/// A step is due if TF was set before POPF.
#[test]
fn single_steps() {
    for (before, popped) in [(0x102_u64, 2_u64), (2, 0x102)] {
        let mut machine = machine(Mode::Bits64);
        machine.put_device(TOP, &popped.to_le_bytes());
        machine.rflags = before;
        let outcome = machine.run(&[0x9d], 1);
        assert_eq!(outcome, decoder::Outcome::Done { single_step: before & 0x100 != 0 });
        assert_eq!(machine.rflags, popped);
    }
}

#[test]
fn enter_and_leave() {
    let mut machine = machine(Mode::Bits64);
    machine.gprs[5] = TOP + 0x40;
    machine.put_device(TOP + 0x38, &0x1234_u64.to_le_bytes());
    // Level 2: the outer frame's pointer is copied.
    machine.complete(&[0xc8, 0x10, 0, 2]);
    assert_eq!(machine.gprs[5], TOP - 8);
    assert_eq!(machine.gprs[4], TOP - 0x28);
    assert_eq!(value(&machine, TOP - 8, Size::B8), TOP + 0x40);
    assert_eq!(value(&machine, TOP - 0x10, Size::B8), 0x1234);
    assert_eq!(value(&machine, TOP - 0x18, Size::B8), TOP - 8);
    machine.complete(&[0xc9]);
    assert_eq!((machine.gprs[4], machine.gprs[5]), (TOP, TOP + 0x40));
}

#[test]
fn virtual_8086_code_needs_its_iopl() {
    for code in [0x9c, 0x9d] {
        let mut machine = machine(Mode::Bits16);
        machine.rflags |= 1 << 17;
        machine.cpl = 3;
        assert_eq!(machine.fault(&[code]), Exception::GENERAL_PROTECTION);
        machine.rflags |= 3 << 12;
        machine.complete(&[code]);
    }
}

/// With CR4.VME, PUSHF and POPF have VIF in the place of IF.
#[test]
fn virtual_interrupt_flag() {
    const VIF: u64 = 1 << 19;
    const VIP: u64 = 1 << 20;
    let mut machine = machine(Mode::Bits16);
    (machine.rflags, machine.cpl) = (1 << 17 | VIF | 2, 3);
    machine.paging.cr4 |= 1;
    machine.complete(&[0x9c]);
    assert_eq!(value(&machine, TOP - 2, Size::B2), 0x3202);
    machine.rflags &= !VIF;
    machine.complete(&[0x9d]);
    assert_eq!(machine.rflags & (VIF | 1 << 9), VIF);
    // An interrupt waits for just that.
    machine.rflags |= VIP;
    machine.put_device(TOP, &[0, 2]);
    assert_eq!(machine.fault(&[0x9d]), Exception::GENERAL_PROTECTION);
}

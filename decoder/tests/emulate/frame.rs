//! The stack on a device: PUSH, POP, PUSHA, POPA, PUSHF, POPF, ENTER and LEAVE.

use decoder::{Exception, Mode, Processor, Segment, SegmentState, Size, Vendor};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

/// Where the stack is, all of it a device.
pub(super) const TOP: u64 = 0x9000;

pub(super) fn machine(mode: Mode) -> TestMachine {
    let mut machine = TestMachine::new(mode);
    machine.put_device(TOP - 0x100, &[0x11; 0x200]);
    machine.gprs = core::array::from_fn(|number| 0x0101_0101_0101_0100 * number as u64);
    if mode != Mode::Bits64 {
        machine.gprs = machine.gprs.map(|value| value & 0xffff_ffff);
    }
    machine.gprs[4] = TOP;
    machine
}

pub(super) fn value(machine: &TestMachine, at: u64, size: Size) -> u64 {
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

/// A stack of 16 bits, of which 32-bit code has what is above SP in its frame's pointer: measured on an EPYC
/// of family 1Ah.
#[test]
fn enter_on_a_small_stack() {
    let mut machine = machine(Mode::Bits32);
    machine.segments[Segment::Ss as usize].attributes &= !SegmentState::BIG;
    machine.gprs[4] = 0x58ce_0000 | TOP;
    machine.gprs[5] = 0x1234_0000 | TOP;
    machine.complete(&[0xc8, 0x10, 0, 1]);
    let frame = 0x58ce_0000 | (TOP - 4);
    assert_eq!((machine.gprs[4], machine.gprs[5]), (frame - 0x14, frame));
    assert_eq!(value(&machine, TOP - 4, Size::B4), 0x1234_0000 | TOP);
    assert_eq!(value(&machine, TOP - 8, Size::B4), frame);
}

/// Every level's frame: code, the width of pointers, what is below the old top, and both pointers.
#[test]
fn frames_of_every_level() {
    for (mode, prefix, size) in [
        (Mode::Bits64, &[][..], Size::B8),
        (Mode::Bits64, &[0x66], Size::B2),
        (Mode::Bits32, &[], Size::B4),
        (Mode::Bits32, &[0x66], Size::B2),
    ] {
        // Of the level five bits count.
        for level in [0, 1, 2, 3, 31, 32, 33] {
            let mut machine = machine(mode);
            let bytes = size.bytes();
            machine.put_device(TOP - 0x1100, &[0; 0x1100]);
            machine.put_device(TOP, &[0x77; 0x200]);
            machine.gprs[5] = TOP + 0x100;
            let pointer = |number: u64| 0x1000 + number;
            for number in 1..31 {
                let at = TOP + 0x100 - bytes * number;
                machine.put_device(at, &pointer(number).to_le_bytes()[..bytes as usize]);
            }
            machine.complete(&[prefix, &[0xc8, 0x08, 0x10, level]].concat());
            let frame = TOP - bytes;
            let level = u64::from(level) & 31;
            let mut expected = vec![(TOP + 0x100) & size.mask()];
            expected.extend((1..level).map(pointer));
            expected.extend((level > 0).then_some(frame & size.mask()));
            // Below lies what nobody has written.
            expected.push(0);
            let found: Vec<u64> =
                (1..).take(expected.len()).map(|index| value(&machine, TOP - bytes * index, size)).collect();
            assert_eq!(found, expected, "{mode:?} {size:?} {level}");
            assert_eq!(machine.gprs[4], TOP - bytes * (level + 1) - 0x1008, "{mode:?} {size:?} {level}");
            assert_eq!(machine.gprs[5], frame, "{mode:?} {size:?} {level}");
        }
    }
}

/// ENTER checks each slot and the new top, and stores nothing if one is beyond the segment's limit.
#[test]
fn enter_is_checked_to_its_new_top() {
    for (level, bytes) in [(0_u8, 0_u8), (0, 0x20), (1, 0), (1, 0x20), (2, 0), (3, 0x20)] {
        let lowest = TOP - 4 * (u64::from(level) + 1) - u64::from(bytes);
        for (limit, is_good) in [(lowest - 1, true), (lowest, false)] {
            let mut machine = machine(Mode::Bits32);
            machine.gprs[5] = TOP + 0x40;
            let stack = &mut machine.segments[Segment::Ss as usize];
            (stack.limit, stack.attributes) = (limit as u32, 0xc97);
            let code = [0xc8, bytes, 0, level];
            if is_good {
                machine.complete(&code);
                continue;
            }
            assert_eq!(machine.fault(&code), Exception::STACK, "{level} {bytes:x}");
            assert!(machine.device_log.is_empty());
            assert_eq!((machine.gprs[4], machine.gprs[5]), (TOP, TOP + 0x40));
        }
    }
}

/// Of several slots without a page the first that would be pushed faults (SDM 2, ENTER).
#[test]
fn enter_faults_at_its_first_slot() {
    for (above, first) in [(0_u64, 1), (1, 2), (2, 3), (3, 4)] {
        let mut machine = TestMachine::new(Mode::Bits64);
        let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
        tables.map(&mut machine, 0x40_1000, 0x9000, 7, 4);
        machine.gprs[4] = 0x40_1000 + 8 * above;
        machine.gprs[5] = 0x40_1800;
        let fault = Exception::page_fault(2, machine.gprs[4] - 8 * first);
        assert_eq!(machine.fault(&[0xc8, 0, 0, 4]), fault, "{above}");
    }
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

//! PUSH and POP of memory.

use decoder::{Exception, Mode, Size};
use decoder_oracle::TestMachine;

fn machine(mode: Mode) -> TestMachine {
    let mut machine = TestMachine::new(mode);
    machine.put(0x8000, &0x1122_3344_5566_7788_u64.to_le_bytes());
    machine.put(0x9000, &0x99aa_bbcc_ddee_ff00_u64.to_le_bytes());
    machine.put(0x8ff0, &[0; 16]);
    machine.gprs[3] = 0x8000;
    machine.gprs[4] = 0x9000;
    machine
}

#[test]
fn push() {
    for (mode, code, pointer, size) in [
        (Mode::Bits64, &[0xff, 0x33][..], 0x8ff8, Size::B8),
        (Mode::Bits64, &[0x66, 0xff, 0x33], 0x8ffe, Size::B2),
        (Mode::Bits32, &[0xff, 0x33], 0x8ffc, Size::B4),
        (Mode::Bits32, &[0x66, 0xff, 0x33], 0x8ffe, Size::B2),
        (Mode::Bits16, &[0x67, 0xff, 0x33], 0x8ffe, Size::B2),
    ] {
        let mut machine = machine(mode);
        machine.complete(code);
        assert_eq!(machine.gprs[4], pointer, "{mode:?} {code:02x?}");
        assert_eq!(machine.value(pointer, size), 0x1122_3344_5566_7788 & size.mask());
    }
}

#[test]
fn pop() {
    for (mode, code, pointer, size) in [
        (Mode::Bits64, &[0x8f, 0x03][..], 0x9008, Size::B8),
        (Mode::Bits64, &[0x66, 0x8f, 0x03], 0x9002, Size::B2),
        (Mode::Bits32, &[0x8f, 0x03], 0x9004, Size::B4),
    ] {
        let mut machine = machine(mode);
        machine.complete(code);
        assert_eq!(machine.gprs[4], pointer, "{mode:?} {code:02x?}");
        assert_eq!(machine.value(0x8000, size), 0x99aa_bbcc_ddee_ff00 & size.mask());
    }
}

#[test]
fn a_small_stack_wraps() {
    let mut machine = machine(Mode::Bits32);
    machine.segments[2].attributes = 0x93;
    machine.put(0xfffc, &[0; 4]);
    machine.gprs[4] = 0x7777_0000;
    machine.complete(&[0xff, 0x33]);
    assert_eq!(machine.gprs[4], 0x7777_fffc);
    assert_eq!(machine.value(0xfffc, Size::B4), 0x5566_7788);
}

#[test]
fn pop_through_the_stack_pointer_uses_it_as_it_is_after() {
    let mut machine = machine(Mode::Bits64);
    machine.put(0x9008, &[0; 8]);
    machine.complete(&[0x8f, 0x04, 0x24]);
    assert_eq!(machine.gprs[4], 0x9008);
    assert_eq!(machine.value(0x9008, Size::B8), 0x99aa_bbcc_ddee_ff00);
}

#[test]
fn a_pop_that_faults_leaves_the_stack_pointer() {
    let mut machine = machine(Mode::Bits64);
    machine.gprs[3] = 1 << 63;
    assert_eq!(machine.fault(&[0x8f, 0x03]), Exception::GENERAL_PROTECTION);
    assert_eq!(machine.gprs[4], 0x9000);
    machine.gprs[4] = 1 << 63;
    assert_eq!(machine.fault(&[0x8f, 0x03]), Exception::STACK);
}

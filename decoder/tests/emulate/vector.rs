//! Moves between XMM registers and memory.

use decoder::{Exception, Mode, Outcome, Size, Stop};
use decoder_oracle::TestMachine;

const AT: u64 = 0x8000;
const MEMORY: u128 = 0x1111_2222_3333_4444_5555_6666_7777_8888;
const REGISTER: u128 = 0xaaaa_bbbb_cccc_dddd_eeee_ffff_0000_1234;

fn machine() -> TestMachine {
    let mut machine = TestMachine::new(Mode::Bits64);
    machine.put(AT, &MEMORY.to_le_bytes());
    machine.gprs[3] = AT;
    machine.xmm[0] = REGISTER;
    machine
}

#[test]
fn loads() {
    for (code, expected) in [
        (&[0x0f, 0x10, 0x03][..], MEMORY),
        (&[0x66, 0x0f, 0x10, 0x03], MEMORY),
        (&[0x0f, 0x28, 0x03], MEMORY),
        (&[0x66, 0x0f, 0x28, 0x03], MEMORY),
        (&[0x66, 0x0f, 0x6f, 0x03], MEMORY),
        (&[0xf3, 0x0f, 0x6f, 0x03], MEMORY),
        (&[0x66, 0x0f, 0x38, 0x2a, 0x03], MEMORY),
        (&[0x66, 0x0f, 0x6e, 0x03], 0x7777_8888),
        (&[0x66, 0x48, 0x0f, 0x6e, 0x03], 0x5555_6666_7777_8888),
        (&[0xf3, 0x0f, 0x7e, 0x03], 0x5555_6666_7777_8888),
    ] {
        let mut machine = machine();
        machine.complete(code);
        assert_eq!(machine.xmm[0], expected, "{code:02x?}");
    }
}

#[test]
fn stores() {
    for (code, bytes) in [
        (&[0x0f, 0x11, 0x03][..], 16),
        (&[0x66, 0x0f, 0x11, 0x03], 16),
        (&[0x0f, 0x29, 0x03], 16),
        (&[0x0f, 0x2b, 0x03], 16),
        (&[0x66, 0x0f, 0x2b, 0x03], 16),
        (&[0x66, 0x0f, 0xe7, 0x03], 16),
        (&[0x66, 0x0f, 0x7f, 0x03], 16),
        (&[0xf3, 0x0f, 0x7f, 0x03], 16),
        (&[0x66, 0x0f, 0x7e, 0x03], 4),
        (&[0x66, 0x48, 0x0f, 0x7e, 0x03], 8),
        (&[0x66, 0x0f, 0xd6, 0x03], 8),
    ] {
        let mut machine = machine();
        machine.complete(code);
        let mut expected = MEMORY.to_le_bytes();
        expected[..bytes].copy_from_slice(&REGISTER.to_le_bytes()[..bytes]);
        assert_eq!(machine.get(AT, 16), expected, "{code:02x?}");
    }
}

#[test]
fn a_device_gets_halves() {
    let mut machine = machine();
    machine.gprs[3] = 0xfed0_0000;
    machine.complete(&[0x0f, 0x11, 0x03]);
    let written: Vec<_> = machine.device_log.iter().map(|access| (access.address, access.size)).collect();
    assert_eq!(written, [(0xfed0_0000, Size::B8), (0xfed0_0008, Size::B8)]);
}

#[test]
fn alignment() {
    let mut machine = machine();
    machine.put(AT, &[0; 32]);
    machine.gprs[3] = AT + 8;
    assert_eq!(machine.fault(&[0x0f, 0x28, 0x03]), Exception::GENERAL_PROTECTION);
    assert_eq!(machine.fault(&[0x0f, 0x2b, 0x03]), Exception::GENERAL_PROTECTION);
    machine.complete(&[0x0f, 0x10, 0x03]);
}

/// Found against the processor: the misaligned operand is noticed before the address that is not canonical.
#[test]
fn alignment_comes_before_the_stack_segment() {
    let mut machine = machine();
    machine.gprs[5] = (1 << 63) + 1;
    assert_eq!(machine.fault(&[0x0f, 0x28, 0x45, 0x00]), Exception::GENERAL_PROTECTION);
    assert_eq!(machine.fault(&[0x0f, 0x10, 0x45, 0x00]), Exception::STACK);
}

#[test]
fn sse_must_be_enabled() {
    for (cr0, cr4, expected) in [
        (4, 0x200, Exception::UNDEFINED_OPCODE),
        (0, 0, Exception::UNDEFINED_OPCODE),
        (8, 0x200, Exception::DEVICE_NOT_AVAILABLE),
        (12, 0x200, Exception::UNDEFINED_OPCODE),
    ] {
        let mut machine = machine();
        machine.paging.cr0 = (machine.paging.cr0 & !12) | cr0;
        machine.paging.cr4 = cr4;
        assert_eq!(machine.fault(&[0x0f, 0x10, 0x03]), expected);
    }
}

#[test]
fn without_fpu_state_nothing_is_done() {
    let mut machine = machine();
    machine.has_fpu = false;
    machine.gprs[3] = 0xfed0_0000;
    for code in [[0x0f, 0x10, 0x03], [0x0f, 0x11, 0x03]] {
        assert_eq!(machine.run(&code, 1), Outcome::Stop(Stop::FpuState));
    }
    assert!(machine.device_log.is_empty());
    assert_eq!(machine.rip, 0x1000);
}

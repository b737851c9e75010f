//! Near JMP, CALL and RET, with target or stack on a device.

use decoder::{Exception, Mode, Outcome, Processor, Size, Vendor};
use decoder_oracle::TestMachine;

const AT: u64 = 0x9000;
const TOP: u64 = 0xa000;

fn machine(mode: Mode, target: u64) -> TestMachine {
    let mut machine = TestMachine::new(mode);
    machine.put_device(AT, &target.to_le_bytes());
    machine.put_device(TOP - 8, &[0; 8]);
    machine.put_device(TOP, &target.to_le_bytes());
    machine.gprs[3] = AT;
    machine.gprs[4] = TOP;
    machine.rip = 0x1000;
    machine
}

fn done(machine: &mut TestMachine, code: &[u8]) {
    assert_eq!(machine.run(code, 1), Outcome::Done { single_step: false }, "{code:02x?}");
}

fn pushed(machine: &TestMachine, size: Size) -> u64 {
    let at = machine.gprs[4];
    (0..size.bytes()).map(|byte| u64::from(machine.device[&(at + byte)]) << (8 * byte)).sum()
}

#[test]
fn jump() {
    for (mode, code, target) in [
        (Mode::Bits64, &[0xff, 0x23][..], 0x1234_5678_9abc),
        (Mode::Bits32, &[0xff, 0x23], 0x5678_9abc),
        (Mode::Bits32, &[0x66, 0xff, 0x23], 0x9abc),
    ] {
        let mut machine = machine(mode, 0x1234_5678_9abc);
        done(&mut machine, code);
        assert_eq!(machine.rip, target, "{mode:?} {code:02x?}");
    }
}

#[test]
fn call() {
    for (mode, code, target, size) in [
        (Mode::Bits64, &[0xff, 0x13][..], 0x5678, Size::B8),
        (Mode::Bits32, &[0xff, 0x13], 0x5678, Size::B4),
        (Mode::Bits64, &[0xe8, 0x10, 0, 0, 0], 0x1015, Size::B8),
        (Mode::Bits32, &[0xe8, 0xf0, 0xff, 0xff, 0xff], 0xff5, Size::B4),
        (Mode::Bits16, &[0xe8, 0x10, 0], 0x1013, Size::B2),
        (Mode::Bits64, &[0xff, 0xd3], AT, Size::B8),
    ] {
        let mut machine = machine(mode, 0x5678);
        done(&mut machine, code);
        assert_eq!(machine.rip, target, "{mode:?} {code:02x?}");
        assert_eq!(machine.gprs[4], TOP - size.bytes());
        assert_eq!(pushed(&machine, size), 0x1000 + code.len() as u64);
    }
}

#[test]
fn ret() {
    let mut machine = machine(Mode::Bits64, 0x5678);
    done(&mut machine, &[0xc3]);
    assert_eq!((machine.rip, machine.gprs[4]), (0x5678, TOP + 8));
    let mut machine = self::machine(Mode::Bits32, 0x5678);
    done(&mut machine, &[0xc2, 0x10, 0]);
    assert_eq!((machine.rip, machine.gprs[4]), (0x5678, TOP + 0x14));
}

/// The branch itself faults, and nothing is pushed or popped.
#[test]
fn where_there_can_be_no_code() {
    for code in [&[0xff, 0x23][..], &[0xff, 0x13], &[0xc3]] {
        let mut machine = machine(Mode::Bits64, 1 << 63);
        assert_eq!(machine.fault(code), Exception::GENERAL_PROTECTION, "{code:02x?}");
        assert_eq!((machine.rip, machine.gprs[4]), (0x1000, TOP));
        let mut machine = self::machine(Mode::Bits32, 0x8000);
        machine.segments[1].limit = 0x7fff;
        assert_eq!(machine.fault(code), Exception::GENERAL_PROTECTION, "{code:02x?}");
        assert_eq!((machine.rip, machine.gprs[4]), (0x1000, TOP));
    }
}

/// In 64-bit code an operand-size prefix counts on AMD's processors alone.
#[test]
fn makers() {
    for (vendor, size, rip) in [(Vendor::Amd, Size::B2, 0x5678), (Vendor::Intel, Size::B8, 0x1_5678)] {
        let mut machine = machine(Mode::Bits64, 0x1_5678);
        machine.processor = Processor::full(vendor);
        done(&mut machine, &[0x66, 0xff, 0x13]);
        assert_eq!((machine.rip, machine.gprs[4]), (rip, TOP - size.bytes()), "{vendor:?}");
    }
}

#[test]
fn single_step() {
    let mut machine = machine(Mode::Bits64, 0x5678);
    machine.rflags |= 1 << 8 | 1 << 16;
    assert_eq!(machine.run(&[0xff, 0x23], 1), Outcome::Done { single_step: true });
    assert_eq!(machine.rflags, 0x102);
}

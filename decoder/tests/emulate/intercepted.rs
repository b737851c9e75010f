//! Instructions that are the VMM's to carry out.

use decoder::{Exception, Mode, Operand, Operation, Outcome, Processor, Vendor, decode};
use decoder_oracle::TestMachine;

/// Where makers differ, `processor.rs` has both.
const PROCESSOR: Processor = Processor::full(Vendor::Intel);

/// Code, what it is, and the value it carries.
const CASES: &[(&[u8], Operation, u64)] = &[
    (&[0x0f, 0xa2], Operation::Cpuid, 0),
    (&[0x0f, 0x32], Operation::Rdmsr, 0),
    (&[0x0f, 0x30], Operation::Wrmsr, 0),
    (&[0x0f, 0x31], Operation::Rdtsc, 0),
    (&[0x0f, 0x01, 0xf9], Operation::Rdtscp, 0),
    (&[0xf4], Operation::Hlt, 0),
    (&[0x0f, 0x01, 0xd9], Operation::Vmmcall, 0),
    (&[0x0f, 0x01, 0xd1], Operation::Xsetbv, 0),
    (&[0x0f, 0x08], Operation::Invd, 0),
    (&[0x0f, 0x09], Operation::Wbinvd, 0),
    (&[0x0f, 0x06], Operation::Clts, 0),
    (&[0x0f, 0x01, 0xf1], Operation::Lmsw, 0x2222),
    (&[0x0f, 0x01, 0x33], Operation::Lmsw, 0xbbaa),
    (&[0x0f, 0x22, 0xc1], Operation::MovControl, 0x1111_1111_1111_2222),
    (&[0x0f, 0x20, 0xc1], Operation::MovControl, 0),
    (&[0x41, 0x0f, 0x22, 0xd9], Operation::MovControl, 0x9999),
    (&[0x0f, 0x23, 0xf9], Operation::MovDebug, 0x1111_1111_1111_2222),
    (&[0xe4, 0x71], Operation::In, 0x71),
    (&[0xed], Operation::In, 0x4444),
    (&[0xe6, 0x70], Operation::Out, 0x33),
    (&[0xef], Operation::Out, 0x3333_3333),
];

#[test]
fn table() {
    for &(code, operation, value) in CASES {
        let mut machine = TestMachine::new(Mode::Bits64);
        machine.put(0x8000, &[0xaa, 0xbb]);
        machine.gprs[0] = 0x3333_3333_3333_3333;
        machine.gprs[1] = 0x1111_1111_1111_2222;
        machine.gprs[2] = 0x4444;
        machine.gprs[3] = 0x8000;
        machine.gprs[9] = 0x9999;
        let instruction = decode(code, Mode::Bits64, PROCESSOR).unwrap();
        assert_eq!(instruction.operation, operation);
        let port = matches!(operation, Operation::In);
        let expected = if port && instruction.source == Operand::Gpr(2) { 0x4444 } else { value };
        assert_eq!(machine.run(code, 1), Outcome::Intercepted { value: expected }, "{code:02x?}");
        assert_eq!(machine.rip, 0x1000, "left to the VMM");
        assert!(!instruction.advance(&mut machine));
        assert_eq!(machine.rip, 0x1000 + code.len() as u64);
    }
}

/// The processor checks CPL before it reads the operand, and so before the device it may be on.
#[test]
fn lmsw_is_privileged() {
    for (code, cpl, outcome, reads) in [
        (&[0x0f, 0x01, 0x33][..], 0, Outcome::Intercepted { value: 0xffff }, 1),
        (&[0x0f, 0x01, 0x33], 1, Outcome::Exception(Exception::GENERAL_PROTECTION), 0),
        (&[0x0f, 0x01, 0x33], 3, Outcome::Exception(Exception::GENERAL_PROTECTION), 0),
        (&[0x0f, 0x01, 0xf1], 3, Outcome::Exception(Exception::GENERAL_PROTECTION), 0),
    ] {
        let mut machine = TestMachine::new(Mode::Bits64);
        machine.gprs[3] = 0x8000;
        machine.cpl = cpl;
        assert_eq!(machine.run(code, 1), outcome, "{code:02x?} at CPL {cpl}");
        assert_eq!(machine.device_log.len(), reads, "{code:02x?} at CPL {cpl}");
    }
}

#[test]
fn lmsw_may_fault() {
    let mut machine = TestMachine::new(Mode::Bits64);
    machine.gprs[3] = 1 << 63;
    assert_eq!(machine.fault(&[0x0f, 0x01, 0x33]), Exception::GENERAL_PROTECTION);
}

#[test]
fn rip_wraps_where_it_has_32_bits() {
    let mut machine = TestMachine::new(Mode::Bits32);
    machine.rip = 0xffff_ffff;
    Mode::Bits32.advance(&mut machine, 2);
    assert_eq!(machine.rip, 1);
}

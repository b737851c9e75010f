//! MOV, MOVNTI, MOVZX, MOVSX, MOVSXD and MOVBE.

use decoder::{Mode, Outcome, Size};
use decoder_oracle::TestMachine;

const RBX: usize = 3;
const AT: u64 = 0x8000;

/// A machine whose rBX points to eight bytes of RAM, whose rAX and R9 have marks in every byte.
fn machine(mode: Mode) -> TestMachine {
    let mut machine = TestMachine::new(mode);
    machine.put(AT, &0x8877_6655_4433_82f1_u64.to_le_bytes());
    machine.gprs[0] = 0x0123_4567_89ab_cdef;
    machine.gprs[9] = 0xfedc_ba98_7654_3210;
    machine.gprs[RBX] = AT;
    machine
}

#[test]
fn loads_set_what_the_size_says() {
    let table: &[(&[u8], usize, u64)] = &[
        (&[0x8a, 0x03], 0, 0x0123_4567_89ab_cdf1),
        (&[0x8a, 0x23], 0, 0x0123_4567_89ab_f1ef),
        (&[0x66, 0x8b, 0x03], 0, 0x0123_4567_89ab_82f1),
        (&[0x8b, 0x03], 0, 0x4433_82f1),
        (&[0x48, 0x8b, 0x03], 0, 0x8877_6655_4433_82f1),
        (&[0x44, 0x8a, 0x0b], 9, 0xfedc_ba98_7654_32f1),
        (&[0x0f, 0xb6, 0x03], 0, 0xf1),
        (&[0x66, 0x0f, 0xb6, 0x03], 0, 0x0123_4567_89ab_00f1),
        (&[0x48, 0x0f, 0xb7, 0x03], 0, 0x82f1),
        (&[0x0f, 0xbe, 0x03], 0, 0xffff_fff1),
        (&[0x48, 0x0f, 0xbe, 0x03], 0, 0xffff_ffff_ffff_fff1),
        (&[0x48, 0x0f, 0xbf, 0x03], 0, 0xffff_ffff_ffff_82f1),
        (&[0x48, 0x63, 0x03], 0, 0x4433_82f1),
        (&[0x48, 0x63, 0x43, 0x04], 0, 0xffff_ffff_8877_6655),
        (&[0x0f, 0x38, 0xf0, 0x03], 0, 0xf182_3344),
        (&[0x66, 0x0f, 0x38, 0xf0, 0x03], 0, 0x0123_4567_89ab_f182),
        (&[0x48, 0x0f, 0x38, 0xf0, 0x03], 0, 0xf182_3344_5566_7788),
        (&[0xa1, 0x00, 0x80, 0, 0, 0, 0, 0, 0], 0, 0x4433_82f1),
        (&[0x67, 0xa0, 0x00, 0x80, 0, 0], 0, 0x0123_4567_89ab_cdf1),
    ];
    for &(code, register, expected) in table {
        let mut machine = machine(Mode::Bits64);
        machine.complete(code);
        assert_eq!(machine.gprs[register], expected, "{code:02x?}");
        assert_eq!(machine.rip, 0x1000 + code.len() as u64, "{code:02x?}");
    }
}

#[test]
fn stores_touch_what_the_size_says() {
    let table: &[(&[u8], u64)] = &[
        (&[0x88, 0x03], 0x8877_6655_4433_82ef),
        (&[0x88, 0x23], 0x8877_6655_4433_82cd),
        (&[0x66, 0x89, 0x03], 0x8877_6655_4433_cdef),
        (&[0x89, 0x03], 0x8877_6655_89ab_cdef),
        (&[0x48, 0x89, 0x03], 0x0123_4567_89ab_cdef),
        (&[0x4c, 0x89, 0x0b], 0xfedc_ba98_7654_3210),
        (&[0xc6, 0x03, 0x80], 0x8877_6655_4433_8280),
        (&[0x66, 0xc7, 0x03, 0x34, 0x12], 0x8877_6655_4433_1234),
        (&[0xc7, 0x03, 0x78, 0x56, 0x34, 0x92], 0x8877_6655_9234_5678),
        (&[0x48, 0xc7, 0x03, 0x78, 0x56, 0x34, 0x92], 0xffff_ffff_9234_5678),
        (&[0x0f, 0xc3, 0x03], 0x8877_6655_89ab_cdef),
        (&[0x0f, 0x38, 0xf1, 0x03], 0x8877_6655_efcd_ab89),
        (&[0xa3, 0x00, 0x80, 0, 0, 0, 0, 0, 0], 0x8877_6655_89ab_cdef),
    ];
    for &(code, expected) in table {
        let mut machine = machine(Mode::Bits64);
        machine.complete(code);
        assert_eq!(machine.value(AT, Size::B8), expected, "{code:02x?}");
    }
}

#[test]
fn a_device_gets_one_access_of_the_size() {
    for (code, size) in [
        (&[0x88, 0x03][..], Size::B1),
        (&[0x66, 0x89, 0x03], Size::B2),
        (&[0x89, 0x03], Size::B4),
        (&[0x48, 0x89, 0x03], Size::B8),
    ] {
        let mut machine = machine(Mode::Bits64);
        machine.gprs[RBX] = 0xfee0_0080;
        machine.complete(code);
        let [access] = machine.device_log[..] else { panic!("{:?}", machine.device_log) };
        assert_eq!((access.address, access.size), (0xfee0_0080, size));
        assert_eq!(access.written, Some(machine.gprs[0] & size.mask()));
    }
}

#[test]
fn absent_memory_reads_all_ones() {
    let mut machine = machine(Mode::Bits64);
    machine.gprs[RBX] = 0x1_0000_0000;
    machine.complete(&[0x0f, 0xb7, 0x03]);
    assert_eq!(machine.gprs[0], 0xffff);
}

#[test]
fn single_step_and_resume_flags() {
    let mut machine = machine(Mode::Bits64);
    machine.rflags |= 1 << 8 | 1 << 16;
    assert_eq!(machine.run(&[0x89, 0x03], 1), Outcome::Done { single_step: true });
    assert_eq!(machine.rflags, 2 | 1 << 8);
}

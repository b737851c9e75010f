//! Addressing, segments and canonical form.

use decoder::{Exception, Mode, SegmentState};
use decoder_oracle::TestMachine;

/// A machine in which every device byte reads as its page number's low byte, so that a load tells its
/// address.
fn load_address(machine: &mut TestMachine, code: &[u8]) -> u64 {
    machine.ram.clear();
    machine.device_log.clear();
    machine.complete(code);
    machine.device_log[0].address
}

#[test]
fn forms_in_64_bit_code() {
    let table: &[(&[u8], u64)] = &[
        (&[0x8a, 0x03], 0x3000),
        (&[0x8a, 0x43, 0xf0], 0x2ff0),
        (&[0x8a, 0x83, 0, 0, 1, 0], 0x1_3000),
        (&[0x8a, 0x04, 0x8b], 0x3000 + 4 * 0x1000),
        (&[0x8a, 0x04, 0xcd, 8, 0, 0, 0], 8 * 0x1000 + 8),
        (&[0x8a, 0x04, 0x25, 8, 0, 0, 0], 8),
        (&[0x8a, 0x04, 0x24], 0x4000),
        (&[0x8a, 0x45, 0], 0x5000),
        (&[0x42, 0x8a, 0x04, 0x23], 0x3000 + 0xc000),
        (&[0x41, 0x8a, 0x04, 0x24], 0xc000),
        (&[0x41, 0x8a, 0x45, 0], 0xd000),
        (&[0x8a, 0x05, 0, 0, 1, 0], 0x1_1006),
        (&[0x65, 0x8a, 0x03], 0x3000 + 0x66_0000),
        (&[0x64, 0x8a, 0x03], 0x3000 + 0x55_0000),
        (&[0x2e, 0x8a, 0x03], 0x3000),
        (&[0x67, 0x8a, 0x07], 0xffff_f000),
        (&[0x67, 0x8a, 0x47, 0x7f], 0xffff_f07f),
        (&[0x67, 0x8a, 0x87, 0, 0x10, 0, 0], 0),
        (&[0x65, 0x67, 0x8a, 0x87, 0, 0x10, 0, 0], 0x66_0000),
    ];
    let mut machine = TestMachine::new(Mode::Bits64);
    for &(code, expected) in table {
        machine.gprs = core::array::from_fn(|number| number as u64 * 0x1000);
        machine.gprs[7] = 0x7_ffff_f000;
        machine.rip = 0x1000;
        // Bases other than those of FS and GS mean nothing here.
        let bases = [0x11_0000, 0x22_0000, 0x33_0000, 0x44_0000, 0x55_0000, 0x66_0000];
        for (segment, base) in machine.segments.iter_mut().zip(bases) {
            segment.base = base;
        }
        assert_eq!(load_address(&mut machine, code), expected, "{code:02x?}");
    }
}

#[test]
fn forms_in_16_bit_code() {
    let table: &[(&[u8], u64)] = &[
        (&[0x8a, 0x00], 0x4_3060),
        (&[0x8a, 0x01], 0x4_3070),
        (&[0x8a, 0x02], 0x3_5060),
        (&[0x8a, 0x03], 0x3_5070),
        (&[0x8a, 0x04], 0x4_0060),
        (&[0x8a, 0x05], 0x4_0070),
        (&[0x8a, 0x06, 0x34, 0x12], 0x4_1234),
        (&[0x8a, 0x07], 0x4_3000),
        (&[0x8a, 0x46, 0xff], 0x3_4fff),
        (&[0x8a, 0x87, 0x00, 0xe0], 0x4_1000),
        (&[0x26, 0x8a, 0x07], 0x1_3000),
        (&[0x2e, 0x8a, 0x07], 0x2_3000),
        (&[0x3e, 0x8a, 0x46, 0], 0x4_5000),
        (&[0x36, 0x8a, 0x07], 0x3_3000),
        (&[0xa0, 0x34, 0x12], 0x4_1234),
    ];
    let mut machine = TestMachine::new(Mode::Bits16);
    for &(code, expected) in table {
        // Upper halves of registers mean nothing here.
        machine.gprs[3] = 0x9999_3000;
        machine.gprs[5] = 0x9999_5000;
        machine.gprs[6] = 0x9999_0060;
        machine.gprs[7] = 0x9999_0070;
        for (segment, base) in machine.segments.iter_mut().zip([1, 2, 3, 4, 5, 6]) {
            *segment = SegmentState { base: base << 16, limit: 0xffff, attributes: 0x93 };
        }
        assert_eq!(load_address(&mut machine, code), expected, "{code:02x?}");
    }
}

#[test]
fn canonical_addresses() {
    let mut machine = TestMachine::new(Mode::Bits64);
    for (address, is_good) in [
        (0x7fff_ffff_ffff, true),
        (0x8000_0000_0000, false),
        (0xffff_7fff_ffff_ffff, false),
        (0xffff_8000_0000_0000, true),
    ] {
        machine.gprs[3] = address;
        let outcome = machine.run(&[0x8a, 0x03], 1);
        assert_eq!(outcome == decoder::Outcome::Exception(Exception::GENERAL_PROTECTION), !is_good);
    }
    // The last byte counts too, and through SS it is a stack fault.
    machine.gprs[5] = 0x7fff_ffff_fffd;
    assert_eq!(machine.fault(&[0x8b, 0x45, 0x00]), Exception::STACK);
    assert_eq!(machine.fault(&[0x89, 0x45, 0x00]), Exception::STACK);
    machine.gprs[3] = 0x7fff_ffff_fffd;
    assert_eq!(machine.fault(&[0x8b, 0x03]), Exception::GENERAL_PROTECTION);
    // With 5-level paging there are more.
    machine.paging.cr4 |= 1 << 12;
    machine.complete(&[0x8b, 0x03]);
}

/// Attributes and limit of DS, the offset of a four-byte access, and whether it may be read and written.
const SEGMENTS: &[(u16, u32, u64, bool, bool)] = &[
    (0xc93, 0xffff_ffff, 0xffff_fffc, true, true),
    (0x493, 0xfff, 0xffc, true, true),
    (0x493, 0xfff, 0xffd, false, false),
    // Read-only data.
    (0x491, 0xfff, 0, true, false),
    // Code: readable, or not.
    (0x49b, 0xfff, 0, true, false),
    (0x499, 0xfff, 0, false, false),
    // Not present, as after loading a null selector.
    (0x413, 0xfff, 0, false, false),
    // Expanding down, from 32 and from 16 bits.
    (0x497, 0xfff, 0xfff, false, false),
    (0x497, 0xfff, 0x1000, true, true),
    (0x497, 0xfff, 0xffff_fffc, true, true),
    (0x097, 0xfff, 0xfffc, true, true),
    (0x097, 0xfff, 0xfffd, false, false),
    (0x095, 0xfff, 0x1000, true, false),
    // Conforming code has the bit that means expand-down in data.
    (0x49f, 0xfff, 0x800, true, false),
];

#[test]
fn segments() {
    for &(attributes, limit, offset, can_read, can_write) in SEGMENTS {
        for (code, is_good) in [([0x8b, 0x03], can_read), ([0x89, 0x03], can_write)] {
            let mut machine = TestMachine::new(Mode::Bits32);
            machine.paging.cr0 |= 1;
            machine.segments[3] = SegmentState { base: 0, limit, attributes };
            machine.gprs[3] = offset;
            let case = format!("{attributes:x} {offset:x} {code:02x?}");
            if is_good {
                machine.complete(&code);
            } else {
                assert_eq!(machine.fault(&code), Exception::GENERAL_PROTECTION, "{case}");
            }
        }
    }
}

#[test]
fn the_stack_segment_has_a_fault_of_its_own() {
    let mut machine = TestMachine::new(Mode::Bits32);
    machine.segments[2].limit = 0xfff;
    machine.gprs[5] = 0x1000;
    assert_eq!(machine.fault(&[0x8b, 0x45, 0x00]), Exception::STACK);
    machine.complete(&[0x3e, 0x8b, 0x45, 0x00]);
}

#[test]
fn real_and_virtual_8086_mode_have_limits_but_no_types() {
    for (cr0, rflags) in [(0, 2), (1, 2 | 1 << 17)] {
        let mut machine = TestMachine::new(Mode::Bits16);
        machine.paging.cr0 = cr0;
        machine.rflags = rflags;
        machine.segments[3] = SegmentState { base: 0x1_0000, limit: 0xffff, attributes: 0x95 };
        machine.gprs[3] = 0x2000;
        machine.complete(&[0x89, 0x07]);
        assert_eq!(machine.device_log[0].address, 0x1_2000);
        machine.gprs[3] = 0xffff;
        assert_eq!(machine.fault(&[0x89, 0x07]), Exception::GENERAL_PROTECTION);
    }
}

#[test]
fn linear_addresses_wrap_at_32_bits() {
    let mut machine = TestMachine::new(Mode::Bits32);
    machine.segments[3].base = 0xffff_f000;
    machine.gprs[3] = 0x2000;
    machine.complete(&[0x8b, 0x03]);
    assert_eq!(machine.device_log[0].address, 0x1000);
}

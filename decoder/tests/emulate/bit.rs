//! BT, BTS, BTR and BTC.

use decoder::{Mode, Size};
use decoder_oracle::TestMachine;

const CF: u64 = 1;

/// Code on `[rbx]`, the bit index in rAX, and what it does to the eight bytes there, which are 0F0F...; CF
/// after.
const CASES: &[(&[u8], u64, u64, u64)] = &[
    (&[0x0f, 0xa3, 0x03], 0, 0, CF),
    (&[0x0f, 0xa3, 0x03], 4, 0, 0),
    (&[0x0f, 0xab, 0x03], 4, 0x10, 0),
    (&[0x0f, 0xb3, 0x03], 3, 0x08, CF),
    (&[0x0f, 0xbb, 0x03], 7, 0x80, 0),
    (&[0x48, 0x0f, 0xab, 0x03], 63, 1 << 63, 0),
    // The index goes beyond the operand: into the next one.
    (&[0x0f, 0xab, 0x03], 36, 0x10_0000_0000, 0),
    (&[0x66, 0x0f, 0xbb, 0x03], 16, 0x1_0000, CF),
    // An immediate doesn't.
    (&[0x0f, 0xba, 0x2b, 36], 0, 0x10, 0),
    (&[0x0f, 0xba, 0x23, 32], 0, 0, CF),
    (&[0x48, 0x0f, 0xba, 0x33, 35], 0, 0x8_0000_0000, CF),
    (&[0x66, 0x0f, 0xba, 0x3b, 20], 0, 0x10, 0),
];

#[test]
fn table() {
    for &(code, index, changed, carry) in CASES {
        let mut machine = TestMachine::new(Mode::Bits64);
        let before = 0x0f0f_0f0f_0f0f_0f0f_u64;
        machine.put(0x8000, &before.to_le_bytes());
        machine.gprs[3] = 0x8000;
        machine.gprs[0] = index;
        machine.complete(code);
        assert_eq!(machine.value(0x8000, Size::B8), before ^ changed, "{code:02x?}");
        assert_eq!(machine.rflags & CF, carry, "{code:02x?}");
    }
}

#[test]
fn negative_indices_go_down() {
    let mut machine = TestMachine::new(Mode::Bits64);
    machine.put(0x7ff0, &[0; 32]);
    machine.gprs[3] = 0x8000;
    machine.gprs[0] = -1_i64 as u64;
    machine.complete(&[0x0f, 0xab, 0x03]);
    assert_eq!(machine.value(0x7ffc, Size::B4), 0x8000_0000);
    machine.gprs[0] = -64_i64 as u64;
    machine.complete(&[0xf0, 0x48, 0x0f, 0xbb, 0x03]);
    assert_eq!(machine.value(0x7ff8, Size::B8), 0x8000_0000_0000_0001);
}

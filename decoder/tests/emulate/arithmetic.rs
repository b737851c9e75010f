//! ADD, ADC, SUB, SBB, AND, OR, XOR, CMP, TEST, NOT, NEG, INC and DEC.

use decoder::{Mode, Size};
use decoder_oracle::TestMachine;

const CF: u64 = 1;
const PF: u64 = 4;
const AF: u64 = 0x10;
const ZF: u64 = 0x40;
const SF: u64 = 0x80;
const OF: u64 = 0x800;

/// Code on `[rbx]`, memory, rAX and flags before; memory, rAX and flags after.
type Case = (&'static [u8], u64, u64, u64, u64, u64, u64);

const CASES: &[Case] = &[
    (&[0x00, 0x03], 0xff, 0x01, 0, 0x00, 0x01, CF | PF | AF | ZF),
    (&[0x01, 0x03], 0x7fff_ffff, 1, 0, 0x8000_0000, 1, PF | AF | SF | OF),
    (&[0x48, 0x01, 0x03], u64::MAX, 1, 0, 0, 1, CF | PF | AF | ZF),
    (&[0x03, 0x03], 5, 0xffff_ffff_0000_0001, 0, 5, 6, PF),
    (&[0x11, 0x03], 0xffff_ffff, 0, CF, 0, 0, CF | PF | AF | ZF),
    (&[0x29, 0x03], 0, 1, 0, 0xffff_ffff, 1, CF | PF | AF | SF),
    (&[0x2b, 0x03], 0x8000_0000, 0, 0, 0x8000_0000, 0x8000_0000, CF | PF | SF | OF),
    (&[0x19, 0x03], 1, 0, CF, 0, 0, PF | ZF),
    (&[0x21, 0x03], 0xf0, 0x3c, CF | OF, 0x30, 0x3c, PF),
    (&[0x09, 0x03], 0x80, 0x01, CF, 0x81, 0x01, PF),
    (&[0x30, 0x03], 0xff, 0x7f, 0, 0x80, 0x7f, SF),
    (&[0x39, 0x03], 3, 3, 0, 3, 3, PF | ZF),
    (&[0x3b, 0x03], 4, 3, 0, 4, 3, CF | PF | AF | SF),
    (&[0x83, 0x3b, 0xff], 0xffff_ffff, 0, 0, 0xffff_ffff, 0, PF | ZF),
    (&[0x85, 0x03], 0x8000_0000, 0x8000_0000, CF, 0x8000_0000, 0x8000_0000, PF | SF),
    (&[0xf6, 0x03, 0x01], 2, 0, 0, 2, 0, PF | ZF),
    (&[0xf7, 0x13], 0, 0, CF | OF, 0xffff_ffff, 0, CF | OF),
    (&[0xf7, 0x1b], 1, 0, 0, 0xffff_ffff, 0, CF | PF | AF | SF),
    (&[0xf7, 0x1b], 0, 0, CF, 0, 0, PF | ZF),
    (&[0xfe, 0x03], 0xff, 0, CF, 0, 0, CF | PF | AF | ZF),
    (&[0xff, 0x0b], 0x8000_0000, 0, 0, 0x7fff_ffff, 0, PF | AF | OF),
];

#[test]
fn results_and_flags() {
    for &(code, memory, rax, flags, memory_after, rax_after, flags_after) in CASES {
        let mut machine = TestMachine::new(Mode::Bits64);
        machine.put(0x8000, &memory.to_le_bytes());
        machine.gprs[3] = 0x8000;
        machine.gprs[0] = rax;
        machine.rflags = 2 | flags;
        machine.complete(code);
        let after = (machine.value(0x8000, Size::B8), machine.gprs[0], machine.rflags);
        assert_eq!(after, (memory_after, rax_after, 2 | flags_after), "{code:02x?}");
    }
}

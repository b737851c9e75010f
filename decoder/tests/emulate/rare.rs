//! Integer instructions that the short tables do not decode, with their operand on a device: operand,
//! operand, result, flags. The processor itself is their main oracle (`decoder/oracle`).

use decoder::{Exception, Mode, Processor, Vendor};
use decoder_oracle::TestMachine;

const CF: u64 = 1;
const PF: u64 = 4;
const ZF: u64 = 0x40;
const SF: u64 = 0x80;
const OF: u64 = 0x800;
/// Where the operand is, in rBX.
const AT: u64 = 0x9000;

/// Code on `[rbx]`, which is this; rAX, rCX and rDX, and CF, before; rAX and rDX, and what is there, after.
struct Row(&'static [u8], u64, [u64; 3], bool, [u64; 2], u64);
/// Flags that are looked at, and those of them that are set.
struct Flags(u64, u64);

const MIN: u64 = 1 << 63;

const ROWS: &[(Row, Flags)] = &[
    // CMOVB, CMOVAE: a register of four bytes loses its upper half in either case.
    (Row(&[0x0f, 0x42, 0x03], 7, [MIN | 1, 0, 0], true, [7, 0], 7), Flags(0, 0)),
    (Row(&[0x0f, 0x43, 0x03], 7, [MIN | 1, 0, 0], true, [1, 0], 7), Flags(0, 0)),
    // SETB, SETNB.
    (Row(&[0x0f, 0x92, 0x03], 0x1122, [0; 3], true, [0, 0], 0x1101), Flags(CF, CF)),
    (Row(&[0x0f, 0x93, 0x03], 0x1122, [0; 3], true, [0, 0], 0x1100), Flags(CF, CF)),
    // BSF, BSR, TZCNT, LZCNT, POPCNT.
    (Row(&[0x0f, 0xbc, 0x03], 0x50, [9, 0, 0], false, [4, 0], 0x50), Flags(ZF, 0)),
    (Row(&[0x0f, 0xbc, 0x03], 0, [MIN | 9, 0, 0], false, [MIN | 9, 0], 0), Flags(ZF, ZF)),
    (Row(&[0x0f, 0xbd, 0x03], 0x50, [9, 0, 0], false, [6, 0], 0x50), Flags(ZF, 0)),
    (Row(&[0xf3, 0x0f, 0xbc, 0x03], 0, [9, 0, 0], false, [32, 0], 0), Flags(ZF | CF, CF)),
    (Row(&[0xf3, 0x48, 0x0f, 0xbd, 0x03], 1, [9, 0, 0], false, [63, 0], 1), Flags(ZF | CF, 0)),
    (Row(&[0xf3, 0x0f, 0xb8, 0x03], 0xf0f, [9, 0, 0], true, [8, 0], 0xf0f), Flags(ZF | CF | SF | OF, 0)),
    // CRC32 of a byte.
    (Row(&[0xf2, 0x0f, 0x38, 0xf0, 0x03], 0x61, [!0, 0, 0], false, [0x3e2f_bccf, 0], 0x61), Flags(0, 0)),
    // MUL, IMUL with one, two and three operands.
    (Row(&[0xf7, 0x23], 0x8000_0000, [4, 0, 9], false, [0, 2], 0x8000_0000), Flags(CF | OF, CF | OF)),
    (Row(&[0xf6, 0x23], 0x10, [0x7f20, 0, 9], false, [0x0200, 9], 0x10), Flags(CF | OF, CF | OF)),
    (
        Row(&[0xf7, 0x2b], 0xffff_ffff, [4, 0, 9], false, [0xffff_fffc, 0xffff_ffff], !0 >> 32),
        Flags(CF | OF, 0),
    ),
    (Row(&[0x0f, 0xaf, 0x03], 3, [5, 0, 0], true, [15, 0], 3), Flags(CF | OF, 0)),
    (Row(&[0x6b, 0x03, 0xfe], 3, [5, 0, 0], false, [0xffff_fffa, 0], 3), Flags(CF | OF, 0)),
    (Row(&[0x48, 0x69, 0x03, 0, 0, 0, 0x40], 8, [5, 0, 0], false, [0x2_0000_0000, 0], 8), Flags(CF | OF, 0)),
    // DIV, IDIV.
    (Row(&[0xf7, 0x33], 7, [100, 0, 0], false, [14, 2], 7), Flags(0, 0)),
    (Row(&[0xf6, 0x33], 7, [100, 0, 5], false, [0x020e, 5], 7), Flags(0, 0)),
    // The largest and the smallest quotient.
    (Row(&[0xf7, 0x33], 1, [0xffff_ffff, 0, 0], false, [0xffff_ffff, 0], 1), Flags(0, 0)),
    (Row(&[0xf6, 0x3b], 1, [0xff80, 0, 5], false, [0x0080, 5], 1), Flags(0, 0)),
    (
        Row(&[0x48, 0xf7, 0x3b], 7, [100_u64.wrapping_neg(), 0, !0], false, [14_u64.wrapping_neg(), !1], 7),
        Flags(0, 0),
    ),
    // Shifts and rotates: by one, by an immediate, by CL.
    (Row(&[0xd1, 0x23], 0x8000_0001, [0; 3], false, [0, 0], 2), Flags(CF | OF, CF | OF)),
    (Row(&[0xc1, 0x2b, 4], 0xf8, [0; 3], false, [0, 0], 0xf), Flags(CF | ZF, CF)),
    (Row(&[0xd3, 0x3b], 0x8000_0000, [0, 31, 0], false, [0, 0], 0xffff_ffff), Flags(CF | SF, SF)),
    (Row(&[0xd3, 0x23], 5, [0, 32, 0], true, [0, 0], 5), Flags(CF, CF)),
    (Row(&[0xd1, 0x03], 0x8000_0001, [0; 3], false, [0, 0], 3), Flags(CF, CF)),
    (Row(&[0xd1, 0x0b], 0x8000_0001, [0; 3], false, [0, 0], 0xc000_0000), Flags(CF | OF, CF)),
    (Row(&[0xd1, 0x13], 0x8000_0000, [0; 3], true, [0, 0], 1), Flags(CF, CF)),
    (Row(&[0xd1, 0x1b], 1, [0; 3], true, [0, 0], 0x8000_0000), Flags(CF, CF)),
    (Row(&[0xc0, 0x13, 9], 0x81, [0; 3], true, [0, 0], 0x81), Flags(CF, CF)),
    (Row(&[0x48, 0xc1, 0x1b, 63], 0, [0; 3], true, [0, 0], 2), Flags(CF, 0)),
    // SHLD, SHRD, from rAX.
    (
        Row(&[0x0f, 0xa4, 0x03, 8], 0x1234_5678, [0xab00_0000, 0, 0], false, [0xab00_0000, 0], 0x3456_78ab),
        Flags(CF, 0),
    ),
    (Row(&[0x0f, 0xad, 0x03], 0x1234_5678, [0xab, 8, 0], false, [0xab, 0], 0xab12_3456), Flags(CF, 0)),
    // ADCX, ADOX.
    (
        Row(&[0x66, 0x0f, 0x38, 0xf6, 0x03], 0xffff_ffff, [0, 0, 0], true, [0, 0], 0xffff_ffff),
        Flags(CF | OF | ZF, CF),
    ),
    (
        Row(&[0xf3, 0x0f, 0x38, 0xf6, 0x03], 0xffff_ffff, [1, 0, 0], true, [0, 0], 0xffff_ffff),
        Flags(CF | OF, CF | OF),
    ),
    // ANDN, BEXTR, BLSI, BLSMSK, BLSR, BZHI with rCX beside, to rAX.
    (
        Row(&[0xc4, 0xe2, 0x70, 0xf2, 0x03], 0xff, [9, 0xf, 0], true, [0xf0, 0], 0xff),
        Flags(CF | ZF | SF | OF, 0),
    ),
    (
        Row(&[0xc4, 0xe2, 0x70, 0xf7, 0x03], 0xabcd, [9, 0x804, 0], true, [0xbc, 0], 0xabcd),
        Flags(CF | ZF | OF, 0),
    ),
    (Row(&[0xc4, 0xe2, 0x78, 0xf3, 0x1b], 0x58, [9, 0, 0], false, [8, 0], 0x58), Flags(CF | ZF, CF)),
    (Row(&[0xc4, 0xe2, 0x78, 0xf3, 0x13], 0x58, [9, 0, 0], false, [0xf, 0], 0x58), Flags(CF | ZF, 0)),
    (Row(&[0xc4, 0xe2, 0x78, 0xf3, 0x0b], 0x58, [9, 0, 0], false, [0x50, 0], 0x58), Flags(CF | ZF, 0)),
    (Row(&[0xc4, 0xe2, 0x70, 0xf5, 0x03], 0xabcd, [9, 8, 0], true, [0xcd, 0], 0xabcd), Flags(CF | ZF, 0)),
    // PDEP, PEXT of rCX, RORX, SHLX, MULX to rAX and rCX.
    (Row(&[0xc4, 0xe2, 0x73, 0xf5, 0x03], 0xf0f0, [0, 0xab, 0], false, [0xa0b0, 0], 0xf0f0), Flags(0, 0)),
    (Row(&[0xc4, 0xe2, 0x72, 0xf5, 0x03], 0xf0f0, [0, 0xabcd, 0], false, [0xac, 0], 0xf0f0), Flags(0, 0)),
    (Row(&[0xc4, 0xe3, 0x7b, 0xf0, 0x03, 4], 0x1f, [0; 3], true, [0xf000_0001, 0], 0x1f), Flags(CF, CF)),
    (Row(&[0xc4, 0xe2, 0x71, 0xf7, 0x03], 3, [0, 33, 0], true, [6, 0], 3), Flags(CF, CF)),
    (Row(&[0xc4, 0xe2, 0x73, 0xf6, 0x03], 0x8000_0000, [0, 0, 6], false, [3, 6], 0x8000_0000), Flags(0, 0)),
    // XLAT: AL is added to rBX.
    (Row(&[0xd7], 0x7766_5544, [0x1102, 0, 0], false, [0x1166, 0], 0x7766_5544), Flags(0, 0)),
    // MOVDIRI.
    (Row(&[0x0f, 0x38, 0xf9, 0x03], 0, [0x55, 0, 0], false, [0x55, 0], 0x55), Flags(0, 0)),
    // SMSW stores two bytes.
    (Row(&[0x0f, 0x01, 0x23], 0x5555_5555, [0; 3], false, [0, 0], 0x5555_0013), Flags(0, 0)),
    (Row(&[0x0f, 0xbc, 0x03], 0xff00, [0; 3], true, [8, 0], 0xff00), Flags(PF & ZF, 0)),
];

fn device(value: u64) -> TestMachine {
    let mut machine = TestMachine::new(Mode::Bits64);
    machine.put_device(AT, &value.to_le_bytes());
    machine.put_device(AT + 8, &[0; 8]);
    machine.gprs[3] = AT;
    machine
}

fn found(machine: &TestMachine) -> u64 {
    (0..8).map(|at| u64::from(machine.device[&(AT + at)]) << (8 * at)).sum()
}

#[test]
fn table() {
    for (Row(code, memory, [rax, rcx, rdx], carry, after, memory_after), Flags(mask, set)) in ROWS {
        let mut machine = device(*memory);
        (machine.gprs[0], machine.gprs[1], machine.gprs[2]) = (*rax, *rcx, *rdx);
        machine.rflags |= u64::from(*carry);
        machine.complete(code);
        assert_eq!([machine.gprs[0], machine.gprs[2]], *after, "{code:02x?}");
        assert_eq!(found(&machine), *memory_after, "{code:02x?}");
        assert_eq!(machine.rflags & mask, *set, "{code:02x?}");
    }
}

/// SHLD and SHRD of two bytes by more than sixteen: no result is defined, and this is that of a Xeon. Count,
/// and result and CF of either.
#[test]
fn words_are_shifted_by_more_than_their_bits() {
    for (count, left, right) in [
        (17, (0x579b, 1), (0x55e6, 1)),
        (20, (0xbcd9, 0), (0x4abc, 1)),
        (23, (0xe6c9, 1), (0x6957, 1)),
        (26, (0x3648, 1), (0x8d2a, 1)),
        (29, (0xb246, 1), (0x91a5, 0)),
    ] {
        for (opcode, expected) in [(0xa5, left), (0xad, right)] {
            let mut machine = device(0x9234);
            (machine.gprs[0], machine.gprs[1]) = (0xabcd, count);
            machine.complete(&[0x66, 0x0f, opcode, 0x03]);
            assert_eq!((found(&machine), machine.rflags & CF), expected, "{opcode:x} {count}");
        }
    }
}

/// The register that comes last wins where both halves of a product go to one.
#[test]
fn mulx_to_one_register() {
    let mut machine = device(0x8000_0000);
    machine.gprs[2] = 6;
    machine.complete(&[0xc4, 0xe2, 0x7b, 0xf6, 0x03]);
    assert_eq!(machine.gprs[0], 3);
}

#[test]
fn divide_errors() {
    for (code, divisor, pair) in [
        (&[0xf7, 0x33][..], 0, [1, 0]),
        (&[0xf7, 0x33], 1, [0, 1]),
        (&[0xf6, 0x33], 1, [0x100, 0]),
        (&[0x48, 0xf7, 0x3b], 0, [1, 0]),
        (&[0x48, 0xf7, 0x3b], !0, [0, MIN]),
        (&[0xf7, 0x3b], !0, [0x8000_0000, 0xffff_ffff]),
    ] {
        let mut machine = device(divisor);
        (machine.gprs[0], machine.gprs[2]) = (pair[0], pair[1]);
        let before = machine.gprs;
        assert_eq!(machine.fault(code), Exception::DIVIDE_ERROR, "{code:02x?}");
        assert_eq!(machine.gprs, before);
    }
}

#[test]
fn bound() {
    for (index, is_within) in [(4, true), (0xffff_fffb, true), (9, true), (10, false), (0xffff_fffa, false)] {
        let mut machine = TestMachine::new(Mode::Bits32);
        machine.put_device(AT, &[0xfb, 0xff, 0xff, 0xff, 9, 0, 0, 0]);
        (machine.gprs[0], machine.gprs[3]) = (index, AT);
        let code = &[0x62, 0x03];
        if is_within {
            machine.complete(code);
        } else {
            assert_eq!(machine.fault(code), Exception::BOUND_RANGE, "{index:x}");
        }
    }
}

/// VEX is undefined in real and virtual-8086 mode.
#[test]
fn bmi_needs_protected_mode() {
    let code = &[0xc4, 0xe2, 0x78, 0xf3, 0x0f];
    let mut machine = TestMachine::new(Mode::Bits16);
    machine.complete(code);
    let mut virtual_mode = TestMachine::new(Mode::Bits16);
    virtual_mode.rflags |= 1 << 17;
    assert_eq!(virtual_mode.fault(code), Exception::UNDEFINED_OPCODE);
    let mut real = TestMachine::new(Mode::Bits16);
    real.paging.cr0 &= !1;
    assert_eq!(real.fault(code), Exception::UNDEFINED_OPCODE);
}

#[test]
fn mmx() {
    let mut machine = device(0x1122_3344_5566_7788);
    machine.mmx[3] = !0;
    // MOVQ and MOVD, both ways.
    machine.complete(&[0x0f, 0x6f, 0x1b]);
    assert_eq!(machine.mmx[3], 0x1122_3344_5566_7788);
    machine.complete(&[0x0f, 0x6e, 0x1b]);
    assert_eq!(machine.mmx[3], 0x5566_7788);
    machine.complete(&[0x0f, 0x7f, 0x1b]);
    assert_eq!(found(&machine), 0x5566_7788);
    for (change, exception) in [
        ((|machine| machine.paging.cr0 |= 4) as fn(&mut TestMachine), Exception::UNDEFINED_OPCODE),
        (|machine| machine.paging.cr0 |= 8, Exception::DEVICE_NOT_AVAILABLE),
        (|machine| machine.has_x87_error = true, Exception::X87),
    ] {
        let mut machine = device(0);
        change(&mut machine);
        assert_eq!(machine.fault(&[0x0f, 0x6f, 0x1b]), exception);
    }
}

/// MOVLPS and MOVHPS keep the other half, MOVSS and MOVSD clear what they don't fill.
#[test]
fn parts_of_xmm_registers() {
    let old = u128::from(MIN) << 64 | 5;
    for (code, expected) in [
        (&[0x0f, 0x12, 0x03][..], u128::from(MIN) << 64 | 0x1122_3344_5566_7788),
        (&[0x0f, 0x16, 0x03], 0x1122_3344_5566_7788 << 64 | 5),
        (&[0xf3, 0x0f, 0x10, 0x03], 0x5566_7788),
        (&[0xf2, 0x0f, 0x10, 0x03], 0x1122_3344_5566_7788),
    ] {
        let mut machine = device(0x1122_3344_5566_7788);
        machine.xmm[0] = old;
        machine.complete(code);
        assert_eq!(machine.xmm[0], expected, "{code:02x?}");
    }
}

/// Of a zero, both makers' BSF leaves the register as it is.
#[test]
fn makers_agree_on_a_scan_of_zero() {
    for vendor in [Vendor::Amd, Vendor::Intel] {
        let mut machine = device(0);
        machine.processor = Processor::full(vendor);
        machine.gprs[0] = MIN | 1;
        machine.complete(&[0x0f, 0xbd, 0x03]);
        assert_eq!(machine.gprs[0], MIN | 1);
    }
}

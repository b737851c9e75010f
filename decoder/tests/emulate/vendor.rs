//! What AMD's processors do otherwise than Intel's: each row of the table in `docs/decoder.md`, for both.

use super::far::{self, CODE, LONG_CODE, TOP, USER_CODE, USER_DATA, put_pointer, put_stack, stacked};
use super::segment::{GDT, descriptor};
use decoder::Vendor::{Amd, Intel};
use decoder::{Exception, Features, Mode, Outcome, Processor, Segment, Vendor};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

const AT: u64 = 0x8000;
/// RFLAGS.AC.
const AC: u64 = 1 << 18;

/// User code with alignment checks on, at a page of zeros.
fn machine(vendor: Vendor, mode: Mode) -> TestMachine {
    let mut machine = TestMachine::new(mode);
    machine.processor = Processor::full(vendor);
    machine.put(AT, &[0; 4096]);
    machine.cpl = 3;
    machine.rflags |= AC;
    machine
}

/// MOVUPS, MOVUPD and MOVDQU, both ways, at [BX + DI], [rCX] and [RCX].
const UNALIGNED: [&[u8]; 6] = [
    &[0x0f, 0x10, 0x01],
    &[0x0f, 0x11, 0x01],
    &[0x66, 0x0f, 0x10, 0x01],
    &[0x66, 0x0f, 0x11, 0x01],
    &[0xf3, 0x0f, 0x6f, 0x01],
    &[0xf3, 0x0f, 0x7f, 0x01],
];

#[test]
fn unaligned_moves_of_sixteen_bytes() {
    for mode in [Mode::Bits16, Mode::Bits32, Mode::Bits64] {
        for code in UNALIGNED {
            for (vendor, ac, cpl, misaligned, expected) in [
                (Amd, AC, 3, 1, Some(Exception::ALIGNMENT_CHECK)),
                (Amd, AC, 3, 8, Some(Exception::ALIGNMENT_CHECK)),
                (Amd, AC, 3, 0, None),
                (Amd, 0, 3, 1, None),
                (Amd, AC, 0, 1, None),
                (Intel, AC, 3, 1, None),
                (Intel, AC, 3, 8, None),
            ] {
                let mut machine = machine(vendor, mode);
                machine.rflags = 2 | ac;
                machine.cpl = cpl;
                machine.gprs[1] = AT + misaligned;
                machine.gprs[3] = AT + misaligned;
                let outcome = machine.run(code, 1);
                let done = Outcome::Done { single_step: false };
                let context = format!("{vendor:?} {mode:?} {code:02x?} AC {ac:x} CPL {cpl} +{misaligned}");
                assert_eq!(outcome, expected.map_or(done, Outcome::Exception), "{context}");
            }
        }
    }
}

/// The check comes before the page fault; where there is none, the page faults.
#[test]
fn unaligned_moves_to_no_page() {
    for code in UNALIGNED {
        let write = if matches!(code, [.., 0x11 | 0x7f, _]) { 2 } else { 0 };
        for (vendor, expected) in
            [(Amd, Exception::ALIGNMENT_CHECK), (Intel, Exception::page_fault(4 | write, AT + 1))]
        {
            let mut machine = machine(vendor, Mode::Bits64);
            Builder::new(&mut machine, Style::Four, 0x10_0000);
            machine.gprs[1] = AT + 1;
            assert_eq!(machine.fault(code), expected, "{vendor:?} {code:02x?}");
        }
    }
}

/// Smaller moves of XMM registers are checked by both.
#[test]
fn smaller_moves() {
    for vendor in [Amd, Intel] {
        let mut machine = machine(vendor, Mode::Bits64);
        machine.gprs[3] = AT + 1;
        assert_eq!(machine.fault(&[0xf3, 0x0f, 0x7e, 0x03]), Exception::ALIGNMENT_CHECK, "{vendor:?}");
    }
}

/// `movsxd ax, [rbx]`: two bytes or four.
#[test]
fn movsxd_to_sixteen_bits() {
    const MOVSXD: &[u8] = &[0x66, 0x63, 0x03];
    let non_canonical = Exception::GENERAL_PROTECTION;
    for (vendor, address, ac, expected) in [
        (Amd, AT, AC, None),
        (Amd, AT + 2, AC, Some(Exception::ALIGNMENT_CHECK)),
        (Amd, AT + 2, 0, None),
        (Amd, AT + 0xffe, 0, Some(Exception::page_fault(4, AT + 0x1000))),
        (Amd, 0x7fff_ffff_fffe, 0, Some(non_canonical)),
        (Intel, AT, AC, None),
        (Intel, AT + 2, AC, None),
        (Intel, AT + 1, AC, Some(Exception::ALIGNMENT_CHECK)),
        (Intel, AT + 0xffe, 0, None),
        (Intel, 0x7fff_ffff_fffe, 0, Some(Exception::page_fault(4, 0x7fff_ffff_fffe))),
    ] {
        let mut machine = machine(vendor, Mode::Bits64);
        let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
        tables.map(&mut machine, AT, AT, 7, 4);
        machine.rflags = 2 | ac;
        machine.gprs[0] = u64::MAX;
        machine.gprs[3] = address;
        let outcome = machine.run(MOVSXD, 1);
        let done = Outcome::Done { single_step: false };
        assert_eq!(outcome, expected.map_or(done, Outcome::Exception), "{vendor:?} {address:x} AC {ac:x}");
        let rax = if expected.is_none() { 0xffff_ffff_ffff_0000 } else { u64::MAX };
        assert_eq!(machine.gprs[0], rax, "{vendor:?} {address:x} AC {ac:x}");
    }
    // Into four bytes and eight both read four.
    for vendor in [Amd, Intel] {
        for code in [&[0x63, 0x03][..], &[0x48, 0x63, 0x03]] {
            let mut machine = machine(vendor, Mode::Bits64);
            machine.gprs[3] = AT + 2;
            assert_eq!(machine.fault(code), Exception::ALIGNMENT_CHECK, "{vendor:?} {code:02x?}");
        }
    }
}

/// A null selector in a data segment register: AMD's older processors leave the base.
#[test]
fn bases_behind_null_selectors() {
    for (vendor, clears, expected) in
        [(Amd, false, 0x1234), (Amd, true, 0), (Intel, false, 0), (Intel, true, 0)]
    {
        let mut machine = machine(vendor, Mode::Bits32);
        machine.processor.features.set(Features::NULL_CLEARS_BASE, clears);
        machine.segments[Segment::Gs as usize].base = 0x1234;
        machine.gprs[3] = AT;
        machine.complete(&[0x8e, 0x2b]);
        let gs = machine.segments[Segment::Gs as usize];
        assert_eq!((gs.base, gs.limit, gs.attributes), (expected, 0, 0), "{vendor:?} {clears}");
    }
}

/// An operand that is misaligned, and whose last bytes aren't canonical.
#[test]
fn alignment_and_the_end_of_canonical_addresses() {
    // `xor [rbx], rax` and `xor [rbp], rax`.
    for (code, non_canonical) in [
        (&[0x48, 0x31, 0x03][..], Exception::GENERAL_PROTECTION),
        (&[0x48, 0x31, 0x45, 0x00], Exception::STACK),
    ] {
        for (vendor, ac, expected) in [
            (Amd, AC, non_canonical),
            (Amd, 0, non_canonical),
            (Intel, AC, Exception::ALIGNMENT_CHECK),
            (Intel, 0, non_canonical),
        ] {
            let mut machine = machine(vendor, Mode::Bits64);
            machine.rflags = 2 | ac;
            (machine.gprs[3], machine.gprs[5]) = (0x7fff_ffff_fffc, 0x7fff_ffff_fffc);
            assert_eq!(machine.fault(code), expected, "{vendor:?} {code:02x?} AC {ac:x}");
        }
    }
}

/// The first byte is looked at before alignment by both, and an operand whose bytes are all canonical is #AC.
#[test]
fn alignment_within_canonical_addresses() {
    for vendor in [Amd, Intel] {
        let mut machine = machine(vendor, Mode::Bits64);
        machine.gprs[3] = 0x8000_0000_0001;
        assert_eq!(machine.fault(&[0x48, 0x31, 0x03]), Exception::GENERAL_PROTECTION, "{vendor:?}");
        machine.gprs[3] = 0x7fff_ffff_fff7;
        assert_eq!(machine.fault(&[0x48, 0x31, 0x03]), Exception::ALIGNMENT_CHECK, "{vendor:?}");
        machine.gprs[3] = 0xffff_8000_0000_0001;
        assert_eq!(machine.fault(&[0x48, 0x31, 0x03]), Exception::ALIGNMENT_CHECK, "{vendor:?}");
    }
}

/// REP CMPS and SCAS that fault in the third iteration: equal and unequal before it.
#[test]
fn flags_of_a_faulting_repetition() {
    const ZF: u64 = 1 << 6;
    // `repne scasb` for 80h over 1, 2: the last comparison, 80h - 2, overflows, and borrows into bit 3.
    let last = 2 | 1 << 11 | 1 << 4 | 1 << 2;
    for (vendor, expected) in [(Amd, last), (Intel, 2 | ZF)] {
        let mut machine = machine(vendor, Mode::Bits64);
        let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
        tables.map(&mut machine, AT, AT, 7, 4);
        machine.put(AT + 0xffe, &[1, 2]);
        machine.rflags = 2 | ZF;
        (machine.gprs[0], machine.gprs[1], machine.gprs[7]) = (0x80, 4, AT + 0xffe);
        assert_eq!(machine.fault(&[0xf2, 0xae]), Exception::page_fault(4, AT + 0x1000), "{vendor:?}");
        assert_eq!((machine.gprs[1], machine.rflags), (2, expected), "{vendor:?}");
    }
    // `repe cmpsb` of two equal bytes.
    for (vendor, expected) in [(Amd, 2 | ZF | 1 << 2), (Intel, 2 | 1)] {
        let mut machine = machine(vendor, Mode::Bits64);
        let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
        tables.map(&mut machine, AT, AT, 7, 4);
        machine.rflags = 2 | 1;
        (machine.gprs[1], machine.gprs[6], machine.gprs[7]) = (4, AT, AT + 0xffe);
        assert_eq!(machine.fault(&[0xf3, 0xa6]), Exception::page_fault(4, AT + 0x1000), "{vendor:?}");
        assert_eq!((machine.gprs[1], machine.rflags), (2, expected), "{vendor:?}");
    }
}

/// An offset from FS or GS that isn't canonical, in the first byte or in the last, with a sum that is:
/// measured on an EPYC of family 19h, with and without alignment checks.
#[test]
fn offsets_that_are_not_canonical() {
    let above = 0xffff_8000_0000_0000;
    for (base, linear, amd) in [
        (above, AT, false),
        (above, AT + 1, false),
        (0x7fff_ffff_0000, 0xffff_8000_1234_5670, false),
        (0x1_0000, 0xffff_8000_0000_0008, false),
        (0x1_0000, 0xffff_8000_0001_0000, true),
        (above, 0xffff_ffff_ffff_fff8, true),
        (above, 0xffff_ffff_ffff_fffc, false),
        (0x7fff_ffff_0000, 0xffff_ffff_ffff_fff8, true),
        (0xffff_ffff_ffff_0000, 0x7fff_fffe_fff8, true),
        (0xffff_ffff_ffff_0000, 0x7fff_fffe_fffc, false),
        (0x7fff_ffff_0000, AT, true),
    ] {
        // `mov rax, fs:[rbx]` and `mov rax, gs:[rbx]`.
        for (prefix, segment) in [(0x64, Segment::Fs), (0x65, Segment::Gs)] {
            for vendor in [Amd, Intel] {
                let mut machine = machine(vendor, Mode::Bits64);
                let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
                tables.map(&mut machine, AT, AT, 7, 4);
                machine.rflags = 2;
                machine.segments[segment as usize].base = base;
                machine.gprs[3] = u64::wrapping_sub(linear, base);
                let outcome = machine.run(&[prefix, 0x48, 0x8b, 0x03], 1);
                let context = format!("{vendor:?} {segment:?} {base:x} {linear:x}");
                let refused = outcome == Outcome::Exception(Exception::GENERAL_PROTECTION);
                assert_eq!(refused, vendor == Amd && !amd, "{context}: {outcome:?}");
            }
        }
    }
}

/// `call far [rbx]` with REX.W: the pointer's offset has four bytes or eight, what is pushed has eight.
#[test]
fn far_calls_with_rex_w() {
    for vendor in [Amd, Intel] {
        let mut machine = far::machine(Mode::Bits64, 3);
        machine.processor = Processor::full(vendor);
        put_pointer(&mut machine, 0x4321, LONG_CODE);
        if vendor == Intel {
            machine.put_device(far::AT, &0x4321u64.to_le_bytes());
            machine.put_device(far::AT + 8, &LONG_CODE.to_le_bytes());
        }
        far::done(&mut machine, &[0x48, 0xff, 0x1b]);
        assert_eq!((machine.rip, machine.gprs[4]), (0x4321, TOP - 16), "{vendor:?}");
        let pushed = (stacked(&machine, 8, 0), stacked(&machine, 8, 1));
        assert_eq!(pushed, (0x1003, USER_CODE.into()), "{vendor:?}");
    }
}

/// `call [ebx]` whose target is beyond the code segment's limit, on a stack that ends before its top.
#[test]
fn near_calls_that_fault_twice() {
    for (vendor, expected) in [(Amd, Exception::STACK), (Intel, Exception::GENERAL_PROTECTION)] {
        let mut machine = machine(vendor, Mode::Bits32);
        machine.rflags = 2;
        machine.put(AT, &0x5000_u32.to_le_bytes());
        (machine.gprs[3], machine.gprs[4]) = (AT, AT + 0x100);
        machine.segments[Segment::Cs as usize].limit = 0x4fff;
        machine.segments[Segment::Ss as usize].limit = AT as u32 + 0xfe;
        assert_eq!(machine.fault(&[0xff, 0x13]), expected, "{vendor:?}");
    }
}

/// The same for `call far [ebx]`, where the segment is looked at first by both; the stack is in a page that
/// is not there.
#[test]
fn far_calls_that_fault_twice() {
    let stack = Exception::page_fault(6, TOP + 0xffc);
    for (vendor, selector, offset, expected) in [
        (Amd, USER_DATA, 0, refused(USER_DATA)),
        (Amd, USER_CODE, 0x2_0000, stack),
        (Amd, USER_CODE, 0, stack),
        (Intel, USER_DATA, 0, refused(USER_DATA)),
        (Intel, USER_CODE, 0x2_0000, Exception::GENERAL_PROTECTION),
        (Intel, USER_CODE, 0, stack),
    ] {
        let mut machine = with_a_stack(vendor, Mode::Bits32);
        let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
        for page in [GDT & !0xfff, far::AT] {
            tables.map(&mut machine, page, page, 7, 4);
        }
        // Code that ends at 64 KiB.
        machine.put(GDT + u64::from(USER_CODE & !7), &descriptor(0, 0xf, 0xcfb).to_le_bytes());
        machine.gprs[4] = TOP + 0x1000;
        put_pointer(&mut machine, offset, selector);
        assert_eq!(machine.fault(&[0xff, 0x1b]), expected, "{vendor:?} {selector:x} {offset:x}");
    }
}

/// User code in page tables, in which the page behind that of the stack is not there.
fn with_a_stack(vendor: Vendor, mode: Mode) -> TestMachine {
    let mut machine = far::machine(mode, 3);
    machine.processor = Processor::full(vendor);
    let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
    for page in [GDT & !0xfff, TOP] {
        tables.map(&mut machine, page, page, 7, 4);
    }
    machine
}

fn refused(selector: u16) -> Exception {
    Exception { error_code: Some((selector & !3).into()), ..Exception::GENERAL_PROTECTION }
}

/// RETF with parameters, to code of level 0, which is not allowed, and to what is no code, of the same level.
/// The outer stack's pointer would lie in the next page. Measured on an EPYC of family 1Ah, as what follows.
#[test]
fn far_returns_and_the_outer_stack() {
    for mode in [Mode::Bits32, Mode::Bits64] {
        for (vendor, selector, expected) in [
            (Amd, CODE, Exception::page_fault(4, TOP + 0x100c)),
            (Amd, 0, Exception::page_fault(4, TOP + 0x100c)),
            (Amd, USER_DATA, refused(USER_DATA)),
            (Intel, CODE, refused(CODE)),
            (Intel, 0, Exception::GENERAL_PROTECTION),
            (Intel, USER_DATA, refused(USER_DATA)),
        ] {
            let mut machine = with_a_stack(vendor, mode);
            put_stack(&mut machine, &[0x4321, selector.into()], 4);
            let fault = machine.fault(&[0xca, 0x00, 0x10]);
            assert_eq!(fault, expected, "{vendor:?} {mode:?} {selector:x}");
        }
    }
}

/// Of the outer stack's pointer SS comes first, then rSP.
#[test]
fn places_of_the_outer_stack() {
    let mut machine = with_a_stack(Amd, Mode::Bits64);
    // The page behind the one that is not there.
    let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
    for page in [GDT & !0xfff, TOP, TOP + 0x2000] {
        tables.map(&mut machine, page, page, 7, 4);
    }
    put_stack(&mut machine, &[0x4321, CODE.into()], 4);
    // rSP's is the last of a page, SS's is the first of the next one.
    assert_eq!(machine.fault(&[0xca, 0xf4, 0x1f]), Exception::page_fault(4, TOP + 0x1ffc));
    assert_eq!(machine.fault(&[0xca, 0xf0, 0x1f]), Exception::page_fault(4, TOP + 0x1ffc));
}

/// The same for IRET, whose frame ends in the next page. That of 64-bit code always has SS and RSP.
#[test]
fn interrupt_returns_and_the_outer_stack() {
    let last = TOP + 0x1000;
    for (vendor, mode, selector, expected) in [
        (Amd, Mode::Bits32, CODE, Exception::page_fault(4, last + 4)),
        (Amd, Mode::Bits32, USER_DATA, refused(USER_DATA)),
        (Amd, Mode::Bits64, CODE, Exception::page_fault(4, last + 4)),
        (Amd, Mode::Bits64, USER_DATA, Exception::page_fault(4, last + 4)),
        (Intel, Mode::Bits32, CODE, refused(CODE)),
        (Intel, Mode::Bits64, CODE, refused(CODE)),
        (Intel, Mode::Bits64, USER_DATA, refused(USER_DATA)),
    ] {
        let mut machine = with_a_stack(vendor, mode);
        machine.gprs[4] = last - 12;
        let frame = [0x4321, u32::from(selector), 2];
        machine.put(machine.gprs[4], &frame.map(u32::to_le_bytes).concat());
        assert_eq!(machine.fault(&[0xcf]), expected, "{vendor:?} {mode:?} {selector:x}");
    }
}

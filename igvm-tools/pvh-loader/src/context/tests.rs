//! Contexts that can be set, and each register that can't.

use std::format;
use std::string::ToString;

use super::*;
use crate::testing::{TestMemory, context};

const RIP: u64 = 0xffff_ffff_8000_0000;

fn register(register: &'static str, value: u64) -> ContextError {
    ContextError::Register { register, value }
}

#[test]
fn a_sound_context() {
    let sound = context(RIP, 0x20_4000);
    assert_eq!(check(&sound), Ok(()));
    let gdt = gdt(&sound).unwrap();
    assert_eq!(gdt[..3], [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff]);
    // Descriptors without the accessed bit, other selectors, all the arithmetic flags.
    let mut other = sound;
    (other.code_selector, other.code_attributes) = (0x38, 0xa09a);
    (other.data_selector, other.data_attributes) = (0x08, 0xcf92);
    other.rflags = 0xcd7;
    assert_eq!(check(&other), Ok(()));
    assert_eq!(super::gdt(&other).unwrap()[7], 0x00af_9a00_0000_ffff);
}

#[test]
fn registers() {
    type Change = fn(&mut IgvmNativeVpContextX64);
    let cases: [(Change, ContextError); 24] = [
        (|c| c.cr0 = 0x11, register("CR0", 0x11)),
        (|c| c.cr0 |= 1 << 30, register("CR0", 0xc001_0031)),
        (|c| c.cr4 = 0, register("CR4", 0)),
        (|c| c.cr4 |= 1 << 12, register("CR4", 0x1020)), // 5 levels
        (|c| c.cr4 |= 1 << 17, register("CR4", 0x2_0020)), // PCID
        (|c| c.efer = 0x900, register("EFER", 0x900)),
        (|c| c.efer |= 1 << 12, register("EFER", 0x1d00)),
        (|c| c.rflags = 0, register("RFLAGS", 0)),
        (|c| c.rflags = 0x202, register("RFLAGS", 0x202)), // interrupts on
        (|c| c.rflags = 0x102, register("RFLAGS", 0x102)), // trap
        (|c| c.cr3 = 0x20_4001, register("CR3", 0x20_4001)),
        (|c| c.cr3 = 1 << 32, register("CR3", 1 << 32)),
        (|c| c.rax = 0, ContextError::RaxIsNotCr3 { rax: 0, cr3: 0x20_4000 }),
        (|c| c.rip = 0x20_0000, register("RIP", 0x20_0000)),
        (|c| c.rip = UPPER_HALF + 2, register("RIP", UPPER_HALF + 2)),
        (|c| c.gdtr_base = 1 << 47, register("GDTR", 1 << 47)),
        (|c| c.idtr_base = UPPER_HALF - 1, register("IDTR", UPPER_HALF - 1)),
        (|c| c.gs_base = 1 << 63, register("GS base", 1 << 63)),
        (|c| c.code_attributes = 0xc09b, ContextError::Segment("code")), // 32-bit
        (|c| c.code_selector = 0, ContextError::Segment("code")),
        (|c| c.code_selector = 0x40, ContextError::Segment("code")),
        (|c| c.code_base = 1, ContextError::Segment("code")),
        (|c| c.data_selector = 0x08, ContextError::Segment("data")),
        (|c| c.data_attributes = 0xc0f3, ContextError::Segment("data")), // DPL 3
    ];
    for (index, (change, error)) in cases.into_iter().enumerate() {
        let mut context = context(RIP, 0x20_4000);
        change(&mut context);
        assert_eq!(check(&context), Err(error), "case {index}");
    }
}

/// Each bit of the registers that have needed and forbidden ones, the other way round.
#[test]
fn bits_that_may_be_changed() {
    type Register = fn(&mut IgvmNativeVpContextX64) -> &mut u64;
    let registers: [(&str, Register, u64); 4] = [
        ("CR0", |c| &mut c.cr0, 0x0005_003e), // AM, WP, NE, ET, TS, EM, MP
        ("CR4", |c| &mut c.cr4, 0x6d8),       // OSXMMEXCPT, OSFXSR, PGE, MCE, PSE, DE
        ("EFER", |c| &mut c.efer, 0x801),     // NXE, SCE
        ("RFLAGS", |c| &mut c.rflags, 0xcd5), // OF, DF, SF, ZF, AF, PF, CF
    ];
    for (name, register, free) in registers {
        for bit in 0..64 {
            let mut context = context(RIP, 0x20_4000);
            *register(&mut context) ^= 1 << bit;
            let value = *register(&mut context);
            let expected = if free >> bit & 1 != 0 { Ok(()) } else { Err(self::register(name, value)) };
            assert_eq!(check(&context), expected, "{name}, bit {bit}");
        }
    }
}

#[test]
fn entry_and_stack() {
    // Identity-like tables for the last 2 GiB: one 1 GiB page at RIP.
    let mut memory = TestMemory::new(0x1000, 0x3000);
    memory.bytes.fill(0);
    let put = |memory: &mut TestMemory, entry: u64| {
        memory.put(0x1000 + 511 * 8, &0x2003u64.to_le_bytes());
        memory.put(0x2000 + 510 * 8, &entry.to_le_bytes());
    };
    let mut start = context(RIP + 0x1000, 0x1000);
    assert_eq!(check_mapped(&start, &memory), Err(ContextError::EntryUnmapped(start.rip)));
    put(&mut memory, 0x83);
    assert_eq!(check_mapped(&start, &memory), Ok(()));
    put(&mut memory, 0x83 | 1 << 63);
    assert_eq!(check_mapped(&start, &memory), Err(ContextError::EntryUnmapped(start.rip)));
    put(&mut memory, 0x4000_0083); // no memory behind it
    assert_eq!(check_mapped(&start, &memory), Err(ContextError::EntryUnmapped(start.rip)));

    put(&mut memory, 0x83);
    for (rsp, fine) in [(0, true), (RIP + 8, true), (RIP, false), (RIP + (1 << 30), true), (0x1000, false)] {
        start.rsp = rsp;
        assert_eq!(check_mapped(&start, &memory).is_ok(), fine, "{rsp:#x}");
    }
    put(&mut memory, 0x81);
    start.rsp = RIP + 8;
    assert_eq!(check_mapped(&start, &memory), Err(ContextError::StackUnmapped(start.rsp)));
}

/// Whatever the context switches on has to be there; what it does not need not.
#[test]
fn what_the_processor_lacks() {
    let mut all = context(RIP, 0x20_4000);
    (all.efer, all.cr4) = (0xd01, 0x6f8);
    let whole = Processor { basic: u32::MAX, extended: u32::MAX };
    assert_eq!(check_processor(&all, whole), Ok(()));
    let mut none = all;
    (none.efer, none.cr4) = (0x500, 0x20);
    assert_eq!(check_processor(&none, Processor { basic: 0, extended: 0 }), Ok(()));
    for (bit, extended, name) in [
        (20, true, "NX"),
        (11, true, "SYSCALL"),
        (2, false, "DE"),
        (3, false, "PSE"),
        (7, false, "MCE"),
        (13, false, "PGE"),
        (24, false, "FXSR"),
        (25, false, "SSE"),
    ] {
        let mut lacking = whole;
        *(if extended { &mut lacking.extended } else { &mut lacking.basic }) &= !(1 << bit);
        let error = check_processor(&all, lacking).unwrap_err().to_string();
        assert!(error.contains(&format!("lacks {name}")), "{name}: {error}");
    }
}

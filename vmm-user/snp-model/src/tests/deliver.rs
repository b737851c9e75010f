//! Exceptions on their way, and what becomes of those that fail.

mod protected;

use std::collections::BTreeMap;
use std::vec::Vec;

use plinth_snp_abi::exit::{CPUID, VC_VECTOR};
use plinth_snp_abi::vmsa::{EventInfo, EventType, Segment};

use crate::deliver::{
    AccessFault, CR0_PE, EFER_LMA, Event, LinearMemory, Outcome, Registers, deliver, vector,
};

const GDT: u64 = 0x1000;
const IDT: u64 = 0x2000;
const TSS: u64 = 0x3000;
/// Code of CPL 0 and 3, conforming code, 32-bit code, data of CPL 0 and 3.
const KERNEL: u16 = 0x08;
const USER: u16 = 0x1b;
const CONFORMING: u16 = 0x20;
const CODE_32: u16 = 0x28;
const DATA: u16 = 0x30;
const STACK_SELECTOR: u16 = 0x18;
const TASK: u16 = 0x38;
const HANDLER: u64 = 0xffff_8000_0000_1000;
const STACK: u64 = 0x8010;
const RSP0: u64 = 0x9000;
const IST2: u64 = 0xa008;

/// Memory with pages that raise something.
struct Memory {
    bytes: BTreeMap<u64, u8>,
    faults: Vec<(u64, AccessFault)>,
}

impl Memory {
    fn put(&mut self, address: u64, bytes: &[u8]) {
        self.bytes.extend((address..).zip(bytes.iter().copied()));
    }

    fn word(&self, address: u64) -> u64 {
        let byte = |at| self.bytes.get(&at).copied().unwrap_or(0);
        (0..8).rev().fold(0, |word, at| word << 8 | u64::from(byte(address + at)))
    }

    fn check(&self, address: u64) -> Result<(), AccessFault> {
        let found = self.faults.iter().find(|(page, _)| *page == address & !0xfff);
        found.map_or(Ok(()), |(_, fault)| Err(*fault))
    }

    fn fail(&mut self, page: u64, error_code: u32) {
        self.faults.push((page, AccessFault::PageFault { address: page, error_code }));
    }
}

impl LinearMemory for Memory {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), AccessFault> {
        self.check(address)?;
        for (at, byte) in (address..).zip(bytes) {
            *byte = self.bytes.get(&at).copied().unwrap_or(0);
        }
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), AccessFault> {
        self.check(address)?;
        self.put(address, bytes);
        Ok(())
    }
}

fn gate(memory: &mut Memory, vector: u8, selector: u16, rights: u8, ist: u8, offset: u64) {
    let [a, b, c, d, e, f, g, h] = offset.to_le_bytes();
    let [low, high] = selector.to_le_bytes();
    let gate = [a, b, low, high, ist, rights, c, d, e, f, g, h, 0, 0, 0, 0];
    memory.put(IDT + u64::from(vector) * 16, &gate);
}

fn machine() -> (Registers, Memory) {
    let mut memory = Memory { bytes: BTreeMap::new(), faults: Vec::new() };
    for (selector, descriptor) in [
        (KERNEL, 0x00af_9b00_0000_ffff_u64),
        (0x10, 0x00af_1b00_0000_ffff),
        (USER & !3, 0x00af_fb00_0000_ffff),
        (CONFORMING, 0x00af_9f00_0000_ffff),
        (CODE_32, 0x00cf_9b00_0000_ffff),
        (DATA, 0x00cf_9300_0000_ffff),
    ] {
        memory.put(GDT + u64::from(selector), &descriptor.to_le_bytes());
    }
    memory.put(TSS + 4, &RSP0.to_le_bytes());
    memory.put(TSS + 0x2c, &IST2.to_le_bytes());
    for number in 0..32 {
        gate(&mut memory, number, KERNEL, 0x8e, 0, HANDLER + u64::from(number) * 16);
    }
    let table = |base, limit| Segment { base, limit, ..Segment::default() };
    let registers = Registers {
        rip: 0x40_1234,
        rsp: STACK,
        rflags: 0x1_0302 | 1 << 14,
        cr0: CR0_PE | 1 << 31,
        cr2: 0x77,
        efer: EFER_LMA | 1 << 8,
        cpl: 0,
        cs: Segment { selector: KERNEL, attributes: 0xa9b, ..Segment::default() },
        ss: Segment { selector: DATA, attributes: 0xc93, ..Segment::default() },
        gdtr: table(GDT, 0x3f),
        ldtr: table(0, 0),
        idtr: table(IDT, 0x1ff),
        tr: Segment { selector: TASK, ..table(TSS, 0x67) },
    };
    (registers, memory)
}

fn vc() -> Event {
    Event::vc(CPUID)
}

fn handler(vector: u8) -> u64 {
    HANDLER + u64::from(vector) * 16
}

#[test]
fn frame_on_the_same_stack() {
    let (mut registers, mut memory) = machine();
    let before = registers;
    assert_eq!(deliver(&mut registers, &mut memory, vc()), Outcome::Delivered(VC_VECTOR));
    let rsp = STACK - 48;
    let pushed: Vec<_> = (0..6).map(|word| memory.word(rsp + word * 8)).collect();
    let old = [CPUID, 0x40_1234, u64::from(KERNEL), before.rflags, STACK, u64::from(DATA)];
    assert_eq!(pushed, old);
    // TF, IF, NT and RF are gone.
    let cs = Segment { selector: KERNEL, attributes: 0xa9b, limit: !0, base: 0 };
    let after = Registers { rip: handler(VC_VECTOR), rsp, rflags: 2, cs, ..before };
    assert_eq!(registers, after);
}

#[test]
fn stacks() {
    for (cpl, ist, rsp, error_code, top, ss) in [
        (0, 0, 0x8018, Some(1), 0x8010, DATA),
        (0, 0, 0x801f, None, 0x8010, DATA),
        (0, 2, 0x8010, Some(1), 0xa000, DATA),
        (3, 0, 0x8010, Some(1), 0x9000, 0),
        (3, 2, 0x8010, Some(1), 0xa000, 0),
    ] {
        let (mut registers, mut memory) = machine();
        gate(&mut memory, VC_VECTOR, KERNEL, 0x8f, ist, HANDLER);
        (registers.cpl, registers.rsp) = (cpl, rsp);
        let event = Event { error_code, ..vc() };
        assert_eq!(deliver(&mut registers, &mut memory, event), Outcome::Delivered(VC_VECTOR));
        let bytes = if error_code.is_some() { 48 } else { 40 };
        assert_eq!(
            (registers.rsp, registers.cpl, registers.ss.selector),
            (top - bytes, 0, ss),
            "{cpl} {ist}"
        );
        assert_eq!(memory.word(registers.rsp), error_code.map_or(0x40_1234, u64::from));
        assert_eq!(memory.word(top - 16), rsp);
        // A trap gate leaves IF alone.
        assert_eq!(registers.rflags, 0x202);
    }
}

#[test]
fn conforming_code_keeps_the_cpl() {
    let (mut registers, mut memory) = machine();
    gate(&mut memory, VC_VECTOR, CONFORMING, 0x8e, 0, HANDLER);
    registers.cpl = 3;
    assert_eq!(deliver(&mut registers, &mut memory, vc()), Outcome::Delivered(VC_VECTOR));
    assert_eq!((registers.cpl, registers.cs.selector, registers.rsp), (3, CONFORMING | 3, STACK - 48));
}

/// What is wrong with the way to the handler, and the exception that takes its place: vector, error code.
#[test]
fn faults_on_the_way() {
    type Break = fn(&mut Registers, &mut Memory);
    let at_vc = u32::from(VC_VECTOR) << 3 | 3;
    let table: [(Break, u8, u32); 15] = [
        (|registers, _| registers.idtr.limit = 0x1de, vector::GP, at_vc),
        (|_, memory| gate(memory, VC_VECTOR, KERNEL, 0x8c, 0, HANDLER), vector::GP, at_vc),
        (|_, memory| gate(memory, VC_VECTOR, KERNEL, 0x85, 0, HANDLER), vector::GP, at_vc),
        (|_, memory| gate(memory, VC_VECTOR, KERNEL, 0x0e, 0, HANDLER), vector::NP, at_vc),
        (|_, memory| gate(memory, VC_VECTOR, 3, 0x8e, 0, HANDLER), vector::GP, 1),
        (|_, memory| gate(memory, VC_VECTOR, 0x40, 0x8e, 0, HANDLER), vector::GP, 0x41),
        (|_, memory| gate(memory, VC_VECTOR, 0x0c, 0x8e, 0, HANDLER), vector::GP, 0x0d),
        (|_, memory| gate(memory, VC_VECTOR, DATA, 0x8e, 0, HANDLER), vector::GP, 0x31),
        (|_, memory| gate(memory, VC_VECTOR, CODE_32, 0x8e, 0, HANDLER), vector::GP, 0x29),
        (|_, memory| gate(memory, VC_VECTOR, USER, 0x8e, 0, HANDLER), vector::GP, 0x19),
        (|_, memory| gate(memory, VC_VECTOR, 0x10, 0x8e, 0, HANDLER), vector::NP, 0x11),
        (|_, memory| gate(memory, VC_VECTOR, KERNEL, 0x8e, 0, 1 << 47), vector::GP, 1),
        (|_, memory| gate(memory, VC_VECTOR, KERNEL, 0x8e, 7, HANDLER), vector::PF, 2),
        (
            |registers, memory| {
                gate(memory, VC_VECTOR, KERNEL, 0x8e, 2, HANDLER);
                registers.tr.limit = 0x32;
            },
            vector::TS,
            u32::from(TASK) | 1,
        ),
        (
            |_, memory| {
                gate(memory, VC_VECTOR, KERNEL, 0x8e, 3, HANDLER);
                memory.put(TSS + 0x34, &(1_u64 << 63).to_le_bytes());
            },
            vector::SS,
            1,
        ),
    ];
    for (number, (damage, vector, error_code)) in table.into_iter().enumerate() {
        let (mut registers, mut memory) = machine();
        // IST7 is 0: the frame goes below the end of the address space.
        memory.fail(0u64.wrapping_sub(0x1000), 2);
        damage(&mut registers, &mut memory);
        let outcome = deliver(&mut registers, &mut memory, vc());
        assert_eq!(outcome, Outcome::Delivered(vector), "{number}");
        assert_eq!(memory.word(registers.rsp), u64::from(error_code), "{number}");
        assert_eq!((registers.rip, memory.word(registers.rsp + 8)), (handler(vector), 0x40_1234), "{number}");
        let cr2 = if vector == vector::PF { 0u64.wrapping_sub(0x1000) } else { 0x77 };
        assert_eq!(registers.cr2, cr2, "{number}");
    }
}

#[test]
fn software_interrupts() {
    let event = Event { vector: 0x1e, error_code: None, kind: EventType::Software, cr2: None };
    for (rights, cpl, outcome) in [
        (0xee, 3, Outcome::Delivered(0x1e)),
        (0x8e, 0, Outcome::Delivered(0x1e)),
        (0x8e, 3, Outcome::Delivered(vector::GP)),
    ] {
        let (mut registers, mut memory) = machine();
        gate(&mut memory, 0x1e, KERNEL, rights, 0, HANDLER);
        registers.cpl = cpl;
        assert_eq!(deliver(&mut registers, &mut memory, event), outcome, "{rights:#x} {cpl}");
        if outcome == Outcome::Delivered(vector::GP) {
            // Not external.
            assert_eq!(memory.word(registers.rsp), 0x1e << 3 | 2);
        }
    }
}

/// Which gates can't be read, and what is delivered in the end, or not.
#[test]
fn double_faults_and_shutdown() {
    let absent = |vectors: &[u8]| {
        let (registers, mut memory) = machine();
        for vector in vectors {
            gate(&mut memory, *vector, KERNEL, 0x0e, 0, HANDLER);
        }
        (registers, memory)
    };
    use vector::{DF, GP, NP, PF, SS, TS};
    for (first, vectors, outcome) in [
        // #VC is benign: what fails in its delivery is delivered by itself.
        (VC_VECTOR, &[VC_VECTOR][..], Outcome::Delivered(NP)),
        (VC_VECTOR, &[VC_VECTOR, NP], Outcome::Delivered(DF)),
        (VC_VECTOR, &[VC_VECTOR, NP, DF], Outcome::Shutdown),
        (GP, &[GP], Outcome::Delivered(DF)),
        (TS, &[TS], Outcome::Delivered(DF)),
        (SS, &[SS], Outcome::Delivered(DF)),
        (PF, &[PF], Outcome::Delivered(DF)),
        (PF, &[PF, DF], Outcome::Shutdown),
        (DF, &[DF], Outcome::Shutdown),
        (6, &[6], Outcome::Delivered(NP)),
    ] {
        let (mut registers, mut memory) = absent(vectors);
        let before = registers;
        let event = Event::fault(first, 0);
        assert_eq!(deliver(&mut registers, &mut memory, event), outcome, "{first} {vectors:?}");
        match outcome {
            Outcome::Delivered(DF) => assert_eq!(memory.word(registers.rsp), 0),
            Outcome::Shutdown => assert_eq!(registers, before),
            _ => {}
        }
    }
    // An interrupt is no exception, whatever its vector.
    let (mut registers, mut memory) = absent(&[GP]);
    let interrupt = Event { vector: GP, error_code: None, kind: EventType::Interrupt, cr2: None };
    gate(&mut memory, NP, KERNEL, 0x8e, 0, HANDLER);
    assert_eq!(deliver(&mut registers, &mut memory, interrupt), Outcome::Delivered(NP));
    // A page fault behind a contributory exception is none of a double fault.
    let (mut registers, mut memory) = machine();
    gate(&mut memory, GP, KERNEL, 0x8e, 2, HANDLER);
    memory.fail(0x9000, 2);
    assert_eq!(deliver(&mut registers, &mut memory, Event::fault(GP, 0)), Outcome::Delivered(PF));
    assert_eq!(registers.cr2, 0x9000);
}

#[test]
fn pages_that_are_not_validated() {
    // The stack is not validated, and the handler of #VC has another one.
    let stack = (0x7000, AccessFault::NotValidated { address: 0x7fe0 });
    let (mut registers, mut memory) = machine();
    registers.rsp = 0x8000;
    memory.faults.push(stack);
    gate(&mut memory, VC_VECTOR, KERNEL, 0x8e, 2, handler(VC_VECTOR));
    let outcome = deliver(&mut registers, &mut memory, Event::fault(vector::GP, 0));
    assert_eq!(outcome, Outcome::Delivered(VC_VECTOR));
    assert_eq!((memory.word(registers.rsp), registers.cr2), (0x404, 0x7fe0));
    // It has not.
    gate(&mut memory, VC_VECTOR, KERNEL, 0x8e, 0, handler(VC_VECTOR));
    registers.rsp = 0x8000;
    assert_eq!(deliver(&mut registers, &mut memory, vc()), Outcome::Endless);
}

#[test]
fn nested_page_faults_interrupt() {
    for page in [GDT, IDT, 0x7000] {
        let (mut registers, mut memory) = machine();
        registers.rsp = 0x8000;
        let before = registers;
        memory.faults.push((page, AccessFault::NestedPageFault));
        assert_eq!(deliver(&mut registers, &mut memory, vc()), Outcome::Interrupted(vc()), "{page:#x}");
        assert_eq!(registers, before);
        // Once more, when the host has done what it had to.
        memory.faults.clear();
        assert_eq!(deliver(&mut registers, &mut memory, vc()), Outcome::Delivered(VC_VECTOR));
    }
}

#[test]
fn events_as_the_vmsa_has_them() {
    assert_eq!(vc().to_info(), EventInfo(0x72_8000_0b1d));
    assert_eq!(Event::from_info(EventInfo(0x72_8000_0b1d)), Some(vc()));
    assert_eq!(Event::from_info(EventInfo(0x72_0000_0b1d)), None);
    assert_eq!(Event::from_info(EventInfo(0x8000_0700)), None);
    assert_eq!(Event::from_info(EventInfo(0x8000_0480)).unwrap().kind, EventType::Software);
}

//! Running cases on both sides and comparing what came of them.

#[cfg(test)]
mod tests;

use super::cases::{self, Case, Form};
use super::descriptors;
use super::mapping::{self, DATA, PAGE, RIGHTS, Right};
use super::processor::{self, Ending, Registers};
use super::twin::Twin;
use crate::random::Random;
use decoder::{Attributes, Exception, Instruction, Mode, Operation, Outcome, Processor, Size, vector};

/// A run ends early when it has found so many.
const MAX_DIFFERENCES: usize = 20;
const BREAKPOINT: u8 = 3;
/// CF, PF, AF, ZF, SF, OF, DF, AC.
const COMPARED_FLAGS: u64 = 0x8d5 | 1 << 10 | 1 << 18;
const CF: u64 = 1;
const ZF: u64 = 0x40;
const AF: u64 = 0x10;
const PF: u64 = 4;
const SF: u64 = 0x80;
const OF: u64 = 0x800;

/// What a run of cases found.
#[derive(Debug, Default)]
pub struct Report {
    /// The processor compared with.
    pub processor: Option<Processor>,
    /// Why only 64-bit code was run, if that was so.
    pub no_segments: Option<std::io::Error>,
    /// Accepted encodings that were tested: opcode, ModRM.reg, mandatory prefix, mode.
    pub forms: usize,
    /// Cases that both sides ran.
    pub cases: u64,
    /// Of those, in 64-, 32- and 16-bit code.
    pub by_mode: [u64; 3],
    /// Of those, how many faulted.
    pub faults: u64,
    /// Of those, CMPS where both operands fault, and the processor showed rSI's, the emulator rDI's.
    pub source_faults: u64,
    /// The fewest cases any form had.
    pub fewest: u64,
    /// Differences, each told in a paragraph; at most twenty.
    pub differences: Vec<String>,
}

/// Runs at least `cases` cases over all forms, the same ones for the same `seed`. To be called once in a
/// process that has one thread.
pub fn run(seed: u64, cases: u64) -> Report {
    mapping::set_up();
    let no_segments = descriptors::set_up().err();
    processor::set_up();
    let mut random = Random::new(seed);
    let this = this_processor();
    let mut forms = cases::forms(this);
    if no_segments.is_some() {
        forms.retain(|form| form.mode == Mode::Bits64);
    }
    let mut report = Report {
        processor: Some(this),
        forms: forms.len(),
        fewest: u64::MAX,
        no_segments,
        ..Report::default()
    };
    let mut twin = Twin::new(this);
    // So many of each form, however few of its draws make one: rare forms are not to be short of cases.
    let each = cases.div_ceil(forms.len() as u64);
    for form in &forms {
        let before = report.cases;
        // Prefixes and addresses that are drawn don't always make a case of this form.
        for _ in 0..each * 8 {
            if report.cases - before < each {
                try_case(form, &mut random, &mut twin, &mut report);
            }
        }
        report.fewest = report.fewest.min(report.cases - before);
        if report.differences.len() >= MAX_DIFFERENCES {
            break;
        }
    }
    report
}

/// The processor this runs on, by its own CPUID.
fn this_processor() -> Processor {
    Processor::from_cpuid(|leaf| {
        let answer = core::arch::x86_64::__cpuid_count(leaf, 0);
        [answer.eax, answer.ebx, answer.ecx, answer.edx]
    })
}

fn try_case(form: &Form, random: &mut Random, twin: &mut Twin, report: &mut Report) {
    let Some(case) = Case::draw(form, twin.processor, random) else { return };
    // Whatever the processor makes of it, nobody has promised that.
    if case.instruction.is_some_and(|found| is_result_undefined(&found, case.registers.gprs[1])) {
        return;
    }
    // What earlier cases have left elsewhere stays, on both sides alike: as good as any data, and nothing to
    // copy.
    for &(address, bytes) in &case.fills {
        fill(twin, address, &bytes);
    }
    twin.registers = case.registers;
    twin.segments = case.segments;
    let selectors = &case.selectors;
    twin.selectors = [selectors.es, selectors.cs, selectors.ss, selectors.ds, 0, selectors.gs];
    twin.is_unsafe = false;
    let outcome = match &case.instruction {
        // More iterations than a case's rCX has.
        Some(instruction) => decoder::emulate(instruction, twin, 100),
        None => Outcome::Exception(decoder::Exception::UNDEFINED_OPCODE),
    };
    let other_fault = source_fault(&case, twin, outcome);
    // Not given to the processor: it might write into this program, or go on somewhere in it.
    if twin.is_unsafe || matches!(outcome, Outcome::Stop(_)) || is_lost(&case, twin, outcome) {
        undo(twin);
        return;
    }
    // Only now, when the case is known to be run.
    mapping::set_code(case.offset, &case.code);
    let ending = processor::run(&case.registers, &case.selectors);
    report.cases += 1;
    report.by_mode[2 - case.mode as usize] += 1;
    report.faults += u64::from(ending.vector != BREAKPOINT);
    let agreement = compare_registers(&case, twin, outcome, other_fault, &ending);
    if outcome != (Outcome::Done { single_step: false }) && stores_before_fault(&case) {
        // What the processor has stored before the fault is free to differ.
        undo(twin);
    }
    match agreement.and_then(|agreement| compare_memory(twin).map(|()| agreement)) {
        Ok(Agreement::Same) => {}
        Ok(Agreement::SourceFault) => report.source_faults += 1,
        Err(difference) => {
            report.differences.push(describe(&difference, &case, twin, outcome, &ending));
            // From the processor, so that one difference is not found again in every case after it.
            undo(twin);
        }
    }
}

/// Whether two ends are faults of a far return's frame.
fn is_of_the_same_frame(case: &Case, one: Fault, other: Fault) -> bool {
    let returns = case
        .instruction
        .is_some_and(|instruction| matches!(instruction.operation, Operation::RetFar | Operation::Iret));
    let is_of_frame = |(found, code, _): Fault| {
        found == vector::PAGE_FAULT
            || found == vector::ALIGNMENT_CHECK
            || matches!(found, vector::STACK | vector::GENERAL_PROTECTION) && code == 0
    };
    returns && is_of_frame(one) && is_of_frame(other)
}

/// Whether it branches to where there may be anything.
fn is_lost(case: &Case, twin: &Twin, outcome: Outcome) -> bool {
    let branches = case.instruction.is_some_and(|instruction| cases::branches(instruction.operation));
    branches && matches!(outcome, Outcome::Done { .. }) && twin.registers.rip != case.next()
}

/// Whether it stores several times, and checks the later places only when it comes to them. The emulator
/// stores nothing if it faults.
fn stores_before_fault(case: &Case) -> bool {
    case.instruction.is_some_and(|instruction| {
        matches!(instruction.operation, Operation::Enter | Operation::Pusha | Operation::CallFar)
    })
}

/// A paragraph on a case that ended differently.
fn describe(difference: &str, case: &Case, twin: &Twin, outcome: Outcome, ending: &Ending) -> String {
    let short = |registers: &Registers| {
        format!("{:x?} rip {:x} flags {:x}", registers.gprs, registers.rip, registers.rflags)
    };
    format!(
        "{difference}: {:?} {:02x?} {:x?}\nbefore    {}\n{:x?}\nemulator  {} {outcome:x?}\nprocessor {} \
         vector {} error {:x} CR2 {:x}",
        case.mode,
        case.code,
        case.instruction,
        short(&case.registers),
        case.segments.map(|segment| (segment.base, segment.limit, segment.attributes)),
        short(&twin.registers),
        short(&ending.registers),
        ending.vector,
        ending.error_code,
        ending.cr2,
    )
}

/// Writes data to both sides, as far as it lies in writable pages.
fn fill(twin: &mut Twin, address: u64, bytes: &[u8]) {
    for (address, &byte) in (address..).zip(bytes) {
        // The other pages hold zeros from the start, on both sides.
        if mapping::right(address) == Some(Right::Write) {
            mapping::store(address, &[byte]);
            twin.data[(address - DATA) as usize] = byte;
        }
    }
}

/// The pages both sides can read, as offsets in the data.
fn readable() -> impl Iterator<Item = usize> {
    // A page without rights can be looked at by neither side, so nothing can have changed there.
    let pages = RIGHTS.iter().enumerate().filter(|(_, right)| **right != Right::Nothing);
    pages.map(|(page, _)| page * PAGE as usize)
}

/// Makes the emulator's memory what the processor's is.
fn undo(twin: &mut Twin) {
    for offset in readable() {
        mapping::load(DATA + offset as u64, &mut twin.data[offset..offset + PAGE as usize]);
    }
}

/// Vector, error code and CR2; 0 where there is none.
type Fault = (u8, u32, u64);

fn fault(exception: Exception) -> Fault {
    (exception.vector, exception.error_code.unwrap_or(0), exception.cr2.unwrap_or(0))
}

/// What both sides agree in.
#[derive(Debug, PartialEq, Eq)]
enum Agreement {
    /// Everything.
    Same,
    /// Everything but which operand of CMPS faults, where both do.
    SourceFault,
}

/// Compares how the case ended, and the registers. `source_fault` is what [`source_fault`] found.
///
/// # Errors
/// The first difference.
fn compare_registers(
    case: &Case,
    twin: &Twin,
    outcome: Outcome,
    source_fault: Option<Fault>,
    ending: &Ending,
) -> Result<Agreement, String> {
    let (expected, start) = (&twin.registers, case.registers.rip);
    let found = &ending.registers;
    // A breakpoint is a trap: RIP is behind it.
    let rip = if ending.vector == BREAKPOINT { found.rip.wrapping_sub(1) } else { found.rip };
    let end = match outcome {
        Outcome::Done { .. } => (BREAKPOINT, 0, 0),
        Outcome::Exception(exception) => fault(exception),
        other => return Err(format!("unexpected: {other:?}")),
    };
    // Otherwise it is an earlier fault's.
    let cr2 = if ending.vector == vector::PAGE_FAULT { ending.cr2 } else { 0 };
    let found_end = (ending.vector, ending.error_code, cr2);
    let agreement = if end == found_end {
        Agreement::Same
    } else if is_of_the_same_frame(case, end, found_end) {
        // Which element of its frame is read first shows, and no manual says it.
        Agreement::Same
    } else if source_fault == Some(found_end) {
        Agreement::SourceFault
    } else {
        return Err("ending".into());
    };
    // A fault leaves RIP where the instruction begins.
    if rip != expected.rip || (ending.vector != BREAKPOINT && rip != start) {
        return Err("RIP".into());
    }
    // POPA loads one register after the other, until it faults; the emulator loads all of them or none.
    let loads_some = case.instruction.is_some_and(|instruction| instruction.operation == Operation::Popa)
        && matches!(outcome, Outcome::Exception(_));
    let differing = (0..16)
        .filter(|_| !loads_some)
        .find(|&number| (found.gprs[number] ^ expected.gprs[number]) & compared(case, number) != 0);
    if let Some(number) = differing {
        return Err(format!("register {number}"));
    }
    // As it was before, since the instruction may have changed it.
    let cl = case.registers.gprs[1];
    let flags =
        case.instruction.as_ref().map_or(COMPARED_FLAGS, |instruction| compared_flags(instruction, cl));
    if (found.rflags ^ expected.rflags) & flags != 0 {
        return Err("flags".into());
    }
    if found.xmm != expected.xmm {
        return Err("XMM".into());
    }
    if found.mmx != expected.mmx {
        return Err("MMX".into());
    }
    // FS is the harness's.
    let [es, cs, ss, ds, _, gs] = twin.selectors;
    // The kernel's way out clears the privilege level of a null selector.
    let as_returned = |selector: u16| if selector < 4 { 0 } else { selector };
    if ending.selectors.map(as_returned) != [es, cs, ss, ds, gs].map(as_returned) {
        return Err("selectors".into());
    }
    Ok(agreement)
}

/// The fault that rSI's operand of a CMPS has by itself, in the iteration that the emulator ended with a
/// fault. Where it is another one than the emulator's, both operands fault: the emulator looks at rDI's
/// first. The manuals don't say which one shows, and processors differ, even of one maker (Zen 3 and Intel's
/// take rDI's, Zen 5 rSI's); CPUID doesn't tell. LODS reads the same operand, and nothing else.
fn source_fault(case: &Case, twin: &mut Twin, outcome: Outcome) -> Option<Fault> {
    if !matches!(outcome, Outcome::Exception(_)) {
        return None;
    }
    let cmps = case.instruction.filter(|instruction| instruction.operation == Operation::Cmps)?;
    let repeats = Attributes::REP | Attributes::REPNE;
    let attributes = cmps.attributes.difference(repeats);
    let lods = Instruction { operation: Operation::Lods, attributes, ..cmps };
    // A copy: what is tried here is not part of the case.
    let mut other = twin.clone();
    let outcome = decoder::emulate(&lods, &mut other, 1);
    // The processor reads there if rSI's operand comes first.
    twin.is_unsafe |= other.is_unsafe;
    match outcome {
        Outcome::Exception(exception) => Some(fault(exception)),
        _ => None,
    }
}

/// The bits of a register that are compared. Repeated string instructions with 32-bit addresses in 64-bit
/// mode clear the upper halves of rCX, rSI and rDI with the first iteration; some processors do so before it,
/// so that it shows if there is none.
fn compared(case: &Case, register: usize) -> u64 {
    let clears = case.instruction.is_some_and(|instruction| {
        instruction.address_size == Size::B4
            && instruction.attributes.intersects(Attributes::REP | Attributes::REPNE)
    });
    let is_string_register = matches!(register, 1 | 6 | 7);
    if case.mode != Mode::Bits64 || (clears && is_string_register) { 0xffff_ffff } else { u64::MAX }
}

/// Compares the data.
///
/// # Errors
/// The first difference.
fn compare_memory(twin: &Twin) -> Result<(), String> {
    let mut page = [0; PAGE as usize];
    for offset in readable() {
        mapping::load(DATA + offset as u64, &mut page);
        let expected = &twin.data[offset..offset + PAGE as usize];
        if let Some(at) = page.iter().zip(expected).position(|(found, expected)| found != expected) {
            let (found, expected) = (page[at], expected[at]);
            let address = DATA + (offset + at) as u64;
            return Err(format!("memory at {address:x}: {found:02x}, expected {expected:02x}"));
        }
    }
    Ok(())
}

/// The flags that are compared after an instruction, which was executed with this RCX.
pub(super) fn compared_flags(instruction: &Instruction, rcx: u64) -> u64 {
    COMPARED_FLAGS & !undefined_flags(instruction, rcx)
}

/// Flags that a manual leaves undefined (APM 3 and SDM 2, each instruction's flags affected).
fn undefined_flags(instruction: &Instruction, rcx: u64) -> u64 {
    use Operation::*;
    match instruction.operation {
        And | Or | Xor | Test => AF,
        Bt | Bts | Btr | Btc => OF | SF | AF | PF,
        Bsf | Bsr => CF | OF | SF | AF | PF,
        Tzcnt | Lzcnt => OF | SF | AF | PF,
        Mul | Imul | ImulWide | ImulImmediate => SF | ZF | AF | PF,
        Div | Idiv => CF | PF | AF | ZF | SF | OF,
        Andn | Blsi | Blsmsk | Blsr | Bzhi => AF | PF,
        Bextr => AF | SF | PF,
        Rol | Ror | Rcl | Rcr | Shl | Shr | Sar | Shld | ShldCl | Shrd | ShrdCl => {
            undefined_of_shift(instruction, rcx)
        }
        _ => 0,
    }
}

/// How far a shift or a rotation goes.
pub(super) fn shift_count(instruction: &Instruction, rcx: u64) -> u64 {
    use Operation::*;
    let count = match instruction.operation {
        Shld | Shrd => instruction.immediate,
        ShldCl | ShrdCl => rcx,
        _ if instruction.source == decoder::Operand::Immediate => instruction.immediate,
        _ => rcx,
    };
    count & if instruction.size == Size::B8 { 63 } else { 31 }
}

fn undefined_of_shift(instruction: &Instruction, rcx: u64) -> u64 {
    use Operation::*;
    let count = shift_count(instruction, rcx);
    let rotates = matches!(instruction.operation, Rol | Ror | Rcl | Rcr);
    // A count of zero changes no flag, and a rotation none but CF and OF.
    let af = if rotates || count == 0 { 0 } else { AF };
    // A shift by one defines OF, and one by zero leaves it.
    let of = if count <= 1 { 0 } else { OF };
    // The manuals tell what was shifted out last as long as the operand has such a bit.
    let cf = if !rotates && count >= instruction.size.bits().into() { CF } else { 0 };
    af | of | cf
}

/// Whether the result itself is undefined: SHLD and SHRD of two bytes by more than sixteen bits.
pub(super) fn is_result_undefined(instruction: &Instruction, rcx: u64) -> bool {
    use Operation::*;
    matches!(instruction.operation, Shld | ShldCl | Shrd | ShrdCl)
        && shift_count(instruction, rcx) > instruction.size.bits().into()
}

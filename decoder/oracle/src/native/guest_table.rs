//! Cases for a guest that runs each twice, on memory and on a device that behaves like memory, and compares
//! (`vmm-user/tests-guest/mmio-forms.c`, which reads what is written here). They are drawn as those for the
//! processor are, and kept if the emulator completes them: what faults is compared natively.

use super::cases::{self, Case, Form};
use super::compare;
use super::descriptors;
use super::mapping::{CODE, DATA, PAGE};
use super::twin::Twin;
use crate::random::Random;
use decoder::{
    Attributes, Features, Instruction, Mode, Operand, Operation, Outcome, Processor, Register, Segment,
    SegmentState, Size, Vendor,
};

/// `MMIOFORM`.
const MAGIC: u64 = u64::from_le_bytes(*b"MMIOFORM");
/// Most places that are filled before a case.
const MAX_FILLS: usize = 4;
/// How often a case of a form is drawn before it is given up.
const ATTEMPTS: usize = 4000;
/// The register behind ports, for INS and OUTS.
const PORT: u64 = 0x930;
/// IF, which the guest keeps clear, and IOPL, which lets user code reach ports.
const FLAG_IF: u64 = 1 << 9;
const FLAG_IOPL: u64 = 3 << 12;
/// TF: ends with #DB instead of a breakpoint.
const FLAG_TF: u64 = 1 << 8;
/// What cases are drawn for: the maker makes no difference, as they are the same for every one. TCG has no
/// MOVDIRI.
const PROCESSOR: Processor =
    Processor { vendor: Vendor::Amd, features: Features::all().difference(Features::MOVDIRI) };
const DX: usize = 2;
const SP: u8 = 4;

/// Bits of a case's byte of requirements.
const NEEDS_CX16: u8 = 1;
/// It writes the port's register.
const USES_PORT: u8 = 2;

/// What a table holds.
#[derive(Debug, Default)]
pub struct Summary {
    /// The table.
    pub bytes: Vec<u8>,
    /// Forms in 64-, 32- and 16-bit code: opcode, ModRM.reg, mandatory prefix.
    pub forms: [u32; 3],
    /// Cases in each.
    pub cases: [u32; 3],
    /// Forms of which no case could be had.
    pub missing: Vec<String>,
}

/// Draws `each` cases of every accepted form that reaches memory.
pub fn table(seed: u64, each: u32) -> Summary {
    let mut random = Random::new(seed);
    let mut summary = Summary::default();
    let mut records = Vec::new();
    // A difference must be Plinth's: forms that TCG has wrong on memory too would show as one.
    let is_wanted = |form: &Form| !is_wrong_in_tcg(form) && !form.is_redundant(PROCESSOR);
    for form in cases::memory_forms(PROCESSOR).into_iter().filter(is_wanted) {
        let mut drawn = 0;
        for _ in 0..each {
            // After that many attempts the next case would not be found either.
            let Some(case) = draw(&form, &mut random) else { break };
            let mode = mode_index(case.mode);
            summary.cases[mode] += 1;
            summary.forms[mode] += u32::from(drawn == 0);
            // The first cases are wholly on the device, the last one partly.
            let mapping = if drawn + 1 < each { 0 } else { 1 + (summary.forms[mode] & 1) as u8 };
            records.extend(record(&case, mapping, &mut random).map(|record| (mapping, record)));
            drawn += 1;
        }
        if drawn == 0 {
            summary.missing.push(format!("{form:x?}"));
        }
    }
    // By code size, as the forms are, and by mapping within each.
    records.sort_by_key(|(mapping, record)| (record.first().copied(), *mapping));
    summary.bytes = header(records.len());
    summary.bytes.extend(records.into_iter().flat_map(|(_, record)| record));
    summary
}

fn mode_index(mode: Mode) -> usize {
    2 - mode as usize
}

fn header(cases: usize) -> Vec<u8> {
    [MAGIC, cases as u64].iter().chain(&descriptors::ldt()).flat_map(|word| word.to_le_bytes()).collect()
}

/// A case that completes.
fn draw(form: &Form, random: &mut Random) -> Option<Case> {
    for _ in 0..ATTEMPTS {
        if let Some(mut case) = Case::draw(form, PROCESSOR, random)
            && let Some(instruction) = case.instruction
        {
            case.registers.rflags = case.registers.rflags & !FLAG_IF | FLAG_IOPL;
            if uses_port(&instruction) {
                case.registers.gprs[DX] = PORT;
            }
            // What processors or TCG are free to do otherwise would show as a difference.
            let is_left_out = compare::is_result_undefined(&instruction, case.registers.gprs[1])
                || has_wrong_prefixes(&case, &instruction)
                || depends_on_upper_half_of_esp(&case, &instruction);
            if !is_left_out && completes(&case) {
                return Some(case);
            }
        }
    }
    None
}

fn uses_port(instruction: &Instruction) -> bool {
    matches!(instruction.operation, Operation::Ins | Operation::Outs)
}

/// Whether it completes on a processor of either maker: which one the guest runs on, and whether QEMU's TCG
/// does as that one does, then makes no difference.
fn completes(case: &Case) -> bool {
    let on_both = [Vendor::Amd, Vendor::Intel].into_iter().all(|vendor| {
        let Ok(instruction) = decoder::decode(&case.code, case.mode, Processor { vendor, ..PROCESSOR })
        else {
            return false;
        };
        let (outcome, twin) = emulate(case, &instruction, 0);
        let is_done = matches!(outcome, Outcome::Done { .. }) && !twin.is_unsafe;
        is_done && twin.registers.rip == case.next() && !scans_zero(&instruction, &twin)
    });
    on_both && case.fills.len() <= MAX_FILLS && !has_foreign_selectors(case)
}

/// Whether it loads a selector of the global table, in which the guest has others.
fn has_foreign_selectors(case: &Case) -> bool {
    const LOCAL: u8 = 4;
    case.draws_selectors && case.fills.iter().any(|(_, [low, ..])| low & LOCAL == 0 && *low > 3)
}

/// Whether it is BSF or BSR of zero: TCG clears the upper half of the register then.
fn scans_zero(instruction: &Instruction, after: &Twin) -> bool {
    const ZF: u64 = 1 << 6;
    matches!(instruction.operation, Operation::Bsf | Operation::Bsr) && after.registers.rflags & ZF != 0
}

/// What the emulator makes of it, with more flags.
fn emulate(case: &Case, instruction: &Instruction, flags: u64) -> (Outcome, Twin) {
    let mut twin = Twin::new(PROCESSOR);
    for (address, bytes) in &case.fills {
        for (address, byte) in (*address..).zip(bytes) {
            let place = address.checked_sub(DATA).and_then(|offset| twin.data.get_mut(offset as usize));
            if let Some(place) = place {
                *place = *byte;
            }
        }
    }
    twin.registers = case.registers;
    twin.registers.rflags |= flags;
    twin.segments = case.segments;
    let selectors = &case.selectors;
    twin.selectors = [selectors.es, selectors.cs, selectors.ss, selectors.ds, 0, selectors.gs];
    // No case repeats as often.
    let outcome = decoder::emulate(instruction, &mut twin, 100);
    (outcome, twin)
}

/// Forms that QEMU's TCG has otherwise than processors, on memory too, so that the processor itself is their
/// only oracle: TEST as F6 /1 and F7 /1 is #UD (7.2, 10.2); MOVBE in 16-bit code has four bytes without an
/// operand-size prefix and two with it (7.2); CMPXCHG8B and CMPXCHG16B with 66, F2 or F3, which mean nothing
/// there, are #UD (10.2).
fn is_wrong_in_tcg(form: &Form) -> bool {
    // It has no VEX in 16-bit code.
    let is_vex = form.escape.len() == 3;
    // And BLSI's CF is the opposite (7.2).
    let is_blsi = is_vex && form.opcode == 0xf3 && form.reg == 3;
    if has_no_other_code_segment(form) || is_vex && form.mode == Mode::Bits16 || is_blsi {
        return true;
    }
    match form.escape {
        [] => matches!(form.opcode, 0xf6 | 0xf7) && form.reg == 1,
        // LAR leaves out the limit's upper bits.
        [0x0f] => form.opcode == 0x02 || form.opcode == 0xc7 && form.mandatory.is_some(),
        // ADCX and ADOX leave any flags behind.
        [0x0f, 0x38] => {
            form.opcode == 0xf6 || matches!(form.opcode, 0xf0 | 0xf1) && form.mode == Mode::Bits16
        }
        _ => false,
    }
}

/// A far pointer of four bytes can't name 64-bit code that lies where cases do.
fn has_no_other_code_segment(form: &Form) -> bool {
    let is_far_pointer = form.escape.is_empty() && form.opcode == 0xff && matches!(form.reg, 3 | 5);
    form.mode == Mode::Bits64 && is_far_pointer && form.mandatory == Some(0x66)
}

/// The same of prefixes that are drawn. In 64-bit code TCG also lets ES, CS, SS and DS, which mean nothing
/// there, undo a GS before them, and with an operand-size prefix its MOVBE has two bytes even where REX.W
/// says eight (7.2).
fn has_wrong_prefixes(case: &Case, instruction: &Instruction) -> bool {
    let has = |prefixes: &[u8]| case.code.iter().any(|byte| prefixes.contains(byte));
    let undoes = |bytes: &[u8]| matches!(bytes, [0x65, 0x26 | 0x2e | 0x36 | 0x3e]);
    match instruction.operation {
        Operation::CmpxchgPair if has(&[0x66, 0xf2, 0xf3]) => true,
        Operation::Movbe if instruction.size == Size::B8 && has(&[0x66]) => true,
        // So has its CRC32; with SHLD and SHRD relative to RIP it forgets the immediate behind the address.
        Operation::Crc32 if instruction.size == Size::B8 && has(&[0x66]) => true,
        Operation::Shld | Operation::Shrd if instruction.base == Register::Rip => true,
        // TCG takes the number of bytes to release for a signed one.
        Operation::Ret | Operation::RetFar => instruction.immediate >= 0x8000,
        _ => case.mode == Mode::Bits64 && case.code.windows(2).any(undoes),
    }
}

/// Whether a case may be single-stepped: behind the last iteration of a repetition, TCG still has RIP at the
/// instruction (10.2).
fn can_be_stepped(case: &Case, instruction: &Instruction) -> bool {
    // After a load of SS, TCG reports a step later than processors do.
    if loads_stack_segment(instruction) {
        return false;
    }
    let is_repeated = instruction.attributes.intersects(Attributes::REP | Attributes::REPNE);
    !is_repeated || matches!(emulate(case, instruction, FLAG_TF).0, Outcome::Repeat { .. })
}

fn loads_stack_segment(instruction: &Instruction) -> bool {
    let is_far = instruction.operation == Operation::LoadFar && instruction.immediate == Segment::Ss as u64;
    is_far || instruction.destination == Operand::Segment(Segment::Ss as u8)
}

/// A 16-bit stack, and an address that depends on all of ESP: a return to user mode leaves the kernel's upper
/// half in it.
fn depends_on_upper_half_of_esp(case: &Case, instruction: &Instruction) -> bool {
    let is_small = case.segments[Segment::Ss as usize].attributes & SegmentState::BIG == 0;
    let is_base = instruction.base == Register::Gpr(SP) && instruction.address_size == Size::B4;
    let is_bit_offset = cases::is_bit(instruction.operation) && instruction.source == Operand::Gpr(SP);
    let is_bounded = instruction.operation == Operation::Bound && instruction.destination == Operand::Gpr(SP);
    case.mode != Mode::Bits64 && is_small && (is_base || is_bit_offset || is_bounded)
}

/// One case, as `struct record` of the guest has it.
fn record(case: &Case, mapping: u8, random: &mut Random) -> Option<Vec<u8>> {
    let instruction = case.instruction?;
    // Some are stepped: the step has to be told behind the instruction on a device as well.
    let steps = random.below(8) == 0 && can_be_stepped(case, &instruction);
    let cx16 = instruction.operation == Operation::CmpxchgPair && instruction.memory_size == Size::B16;
    let needs = (u8::from(cx16) * NEEDS_CX16) | (u8::from(uses_port(&instruction)) * USES_PORT);
    // As in `compared`: whether upper halves are cleared without an iteration differs.
    let clears = instruction.attributes.intersects(Attributes::REP | Attributes::REPNE)
        && instruction.address_size == Size::B4;
    let mut bytes = vec![
        mode_index(case.mode) as u8,
        mapping,
        needs,
        case.code.len() as u8,
        case.fills.len() as u8,
        u8::from(clears),
        0,
        0,
    ];
    let mut code = [0; 16];
    code.iter_mut().zip(&case.code).for_each(|(to, from)| *to = *from);
    bytes.extend(code);
    let selectors = &case.selectors;
    let mut put = |value: u64| bytes.extend(value.to_le_bytes());
    case.registers.gprs.iter().for_each(|value| put(*value));
    put(case.registers.rip);
    put(case.registers.rflags | if steps { FLAG_TF } else { 0 });
    for selector in [selectors.cs, selectors.ss, selectors.ds, selectors.es, selectors.gs] {
        put(selector.into());
    }
    put(selectors.gs_base);
    put(compare::compared_flags(&instruction, case.registers.gprs[1]));
    put(CODE + case.offset);
    put(random.bits());
    for index in 0..MAX_FILLS {
        let (address, fill) = case.fills.get(index).copied().unwrap_or((DATA + PAGE, [0; 32]));
        bytes.extend(address.to_le_bytes());
        bytes.extend(fill);
    }
    Some(bytes)
}

//! What is accepted of CMPS with two operands that fault, and that nothing else is. No processor is asked.

use super::*;

/// Of the page before the writable data, and of the pages behind all data: neither may be read.
const BEFORE: u64 = DATA;
const BEHIND: u64 = DATA + 5 * PAGE;
const NOT_CANONICAL: u64 = 1 << 47;
const RIP: u64 = mapping::CODE;
/// Interrupts on, DF: downwards.
const DOWN: u64 = 0x602;

/// A case in 64-bit code, after the emulator ran it.
struct Emulated {
    case: Case,
    twin: Twin,
    outcome: Outcome,
    source_fault: Option<Fault>,
}

impl Emulated {
    fn run(code: &[u8], rsi: u64, rdi: u64) -> Emulated {
        let processor = Processor::full(decoder::Vendor::Amd);
        let mut registers = Registers { rip: RIP, rflags: DOWN, ..Registers::default() };
        (registers.gprs[1], registers.gprs[6], registers.gprs[7]) = (3, rsi, rdi);
        let mut twin = Twin::new(processor);
        twin.registers = registers;
        let case = Case {
            mode: Mode::Bits64,
            processor,
            offset: 0,
            code: code.into(),
            instruction: decoder::decode(code, Mode::Bits64, processor).ok(),
            registers,
            selectors: processor::Selectors::default(),
            segments: twin.segments,
            fills: Vec::new(),
            draws_selectors: false,
            branch_target: Vec::new(),
        };
        let outcome = decoder::emulate(&case.instruction.unwrap(), &mut twin, 100);
        let source_fault = source_fault(&case, &mut twin, outcome);
        Emulated { case, twin, outcome, source_fault }
    }

    /// The emulator's registers, with this ending.
    fn ending(&self, (vector, error_code, cr2): Fault) -> Ending {
        let mut registers = self.twin.registers;
        registers.rip += u64::from(vector == BREAKPOINT);
        Ending { registers, vector, error_code, cr2, selectors: [0; 5] }
    }

    fn compare(&self, ending: &Ending) -> Result<Agreement, String> {
        compare_registers(&self.case, &self.twin, self.outcome, self.source_fault, ending)
    }

    fn compare_fault(&self, fault: Fault) -> Result<Agreement, String> {
        self.compare(&self.ending(fault))
    }
}

fn read_fault(address: u64) -> Fault {
    let present = mapping::right(address).map_or(0, |right| u32::from(right != Right::Nothing));
    (vector::PAGE_FAULT, 4 | present, address)
}

const COMPLETED: Fault = (BREAKPOINT, 0, 0);
const PROTECTION: Fault = (vector::GENERAL_PROTECTION, 0, 0);

fn differs(what: &str) -> Result<Agreement, String> {
    Err(what.into())
}

#[test]
fn either_operand_of_cmps_may_fault_first() {
    // CMPSB, CMPSW, CMPSD and CMPSQ; REPE and REPNE.
    for code in [
        &[0xa6][..],
        &[0x66, 0xa7],
        &[0xa7],
        &[0x48, 0xa7],
        &[0xf3, 0xa6],
        &[0xf2, 0xa6],
        &[0xf3, 0x48, 0xa7],
    ] {
        let emulated = Emulated::run(code, BEHIND + 0x10, BEFORE + 0x20);
        assert_eq!(emulated.compare_fault(read_fault(BEFORE + 0x20)), Ok(Agreement::Same));
        assert_eq!(emulated.compare_fault(read_fault(BEHIND + 0x10)), Ok(Agreement::SourceFault));
        let emulated = Emulated::run(code, NOT_CANONICAL, BEFORE + 0x20);
        assert_eq!(emulated.compare_fault(PROTECTION), Ok(Agreement::SourceFault));
    }
}

#[test]
fn no_other_fault_is_accepted() {
    let emulated = Emulated::run(&[0xa6], BEHIND + 0x10, BEFORE + 0x20);
    let (vector, error_code, cr2) = read_fault(BEHIND + 0x10);
    for fault in [
        (vector, error_code, cr2 + 1),
        (vector, error_code | 1, cr2),
        (vector, error_code | 2, cr2),
        (vector::GENERAL_PROTECTION, 0, 0),
        (vector::ALIGNMENT_CHECK, 0, 0),
        COMPLETED,
    ] {
        assert_eq!(emulated.compare_fault(fault), differs("ending"), "{fault:x?}");
    }
}

#[test]
fn one_operand_that_faults_is_no_choice() {
    let good = DATA + PAGE;
    let of_destination = Emulated::run(&[0xa6], good, BEFORE);
    assert_eq!(of_destination.source_fault, None);
    assert_eq!(of_destination.compare_fault(read_fault(BEFORE)), Ok(Agreement::Same));
    assert_eq!(of_destination.compare_fault(read_fault(good)), differs("ending"));
    let of_source = Emulated::run(&[0xa6], BEFORE, good);
    assert_eq!(of_source.compare_fault(read_fault(BEFORE)), Ok(Agreement::Same));
    assert_eq!(of_source.compare_fault(read_fault(good)), differs("ending"));
    let of_none = Emulated::run(&[0xa6], good, good);
    assert_eq!(of_none.compare_fault(COMPLETED), Ok(Agreement::Same));
    assert_eq!(of_none.compare_fault(read_fault(good)), differs("ending"));
}

/// MOVS is not CMPS: its source comes first, and the destination's fault is a difference.
#[test]
fn the_order_of_movs_is_compared() {
    let emulated = Emulated::run(&[0xa4], BEHIND, BEFORE);
    assert_eq!(emulated.source_fault, None);
    assert_eq!(emulated.compare_fault(read_fault(BEHIND)), Ok(Agreement::Same));
    let (vector, error_code, cr2) = read_fault(BEFORE);
    assert_eq!(emulated.compare_fault((vector, error_code | 2, cr2)), differs("ending"));
}

/// Of a repeated CMPS, the fault and the registers are those of the iteration in which both operands fault.
#[test]
fn registers_must_be_those_of_the_iteration() {
    let first = DATA + PAGE;
    let emulated = Emulated::run(&[0xf3, 0x48, 0xa7], first, first + 4);
    assert_eq!(emulated.twin.registers.gprs[1], 2, "one iteration was done");
    assert_eq!(emulated.compare_fault(read_fault(first - 4)), Ok(Agreement::Same));
    let fault = read_fault(first - 8);
    assert_eq!(emulated.compare_fault(fault), Ok(Agreement::SourceFault));
    for (number, value) in [(1, 3), (6, first), (7, first + 4), (0, 1)] {
        let mut ending = emulated.ending(fault);
        ending.registers.gprs[number] = value;
        assert_eq!(emulated.compare(&ending), differs(&format!("register {number}")));
    }
    let mut ending = emulated.ending(fault);
    ending.registers.rflags ^= 1;
    assert_eq!(emulated.compare(&ending), differs("flags"));
    let mut ending = emulated.ending(fault);
    ending.registers.rip += 1;
    assert_eq!(emulated.compare(&ending), differs("RIP"));
    let mut ending = emulated.ending(fault);
    ending.registers.xmm[3] = 1;
    assert_eq!(emulated.compare(&ending), differs("XMM"));
}

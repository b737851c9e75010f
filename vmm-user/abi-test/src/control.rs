//! Control registers, the task priority and debug exceptions: what a guest's VMM hears of, and what it may
//! load.
#![allow(unsafe_code, reason = "a run page at an address of our choice")]

use runtime::abi::exit::reason;
use runtime::abi::registers::{EventInjection, Groups, SystemRegisters};
use runtime::abi::run_page::{RunPage, window};
use runtime::abi::status::Status;
use runtime::process;

use crate::suite::Suite;
use crate::vm::Machine;

/// What is executed from address 0 on, each followed by a jump to itself: (name, code, RAX, RFLAGS, CR8,
/// window, how it ends, its qualification where that matters, and RIP there).
type Row = (&'static str, &'static [u8], u64, u64, u32, u32, u32, u64, u64);

const IF: u64 = 1 << 9;
const TF: u64 = 1 << 8;
const NO_WINDOW: u32 = window::NONE;
/// nop; then a jump to itself.
const NOP: &[u8] = &[0x90, 0xeb, 0xfe];
/// sti; then a jump to itself.
const STI: &[u8] = &[0xfb, 0xeb, 0xfe];
/// mov cr4, eax.
const MOV_CR4: &[u8] = &[0x0f, 0x22, 0xe0, 0xeb, 0xfe];
/// mov cr0, eax.
const MOV_CR0: &[u8] = &[0x0f, 0x22, 0xc0, 0xeb, 0xfe];
/// lmsw ax.
const LMSW: &[u8] = &[0x0f, 0x01, 0xf0, 0xeb, 0xfe];
/// lock mov cr0, eax: CR8.
const MOV_CR8: &[u8] = &[0xf0, 0x0f, 0x22, 0xc0, 0xeb, 0xfe];

const ROWS: &[Row] = &[
    ("CR4", MOV_CR4, 0x80, 2, 0, NO_WINDOW, reason::REGISTER_WRITE, 0, 0),
    ("CR0", MOV_CR0, 0x11, 2, 0, NO_WINDOW, reason::REGISTER_WRITE, 0, 0),
    ("LMSW", LMSW, 1, 2, 0, NO_WINDOW, reason::REGISTER_WRITE, 0, 0),
    ("CR8 that nobody waits for", MOV_CR8, 3, 2, 5, NO_WINDOW, reason::DEADLINE, 0, 4),
    ("CR8 that is waited for", MOV_CR8, 3, 2, 5, window::PRIORITY, reason::REGISTER_WRITE, 0, 0),
    ("CR8 with a window", MOV_CR8, 3, 2, 5, window::OPEN, reason::REGISTER_WRITE, 0, 0),
    ("a window, interrupts off", NOP, 0, 2, 0, window::OPEN, reason::DEADLINE, 0, 1),
    ("a window", NOP, 0, 2 | IF, 0, window::OPEN, reason::INTERRUPT_WINDOW, 0, 0),
    ("a window whatever the task priority", NOP, 0, 2 | IF, 15, window::OPEN, reason::INTERRUPT_WINDOW, 0, 0),
    ("a window behind STI", STI, 0, 2, 15, window::OPEN, reason::INTERRUPT_WINDOW, 0, 1),
    ("a task priority is no window", STI, 0, 2, 0, window::PRIORITY, reason::DEADLINE, 0, 1),
    ("bits that are none", NOP, 0, 2 | IF, 0, !window::ALL, reason::DEADLINE, 0, 1),
    ("a single step", NOP, 0, 2 | TF, 0, NO_WINDOW, reason::EXCEPTION, 1, 1),
];

/// Bytes from the beginning of one row's code to the next.
const APART: usize = 16;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let mut code = [0x90; ROWS.len() * APART];
    for (place, row) in code.chunks_mut(APART).zip(ROWS) {
        place.iter_mut().zip(row.1).for_each(|(to, from)| *to = *from);
    }
    let machine = match Machine::new(suite.system, 0, &code) {
        Ok(machine) => machine,
        Err(status) => return suite.check(false, format_args!("a VM with a vCPU: {status:?}")),
    };
    // SAFETY: the run page is ours while the vCPU does not run.
    let system = unsafe { (*machine.page).system };
    for (index, row) in ROWS.iter().enumerate() {
        one(suite, &machine, (index * APART) as u64, system, row);
    }
    refused(suite, &machine, system);
    for handle in [machine.vcpu, machine.vm] {
        suite.expect(process::close(handle), Status::Ok, format_args!("closing vCPU and VM"));
    }
}

fn one(suite: &mut Suite<'_>, machine: &Machine, start: u64, system: SystemRegisters, row: &Row) {
    let &(what, _, rax, rflags, cr8, window, why, qualification, rip) = row;
    let page = machine.page;
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        (*page).general.gpr[0] = rax;
        (*page).general.rflags = rflags;
        (*page).general.rip = start;
        (*page).system = system;
        (*page).injection = EventInjection::default();
        (*page).cr8 = cr8;
        (*page).window = window;
        let groups = Groups::GENERAL | Groups::SYSTEM | Groups::INJECTION | Groups::TPR;
        (*page).dirty |= groups.bits();
    }
    let until = suite.in_us(if why == reason::DEADLINE { 20_000 } else { 5_000_000 });
    let mut exit = machine.run(until);
    // On a busy host the deadline may come before the first instruction.
    for _ in 0..100 {
        // SAFETY: as above.
        if exit != Ok(reason::DEADLINE) || unsafe { (*page).general.rip } != start {
            break;
        }
        exit = machine.run(suite.in_us(20_000));
    }
    // SAFETY: as above.
    let (at, what_of_it) = unsafe { ((*page).general.rip, (*page).exit.qualification) };
    let holds = exit == Ok(why) && at == start + rip && (qualification == 0 || what_of_it == qualification);
    suite.check(holds, format_args!("{what}: {exit:?} at {at:#x}, {what_of_it:#x}"));
    if why == reason::REGISTER_WRITE {
        // SAFETY: as above.
        let (cr4, dr6, kept) = unsafe { ((*page).system.cr4, (*page).system.dr6, (*page).exit.cr8) };
        let whole = (cr4, dr6, u32::from(kept)) == (0, 0xffff_0ff0, cr8);
        suite.check(whole, format_args!("{what}: CR4 {cr4:#x}, DR6 {dr6:#x}, CR8 {kept}"));
    }
    if why == reason::EXCEPTION {
        // SAFETY: as above.
        let dr6 = unsafe { (*page).system.dr6 };
        suite.check(dr6 == 0xffff_4ff0, format_args!("{what}: DR6 {dr6:#x}"));
    }
}

/// What VMRUN refuses is refused before, whatever processor this is.
fn refused(suite: &mut Suite<'_>, machine: &Machine, system: SystemRegisters) {
    type Change = fn(&mut RunPage);
    const PAT: u64 = 0x0007_0406_0007_0406;
    let cases: [(&str, Change); 10] = [
        ("CR3 above 52 bits", |page| page.system.cr3 = 1 << 52),
        // The emulated processor has 40.
        ("CR3 above the physical addresses", |page| page.system.cr3 = 1 << 51),
        ("CR0's upper half", |page| page.system.cr0 |= 1 << 40),
        ("paging without protection", |page| page.system.cr0 |= 1 << 31),
        ("a bit of CR4 that nobody has", |page| page.system.cr4 = 1 << 31),
        ("DR7's upper half", |page| page.system.dr7 |= 1 << 32),
        ("DR6's upper half", |page| page.system.dr6 |= 1 << 63),
        ("EFER", |page| page.system.efer = 1 << 9),
        ("a memory type of 2", |page| page.msrs.pat = PAT | 2 << 56),
        ("a memory type of 8", |page| page.msrs.pat = 8),
    ];
    for (what, change) in cases {
        // SAFETY: the run page is ours while the vCPU does not run.
        unsafe {
            (*machine.page).system = system;
            (*machine.page).msrs.pat = PAT;
            (*machine.page).dirty |= (Groups::SYSTEM | Groups::MSRS).bits();
            change(&mut *machine.page);
        }
        let exit = machine.run(suite.in_us(5_000_000));
        suite.check(exit == Ok(reason::INVALID_STATE), format_args!("{what}: {exit:?}"));
    }
}

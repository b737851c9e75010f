//! Exceptions of a guest's that its VMM has as exits, and those that it leaves to the guest.
#![allow(unsafe_code, reason = "a run page and a guest's page tables at addresses of our choice")]

use runtime::abi::exit::{ExitFlags, INTERCEPTABLE, reason};
use runtime::abi::operation::{Handle, VcpuIntercept, VmAllocate};
use runtime::abi::registers::{Groups, Segment, SystemRegisters};
use runtime::abi::status::Status;
use runtime::{call, heap, process};

use crate::machine::Machine;
use crate::suite::Suite;

const PAGE: u64 = 4096;
/// Where the guest has its page directory: the page behind its code, which is at D0000h.
const DIRECTORY: u64 = 0xd_1000;
/// Maps the first 4 MiB to themselves: present, writable, the user's, large.
const FIRST_4_MIB: u64 = 0x87;
/// Where nothing is mapped.
const UNMAPPED: u64 = 0x40_0000;

const CR0_PE: u64 = 1 << 0;
const CR0_ET: u64 = 1 << 4;
const CR0_PG: u64 = 1 << 31;
const CR4_PSE: u64 = 1 << 4;
const REAL: u64 = CR0_ET;
const PROTECTED: u64 = CR0_ET | CR0_PE;
const PAGED: u64 = PROTECTED | CR0_PG;

/// What is executed: name, code, CR0, the vector it raises, error code, RIP behind the code's start.
type Row = (&'static str, &'static [u8], u64, u32, u64, u64);

const ROWS: [Row; 7] = [
    ("ud2", &[0x0f, 0x0b], REAL, 6, 0, 0),
    // xor ecx, ecx; div ecx
    ("a division", &[0x31, 0xc9, 0xf7, 0xf1], REAL, 0, 0, 2),
    // vmrun of SVM is an exit of its own; pvalidate is no instruction of this processor.
    ("pvalidate", &[0xf2, 0x0f, 0x01, 0xff], PAGED, 6, 0, 0),
    // mov eax, 58h; mov ds, eax
    ("a selector beyond the table", &[0xb8, 0x58, 0, 0, 0, 0x8e, 0xd8], PROTECTED, 13, 0x58, 5),
    // mov eax, [400000h]
    ("a read", &[0xa1, 0, 0, 0x40, 0], PAGED, 14, 0, 0),
    // mov [400000h], eax
    ("a write", &[0xa3, 0, 0, 0x40, 0], PAGED, 14, 2, 0),
    // jmp 400000h, relative to D0005h
    ("a fetch", &[0xe9, 0xfb, 0xff, 0x32, 0], PAGED, 14, 0, 0x33_0000),
];

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let machine = match Machine::new(suite.system, 0, &[]).and_then(|machine| {
        directory(machine.vm)?;
        Ok(machine)
    }) {
        Ok(machine) => machine,
        Err(status) => return suite.check(false, format_args!("a VM with a vCPU: {status:?}")),
    };
    arguments(suite, &machine);
    for row in &ROWS {
        one(suite, &machine, row);
    }
    vmgexit(suite, &machine);
    left_to_the_guest(suite, &machine);
    for handle in [machine.vcpu, machine.vm] {
        suite.expect(process::close(handle), Status::Ok, format_args!("closing vCPU and VM"));
    }
}

fn intercept(vcpu: Handle, exceptions: u32) -> Result<(), Status> {
    call(vcpu, VcpuIntercept { exceptions, reserved: 0 }).map(drop)
}

fn arguments(suite: &mut Suite<'_>, machine: &Machine) {
    for vector in 0..32 {
        let status = if INTERCEPTABLE >> vector & 1 == 1 { Status::Ok } else { Status::BadArgument };
        suite.expect(intercept(machine.vcpu, 1 << vector), status, format_args!("exits at vector {vector}"));
    }
    suite.expect(intercept(machine.vcpu, INTERCEPTABLE), Status::Ok, format_args!("all exceptions at once"));
    suite.expect(intercept(machine.vm, 0), Status::BadHandle, format_args!("a VM's exceptions"));
    if suite.cpus > 1 {
        let other = machine.with(1, &[]).map(|other| other.vcpu);
        let answer = other.and_then(|vcpu| intercept(vcpu, 0));
        suite.expect(answer, Status::WrongState, format_args!("exceptions of another processor's vCPU"));
    }
}

/// Gives the guest its page directory.
fn directory(vm: Handle) -> Result<(), Status> {
    let address = heap::reserve(PAGE).ok_or(Status::Exhausted)?;
    call(vm, VmAllocate { gpa: DIRECTORY, bytes: PAGE, address, writable: 1 })?;
    // SAFETY: the page was just mapped there, and no vCPU runs.
    unsafe { (address as *mut u64).write_volatile(FIRST_4_MIB) };
    Ok(())
}

/// Has the guest execute a code; returns why it exits.
fn execute(suite: &Suite<'_>, machine: &Machine, code: &[u8], cr0: u64) -> Result<u32, Status> {
    for (at, byte) in (0..).zip(code) {
        machine.put(at, *byte);
    }
    // Of 16 bits in real mode, else of 32; a descriptor's bits 52 to 55 are bits 8 to 11 here.
    let kind = if cr0 == REAL { 0 } else { 0xc00 };
    let flat = |base, kind| Segment { selector: 8, attributes: kind, limit: 0xffff_ffff, base };
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        let page = machine.page;
        (*page).system = SystemRegisters {
            cr0,
            cr3: DIRECTORY,
            cr4: CR4_PSE,
            cs: flat(0xd_0000, kind | 0x9b),
            ss: flat(0, kind | 0x93),
            cr2: 0x77,
            dr6: 0xffff_0ff0,
            dr7: 0x400,
            ..SystemRegisters::default()
        };
        (*page).segments.ds = flat(0, kind | 0x93);
        (*page).segments.idtr = Segment { limit: 0x3ff, ..Segment::default() };
        (*page).general.rip = 0;
        (*page).general.rflags = 2;
        (*page).dirty |= (Groups::GENERAL | Groups::SYSTEM | Groups::SEGMENTS).bits();
    }
    machine.run(suite.in_us(5_000_000))
}

/// An exception that is an exit: which, where, and of a page fault the address, while CR2 is as it was.
fn one(suite: &mut Suite<'_>, machine: &Machine, row: &Row) {
    let &(what, code, cr0, vector, error_code, rip) = row;
    let asked = intercept(machine.vcpu, 1 << vector);
    suite.expect(asked, Status::Ok, format_args!("{what}: exits at vector {vector}"));
    let why = execute(suite, machine, code, cr0);
    // SAFETY: the run page is ours while the vCPU does not run.
    let (exit, at, cr2) = unsafe {
        let page = machine.page;
        ((*page).exit, (*page).general.rip, (*page).system.cr2)
    };
    let expected = u64::from(vector) | error_code << 32;
    suite.check(
        (why, exit.qualification, at, cr2) == (Ok(reason::EXCEPTION), expected, rip, 0x77),
        format_args!("{what}: {why:?}, {:#x} at {at:#x}, CR2 {cr2:#x}", exit.qualification),
    );
    let address = ExitFlags::from_bits_retain(exit.flags).contains(ExitFlags::GVA).then_some(exit.gva);
    // Of a fetch it is the same address.
    let fault = (vector == 14).then_some(UNMAPPED);
    suite.check(address == fault, format_args!("{what}: the address is {address:x?}"));
}

/// VMGEXIT is VMMCALL with a prefix (APM volume 3), which is where RIP says that it stopped.
fn vmgexit(suite: &mut Suite<'_>, machine: &Machine) {
    let why = execute(suite, machine, &[0x90, 0xf3, 0x0f, 0x01, 0xd9], PAGED);
    // SAFETY: the run page is ours while the vCPU does not run.
    let at = unsafe { (*machine.page).general.rip };
    suite.check((why, at) == (Ok(reason::HYPERCALL), 1), format_args!("VMGEXIT: {why:?} at {at:#x}"));
}

/// What nobody asked for is delivered: this guest has no memory where its interrupt table is. Nor do other
/// vCPUs exit at what one is asked for.
fn left_to_the_guest(suite: &mut Suite<'_>, machine: &Machine) {
    const UD2: &[u8] = &[0x0f, 0x0b];
    let asked = intercept(machine.vcpu, INTERCEPTABLE & !(1 << 6));
    suite.expect(asked, Status::Ok, format_args!("all exceptions but one"));
    let why = execute(suite, machine, UD2, REAL);
    suite.check(why == Ok(reason::MEMORY), format_args!("an exception of the guest's own: {why:?}"));
    let asked = intercept(machine.vcpu, 1 << 6);
    suite.expect(asked, Status::Ok, format_args!("that one"));
    let why = machine.with(0, UD2).and_then(|other| execute(suite, &other, UD2, REAL));
    suite.check(why == Ok(reason::MEMORY), format_args!("another vCPU's exception: {why:?}"));
    let why = execute(suite, machine, UD2, REAL);
    suite.check(why == Ok(reason::EXCEPTION), format_args!("behind that: {why:?}"));
}

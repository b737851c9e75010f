//! Guest memory at other guest physical addresses than its own, at several at once, and in several VMs.
#![allow(unsafe_code, reason = "guest memory and run pages at addresses of our choice")]

use runtime::abi::exit::reason;
use runtime::abi::operation::{Handle, MemoryMap, MemoryNarrow, Permissions, SystemCreateVm, VmMapAt};
use runtime::abi::registers::Groups;
use runtime::abi::status::Status;
use runtime::{call, heap, process};

use crate::machine::Machine;
use crate::revocation::{LARGE, flat, protect, region, unmap};
use crate::suite::Suite;

const PAGE: u64 = 4096;
/// A bit of a guest physical address, of the highest that there are.
const TOP: u64 = 1 << 47;
/// Two places for the same memory, in reach of a guest in real mode.
const ONE: u64 = 0x4000_0000;
const OTHER: u64 = 0x5000_0000;

const ALL: Permissions = Permissions::all();
const READ: Permissions = Permissions::READ;

/// Reads what DS:0 has; HLT; writes it; HLT.
const CODE: &[u8] = &[0xa0, 0, 0, 0xf4, 0xa2, 0, 0, 0xf4];
const WRITE_FROM: u64 = CODE.len() as u64 / 2;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let made = || -> Result<_, Status> {
        let gpa = region(suite.memory, 2 * LARGE)?;
        let address = heap::reserve(4 * PAGE).ok_or(Status::Exhausted)?;
        call(suite.memory, MemoryMap { address, gpa, bytes: 4 * PAGE })?;
        Ok((Machine::new(suite.system, 0, CODE)?, gpa, address))
    };
    let (machine, gpa, address) = match made() {
        Ok(made) => made,
        Err(status) => return suite.check(false, format_args!("a VM and memory for it: {status:?}")),
    };
    arguments(suite, machine.vm, gpa);
    aliases(suite, &machine, gpa, address);
    two_vms(suite, &machine, gpa, address);
    memory_comes_back(suite, gpa);
}

fn map_at(vm: Handle, memory: Handle, gpa: u64, bytes: u64, at: u64, may: Permissions) -> Result<(), Status> {
    call(vm, VmMapAt { memory, permissions: may.bits(), gpa, bytes, at }).map(drop)
}

fn arguments(suite: &mut Suite<'_>, vm: Handle, gpa: u64) {
    let part = call(suite.memory, MemoryNarrow { gpa, bytes: PAGE, handle: 0, reserved: 0 });
    let part = part.map_or(0, |part| part.handle);
    for (memory, gpa, bytes, at, status) in [
        (suite.memory, gpa, PAGE, TOP | gpa, Status::Ok),
        (suite.memory, gpa, PAGE, TOP | gpa, Status::Overlap),
        (suite.memory, gpa, PAGE, 2 * TOP - PAGE, Status::Ok),
        (suite.memory, gpa, PAGE, 2 * TOP, Status::BadArgument),
        (suite.memory, gpa, 2 * PAGE, 2 * TOP - PAGE, Status::BadArgument),
        (suite.memory, gpa, PAGE, !(PAGE - 1), Status::BadArgument),
        (suite.memory, gpa, PAGE, ONE + 1, Status::BadArgument),
        (suite.memory, gpa + 1, PAGE, ONE, Status::BadArgument),
        (suite.memory, gpa, PAGE + 1, ONE, Status::BadArgument),
        (suite.memory, gpa, 0, ONE, Status::BadArgument),
        (suite.memory, gpa, !(PAGE - 1), ONE, Status::BadArgument),
        (suite.memory, 0x800_0000, PAGE, ONE, Status::NotFound),
        // Where the VM has a page of its own.
        (suite.memory, gpa, PAGE, 0xd_0000, Status::Overlap),
        (part, gpa + PAGE, PAGE, ONE, Status::NotFound),
        (part, gpa, 2 * PAGE, ONE, Status::NotFound),
        (part, gpa, PAGE, ONE, Status::Ok),
        (95, gpa, PAGE, OTHER, Status::BadHandle),
        (vm, gpa, PAGE, OTHER, Status::BadHandle),
    ] {
        let answer = map_at(vm, memory, gpa, bytes, at, ALL);
        suite.expect(answer, status, format_args!("{bytes:#x} of {gpa:#x} at {at:#x}"));
    }
    for bits in [0, 2, 4, 6, 8, 1 << 31 | 7] {
        let answer = map_at(vm, suite.memory, gpa, PAGE, OTHER, Permissions::from_bits_retain(bits));
        suite.expect(answer, Status::BadArgument, format_args!("memory with permissions {bits:#x}"));
    }
    for at in [TOP | gpa, 2 * TOP - PAGE, ONE] {
        suite.expect(protect(vm, at, PAGE, READ), Status::Ok, format_args!("less may be done at {at:#x}"));
        suite.expect(unmap(vm, at, PAGE), Status::Ok, format_args!("taking out what is at {at:#x}"));
        suite.expect(protect(vm, at, PAGE, READ), Status::NotFound, format_args!("behind that"));
    }
    suite.expect(process::close(part), Status::Ok, format_args!("closing a part"));
}

/// Has the guest read the byte at an address; `None`: it could not.
fn read(suite: &Suite<'_>, machine: &Machine, gpa: u64) -> Result<Option<u8>, Status> {
    touch(suite, machine, gpa, 0, 0).map(|value| value.map(|value| value as u8))
}

/// Has it write one; `None`: it could not.
fn write(suite: &Suite<'_>, machine: &Machine, gpa: u64, value: u8) -> Result<Option<u8>, Status> {
    touch(suite, machine, gpa, WRITE_FROM, value.into()).map(|done| done.map(|_| value))
}

fn touch(suite: &Suite<'_>, machine: &Machine, gpa: u64, rip: u64, rax: u64) -> Result<Option<u64>, Status> {
    let page = machine.page;
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        (*page).segments.ds = flat(gpa);
        (*page).general.rip = rip;
        (*page).general.gpr[0] = rax;
        (*page).dirty |= (Groups::GENERAL | Groups::SEGMENTS).bits();
    }
    match machine.run(suite.in_us(5_000_000))? {
        // SAFETY: as above.
        reason::HALT => Ok(Some(unsafe { (*page).general.gpr[0] })),
        // SAFETY: as above.
        reason::MEMORY if unsafe { (*page).exit.gpa } == gpa => Ok(None),
        _ => Err(Status::WrongState),
    }
}

/// A page at two addresses: what is written at one is read at the other, each has its own permissions, and
/// each goes by itself.
fn aliases(suite: &mut Suite<'_>, machine: &Machine, gpa: u64, address: u64) {
    let vm = machine.vm;
    for (at, may) in [(ONE, ALL), (OTHER, READ)] {
        let answer = map_at(vm, suite.memory, gpa + PAGE, 2 * PAGE, at, may);
        suite.expect(answer, Status::Ok, format_args!("memory at {at:#x}"));
    }
    let seen = [
        write(suite, machine, ONE + PAGE, 0x5a),
        read(suite, machine, OTHER + PAGE),
        write(suite, machine, OTHER + PAGE, 1),
        read(suite, machine, gpa + 2 * PAGE),
    ];
    let expected = [Ok(Some(0x5a)), Ok(Some(0x5a)), Ok(None), Ok(None)];
    suite.check(seen == expected, format_args!("a page at two addresses: {seen:x?}"));
    // SAFETY: within what is mapped here.
    let byte = unsafe { ((address + 2 * PAGE) as *const u8).read_volatile() };
    suite.check(byte == 0x5a, format_args!("and in this process: {byte:x}"));
    suite.expect(unmap(vm, ONE, 2 * PAGE), Status::Ok, format_args!("taking one out"));
    let seen = [read(suite, machine, ONE + PAGE), read(suite, machine, OTHER + PAGE)];
    suite.check(seen == [Ok(None), Ok(Some(0x5a))], format_args!("the other stays: {seen:x?}"));
    suite.expect(protect(vm, OTHER, 2 * PAGE, ALL), Status::Ok, format_args!("more for the other"));
    let seen = write(suite, machine, OTHER + PAGE, 7);
    suite.check(seen == Ok(Some(7)), format_args!("a write at the other: {seen:x?}"));
    suite.expect(unmap(vm, OTHER, 2 * PAGE), Status::Ok, format_args!("taking the other out"));
}

/// Two VMs of one process on one processor, with different memory at the same address: each sees its own,
/// however often they take turns.
fn two_vms(suite: &mut Suite<'_>, machine: &Machine, gpa: u64, address: u64) {
    let second = match Machine::new(suite.system, 0, CODE) {
        Ok(second) => second,
        Err(status) => return suite.check(false, format_args!("a second VM: {status:?}")),
    };
    let pages = [(machine, gpa + PAGE), (&second, gpa + 2 * PAGE)];
    for ((machine, from), mark) in pages.into_iter().zip([0x11, 0x22]) {
        let answer = map_at(machine.vm, suite.memory, from, PAGE, ONE, ALL);
        suite.expect(answer, Status::Ok, format_args!("a page of its own for each VM"));
        // SAFETY: within what is mapped here; no vCPU runs.
        unsafe { ((address + from - gpa) as *mut u8).write_volatile(mark) };
    }
    for round in 0..50 {
        let seen = [read(suite, machine, ONE), read(suite, &second, ONE)];
        suite.check(
            seen == [Ok(Some(0x11)), Ok(Some(0x22))],
            format_args!("two VMs in turn, round {round}: {seen:x?}"),
        );
    }
}

/// Tables for the highest addresses go with their VM as others do.
fn memory_comes_back(suite: &mut Suite<'_>, gpa: u64) {
    let once = |suite: &Suite<'_>| -> Result<(), Status> {
        let vm = call(suite.system, SystemCreateVm::default())?.handle;
        for at in [0, TOP, 2 * TOP - PAGE] {
            map_at(vm, suite.memory, gpa, PAGE, at, ALL)?;
        }
        process::close(vm)
    };
    let before = suite.free_bytes();
    suite.expect(once(suite), Status::Ok, format_args!("a VM with memory at both ends"));
    suite.check(suite.settles_at(before), format_args!("it leaves {} free of {before}", suite.free_bytes()));
}

//! Guest memory that is taken back, and pages of which the guest may do less: it exits where it touches them,
//! and goes on when it may again.
#![allow(unsafe_code, reason = "guest memory and run pages at addresses of our choice")]

use runtime::abi::exit::{Access, reason};
use runtime::abi::operation::{
    Handle, MemoryMap, MemoryRange, Permissions, SystemCreateVm, VmAllocate, VmMap, VmProtect, VmUnmap,
};
use runtime::abi::registers::{Groups, Segment};
use runtime::abi::status::Status;
use runtime::{call, heap, process};

use crate::suite::Suite;
use crate::vm::Machine;

/// Size of a large page of the nested tables.
pub const LARGE: u64 = 2 * 1024 * 1024;
const PAGE: u64 = 4096;
/// Where the page under test lies in the region: within a large page.
const AT: u64 = 5 * PAGE;

/// Reads what DS:0 has; HLT; writes it; HLT.
const CODE: &[u8] = &[0xa0, 0, 0, 0xf4, 0xa2, 0, 0, 0xf4];
/// The page's own bytes, and what it does when it is executed: HLT.
const HLT: u64 = 0xf4f4_f4f4_f4f4_f4f4;

/// What the guest does with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touch {
    Read,
    Write,
    Execute,
}

const NONE: Permissions = Permissions::empty();
const ALL: Permissions = Permissions::all();

/// Guest memory for a test, at the start of a large page: so much of it.
pub fn region(memory: Handle, bytes: u64) -> Result<u64, Status> {
    for index in 0.. {
        let range = call(memory, MemoryRange { index, gpa: 0, bytes: 0 })?;
        let start = range.gpa.next_multiple_of(LARGE).max(LARGE);
        if start + bytes <= range.gpa + range.bytes {
            return Ok(start);
        }
    }
    Err(Status::NotFound)
}

/// Says what a guest may do with a range.
pub fn protect(vm: Handle, gpa: u64, bytes: u64, permissions: Permissions) -> Result<(), Status> {
    call(vm, VmProtect { gpa, bytes, permissions: permissions.bits(), reserved: 0 }).map(drop)
}

/// Takes a range out of a VM.
pub fn unmap(vm: Handle, gpa: u64, bytes: u64) -> Result<(), Status> {
    call(vm, VmUnmap { gpa, bytes }).map(drop)
}

/// Maps a range into a VM.
pub fn map(vm: Handle, memory: Handle, gpa: u64, bytes: u64) -> Result<(), Status> {
    call(vm, VmMap { memory, reserved: 0, gpa, bytes }).map(drop)
}

/// A real-mode data segment of 4 GiB.
pub fn flat(base: u64) -> Segment {
    Segment { selector: 0, attributes: 0x893, limit: 0xffff_ffff, base }
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    match Guest::new(suite) {
        Ok(guest) => {
            touches(suite, &guest);
            ranges(suite, &guest);
            own_pages(suite, &guest);
            arguments(suite, &guest);
        }
        Err(status) => suite.check(false, format_args!("a VM with guest memory: {status:?}")),
    }
    memory_comes_back(suite);
}

/// A VM with a vCPU, and a region of guest memory that the VM has mapped, and this process too.
struct Guest {
    machine: Machine,
    memory: Handle,
    gpa: u64,
    /// Where the region is in this process.
    address: u64,
}

const REGION: u64 = 3 * LARGE;

impl Guest {
    fn new(suite: &Suite<'_>) -> Result<Self, Status> {
        let machine = Machine::new(suite.system, 0, CODE)?;
        let gpa = region(suite.memory, REGION)?;
        let address = heap::reserve(REGION).ok_or(Status::Exhausted)?;
        call(suite.memory, MemoryMap { address, gpa, bytes: REGION })?;
        map(machine.vm, suite.memory, gpa, REGION)?;
        let guest = Self { machine, memory: suite.memory, gpa, address };
        (0..REGION / 8).for_each(|index| guest.set(index * 8, HLT));
        Ok(guest)
    }

    fn set(&self, offset: u64, value: u64) {
        // SAFETY: within the region, which is mapped here.
        unsafe { ((self.address + offset % REGION) as *mut u64).write_volatile(value) };
    }

    /// Has the guest touch a page of the region. `None`: it could; else where it stopped, and why.
    fn touch(&self, suite: &Suite<'_>, touch: Touch, page: u64) -> Result<Option<(u64, Access)>, Status> {
        self.touch_at(suite, touch, self.gpa + page)
    }

    fn touch_at(&self, suite: &Suite<'_>, touch: Touch, gpa: u64) -> Result<Option<(u64, Access)>, Status> {
        let page = self.machine.page;
        let code = if touch == Touch::Execute { gpa } else { 0xd_0000 };
        // SAFETY: the run page is ours while the vCPU does not run.
        unsafe {
            (*page).segments.ds = flat(gpa);
            (*page).system.cs = Segment { attributes: 0x9b, ..flat(code) };
            (*page).general.rip = if touch == Touch::Write { CODE.len() as u64 / 2 } else { 0 };
            (*page).general.gpr[0] = HLT;
            (*page).dirty = (Groups::GENERAL | Groups::SYSTEM | Groups::SEGMENTS).bits();
        }
        match self.machine.run(suite.in_us(5_000_000))? {
            reason::HALT => Ok(None),
            // SAFETY: as above.
            reason::MEMORY => Ok(Some(unsafe { ((*page).exit.gpa, access(&self.machine)) })),
            _ => Err(Status::WrongState),
        }
    }
}

/// How the guest touched memory at its last exit.
fn access(machine: &Machine) -> Access {
    // SAFETY: the run page is ours while the vCPU does not run.
    Access::from_bits_retain(unsafe { (*machine.page).exit.access })
}

/// What the guest may do, and what it does.
fn touches(suite: &mut Suite<'_>, guest: &Guest) {
    let (read, write) = (Permissions::READ, Permissions::READ | Permissions::WRITE);
    let execute = Permissions::READ | Permissions::EXECUTE;
    for (permissions, may) in [
        (ALL, [true, true, true]),
        (NONE, [false, false, false]),
        (read, [true, false, false]),
        (write, [true, true, false]),
        (execute, [true, false, true]),
        (NONE, [false, false, false]),
        (ALL, [true, true, true]),
    ] {
        let answer = protect(guest.machine.vm, guest.gpa + AT, PAGE, permissions);
        suite.expect(answer, Status::Ok, format_args!("{permissions:?} for a page"));
        check_page(suite, guest, AT, permissions, may);
        for neighbour in [AT - PAGE, AT + PAGE, LARGE] {
            check_page(suite, guest, neighbour, ALL, [true; 3]);
        }
    }
    // Taken out, and put back.
    let answer = unmap(guest.machine.vm, guest.gpa + AT, PAGE);
    suite.expect(answer, Status::Ok, format_args!("taking a page out"));
    check_page(suite, guest, AT, NONE, [false; 3]);
    check_page(suite, guest, AT + PAGE, ALL, [true; 3]);
    let answer = protect(guest.machine.vm, guest.gpa + AT, PAGE, ALL);
    suite.expect(answer, Status::NotFound, format_args!("permissions of a page that is not there"));
    let answer = map(guest.machine.vm, guest.memory, guest.gpa + AT, PAGE);
    suite.expect(answer, Status::Ok, format_args!("mapping it again"));
    check_page(suite, guest, AT, ALL, [true; 3]);
}

/// The guest reads, writes and executes a page, each as it may.
fn check_page(suite: &mut Suite<'_>, guest: &Guest, page: u64, permissions: Permissions, may: [bool; 3]) {
    let mapped = if permissions.is_empty() { Access::empty() } else { Access::PROTECTION };
    let done = [Touch::Read, Touch::Write, Touch::Execute].map(|touch| guest.touch(suite, touch, page));
    let kinds = [Access::empty(), Access::WRITE, Access::EXECUTE];
    for ((done, may), kind) in done.into_iter().zip(may).zip(kinds) {
        let expected = (!may).then_some((guest.gpa + page, mapped | kind));
        suite.check(
            done == Ok(expected),
            format_args!("{kind:?} of page {page:#x} with {permissions:?}: {done:x?}, not {expected:x?}"),
        );
    }
}

/// Ranges over several large pages, and parts of them.
fn ranges(suite: &mut Suite<'_>, guest: &Guest) {
    let vm = guest.machine.vm;
    for (start, bytes) in [(0, REGION), (LARGE, LARGE), (LARGE - PAGE, 2 * PAGE), (PAGE, REGION - 2 * PAGE)] {
        let touched = |offset: u64| (start..start + bytes).contains(&offset);
        for taken in [true, false] {
            let answer = if taken {
                unmap(vm, guest.gpa + start, bytes)
            } else {
                protect(vm, guest.gpa + start, bytes, NONE)
            };
            suite.expect(answer, Status::Ok, format_args!("{bytes:#x} at {start:#x} taken: {taken}"));
            for page in [0, PAGE, LARGE - 2 * PAGE, LARGE - PAGE, LARGE, LARGE + PAGE, REGION - PAGE] {
                let done = guest.touch(suite, Touch::Read, page);
                let expected = touched(page).then_some((guest.gpa + page, Access::empty()));
                suite.check(done == Ok(expected), format_args!("page {page:#x} of {start:#x}: {done:x?}"));
            }
            let again = if taken { unmap(vm, guest.gpa + start, bytes) } else { Ok(()) };
            suite.expect(again, Status::Ok, format_args!("taking out what is not there any more"));
            let answer = if taken {
                map(vm, guest.memory, guest.gpa + start, bytes)
            } else {
                protect(vm, guest.gpa + start, bytes, ALL)
            };
            suite.expect(answer, Status::Ok, format_args!("{bytes:#x} at {start:#x} again: {taken}"));
            check_page(suite, guest, LARGE - PAGE, ALL, [true; 3]);
        }
    }
}

/// Pages of the VM's own can be protected, and not taken out.
fn own_pages(suite: &mut Suite<'_>, guest: &Guest) {
    let (vm, gpa) = (guest.machine.vm, 0xe_0000);
    let address = heap::reserve(PAGE).unwrap_or(0);
    let made = call(vm, VmAllocate { gpa, bytes: PAGE, address, writable: 1 });
    suite.expect(made, Status::Ok, format_args!("a page of the VM's own"));
    let outcomes = [ALL, Permissions::READ, NONE, ALL].map(|permissions| {
        protect(vm, gpa, PAGE, permissions)?;
        guest.touch_at(suite, Touch::Write, gpa)
    });
    let refused = |access| Ok(Some((gpa, access)));
    let expected = [Ok(None), refused(Access::WRITE | Access::PROTECTION), refused(Access::WRITE), Ok(None)];
    suite.check(outcomes == expected, format_args!("writing an own page: {outcomes:x?}"));
    suite.expect(unmap(vm, gpa, PAGE), Status::NotFound, format_args!("taking out an own page"));
}

fn arguments(suite: &mut Suite<'_>, guest: &Guest) {
    let (vm, gpa) = (guest.machine.vm, guest.gpa);
    for (gpa, bytes, unmapped, protected) in [
        (gpa + 1, PAGE, Status::BadArgument, Status::BadArgument),
        (gpa, PAGE - 1, Status::BadArgument, Status::BadArgument),
        (gpa, 0, Status::BadArgument, Status::BadArgument),
        (gpa, !(PAGE - 1), Status::BadArgument, Status::BadArgument),
        (1 << 48, PAGE, Status::BadArgument, Status::BadArgument),
        ((1 << 48) - PAGE, 2 * PAGE, Status::BadArgument, Status::BadArgument),
        (!(PAGE - 1), PAGE, Status::BadArgument, Status::BadArgument),
        ((1 << 48) - PAGE, PAGE, Status::Ok, Status::NotFound),
        (0x800_0000, PAGE, Status::Ok, Status::NotFound),
        // A page of the VM's own is among them.
        (0xc_f000, 2 * PAGE, Status::NotFound, Status::NotFound),
        (gpa + REGION, PAGE, Status::Ok, Status::NotFound),
        (gpa + REGION - PAGE, 2 * PAGE, Status::Ok, Status::NotFound),
    ] {
        suite.expect(unmap(vm, gpa, bytes), unmapped, format_args!("taking out {bytes:#x} at {gpa:#x}"));
        let answer = protect(vm, gpa, bytes, ALL);
        suite.expect(answer, protected, format_args!("permissions of {bytes:#x} at {gpa:#x}"));
    }
    for bits in [2, 4, 6, 8, 1 << 31 | 7] {
        let answer = call(vm, VmProtect { gpa, bytes: PAGE, permissions: bits, reserved: 0 });
        suite.expect(answer, Status::BadArgument, format_args!("permissions {bits:#x}"));
    }
    check_page(suite, guest, 0, ALL, [true; 3]);
}

/// Tables that were made to split large pages are given back when all of what they map is taken out.
fn memory_comes_back(suite: &mut Suite<'_>) {
    let run = |suite: &Suite<'_>| -> Result<[u64; 3], Status> {
        let vm = call(suite.system, SystemCreateVm::default())?.handle;
        let gpa = region(suite.memory, REGION)?;
        map(vm, suite.memory, gpa, REGION)?;
        let before = suite.free_bytes();
        protect(vm, gpa + PAGE, REGION - 2 * PAGE, Permissions::READ)?;
        let split = suite.free_bytes();
        unmap(vm, gpa, REGION)?;
        map(vm, suite.memory, gpa, REGION)?;
        let after = suite.free_bytes();
        process::close(vm)?;
        Ok([before, split, after])
    };
    let free = run(suite);
    let holds = free.is_ok_and(|[before, split, after]| split == before - 2 * PAGE && after == before);
    suite.check(holds, format_args!("free memory before, with split pages, after: {free:x?}"));
}

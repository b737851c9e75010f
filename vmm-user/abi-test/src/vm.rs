//! VMs and vCPUs: their pages stay the mapper's as long as they are mapped, and a process that ends in its
//! guest is gone whole.
#![allow(unsafe_code, reason = "guest memory and run pages at addresses of our choice")]

use runtime::abi::exit::reason;
use runtime::abi::operation::{
    EventBindVcpu, HANDLE_SELF, Handle, MemoryMap, MemoryRange, ProcessAllocate, Rights, SystemCreateVm,
    VcpuCreate, VcpuFetch, VmAllocate, VmMap,
};
use runtime::abi::registers::Groups;
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{Start, call, heap, process, syscall, thread};

use crate::child::{self, Child};
use crate::fpu;
use crate::suite::Suite;
use crate::unmapping::unmap;

pub use crate::machine::Machine;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    guest_runs(suite);
    stale_pages(suite);
    arguments(suite);
}

/// Processes that end while a thread of theirs is in its guest.
pub fn test_ends(suite: &mut Suite<'_>) {
    for cpu in [0, suite.cpus - 1] {
        ends_in_run(suite, cpu);
    }
}

/// A guest of two instructions, its exits, and the FPU of a process that runs a guest.
fn guest_runs(suite: &mut Suite<'_>) {
    // cpuid; hlt; jmp to itself
    let machine = match Machine::new(suite.system, 0, &[0x0f, 0xa2, 0xf4, 0xeb, 0xfe]) {
        Ok(machine) => machine,
        Err(status) => return suite.check(false, format_args!("a VM with a vCPU: {status:?}")),
    };
    let until = suite.in_us(5_000_000);
    let first = machine.run(until);
    suite.check(first == Ok(reason::CPUID), format_args!("the guest's CPUID: {first:?}"));
    let asked = fpu::ask();
    suite.expect(asked, Status::Ok, format_args!("asking for the FPU"));
    fpu::set(0x1234_5678);
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        (*machine.page).general.rip = 2;
        (*machine.page).dirty = Groups::GENERAL.bits();
    }
    let asked = Groups::SEGMENTS | Groups::MSRS;
    // SAFETY: as above.
    unsafe { (*machine.page).deliver = (asked | Groups::XCR0).bits() };
    let second = machine.run(until);
    suite.check(second == Ok(reason::HALT), format_args!("the guest's HLT: {second:?}"));
    // SAFETY: as above.
    let groups = unsafe {
        (*machine.page).deliver = 0;
        Groups::from_bits_retain((*machine.page).exit.groups)
    };
    let expected = asked | Groups::GENERAL | Groups::DECODING;
    suite.check(groups == expected, format_args!("groups delivered: {groups:?}, not {expected:?}"));
    let kept = fpu::get();
    suite.check(kept == [0x1234_5678; 2], format_args!("our FPU after a guest's run: {kept:x?}"));
    // SAFETY: as above.
    unsafe {
        (*machine.page).general.rip = 3;
        (*machine.page).dirty = Groups::GENERAL.bits();
    }
    let third = machine.run(suite.in_us(2000));
    suite.check(third == Ok(reason::DEADLINE), format_args!("a guest that loops: {third:?}"));
    refused_state(suite, &machine);
    let fetched = call(machine.vcpu, VcpuFetch { groups: Groups::all().bits(), reserved: 0 });
    suite.expect(fetched, Status::Ok, format_args!("all register groups"));
    suite.check(fpu::get() == [0x1234_5678; 2], format_args!("our FPU after a fetch"));
    let answer = call(machine.vcpu, VcpuFetch { groups: 1 << 31, reserved: 0 });
    suite.expect(answer, Status::BadArgument, format_args!("groups that do not exist"));
    for handle in [machine.vcpu, machine.vm] {
        suite.expect(process::close(handle), Status::Ok, format_args!("closing vCPU and VM"));
    }
}

/// A state that no processor enters (CR0.NW without CD) is told so, and shows nothing of the host's.
fn refused_state(suite: &mut Suite<'_>, machine: &Machine) {
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        (*machine.page).system.cr0 = 0x2000_0010;
        (*machine.page).dirty = Groups::SYSTEM.bits();
        (*machine.page).deliver = (Groups::GENERAL | Groups::SYSTEM | Groups::SEGMENTS | Groups::MSRS).bits();
    }
    let answer = machine.run(suite.in_us(2000));
    suite.check(answer == Ok(reason::INVALID_STATE), format_args!("a state that is none: {answer:?}"));
    // SAFETY: as above.
    let (rip, cr3, idt, star) = unsafe {
        let page = machine.page;
        ((*page).general.rip, (*page).system.cr3, (*page).segments.idtr.base, (*page).msrs.lstar)
    };
    suite.check([rip, cr3, idt, star] == [0; 4], format_args!("after it: {rip:x} {cr3:x} {idt:x} {star:x}"));
}

/// Pages that a VM or vCPU gave us stay ours when its handle is closed: nobody else gets them.
fn stale_pages(suite: &mut Suite<'_>) {
    let run = |suite: &Suite<'_>| -> Result<[bool; 2], Status> {
        let vm = call(suite.system, SystemCreateVm::default())?.handle;
        let address = heap::reserve(64 * 4096).ok_or(Status::Exhausted)?;
        call(vm, VmAllocate { gpa: 0xc_0000, bytes: 64 * 4096, address, writable: 0 })?;
        let before = suite.free_bytes();
        process::close(vm)?;
        let kept = suite.free_bytes() == before;
        let vm = call(suite.system, SystemCreateVm::default())?.handle;
        let first = heap::reserve(8192).ok_or(Status::Exhausted)?;
        process::close(call(vm, VcpuCreate { address: first, cpu: 0, handle: 0 })?.handle)?;
        let second = heap::reserve(8192).ok_or(Status::Exhausted)?;
        let vcpu = call(vm, VcpuCreate { address: second, cpu: 0, handle: 0 })?.handle;
        // SAFETY: both pages are mapped for us.
        let shared = unsafe {
            ((first + 2048) as *mut u64).write_volatile(0x5a5a);
            ((second + 2048) as *const u64).read_volatile() == 0x5a5a
        };
        process::close(vcpu)?;
        process::close(vm)?;
        Ok([kept, shared])
    };
    let answer = run(suite);
    suite.check(answer == Ok([true, false]), format_args!("pages of a closed VM and vCPU: {answer:?}"));
}

fn arguments(suite: &mut Suite<'_>) {
    let Ok(vm) = call(suite.system, SystemCreateVm::default()).map(|c| c.handle) else {
        return suite.check(false, format_args!("a VM"));
    };
    let address = heap::reserve(1 << 20).unwrap_or(0);
    for (gpa, bytes, status) in [
        (1 << 40, 1 << 46, Status::Exhausted),
        (1 << 40, 257 * 4096, Status::Exhausted),
        (1 << 40, 0, Status::BadArgument),
        (1 << 40, 5, Status::BadArgument),
        ((1 << 40) + 1, 4096, Status::BadArgument),
        (1 << 48, 4096, Status::BadArgument),
        (u64::MAX - 4095, 4096, Status::BadArgument),
        (0x10_0000, 4096, Status::Overlap),
    ] {
        let answer = call(vm, VmAllocate { gpa, bytes, address, writable: 0 });
        suite.expect(answer, status, format_args!("pages for a VM, {bytes:#x} at {gpa:#x}"));
    }
    // No more than 256 pages altogether, however they are asked for.
    for (gpa, pages, status) in [
        (1 << 40, 100, Status::Ok),
        (1 << 41, 157, Status::Exhausted),
        (1 << 41, 156, Status::Ok),
        (1 << 42, 1, Status::Exhausted),
    ] {
        let (bytes, address) = (pages * 4096, heap::reserve(pages * 4096).unwrap_or(0));
        let answer = call(vm, VmAllocate { gpa, bytes, address, writable: 0 });
        suite.expect(answer, status, format_args!("{pages} pages more for a VM"));
        if answer.is_ok() {
            // Else they would be missing in what follows.
            suite.expect(unmap(address, bytes), Status::Ok, format_args!("a VM's pages taken out"));
        }
    }
    for address in [0, 0xffff_fe00_0000_0000, u64::MAX - 4095, 0x7fff_ffff_e000, 3] {
        let answer = call(vm, VmAllocate { gpa: 1 << 41, bytes: 4096, address, writable: 2 });
        suite.expect(answer, Status::BadArgument, format_args!("neither writable nor not"));
        let answer = call(vm, VcpuCreate { address, cpu: 0, handle: 0 });
        suite.expect(answer, Status::BadArgument, format_args!("a vCPU's pages at {address:#x}"));
    }
    let answer = call(vm, VcpuCreate { address, cpu: 4000, handle: 0 });
    suite.expect(answer, Status::BadArgument, format_args!("a vCPU on a processor that is not there"));
    for (gpa, bytes, status) in [
        (0x800_0000, 4096, Status::NotFound),
        (0, !4095, Status::BadArgument),
        (1, 4096, Status::BadArgument),
        (0, 0, Status::BadArgument),
        (1 << 44, 4096, Status::NotFound),
    ] {
        let answer = call(vm, VmMap { memory: suite.memory, reserved: 0, gpa, bytes });
        suite.expect(answer, status, format_args!("mapping {bytes:#x} at {gpa:#x} in a VM"));
    }
    let answer = call(vm, VmMap { memory: 95, reserved: 0, gpa: 0x10_0000, bytes: 4096 });
    suite.expect(answer, Status::BadHandle, format_args!("mapping guest memory without a handle to it"));
    let taken = taken_second_page(vm);
    let expected = (Err(Status::Overlap), Ok(()));
    suite.check(taken == expected, format_args!("a vCPU's second page where memory is: {taken:?}"));
    let _ = (MemoryRange { index: 0, gpa: 0, bytes: 0 }, MemoryMap { address: 0, gpa: 0, bytes: 0 });
    suite.expect(process::close(vm), Status::Ok, format_args!("closing the VM"));
}

/// A vCPU whose second page would lie where memory is: it is refused, and the first one's place is still
/// free.
fn taken_second_page(vm: Handle) -> (Result<(), Status>, Result<(), Status>) {
    let first = heap::reserve(8192).unwrap_or(0);
    let allocate = |address| call(HANDLE_SELF, ProcessAllocate { address, bytes: 4096 }).map(|_| ());
    if let Err(status) = allocate(first + 4096) {
        return (Ok(()), Err(status));
    }
    let made = call(vm, VcpuCreate { address: first, cpu: 0, handle: 0 }).map(|_| ());
    (made, allocate(first))
}

/// The child: one thread is in its guest, which loops for ever or sleeps, when another ends the process.
pub fn die_in_run(start: &Start) -> u32 {
    let (Some(system), cpu) = (start.handle("system"), child::number(start, "cpu") as u32) else { return 1 };
    let code: &[u8] = &[0xeb, 0xfe];
    let Ok(machine) = Machine::new(system, cpu, code) else { return 2 };
    let sleeps = child::number(start, "sleeps") as u32;
    // SAFETY: the vCPU does not run yet.
    unsafe { (*machine.page).activity = sleeps };
    let Ok(event) = Event::try_new() else { return 3 };
    let bound = Event::try_new().and_then(|e| call(e.0, EventBindVcpu { vcpu: machine.vcpu, bit: 8 }));
    let vcpu = machine.vcpu;
    let begun = thread::spawn(cpu, 1, move || {
        let _ = syscall::run(vcpu);
    });
    let waited = event.wait_until(syscall::tsc() + child::number(start, "ticks"));
    if bound.is_err() || begun.is_err() || waited != Err(Status::TimedOut) { 4 } else { 0 }
}

fn ends_in_run(suite: &mut Suite<'_>, cpu: u32) {
    let once = |suite: &Suite<'_>, sleeps: u64| -> Result<u32, Status> {
        let child =
            Child::new(suite, "die-in-run")?.grant("system", suite.system, Rights::READ | Rights::CREATE)?;
        let child = child.set("cpu", cpu).set("ticks", suite.ticks_us * 3000).set("sleeps", sleeps);
        Ok(child.start(0, 1)?.join(suite)?.code)
    };
    // The first rounds map stacks and vCPU pages that stay for the next.
    let warm = [once(suite, 0), once(suite, 1)];
    suite.check(warm == [Ok(0), Ok(0)], format_args!("a process that ends in its guest: {warm:?}"));
    let before = suite.free_bytes();
    for round in 0..10 {
        let code = once(suite, round % 2);
        suite.check(code == Ok(0), format_args!("a process that ends in its guest on cpu{cpu}: {code:?}"));
    }
    suite.check(
        suite.settles_at(before),
        format_args!("such processes leave {} free of {before}", suite.free_bytes()),
    );
}

//! A guest's page tables: what one vCPU, or one CR3, has made of an address is not what another finds there.
//! On QEMU that is so by itself; a kernel for tests holds it against its model of the TLBs
//! (`vmm-kernel/src/checks/tlb.rs`).
#![allow(unsafe_code, reason = "guest memory and run pages at addresses of our choice")]

use runtime::abi::exit::reason;
use runtime::abi::operation::{VcpuCreate, VmAllocate};
use runtime::abi::registers::{Groups, Segment};
use runtime::abi::run_page::RunPage;
use runtime::abi::status::Status;
use runtime::{call, heap, process};

use crate::suite::Suite;
use crate::vm::Machine;

/// mov eax, [400000h]; hlt. In 32-bit code.
const READ: &[u8] = &[0xa1, 0x00, 0x00, 0x40, 0x00, 0xf4];
/// Where `Machine` puts it.
const CODE: u64 = 0xd_0000;
/// The pages behind: two directories, a table for the code, and of each directory a table and what it leads
/// to.
const PAGES: u64 = CODE + 0x1000;
const COUNT: u64 = 7;
/// Present, writable, the user's.
const ENTRY: u32 = 7;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let seen = changed_tables(suite);
    suite.check(seen == Ok([1, 2, 1]), format_args!("one vCPU with two page tables in turn: {seen:?}"));
    let seen = two_vcpus(suite);
    suite.check(seen == Ok([1, 2, 1, 2]), format_args!("two vCPUs of one VM, one processor: {seen:?}"));
}

/// Page tables at [`PAGES`] and the page behind: under them 400000h holds 1 and 2.
fn prepare(machine: &Machine) -> Result<(), Status> {
    let address = heap::reserve(COUNT * 4096).ok_or(Status::Exhausted)?;
    call(machine.vm, VmAllocate { gpa: PAGES, bytes: COUNT * 4096, address, writable: 1 })?;
    let set = |page: u64, index: u64, value: u32| {
        // SAFETY: within the pages that the kernel has just mapped for us; no vCPU runs.
        unsafe { ((address + page * 4096 + index * 4) as *mut u32).write_volatile(value) };
    };
    let entry = |page: u64| (PAGES + page * 4096) as u32 | ENTRY;
    set(2, CODE >> 12, CODE as u32 | ENTRY);
    for which in 0..2 {
        set(which, 0, entry(2));
        set(which, 1, entry(3 + which));
        set(3 + which, 0, entry(5 + which));
        set(5 + which, 0, which as u32 + 1);
    }
    Ok(())
}

/// Has a vCPU read 400000h under the page tables `which`.
fn read(suite: &Suite<'_>, machine: &Machine, which: u64) -> Result<u64, Status> {
    let flat = |attributes| Segment { selector: 8, attributes, limit: 0xffff_ffff, base: 0 };
    let page: *mut RunPage = machine.page;
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        (*page).system.cs = flat(0xc9b);
        (*page).system.ss = flat(0xc93);
        (*page).segments.ds = flat(0xc93);
        // PG, ET, PE.
        (*page).system.cr0 = 0x8000_0011;
        (*page).system.cr3 = PAGES + which * 4096;
        (*page).system.dr6 = 0xffff_0ff0;
        (*page).system.dr7 = 0x400;
        (*page).general.gpr[0] = 0;
        (*page).general.rflags = 2;
        (*page).general.rip = CODE;
        (*page).dirty |= (Groups::GENERAL | Groups::SYSTEM | Groups::SEGMENTS).bits();
    }
    match machine.run(suite.in_us(5_000_000))? {
        // SAFETY: as above.
        reason::HALT => Ok(unsafe { (*page).general.gpr[0] }),
        other => Ok(u64::from(other) << 32),
    }
}

fn changed_tables(suite: &Suite<'_>) -> Result<[u64; 3], Status> {
    let machine = Machine::new(suite.system, 0, READ)?;
    prepare(&machine)?;
    let seen = [read(suite, &machine, 0)?, read(suite, &machine, 1)?, read(suite, &machine, 0)?];
    process::close(machine.vcpu)?;
    process::close(machine.vm)?;
    Ok(seen)
}

fn two_vcpus(suite: &Suite<'_>) -> Result<[u64; 4], Status> {
    let first = Machine::new(suite.system, 0, READ)?;
    prepare(&first)?;
    let address = heap::reserve(8192).ok_or(Status::Exhausted)?;
    let vcpu = call(first.vm, VcpuCreate { address, cpu: 0, handle: 0 })?.handle;
    let second = Machine { vm: first.vm, vcpu, page: address as *mut RunPage, text: first.text };
    let mut seen = [0; 4];
    for (index, place) in seen.iter_mut().enumerate() {
        let machine = if index % 2 == 0 { &first } else { &second };
        *place = read(suite, machine, index as u64 % 2)?;
    }
    for handle in [first.vcpu, second.vcpu, first.vm] {
        process::close(handle)?;
    }
    Ok(seen)
}

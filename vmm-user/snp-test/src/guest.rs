//! A guest of a few instructions, by the ABI alone: which memory it reaches, and which it does not any more.

use runtime::abi::exit::{Access, reason};
use runtime::abi::operation::{Handle, Permissions, SystemCreateVm, VmMap, VmMapAt, VmProtect, VmUnmap};
use runtime::abi::registers::{Groups, Segment, SegmentRegisters, SystemRegisters, gpr};
use runtime::abi::status::Status;
use runtime::{call, syscall};
use vmm::guest_memory::GuestRam;
use vmm::vcpu::{Created, create};

use crate::Failure;

const PAGE: u64 = 4096;
/// Where it executes, and what it writes to, or reads, at EDI.
const CODE: u64 = 0x1_0000;
const DATA: u64 = CODE + PAGE;
/// `mov [edi], eax`, `hlt`; `mov eax, [edi]`, `hlt`.
const PROGRAM: [u8; 6] = [0x89, 0x07, 0xf4, 0x8b, 0x07, 0xf4];
const WRITE: u64 = CODE;
const READ: u64 = CODE + 3;
const VALUE: u64 = 0x5a5a_1234;

fn failed(what: &'static str) -> impl Fn(Status) -> Failure {
    move |status| Failure::Call(what, status)
}

/// 32 bits, flat, without paging.
fn start(created: &mut Created) {
    let flat = |selector, attributes| Segment { selector, attributes, limit: u32::MAX, base: 0 };
    let (code, data) = (flat(8, 0xc9b), flat(16, 0xc93));
    let page = &mut created.page;
    let (ldtr, tr) = (flat(0, 0x82), flat(0, 0x8b));
    page.set_system(SystemRegisters {
        cr0: 0x11,
        cs: code,
        ss: data,
        dr6: 0xffff_0ff0,
        dr7: 0x400,
        ..SystemRegisters::default()
    });
    page.set_segments(SegmentRegisters {
        es: data,
        ds: data,
        fs: data,
        gs: data,
        ldtr,
        tr,
        ..SegmentRegisters::default()
    });
    page.set_deadline_tsc(u64::MAX);
    page.mark(Groups::SYSTEM | Groups::SEGMENTS | Groups::CONTROLS);
}

/// Runs it from an address on; what the exit was, and of a memory exit where, and whether it was a write.
fn run(created: &mut Created, from: u64) -> Result<(u32, u64, bool), Failure> {
    created.page.set_gpr(gpr::RAX, VALUE);
    created.page.set_gpr(gpr::RDI, DATA);
    created.page.set_rflags(2);
    created.page.change_rip(from);
    syscall::run(created.handle).map_err(|(status, _)| Failure::Call("a run", status))?;
    let is_write = created.page.exit_access() & Access::WRITE.bits() != 0;
    let why = created.page.reason();
    let (at, is_write) = if why == reason::MEMORY { (created.page.gpa(), is_write) } else { (0, false) };
    Ok((why, at, is_write))
}

fn expect(what: &'static str, found: (u32, u64, bool), expected: (u32, u64, bool)) -> Result<(), Failure> {
    if found == expected { Ok(()) } else { Err(Failure::Exit(what, found)) }
}

/// Runs it.
pub(crate) fn check(system: Handle, memory: Handle) -> Result<(), Failure> {
    let ram = GuestRam::map(memory).map_err(failed("guest memory"))?;
    if !ram.copy_in(CODE, &PROGRAM) || !ram.clear(DATA, PAGE) {
        return Err(Failure::Call("the guest's pages", Status::NotFound));
    }
    let new_vm = || call(system, SystemCreateVm::default()).map_err(failed("a VM"));
    let (vm, other) = (new_vm()?.handle, new_vm()?.handle);
    let map = VmMap { memory, reserved: 0, gpa: CODE, bytes: 2 * PAGE };
    call(vm, map).map_err(failed("VmMap"))?;
    let permissions = Permissions::all().bits();
    // Where there is memory of the guest's: nothing but the address is wrong.
    let elsewhere = VmMapAt { memory, permissions, gpa: CODE, bytes: PAGE, at: CODE + 4 * PAGE };
    let refused = [call(vm, elsewhere).map(drop), call(other, map).map(drop), create(other, 0).map(drop)];
    if refused != [Err(Status::BadOperation); 3] {
        return Err(Failure::NotRefused(refused));
    }
    let mut vcpu = create(vm, 0).map_err(failed("a vCPU"))?;
    start(&mut vcpu);
    let halts = (reason::HALT, 0, false);
    expect("a write", run(&mut vcpu, WRITE)?, halts)?;
    if ram.read(DATA, decoder::Size::B4) != Some(VALUE) {
        return Err(Failure::Exit("what was written", halts));
    }
    let narrowed = VmProtect { gpa: DATA, bytes: PAGE, permissions: Permissions::READ.bits(), reserved: 0 };
    call(vm, narrowed).map_err(failed("VmProtect"))?;
    expect("a write to what may be read", run(&mut vcpu, WRITE)?, (reason::MEMORY, DATA, true))?;
    expect("a read", run(&mut vcpu, READ)?, halts)?;
    call(vm, VmUnmap { gpa: DATA, bytes: PAGE }).map_err(failed("VmUnmap"))?;
    expect("a read of what was taken", run(&mut vcpu, READ)?, (reason::MEMORY, DATA, false))?;
    call(vm, VmMap { gpa: DATA, bytes: PAGE, ..map }).map_err(failed("VmMap again"))?;
    expect("a write again", run(&mut vcpu, WRITE)?, halts)
}

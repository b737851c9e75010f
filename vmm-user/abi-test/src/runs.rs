//! Runs of a vCPU: whose they are, what ends a halt, what the kernel counts of them, and what of the guest's
//! doing is kept.
#![allow(unsafe_code, reason = "run pages and guest memory at addresses of our choice")]

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::exit::reason;
use runtime::abi::operation::{EventBindVcpu, SystemHandled, VcpuFetch, VcpuKick, handled};
use runtime::abi::registers::Groups;
use runtime::abi::run_page::{activity, work};
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{call, process, syscall, thread};

use crate::suite::Suite;
use crate::vm::Machine;

/// Where the guest of [`WAITER`] says that it runs, and where it is told that it may end.
const RUNS: u64 = 0x800;
const MAY_END: u64 = 0x801;
/// mov byte cs:[800h], 1; until byte cs:[801h] is not 0; hlt
const WAITER: &[u8] =
    &[0x2e, 0xc6, 0x06, 0x00, 0x08, 0x01, 0x2e, 0x80, 0x3e, 0x01, 0x08, 0x00, 0x74, 0xf8, 0xf4];
/// hlt
const HALT: &[u8] = &[0xf4];
/// A jump to itself.
const SPIN: &[u8] = &[0xeb, 0xfe];
/// mov ax, 1234h; mov gs, ax; hlt
const LOAD_GS: &[u8] = &[0xb8, 0x34, 0x12, 0x8e, 0xe8, 0xf4];
/// How long anything may take, in microseconds.
const LIMIT_US: u64 = 20_000_000;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    // All vCPUs are of one VM: there are few.
    let vm = &match Machine::new(suite.system, 0, HALT) {
        Ok(machine) => machine,
        Err(status) => return suite.check(false, format_args!("a VM with a vCPU: {status:?}")),
    };
    for cpu in [0, suite.cpus - 1] {
        let answers = of_two(suite, vm, cpu);
        let refused = Err(Status::WrongState);
        suite.check(
            answers == Ok(([refused; 3], reason::HALT)),
            format_args!("a vCPU that another thread runs on cpu{cpu}: {answers:?}"),
        );
        for waker in [Waker::Kick, Waker::Event] {
            let exit = halted(suite, vm, cpu, waker);
            suite.check(
                exit == Ok(reason::WORK),
                format_args!("a halted vCPU on cpu{cpu} and a {waker:?}: {exit:?}"),
            );
        }
    }
    let exit = halted_with_work(suite, vm);
    suite.check(exit == Ok((reason::WORK, true)), format_args!("halted with pending work: {exit:?}"));
    let counted = counted(suite, vm);
    suite.check(counted == Ok(true), format_args!("a host interrupt is counted: {counted:?}"));
    let dirty = dirty_behind(vm);
    suite.check(dirty == Ok([0; 2]), format_args!("marks behind a run: {dirty:x?}"));
    let segment = guests_own(vm);
    suite.check(segment == Ok((0x1234, 0x1_2340)), format_args!("what the guest loads in GS: {segment:x?}"));
}

/// Sleeps until something holds.
pub fn until(suite: &Suite<'_>, holds: impl Fn() -> bool) -> Result<(), Status> {
    let (pause, limit) = (Event::try_new()?, suite.in_us(LIMIT_US));
    while !holds() {
        if syscall::tsc() > limit {
            return Err(Status::TimedOut);
        }
        let _ = pause.wait_until(suite.in_us(1000));
    }
    process::close(pause.0)
}

/// Runs a vCPU in a thread that is less urgent than this one. What is returned is how its run ended, once it
/// has: the status's code, below 0 for none.
fn run_in_thread(cpu: u32, vcpu: u32) -> Result<Arc<AtomicU32>, Status> {
    let ended = Arc::new(AtomicU32::new(RUNNING));
    let says = ended.clone();
    thread::spawn(cpu, 1, move || {
        let status = syscall::run(vcpu).map_or_else(|(status, _)| status, |_| Status::Ok);
        says.store(status as u32, Ordering::SeqCst);
    })?;
    Ok(ended)
}

/// No status.
const RUNNING: u32 = 0x5555;

/// While a thread is in its run, nobody else may run the vCPU, nor have its registers. Nor may a thread of
/// another processor afterwards. Returns what they are told, and why the run ended.
fn of_two(suite: &Suite<'_>, vm: &Machine, cpu: u32) -> Result<([Result<(), Status>; 3], u32), Status> {
    let machine = vm.with(cpu, WAITER)?;
    let ended = run_in_thread(cpu, machine.vcpu)?;
    until(suite, || machine.byte(RUNS) == 1)?;
    // Should this thread run the guest nevertheless, it ends.
    machine.put(MAY_END, 1);
    let run = || syscall::run(machine.vcpu).map(|_| ()).map_err(|(status, _)| status);
    let first = run();
    let fetch = VcpuFetch { groups: Groups::SYSTEM.bits(), reserved: 0 };
    let second = call(machine.vcpu, fetch).map(|_| ());
    until(suite, || ended.load(Ordering::SeqCst) == Status::Ok as u32)?;
    // On this processor it is nobody's now.
    let third = if cpu == 0 { Err(Status::WrongState) } else { run() };
    // SAFETY: the run page is mapped, and the vCPU does not run.
    let exit = unsafe { (*machine.page).exit.reason };
    process::close(machine.vcpu)?;
    Ok(([first, second, third], exit))
}

/// What ends a halt.
#[derive(Clone, Copy, Debug)]
enum Waker {
    Kick,
    Event,
}

/// A vCPU that is halted without a deadline, in a thread that waits for it: why its run ends.
fn halted(suite: &Suite<'_>, vm: &Machine, cpu: u32, waker: Waker) -> Result<u32, Status> {
    let machine = vm.with(cpu, HALT)?;
    let event = Event::try_new()?;
    call(event.0, EventBindVcpu { vcpu: machine.vcpu, bit: 8 })?;
    // SAFETY: the vCPU does not run yet.
    unsafe { (*machine.page).activity = activity::HALTED };
    let ended = run_in_thread(cpu, machine.vcpu)?;
    let sleeps = Arc::new(AtomicU32::new(0));
    let says = sleeps.clone();
    // The least urgent thread runs when that one waits.
    thread::spawn(cpu, 0, move || says.store(1, Ordering::SeqCst))?;
    until(suite, || sleeps.load(Ordering::SeqCst) == 1)?;
    match waker {
        Waker::Kick => call(machine.vcpu, VcpuKick { work: work::KICK, reserved: 0 }).map(|_| ())?,
        Waker::Event => event.signal()?,
    }
    until(suite, || ended.load(Ordering::SeqCst) == Status::Ok as u32)?;
    // SAFETY: the run page is mapped, and the vCPU does not run.
    let exit = unsafe { (*machine.page).exit.reason };
    process::close(event.0)?;
    process::close(machine.vcpu)?;
    Ok(exit)
}

/// A vCPU that has work does not halt: why the run ends, and whether it ended before its deadline.
fn halted_with_work(suite: &Suite<'_>, vm: &Machine) -> Result<(u32, bool), Status> {
    let machine = vm.with(0, HALT)?;
    call(machine.vcpu, VcpuKick { work: work::KICK, reserved: 0 })?;
    // SAFETY: the vCPU does not run yet.
    unsafe { (*machine.page).activity = activity::HALTED };
    let until = suite.in_us(LIMIT_US);
    let exit = machine.run(until)?;
    let soon = syscall::tsc() < until;
    process::close(machine.vcpu)?;
    Ok((exit, soon))
}

/// Whether the interrupts of the host that end a guest's turn are counted: a run's deadline comes by one.
fn counted(suite: &Suite<'_>, vm: &Machine) -> Result<bool, Status> {
    let machine = vm.with(0, SPIN)?;
    let count = || {
        let index = handled::HOST_INTERRUPT;
        call(suite.system, SystemHandled { index, reserved: 0, count: 0 }).map(|answer| answer.count)
    };
    let before = count()?;
    let mut more = false;
    for _ in 0..50 {
        machine.run(suite.in_us(2000))?;
        more |= count()? > before;
    }
    process::close(machine.vcpu)?;
    Ok(more)
}

/// What is marked has been loaded, so it is not marked any more: behind a run that looked at everything, and
/// behind one that was entered at once.
fn dirty_behind(vm: &Machine) -> Result<[u32; 2], Status> {
    // out 80h, al; and again
    let machine = vm.with(0, &[0xe6, 0x80, 0xeb, 0xfc])?;
    // SAFETY: the run page is ours while the vCPU does not run.
    let dirty = || unsafe { (&raw const (*machine.page).dirty).read_volatile() };
    machine.run(u64::MAX)?;
    let first = dirty();
    machine.step()?;
    let marks = [first, dirty()];
    process::close(machine.vcpu)?;
    Ok(marks)
}

/// What the guest itself has loaded is its own, whatever ran in between: selector and base of GS.
fn guests_own(vm: &Machine) -> Result<(u16, u64), Status> {
    let machine = vm.with(0, LOAD_GS)?;
    let first = machine.run(u64::MAX)?;
    let other = vm.with(0, HALT)?;
    if [first, other.run(u64::MAX)?] != [reason::HALT; 2] {
        return Err(Status::WrongState);
    }
    call(machine.vcpu, VcpuFetch { groups: Groups::SEGMENTS.bits(), reserved: 0 })?;
    // SAFETY: the run page is ours while the vCPU does not run.
    let gs = unsafe { (*machine.page).segments.gs };
    process::close(machine.vcpu)?;
    process::close(other.vcpu)?;
    Ok((gs.selector, gs.base))
}

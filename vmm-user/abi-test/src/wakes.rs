//! What must not wait: a kick of a guest that runs, after it has slept; and a thread that becomes ready while
//! a guest runs.
#![allow(unsafe_code, reason = "a run page at an address of our choice")]

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::abi::exit::reason;
use runtime::abi::operation::VcpuKick;
use runtime::abi::run_page::{RunPage, activity, work};
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{call, process, syscall, thread};

use crate::suite::Suite;
use crate::vm::Machine;

/// A jump to itself.
const SPIN: &[u8] = &[0xeb, 0xfe];

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    if suite.cpus > 1 {
        let exit = kick_after_sleep(suite);
        suite.check(exit == Ok(reason::WORK), format_args!("a kick after a sleep: {exit:?}, not WORK"));
    }
    let answer = ready_at_deadline(suite);
    suite.check(answer == Ok(true), format_args!("a thread that is ready at a run's deadline: {answer:?}"));
}

/// Waits, without a system call, until a flag is set.
fn spin_until(suite: &Suite<'_>, micros: u64, flag: &AtomicU32) -> bool {
    let limit = suite.in_us(micros);
    while flag.load(Ordering::SeqCst) == 0 {
        if syscall::tsc() > limit {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// A vCPU on another processor sleeps until a deadline, then runs without an exit, and is kicked. Returns why
/// it came back, soon, if it did.
fn kick_after_sleep(suite: &Suite<'_>) -> Result<u32, Status> {
    let machine = Machine::new(suite.system, suite.cpus - 1, SPIN)?;
    let (vm, vcpu, page, text) = (machine.vm, machine.vcpu, machine.page as u64, machine.text);
    let (slept, came) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (says, tells) = (slept.clone(), came.clone());
    let (soon, late) = (suite.in_us(1000), suite.in_us(60_000_000));
    thread::spawn(suite.cpus - 1, 1, move || {
        let machine = Machine { vm, vcpu, page: page as *mut RunPage, text };
        // SAFETY: the run page is mapped, and this thread's while the vCPU does not run.
        unsafe { (*machine.page).activity = activity::HALTED };
        let first = machine.run(soon);
        // SAFETY: as above.
        unsafe { (*machine.page).activity = activity::RUNNING };
        says.store(if first == Ok(reason::DEADLINE) { 1 } else { 2 }, Ordering::SeqCst);
        tells.store(machine.run(late).unwrap_or(reason::END), Ordering::SeqCst);
    })?;
    spin_until(suite, 5_000_000, &slept);
    spin_until(suite, 50_000, &came);
    call(vcpu, VcpuKick { work: work::KICK, reserved: 0 })?;
    // Sooner than any timer of the host can fire for the deadline.
    spin_until(suite, 2_000_000, &came);
    process::close(vcpu)?;
    process::close(vm)?;
    Ok(if slept.load(Ordering::SeqCst) == 1 { came.load(Ordering::SeqCst) } else { reason::NONE })
}

/// The timer makes another thread ready, and is our run's deadline too. Whether that thread runs though we
/// make no further system call.
fn ready_at_deadline(suite: &Suite<'_>) -> Result<bool, Status> {
    let machine = Machine::new(suite.system, 0, SPIN)?;
    let event = Event::try_new()?;
    let (begun, ran) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (says, tells) = (begun.clone(), ran.clone());
    let until = suite.in_us(100_000);
    thread::spawn(0, 2, move || {
        says.store(1, Ordering::SeqCst);
        let _ = event.wait_until(until);
        tells.store(1, Ordering::SeqCst);
    })?;
    while begun.load(Ordering::SeqCst) == 0 {
        syscall::yield_now();
    }
    let exit = machine.run(until)?;
    let seen = spin_until(suite, 2_000_000, &ran);
    while ran.load(Ordering::SeqCst) == 0 {
        syscall::yield_now();
    }
    process::close(event.0)?;
    process::close(machine.vcpu)?;
    process::close(machine.vm)?;
    Ok(exit == reason::DEADLINE && seen)
}

//! A vCPU that is ready is entered without looking at anything else: so each thing that an entry depends on
//! is changed after a few such entries, and must be noticed at the next.
#![allow(unsafe_code, reason = "a run page at an address of our choice")]

use core::sync::atomic::Ordering;

use runtime::abi::exit::{ExitFlags, reason};
use runtime::abi::operation::{Call, EventCreate, HANDLE_SELF, Operation, VcpuKick, VcpuRun};
use runtime::abi::registers::{EventInjection, Groups, event_kind};
use runtime::abi::run_page::{RunPage, activity, work};
use runtime::abi::status::Status;
use runtime::{call, process, syscall, thread};

use crate::channels::{self, server};
use crate::suite::Suite;
use crate::vm::Machine;

/// out 80h, al; and again. Behind it, a jump to itself.
const PORT_LOOP: &[u8] = &[0xe6, 0x80, 0xeb, 0xfc, 0xeb, 0xfe];
const SPIN: u64 = 4;

/// A vCPU that has just been entered at once a few times.
struct Ready<'a, 'b> {
    suite: &'a mut Suite<'b>,
    machine: Machine,
}

impl Ready<'_, '_> {
    fn page(&self) -> *mut RunPage {
        self.machine.page
    }

    /// Completes the OUT and runs again, with nothing marked but the registers; returns the reason.
    fn step(&self) -> Result<u32, Status> {
        // SAFETY: the run page is ours while the vCPU does not run.
        unsafe {
            (*self.page()).general.rip = (*self.page()).exit.next_rip;
            (*self.page()).dirty |= Groups::GENERAL.bits();
        }
        syscall::run(self.machine.vcpu).map_err(|(status, _)| status)?;
        // SAFETY: as above.
        Ok(unsafe { (&raw const (*self.page()).exit.reason).read_volatile() })
    }

    fn mark_controls(&self) {
        // SAFETY: as in `step`.
        unsafe { (*self.page()).dirty |= Groups::CONTROLS.bits() };
    }

    fn steps(&mut self, what: &str) {
        for _ in 0..4 {
            let exit = self.step();
            self.suite.check(exit == Ok(reason::PORT), format_args!("{what}: the OUT: {exit:?}"));
        }
    }

    fn expect_event(&mut self, expected: u32, waits: bool, what: &str) {
        let exit = self.step();
        // SAFETY: as in `step`.
        let flags = ExitFlags::from_bits_retain(unsafe { (*self.page()).exit.flags });
        let holds = exit == Ok(expected) && flags.contains(ExitFlags::INJECTION_PENDING) == waits;
        self.suite.check(holds, format_args!("{what}: {exit:?} {flags:?}, not {expected} ({waits})"));
    }

    fn expect(&mut self, exit: Result<u32, Status>, expected: Result<u32, Status>, what: &str) {
        self.suite.check(exit == expected, format_args!("{what}: {exit:?}, not {expected:?}"));
    }
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let machine = match Machine::new(suite.system, 0, PORT_LOOP) {
        Ok(machine) => machine,
        Err(status) => return suite.check(false, format_args!("a VM with a vCPU: {status:?}")),
    };
    let first = machine.run(u64::MAX);
    let mut ready = Ready { suite, machine };
    ready.expect(first, Ok(reason::PORT), "the first OUT");
    kicked(&mut ready);
    controls(&mut ready);
    registers(&mut ready);
    events(&mut ready);
    others(&mut ready);
    named_in_vain(&mut ready);
    named_too_wide(&mut ready);
    called(&mut ready);
    closed(ready);
}

/// A server works for the thread whose vCPU is ready, on the same processor: the vCPU stays ready, for that
/// thread alone. To the server, the number of its handle is what its own table says.
fn called(ready: &mut Ready<'_, '_>) {
    let vcpu = u64::from(ready.machine.vcpu);
    let served = match channels::Served::new(ready.suite, 0, 1) {
        Ok(served) => served,
        Err(status) => return ready.expect(Err(status), Ok(0), "a server"),
    };
    for (what, word) in [(server::ADD, 0), (server::RUN, vcpu)] {
        ready.steps("before a call");
        for _ in 0..3 {
            let mut message = channels::command(ready.suite, what);
            message.words[1] = word;
            let called = served.channel.call(&mut message).map(|()| message.words[1] as u32);
            let bad = Status::BadHandle as i64 as u32;
            ready.expect(called, Ok(if what == server::RUN { bad } else { 1 }), "a call");
            ready.steps("behind a call");
        }
    }
    let ended = served.end(ready.suite);
    ready.expect(ended, Ok(0), "the server's end");
    ready.steps("behind a server");
}

/// Work that is pending ends the run, until it is taken.
fn kicked(ready: &mut Ready<'_, '_>) {
    ready.steps("before a kick");
    let kick = call(ready.machine.vcpu, VcpuKick { work: work::KICK, reserved: 0 }).map(|_| 0);
    ready.expect(kick, Ok(0), "a kick");
    for _ in 0..2 {
        let exit = ready.step();
        ready.expect(exit, Ok(reason::WORK), "after a kick");
    }
    // SAFETY: an atomic of the run page.
    unsafe { (*ready.page()).pending_work.store(0, Ordering::SeqCst) };
    ready.steps("after work was taken");
}

/// What CONTROLS marks: deadline, activity, batch, delivery.
fn controls(ready: &mut Ready<'_, '_>) {
    let page = ready.page();
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe { ((*page).activity, (*page).deadline_tsc) = (activity::HALTED, syscall::tsc()) };
    ready.mark_controls();
    let exit = ready.step();
    ready.expect(exit, Ok(reason::DEADLINE), "halted until a deadline");
    // SAFETY: as above.
    unsafe { ((*page).activity, (*page).deadline_tsc) = (activity::RUNNING, u64::MAX) };
    ready.mark_controls();
    ready.steps("running again");
    // SAFETY: as above; the batch page follows the run page.
    unsafe {
        page.byte_add(4096).cast::<Operation>().write(EventCreate::default().on(HANDLE_SELF));
        (*page).batch_count = 1;
    }
    ready.mark_controls();
    let exit = ready.step();
    ready.expect(exit, Ok(reason::PORT), "with a batch");
    // SAFETY: as above.
    let (left, operation) = unsafe { ((*page).batch_count, page.byte_add(4096).cast::<Operation>().read()) };
    let made = process::close(EventCreate::from_operation(&operation).handle).map(|()| left);
    ready.expect(made, Ok(0), "the batch's event");
    // SAFETY: as above.
    unsafe { (*page).deliver = Groups::SEGMENTS.bits() };
    ready.mark_controls();
    for _ in 0..3 {
        let exit = ready.step();
        // SAFETY: as above.
        let groups = unsafe { (*page).exit.groups };
        ready.expect(exit, Ok(reason::PORT), "with delivery");
        ready.expect(Ok(groups & Groups::SEGMENTS.bits()), Ok(Groups::SEGMENTS.bits()), "groups delivered");
    }
    // SAFETY: as above.
    unsafe { (*page).deliver = 0 };
    ready.mark_controls();
    ready.steps("without delivery");
}

/// Groups that are loaded on the way, that are not, and that are refused.
fn registers(ready: &mut Ready<'_, '_>) {
    let page = ready.page();
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe {
        ((*page).cr8, (*page).dirty) = (5, Groups::TPR.bits());
    }
    let exit = ready.step();
    // SAFETY: as above.
    let cr8 = unsafe { (*page).exit.cr8 };
    ready.expect(exit.map(|_| u32::from(cr8)), Ok(5), "the task priority");
    let event = |kind, vector| EventInjection { kind, vector, ..EventInjection::default() };
    // SAFETY: as above.
    unsafe {
        (*page).injection = event(event_kind::EXCEPTION, 2);
        (*page).dirty = Groups::INJECTION.bits();
    }
    let exit = ready.step();
    ready.expect(exit, Err(Status::BadArgument), "an exception that is none");
    // SAFETY: as above.
    unsafe { (*page).dirty = Groups::XCR0.bits() | 1 << 31 };
    // SAFETY: as above.
    unsafe { (*page).xcr0 = 1 };
    ready.steps("with XCR0, and a group that does not exist");
    // Nothing at all is marked: the OUT is executed again.
    for _ in 0..3 {
        let exit = syscall::run(ready.machine.vcpu).map_err(|(status, _)| status).map(|_| 0);
        // SAFETY: as above.
        let rip = unsafe { (*page).general.rip } as u32;
        ready.expect(exit.map(|_| rip), Ok(0), "nothing marked");
    }
}

/// An event that is loaded replaces the one that waits, of whatever kind; none does so too. The guest has
/// interrupts off, and no table of handlers: an event that is delivered ends in absent memory.
fn events(ready: &mut Ready<'_, '_>) {
    let (page, interrupt) = (ready.page(), event_kind::INTERRUPT);
    for (kind, expected, waits) in [
        (interrupt, reason::PORT, true),
        (interrupt, reason::PORT, true),
        (event_kind::NONE, reason::PORT, false),
        (event_kind::NMI, reason::WORK, true),
        (interrupt, reason::WORK, true),
        (interrupt, reason::PORT, true),
        (event_kind::NMI, reason::WORK, true),
        (event_kind::NONE, reason::WORK, false),
        (event_kind::NONE, reason::PORT, false),
    ] {
        // SAFETY: the run page is ours while the vCPU does not run.
        unsafe {
            (*page).injection = EventInjection { kind, vector: 0x40, ..EventInjection::default() };
            (*page).dirty = Groups::INJECTION.bits();
            (*page).pending_work.store(0, Ordering::SeqCst);
        }
        if expected == reason::WORK {
            let kick = call(ready.machine.vcpu, VcpuKick { work: work::KICK, reserved: 0 }).map(|_| 0);
            ready.expect(kick, Ok(0), "a kick before a loaded event");
        }
        ready.expect_event(expected, waits, "a loaded event");
    }
    ready.steps("after events");
}

/// Another vCPU, another thread, and a run by an operation.
fn others(ready: &mut Ready<'_, '_>) {
    let other = match Machine::new(ready.suite.system, 0, &[0xf4]) {
        Ok(other) => other,
        Err(status) => return ready.expect(Err(status), Ok(0), "another vCPU"),
    };
    ready.steps("before another vCPU");
    let exit = other.run(u64::MAX);
    ready.expect(exit, Ok(reason::HALT), "another vCPU's HLT");
    ready.steps("after another vCPU");
    let exit = call(ready.machine.vcpu, VcpuRun::default()).map(|_| 0);
    ready.expect(exit, Ok(0), "a run by an operation");
    ready.steps("after a run by an operation");
    let vcpu = ready.machine.vcpu;
    let began = thread::spawn(0, 1, move || {
        let _ = syscall::run(vcpu);
    });
    let began = began.map(|_| 0);
    ready.expect(began, Ok(0), "another thread");
    for _ in 0..100 {
        syscall::yield_now();
    }
    ready.steps("after another thread's run");
    for handle in [other.vcpu, other.vm] {
        let closed = process::close(handle).map(|_| 0);
        ready.expect(closed, Ok(0), "closing the other");
    }
}

/// A run of another vCPU that comes to nothing: when the host next interrupts the one that is ready, it is
/// still that one's run.
fn named_in_vain(ready: &mut Ready<'_, '_>) {
    let other = match Machine::new(ready.suite.system, 0, &[0xf4]) {
        Ok(other) => other,
        Err(status) => return ready.expect(Err(status), Ok(0), "a vCPU to name"),
    };
    let (page, until) = (ready.page(), ready.suite.in_us(1_000_000));
    // SAFETY: the run page is ours while the vCPU does not run.
    unsafe { (*page).deadline_tsc = until };
    ready.mark_controls();
    ready.steps("before a run in vain");
    // SAFETY: as above; the batch page, all zeroes, holds no operation that exists.
    unsafe { (*other.page).batch_count = 1 };
    let answer = other.run(u64::MAX);
    ready.expect(answer, Err(Status::BadOperation), "a run in vain");
    // SAFETY: as above.
    unsafe { (*page).exit.next_rip = SPIN };
    let exit = ready.step();
    ready.expect(exit, Ok(reason::DEADLINE), "interrupted after a run in vain");
    // SAFETY: as above.
    unsafe { ((*page).exit.next_rip, (*page).deadline_tsc) = (0, u64::MAX) };
    ready.mark_controls();
    ready.steps("after a run in vain");
    for handle in [other.vcpu, other.vm] {
        let closed = process::close(handle).map(|_| 0);
        ready.expect(closed, Ok(0), "closing what was named");
    }
}

/// A number that is a handle in its lower half alone is none.
fn named_too_wide(ready: &mut Ready<'_, '_>) {
    ready.steps("before a wide number");
    for upper in [1 << 32, 1 << 63, 0xffff_ffff_0000_0000] {
        // SAFETY: the run page is ours, and nobody runs the vCPU.
        let (code, _) = unsafe { syscall::raw_run(upper | u64::from(ready.machine.vcpu)) };
        let holds = Status::from_code(code as i32) == Some(Status::BadHandle);
        ready.suite.check(holds, format_args!("a run of {upper:#x} and the handle: {code:#x}"));
    }
}

/// A handle that is closed is no handle, however ready its vCPU is.
fn closed(mut ready: Ready<'_, '_>) {
    ready.steps("before closing");
    let closed = process::close(ready.machine.vcpu).map(|_| 0);
    ready.expect(closed, Ok(0), "closing the vCPU");
    let exit = ready.step();
    ready.expect(exit, Err(Status::BadHandle), "after closing");
    for nobody in [u64::MAX, u64::MAX >> 1, 1 << 63, u64::from(u32::MAX), 0] {
        // SAFETY: the kernel writes nothing but the run page, which is mapped for good.
        let (status, _) = unsafe { syscall::raw_run(nobody) };
        let status = Status::from_code(status as i32);
        ready
            .suite
            .check(status == Some(Status::BadHandle), format_args!("a run of {nobody:#x}: {status:?}"));
    }
    let closed = process::close(ready.machine.vm).map(|_| 0);
    ready.expect(closed, Ok(0), "closing the VM");
}

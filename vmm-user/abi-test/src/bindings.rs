//! Events that are bound to a vCPU: what was signalled before, and who may wait.
#![allow(unsafe_code, reason = "a run page at an address of our choice")]

use core::sync::atomic::Ordering;

use runtime::abi::exit::reason;
use runtime::abi::operation::{EventBindVcpu, InterruptBind, Rights};
use runtime::abi::run_page::work;
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::{Start, call, process, thread};

use crate::child::Child;
use crate::suite::Suite;
use crate::vm::Machine;
use crate::waiters;

/// The bit of pending work.
const BIT: u32 = 9;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let got = bound_to_other_bits(suite);
    suite.check(got == Ok(None), format_args!("an event for a bit that is no event's: {got:?}"));
    let got = bound_without_right(suite);
    suite.check(got == Ok(0), format_args!("binding what one may not signal: {got:?}"));
    let got = bound_late(suite);
    let answers = [Some(Status::WrongState), Some(Status::TimedOut)];
    let expected = Ok((reason::WORK, 1 << BIT, answers));
    suite.check(
        got == expected,
        format_args!("a signal before its binding, a wait and a look behind it: {got:?}"),
    );
    let got = bound_under_a_waiter(suite);
    suite
        .check(got == Ok(Err(Status::WrongState)), format_args!("an event that a thread waits for: {got:?}"));
}

/// The child: it may wait for its event, and not signal it; it may run its vCPU, and not kick it. So neither
/// a line of the host's nor an event does that for it.
pub fn without_signal(start: &Start) -> u32 {
    let handle = |name| start.handle(name).unwrap_or(0);
    let line = call(handle("line"), InterruptBind { event: handle("event"), reserved: 0 });
    let bound = call(handle("bound"), EventBindVcpu { vcpu: handle("vcpu"), bit: BIT });
    match (line.err(), bound.err()) {
        (Some(Status::NoRight), Some(Status::NoRight)) => 0,
        (line, _) => 1 + u32::from(line == Some(Status::NoRight)),
    }
}

/// Returns such a child's exit code.
fn bound_without_right(suite: &Suite<'_>) -> Result<u32, Status> {
    let line = suite.start.handle("serial-interrupt").ok_or(Status::NotFound)?;
    let (machine, event) = (Machine::new(suite.system, 0, &[0xf4])?, Event::try_new()?);
    let child = Child::new(suite, "no-signal")?
        .grant("line", line, Rights::WAIT)?
        .grant("event", event.0, Rights::WAIT)?
        .grant("bound", event.0, Rights::WRITE)?
        .grant("vcpu", machine.vcpu, Rights::RUN)?;
    let code = child.start(0, 1)?.join(suite)?.code;
    close(&machine, event)?;
    Ok(code)
}

fn bind(event: Event, machine: &Machine) -> Result<(), Status> {
    bind_to(event, machine, BIT)
}

fn bind_to(event: Event, machine: &Machine, bit: u32) -> Result<(), Status> {
    call(event.0, EventBindVcpu { vcpu: machine.vcpu, bit }).map(|_| ())
}

fn close(machine: &Machine, event: Event) -> Result<(), Status> {
    [event.0, machine.vcpu, machine.vm].into_iter().try_for_each(process::close)
}

/// The first bit, of those that are the kernel's or none, to which binding is not refused as it should be.
fn bound_to_other_bits(suite: &Suite<'_>) -> Result<Option<u32>, Status> {
    let machine = Machine::new(suite.system, 0, &[0xf4])?;
    let event = Event::try_new()?;
    let mut bits = (0..work::FIRST_EVENT_BIT).chain([32, 33, 64, u32::MAX]);
    let wrong = bits.find(|bit| bind_to(event, &machine, *bit) != Err(Status::BadArgument));
    close(&machine, event)?;
    Ok(wrong)
}

/// The exit of a vCPU whose event was signalled before it was bound, its pending work, and what a wait says.
fn bound_late(suite: &Suite<'_>) -> Result<(u32, u32, [Option<Status>; 2]), Status> {
    // jmp to itself
    let machine = Machine::new(suite.system, 0, &[0xeb, 0xfe])?;
    let event = Event::try_new()?;
    event.signal()?;
    bind(event, &machine)?;
    let exit = machine.run(suite.in_us(100_000))?;
    // SAFETY: an atomic in a page that is mapped for us.
    let work = unsafe { (*machine.page).pending_work.load(Ordering::SeqCst) };
    // A look is no wait.
    let answers = [suite.in_us(1000), 0].map(|until| event.wait_until(until).err());
    close(&machine, event)?;
    Ok((exit, work, answers))
}

/// What binding says while a thread waits for the event.
fn bound_under_a_waiter(suite: &Suite<'_>) -> Result<Result<(), Status>, Status> {
    let machine = Machine::new(suite.system, 0, &[0xf4])?;
    let event = Event::try_new()?;
    thread::spawn(0, 1, move || {
        let _ = waiters::wait_until(event, u64::MAX);
    })?;
    waiters::until_waited_for(event, suite.ticks_us)?;
    let answer = bind(event, &machine);
    // Lets it go.
    event.signal()?;
    close(&machine, event)?;
    Ok(answer)
}

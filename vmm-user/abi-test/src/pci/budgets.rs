//! What a driver has of a function counts in its budgets: the claim, each message that it has bound, the
//! memory that it shares. When one of them is used up, another driver has what it wants.

use runtime::abi::operation::{Handle, ProcessBudget, ProcessLimit, Rights, budget};
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::host_function::HostFunction;
use runtime::{Start, call, process, syscall};

use super::{PAGE, claim, sizes};
use crate::child::{self, Child};
use crate::suite::Suite;

/// What the driver may take of memory, beyond what it has when it begins: enough for its heap and some pieces
/// of [`PIECE`], and less than there is for all devices.
const MORE_BYTES: u64 = 512 << 10;
const PIECE: u64 = 16 * PAGE;

/// All of it, with the second device, while the first one is ours.
pub fn test(suite: &mut Suite<'_>, pci: Handle, mine: HostFunction, function: u32) {
    for (what, number, limit, code) in [
        ("a claim without a budget for it", budget::OBJECTS, Some(0), Status::OutOfObjects as u32),
        ("a claim and a message", budget::OBJECTS, Some(2), 1000 + Status::OutOfObjects as u32),
        ("a claim and two messages", budget::OBJECTS, Some(3), 2000),
        ("memory", budget::MEMORY, None, 3000 + Status::OutOfMemory as u32),
    ] {
        let answer = driven(suite, pci, mine, number, limit);
        suite.check(answer == Ok((code, true)), format_args!("a driver's budget, {what}: {answer:?}"));
        // Nothing is left of a claim, nor of one that was refused.
        let left = suite.in_us(5_000_000);
        while sizes(pci, function) == Err(Status::WrongState) && syscall::tsc() < left {
            syscall::yield_now();
        }
        suite.expect(sizes(pci, function), Status::Ok, format_args!("the function after {what}"));
    }
}

/// A driver uses a budget up, and waits. Returns its code, and whether this process gets a message and memory
/// of its own device meanwhile.
fn driven(
    suite: &Suite<'_>,
    pci: Handle,
    mine: HostFunction,
    number: u32,
    limit: Option<u64>,
) -> Result<(u32, bool), Status> {
    let (full, end) = (Event::try_new()?, Event::try_new()?);
    let child = Child::new(suite, "driver-on-a-budget")?
        .grant("host-pci", pci, Rights::READ | Rights::CREATE)?
        .grant("full", full.0, Rights::SIGNAL)?
        .grant("end", end.0, Rights::WAIT)?
        .set("budget", number);
    let used = call(child.handle, ProcessBudget { budget: number, reserved: 0, limit: 0, used: 0 })?.used;
    let limit = limit.unwrap_or(used + MORE_BYTES);
    call(child.handle, ProcessLimit { budget: number, reserved: 0, limit })?;
    let child = child.start(suite.cpus - 1, 1)?;
    full.wait_until(suite.in_us(60_000_000))?;
    let others_go_on = Event::try_new().and_then(|event| {
        mine.bind(0, event)?;
        mine.allocate(PAGE)?;
        process::close(event.0)
    });
    end.signal()?;
    let code = child.join(suite)?.code;
    process::close(full.0)?;
    process::close(end.0)?;
    Ok((code, others_go_on.is_ok()))
}

/// The child: claims the second device, binds its two messages or takes memory, until it is refused.
pub fn driver(start: &Start) -> u32 {
    let [full, end] = ["full", "end"].map(|name| Event(start.handle(name).unwrap_or_default()));
    let code = if child::number(start, "budget") == u64::from(budget::MEMORY) {
        memory(start)
    } else {
        objects(start)
    };
    if full.signal().is_err() || end.wait().is_err() { 1 } else { code }
}

/// Each stage has a thousand of its own, and the status that it was refused with.
fn objects(start: &Start) -> u32 {
    let function = match claim(start, 1) {
        Ok(function) => function,
        Err(status) => return status as u32,
    };
    let Ok(event) = Event::try_new() else { return 2 };
    for entry in [0, 1] {
        // What is bound already costs nothing more.
        for _ in 0..2 {
            if let Err(status) = function.bind(entry, event) {
                return 1000 + status as u32;
            }
        }
    }
    2000
}

fn memory(start: &Start) -> u32 {
    let Ok(function) = claim(start, 1) else { return 2 };
    let mut pieces = 0;
    loop {
        match function.allocate(PIECE) {
            Ok(_) => pieces += 1,
            Err(_) if pieces == 0 => return 3,
            Err(status) => return 3000 + status as u32,
        }
    }
}

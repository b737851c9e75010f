//! Roles for images of their own (`scripts/src/tests/ends.rs`): processes that tick, die, or end the machine.

use runtime::abi::operation::{SystemEnd, SystemInfo};
use runtime::event::Event;
use runtime::{Start, call, syscall};

use crate::child;
use crate::vm::Machine;

/// TSC ticks of a millisecond; none without the right handle.
fn ticks_ms(start: &Start) -> u64 {
    start
        .handle("system")
        .and_then(|system| call(system, SystemInfo::default()).ok())
        .map_or(0, |info| info.tsc_hz / 1000)
}

/// Logs that it runs, again and again, and runs a guest in between.
pub fn tick(start: &Start) -> u32 {
    let (Some(system), ticks_ms) = (start.handle("system"), ticks_ms(start)) else { return 1 };
    // jmp to itself
    let Ok(machine) = Machine::new(system, child::number(start, "cpu") as u32, &[0xeb, 0xfe]) else {
        return 2;
    };
    loop {
        if machine.run(syscall::tsc() + 5 * ticks_ms).is_err() {
            return 3;
        }
        log::info!("tick");
    }
}

/// Lives for as many milliseconds as it is told, and ends with the code that it is told.
pub fn die(start: &Start) -> u32 {
    if let Ok(event) = Event::try_new() {
        let _ = event.wait_until(syscall::tsc() + ticks_ms(start) * child::number(start, "after-ms"));
    }
    child::number(start, "code") as u32
}

/// Does the same, and then ends the machine.
pub fn end(start: &Start) -> u32 {
    let reason = die(start);
    let _ = start.handle("system").map(|system| call(system, SystemEnd { reason, reserved: 0 }));
    1
}

/// Writes a line that makes a kernel for tests fault while it writes it.
pub fn fault_in_log() -> u32 {
    log::error!("checks: fault while the log is written");
    0
}

//! Host interrupts as events.

use vcpu_abi::status::Status;

use super::Event;
use crate::cpu::io_apic;
use crate::cpu::per_cpu;
use crate::object::pool::Ref;
use crate::sync::SpinLock;

static BOUND: [SpinLock<Option<Ref<Event>>>; io_apic::LINES as usize] =
    [const { SpinLock::new(None) }; io_apic::LINES as usize];

/// Makes a line signal an event, on the first processor.
pub fn bind(line: u8, event: Ref<Event>) -> Result<(), Status> {
    let place = BOUND.get(usize::from(line)).ok_or(Status::BadArgument)?;
    // Before the line is opened: its first interrupt has to find the event.
    let before = place.lock().replace(event);
    // Behind the lock: what goes with the last reference takes locks of its own.
    drop(before);
    let first = per_cpu::of(0).ok_or(Status::WrongState)?;
    io_apic::open(line, first.apic_id);
    Ok(())
}

/// An interrupt came in.
pub fn interrupt(line: u8) {
    let event = BOUND.get(usize::from(line)).and_then(|place| place.lock().clone());
    match event {
        Some(event) => event.signal(),
        None => log::warn!("host interrupt line {line} fired, which nothing is bound to"),
    }
}

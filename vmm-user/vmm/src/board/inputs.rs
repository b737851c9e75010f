//! What signals input for devices, connected to the vCPU that serves them.

use runtime::abi::operation::{EventBindVcpu, Handle, InterruptBind};
use runtime::abi::run_page::work;
use runtime::abi::status::Status;
use runtime::call;
use runtime::event::Event;

use super::{Board, Signal};

/// Makes what signals input for the board's devices pending work of a vCPU: bits from
/// [`work::FIRST_EVENT_BIT`] on, which [`Board::input`] takes.
///
/// # Errors
/// The kernel's.
pub fn connect(board: &Board, vcpu: Handle) -> Result<(), Status> {
    for (signal, bit) in board.signals().zip(work::FIRST_EVENT_BIT..) {
        if let Some(signal) = signal {
            connect_one(signal, vcpu, bit)?;
        }
    }
    Ok(())
}

fn connect_one(signal: Signal, vcpu: Handle, bit: u32) -> Result<(), Status> {
    let event = match signal {
        Signal::Interrupt(_) => Event::try_new()?,
        Signal::Event(event) => event,
    };
    // Before the interrupt is bound: only signals from here on reach the vCPU.
    call(event.0, EventBindVcpu { vcpu, bit })?;
    match signal {
        Signal::Interrupt(interrupt) => {
            call(interrupt, InterruptBind { event: event.0, reserved: 0 }).map(|_| ())
        }
        // What it said before it was heard.
        Signal::Event(event) => event.signal(),
    }
}

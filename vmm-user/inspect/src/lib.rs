//! The live view: says on the host's second serial line what goes on, to `scripts/inspect` on the host. The
//! protocol is docs/inspect.md's, and in the crate `inspect-protocol`.
//!
//! An image has it if its `init.conf` says so. It only looks: every handle it is given but those to the
//! serial line is for reading, and the guest is not stopped. What comes over the line is the host's, and
//! hostile: [`lines`] bounds it, the protocol parses it strictly, and all that can be asked for is what this
//! process may see anyway.
#![no_std]

extern crate alloc;

mod answer;
mod kernel;
mod lines;
mod serial;
mod vmm;

use runtime::Start;
use runtime::abi::status::Status;

use crate::kernel::Kernel;
use crate::lines::{Line, Lines};
use crate::serial::{Serial, SerialError};

/// The process: answers for ever. It ends, without harm to anybody, if there is nobody to answer.
pub fn program(start: &Start) -> u32 {
    let serial = match Serial::open(start) {
        Ok(serial) => serial,
        Err(SerialError::Absent) => {
            log::warn!("the host has no second serial port: nobody can look");
            return 0;
        }
        Err(SerialError::Handle(name)) => {
            log::error!("no handle named {name}");
            return 1;
        }
        Err(SerialError::Kernel(status)) => {
            log::error!("the second serial port: {status}");
            return 1;
        }
    };
    let Some(kernel) = Kernel::of(start) else {
        log::error!("no handle to the system or the log");
        return 1;
    };
    log::info!("answers on the second serial port");
    match serve(&serial, &kernel) {
        Ok(never) => match never {},
        Err(status) => {
            log::error!("the second serial port: {status}");
            1
        }
    }
}

fn serve(serial: &Serial, kernel: &Kernel) -> Result<core::convert::Infallible, Status> {
    let mut lines = Lines::new();
    loop {
        let byte = serial.receive()?;
        // By single bytes: what the host sends comes in whatever pieces, and a line may be of any length.
        match lines.take(byte) {
            None => {}
            Some(Line::Whole(line)) => serial.send(answer::to(&line, kernel).as_bytes())?,
            Some(Line::TooLong) => serial.send(answer::too_long().as_bytes())?,
        }
    }
}

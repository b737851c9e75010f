//! What an operation costs, alone in a system call and with others in a batch; and a call to another process.
//!
//! The operation is the cheapest that reaches a device: an OUT of one byte, to the scratch register of the
//! host's first UART. Prints `ROW batchN ticks operations` for batches of N to that UART: under `-icount
//! shift=0` a tick is an instruction. What is timed is the loop around the system call; the operations are
//! made before it and stay as they are, since this one gives nothing back.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

mod calls;

use alloc::format;

use runtime::abi::operation::{Call, Handle, Operation, PortWrite, SystemEnd, end_reason};
use runtime::abi::status::Status;
use runtime::{Start, call, syscall};

runtime::main!(program);

/// Offsets of the UART's registers: transmitter holding, scratch (16550D data sheet, table 2).
const TRANSMIT: u32 = 0;
const SCRATCH: u32 = 7;
/// Calls of each size that are timed, after as many that are not.
const CALLS: u64 = 1000;

fn out(ports: Handle, offset: u32, value: u32) -> Operation {
    PortWrite { offset, width: 1, value, reserved: 0 }.on(ports)
}

/// The ticks that [`CALLS`] batches of these operations take.
fn measure(operations: &mut [Operation]) -> Result<u64, (Status, usize)> {
    let mut ticks = 0;
    for _ in 0..2 {
        let began = syscall::tsc();
        for _ in 0..CALLS {
            syscall::batch(operations)?;
        }
        ticks = syscall::tsc() - began;
    }
    Ok(ticks)
}

/// A batch in one page, as who makes it once would have it.
#[repr(align(4096))]
struct Page<const COUNT: usize>([Operation; COUNT]);

fn row<const COUNT: usize>(ports: Handle) -> Result<(), (Status, usize)> {
    let mut batch = Page([out(ports, SCRATCH, 0x55); COUNT]);
    let ticks = measure(&mut batch.0)?;
    print(ports, &format!("ROW batch{COUNT} {ticks} {}\n", CALLS * COUNT as u64))
}

fn print(ports: Handle, text: &str) -> Result<(), (Status, usize)> {
    text.bytes().try_for_each(|byte| syscall::batch(&mut [out(ports, TRANSMIT, byte.into())]))
}

fn rows(ports: Handle) -> Result<(), (Status, usize)> {
    row::<1>(ports)?;
    row::<16>(ports)?;
    row::<64>(ports)
}

fn call_row(ports: Handle, files: Handle) -> Result<(), (Status, usize)> {
    let ticks = calls::measure(files).map_err(|status| (status, 0))?;
    print(ports, &format!("ROW batchcall {ticks} {CALLS}\n"))
}

fn program(start: &Start) -> u32 {
    if start.setting("role") == Some("server") {
        return calls::serve(start);
    }
    let [ports, system, files] = ["serial-ports", "system", "files"].map(|name| start.handle(name));
    let (Some(ports), Some(system), Some(files)) = (ports, system, files) else {
        log::error!("the benchmark was not given the serial port, the system and the files");
        return 1;
    };
    if let Err((status, index)) = rows(ports).and_then(|()| call_row(ports, files)) {
        log::error!("operation {index} of a batch: {status}");
        return 1;
    }
    match call(system, SystemEnd { reason: end_reason::POWER_OFF, reserved: 0 }) {
        Ok(_) => 0,
        Err(status) => {
            log::error!("the machine cannot be ended: {status}");
            1
        }
    }
}

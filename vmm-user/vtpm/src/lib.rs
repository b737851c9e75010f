//! The guest's TPM 2.0, a device in a process of its own: the engine (`devices/tpm`) behind the registers of
//! one of its two interfaces.
//!
//! ```text
//! device tpm process
//!   file vtpm
//!   grant log w
//!   grant system r          # how fast the time-stamp counter goes
//!   set interface crb       # or fifo
//!   priority 2
//!   budget memory 4M
//!   budget share 50         # of a processor: the rest is the guest's, also while a key is made
//!   on-end ignore
//! ```
//!
//! The threads that serve the guest's accesses only touch registers. One more thread executes commands, so
//! that no vCPU waits for one: the guest polls the register that says it is done, as with hardware.
//!
//! It must not be started again when it ends: the PCRs of a new one are zero, and the guest could extend them
//! to whatever it likes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod device;
pub mod exchange;
pub mod platform;

use alloc::boxed::Box;
use alloc::sync::Arc;

use devices::acpi_entry::TpmInterface;
use runtime::abi::operation::SystemInfo;
use runtime::event::Event;
use runtime::{Start, call, exit, thread};
use tpm2_engine::{RustCrypto, Tpm};
use vmm::device_host::{Faithful, Host};

use device::TpmDevice;
use exchange::Exchange;
use platform::{Machine, Memory};

/// The priority of the thread that executes: above the vCPUs' threads', so that a short command is done when
/// the guest first looks. A long one leaves the guest its turns, as the process has a share of a processor.
const PRIORITY: u32 = 2;
/// Its stack: numbers of 4096 bits lie there, and points of curves.
const STACK_BYTES: u64 = 256 * 1024;
/// The key of the state, which never leaves this process's memory: a checksum.
const KEY: [u8; 32] = [0; 32];

/// The process. Its result is its exit code.
pub fn program(start: &Start) -> u32 {
    let why = serve(start).err().unwrap_or("the TPM is served no more");
    log::error!("{why}");
    1
}

/// The interface that the configuration wants.
fn interface(setting: Option<&str>) -> Option<TpmInterface> {
    match setting {
        Some("crb") | None => Some(TpmInterface::Crb),
        Some("fifo") => Some(TpmInterface::Fifo),
        Some(_) => None,
    }
}

fn serve(start: &Start) -> Result<(), &'static str> {
    let host = Host::of(start).inspect_err(|_| log::error!("a handle is missing:"))?;
    let interface = interface(start.setting("interface")).ok_or("`set interface` takes crb or fifo")?;
    let info = start.handle("system").and_then(|system| call(system, SystemInfo::default()).ok());
    let tsc_hz = info.ok_or("there is no handle to read the system's facts by: `grant system r`")?.tsc_hz;
    let machine =
        Machine::detect(tsc_hz).ok_or("there is no TPM: the processor has neither RDSEED nor RDRAND")?;
    let ordered = Event::try_new().map_err(|_| "there is no event")?;
    let exchange = Arc::new(Exchange::default());
    let executing = exchange.clone();
    // On the last processor: a vCPU that works alone is mostly the first one.
    let cpu = info.map_or(0, |info| info.cpus.saturating_sub(1));
    let work = move || {
        let why = execute(&executing, ordered, machine);
        log::error!("{why}");
        // Without this thread no command would ever end.
        exit(1);
    };
    thread::spawn_with_stack(cpu, PRIORITY, STACK_BYTES, work).map_err(|_| "there is no thread")?;
    let wake = move || {
        if let Err(status) = ordered.signal() {
            log::error!("a command waits for nobody: {status}");
        }
    };
    host.run(TpmDevice::new(interface, exchange, wake), Faithful).map_err(|_| "the TPM can't be served")
}

/// Makes the TPM and executes its commands. Returns why it can't go on.
fn execute(exchange: &Exchange, ordered: Event, machine: Machine) -> &'static str {
    let opened = Tpm::open(Box::new(RustCrypto), Box::new(machine), Box::new(Memory::default()), &KEY);
    let Ok(mut tpm) = opened.inspect_err(|error| log::error!("{error}")) else {
        return "there is no TPM";
    };
    log::info!("a new TPM: its state is kept in memory only, and is gone with the machine");
    loop {
        // Orders first: the event may have been signalled before anybody waited for it.
        let execute = |locality, command: &[u8], response: &mut _| tpm.execute(locality, command, response);
        if exchange.execute(execute) {
            continue;
        }
        if ordered.wait().is_err() {
            return "there is no waiting for commands";
        }
    }
}

#[cfg(test)]
mod tests;

//! The guest's TPM 2.0, a device in a process of its own: the engine (`devices/tpm`) behind the registers of
//! one of its two interfaces.
//!
//! ```text
//! device tpm process
//!   file vtpm
//!   grant log w
//!   grant system r          # how fast the time-stamp counter goes
//!   set interface crb       # or fifo
//!   set ppi allow           # or deny: operations that ask for physical presence
//!   priority 2
//!   budget memory 4M
//!   budget share 50         # of a processor: the rest is the guest's, also while a key is made
//!   on-end restart 5
//!   # Memory that outlives this process, for the state.
//!   grant tpm-memory rwm
//!   set state-memory tpm-memory
//!   # Or for the number of its newest snapshot alone: blocks that a process serves, and the key.
//!   grant files r
//!   grant tpm-disk s
//!   set state-channel tpm-disk
//!   set state-key tpm.key
//! ```
//!
//! The threads that serve the guest's accesses only touch registers. One more thread executes commands, so
//! that no vCPU waits for one: the guest polls the register that says it is done, as with hardware.
//!
//! When it is started again, the PCRs are zero, and the guest could extend them to whatever it likes: by the
//! memory that outlives it, it knows that there was one before ([`kept`]), and spoils the PCRs itself.
//! Without that memory it must not be started again.
//!
//! Without a state that can be used, every command fails with TPM_RC_FAILURE: a machine that measures its
//! guest does not start, and one that runs goes on without a TPM.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod area;
pub mod device;
pub mod exchange;
pub mod kept;
pub mod lasting;
pub mod platform;
pub mod presence;
pub mod running;
pub mod state;

use alloc::string::String;
use alloc::sync::Arc;

use devices::acpi_entry::TpmInterface;
use runtime::abi::operation::SystemInfo;
use runtime::channel::Channel;
use runtime::event::Event;
use runtime::{Start, call, exit, thread};
use vmm::device_host::{Faithful, Host};

use device::TpmDevice;
use exchange::{Exchange, Order};
use platform::Machine;
use running::Running;
use state::Place;

/// The priority of the thread that executes: above the vCPUs' threads', so that a short command is done when
/// the guest first looks. A long one leaves the guest its turns, as the process has a share of a processor.
const PRIORITY: u32 = 2;
/// Its stack: numbers of 4096 bits lie there, and points of curves.
const STACK_BYTES: u64 = 256 * 1024;

/// The process. Its result is its exit code.
pub fn program(start: &Start) -> u32 {
    run(start, None)
}

/// The same, for tests with a command code at which the process ends.
pub fn run(start: &Start, end_at: Option<u32>) -> u32 {
    let why = serve(start, end_at).err().unwrap_or("the TPM is served no more");
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

/// Whether the configuration has operations carried out that ask for physical presence.
fn is_presence_allowed(setting: Option<&str>) -> Option<bool> {
    match setting {
        Some("allow") | None => Some(true),
        Some("deny") => Some(false),
        Some(_) => None,
    }
}

fn serve(start: &Start, end_at: Option<u32>) -> Result<(), &'static str> {
    let host = Host::of(start).inspect_err(|_| log::error!("a handle is missing:"))?;
    let interface = interface(start.setting("interface")).ok_or("`set interface` takes crb or fifo")?;
    let is_allowed = is_presence_allowed(start.setting("ppi")).ok_or("`set ppi` takes allow or deny")?;
    let info = start.handle("system").and_then(|system| call(system, SystemInfo::default()).ok());
    let tsc_hz = info.ok_or("there is no handle to read the system's facts by: `grant system r`")?.tsc_hz;
    let mut machine =
        Machine::detect(tsc_hz).ok_or("there is no TPM: the processor has neither RDSEED nor RDRAND")?;
    let place = Place::of(start).inspect_err(|why| log::error!("{why}"));
    let place = place.map_err(|_| "the TPM's state has no place")?;
    let ordered = Event::try_new().map_err(|_| "there is no event")?;
    let exchange = Arc::new(Exchange::default());
    let executing = exchange.clone();
    // On the last processor: a vCPU that works alone is mostly the first one.
    let cpu = info.map_or(0, |info| info.cpus.saturating_sub(1));
    let host_entropy = start.setting("rng-channel").and_then(|name| start.handle(name)).map(Channel);
    let work = move || {
        // On this thread: the guest's accesses to registers are not to wait for the host.
        if let Some(channel) = host_entropy {
            machine.ask_host(channel);
        }
        let tpm = TpmProcess { exchange: executing, ordered, is_allowed, end_at };
        let why = tpm.execute(|| place.open(machine, tsc_hz).map(|(tpm, kept)| Running::new(tpm, kept)));
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
    let device = TpmDevice::new(interface, is_allowed, exchange, wake);
    host.run(device, Faithful).map_err(|_| "the TPM can't be served")
}

/// What the thread that executes works with.
struct TpmProcess {
    exchange: Arc<Exchange>,
    /// There is a command.
    ordered: Event,
    /// Operations of physical presence are carried out.
    is_allowed: bool,
    end_at: Option<u32>,
}

/// A TPM, or why there is none.
type Opened = Result<Running, String>;

impl TpmProcess {
    /// Makes the TPM and executes its commands. Returns why it can't go on.
    fn execute(self, open: impl FnOnce() -> Opened) -> &'static str {
        let mut opened = open().inspect_err(|why| {
            log::error!("{why}");
            log::error!("every command fails");
        });
        if let Ok(running) = &opened {
            self.exchange.show(&running.presence);
        }
        loop {
            // Orders first: the event may have been signalled before anybody waited for it.
            let is_done = self.exchange.execute(|order, response| {
                self.end_if_asked(&order);
                running::carry_out(&mut opened, &self.exchange, self.is_allowed, order, response);
            });
            if is_done {
                continue;
            }
            if self.ordered.wait().is_err() {
                return "there is no waiting for commands";
            }
        }
    }

    fn end_if_asked(&self, order: &Order) {
        let Order::Command { bytes, .. } = order else { return };
        let code = bytes.get(6..).and_then(|rest| rest.first_chunk()).copied().map(u32::from_be_bytes);
        if self.end_at.is_some() && self.end_at == code {
            log::warn!("ends at command {code:x?}");
            exit(1);
        }
    }
}

#[cfg(test)]
mod tests;

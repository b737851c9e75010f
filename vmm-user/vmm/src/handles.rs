//! The handles the process was given, by name.

use runtime::Start;
use runtime::abi::operation::Handle;

/// What the VMM needs.
#[derive(Clone, Copy, Debug)]
pub struct Handles {
    /// The machine: facts, its end, and VMs.
    pub system: Handle,
    /// The image's files.
    pub files: Handle,
    /// Guest memory.
    pub guest_memory: Handle,
    /// The host's serial port, if the guest's console goes there.
    pub serial_ports: Option<Handle>,
    /// Its interrupt.
    pub serial_interrupt: Option<Handle>,
    /// The host's real-time clock, if the guest's is to start with its time.
    pub clock_ports: Option<Handle>,
}

impl Handles {
    /// Finds them. The error is the name of one that is missing.
    pub fn of(start: &Start) -> Result<Self, &'static str> {
        let need = |name: &'static str| start.handle(name).ok_or(name);
        Ok(Self {
            system: need("system")?,
            files: need("files")?,
            guest_memory: need("guest-memory")?,
            serial_ports: start.handle("serial-ports"),
            serial_interrupt: start.handle("serial-interrupt"),
            clock_ports: start.handle("clock-ports"),
        })
    }
}

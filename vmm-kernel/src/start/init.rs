//! Starts the first process.

use vcpu_abi::operation::Rights;
use vcpu_abi::status::Status;

use crate::layout::USER_START_PAGE;
use crate::life;
use crate::memory::space::Space;
use crate::task::elf;
use crate::task::files::File;
use crate::task::handle::{Directory, GuestMemory, HandleObject, HostLine, HostPci, HostPorts, Log, Machine};
use crate::task::loading::Loading;
use crate::task::process::Process;

/// Host ports and lines that processes may be given: the first serial port's.
const SERIAL_PORTS: HostPorts = HostPorts { first: 0x3f8, count: 8 };
const SERIAL_LINE: HostLine = HostLine(4);
/// The second serial port, where a live view may answer.
const SECOND_SERIAL_PORTS: HostPorts = HostPorts { first: 0x2f8, count: 8 };
const SECOND_SERIAL_LINE: HostLine = HostLine(3);
/// The host's real-time clock: index and data.
const CLOCK_PORTS: HostPorts = HostPorts { first: 0x70, count: 2 };

/// Starts the first process, with a handle to everything there is.
pub fn start(file: File) -> Result<(), Status> {
    let init = Process::try_new(b"init", None)?;
    let mut loading = Loading::new(file.contents())?;
    while loading.some(&init)? {}
    let all = Rights::all();
    let mut text = StartText::new();
    // One after the other, lest all of them lie on the stack.
    let mut give = |name, object| -> Result<(), Status> {
        text.add(name, init.handles.lock().insert_object(object, all)?);
        Ok(())
    };
    give("system", Machine.into_object())?;
    give("log", Log.into_object())?;
    give("files", Directory { rights: all }.into_object())?;
    give("guest-memory", GuestMemory::ALL.into_object())?;
    give("serial-ports", SERIAL_PORTS.into_object())?;
    give("serial-interrupt", SERIAL_LINE.into_object())?;
    give("second-serial-ports", SECOND_SERIAL_PORTS.into_object())?;
    give("second-serial-interrupt", SECOND_SERIAL_LINE.into_object())?;
    give("clock-ports", CLOCK_PORTS.into_object())?;
    give("host-pci", HostPci.into_object())?;
    let fill = |space: &Space| elf::copy(space, USER_START_PAGE, text.as_bytes());
    life::start(&init, fill, 0, 3)
}

/// The start page of the first process: a line `handle NAME NUMBER` for each handle.
struct StartText {
    bytes: [u8; 512],
    used: usize,
}

impl StartText {
    const fn new() -> Self {
        Self { bytes: [0; 512], used: 0 }
    }

    fn add(&mut self, name: &str, handle: u32) {
        // A line for each handle fits.
        let _ = core::fmt::Write::write_fmt(self, format_args!("handle {name} {handle}\n"));
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or(&[])
    }
}

impl core::fmt::Write for StartText {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let place = self.bytes.get_mut(self.used..self.used + text.len()).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}

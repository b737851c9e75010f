//! What the kernel says, and where else answers come from: the machine, the processes, the log.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use inspect_protocol::{Exits, LogPart, Machine, Mistake, Process, Traced};
use runtime::abi::operation::{
    Handle, LogRead, MemoryRange, SystemHandled, SystemInfo, SystemProcess, handled,
};
use runtime::abi::process_record::ProcessRecord;
use runtime::abi::status::Status;
use runtime::{Start, call, syscall};

use crate::answer::Views;
use crate::vmm::Vmm;

/// The most bytes of the log in one answer: whatever they are, they fit a line.
pub const LOG_PART: usize = 2000;

/// The handles to look through.
pub struct Kernel {
    system: Handle,
    log: Handle,
    /// To tell how much there is of it; not every image gives it.
    guest_memory: Option<Handle>,
    /// Who knows of exits, if this image has one that tells.
    vmm: Option<Vmm>,
}

impl Kernel {
    /// `None` if one is missing.
    pub fn of(start: &Start) -> Option<Self> {
        let system = start.handle("system")?;
        let tsc_hz = call(system, SystemInfo::default()).ok()?.tsc_hz;
        Some(Self {
            system,
            log: start.handle("log")?,
            guest_memory: start.handle("guest-memory"),
            vmm: Vmm::of(start, tsc_hz),
        })
    }

    fn handled(&self, index: u32) -> Result<u64, Mistake> {
        let handled = call(self.system, SystemHandled { index, reserved: 0, count: 0 });
        handled.map(|handled| handled.count).map_err(refused)
    }

    fn guest_bytes(&self) -> u64 {
        // An image that does not grant it is looked at all the same; nothing is said of this then.
        let Some(memory) = self.guest_memory else { return 0 };
        let range = |index| call(memory, MemoryRange { index, gpa: 0, bytes: 0 }).ok();
        // Ranges are asked for by number until there is none.
        (0..).map_while(range).map(|range| range.bytes).sum()
    }

    /// The process with this number, or the next one.
    fn process(&self, serial: u64) -> Result<ProcessRecord, Status> {
        let mut record = ProcessRecord::default();
        call(self.system, SystemProcess { serial, address: (&raw mut record) as u64 })?;
        Ok(record)
    }
}

fn refused(_: Status) -> Mistake {
    Mistake::Refused
}

/// The text before the zeros.
fn name(padded: &[u8]) -> String {
    let end = padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len());
    String::from_utf8_lossy(padded.get(..end).unwrap_or(&[])).into_owned()
}

fn shown(record: &ProcessRecord) -> Process {
    Process {
        serial: record.serial,
        name: name(&record.name),
        state: record.state,
        code: record.code,
        threads: record.threads,
        handles: record.handles,
        memory_bytes: record.memory_bytes,
        run_tsc: record.run_tsc,
        priority: record.priority,
    }
}

impl Views for Kernel {
    fn machine(&self) -> Result<Machine, Mistake> {
        let info = call(self.system, SystemInfo::default()).map_err(refused)?;
        Ok(Machine {
            tsc_hz: info.tsc_hz,
            boot_tsc: info.boot_tsc,
            now_tsc: syscall::tsc(),
            cpus: info.cpus,
            kept_bytes: info.kept_bytes,
            free_bytes: info.free_bytes,
            guest_bytes: self.guest_bytes(),
            host_interrupts: self.handled(handled::HOST_INTERRUPT)?,
            host_nmis: self.handled(handled::HOST_NMI)?,
        })
    }

    fn processes(&self) -> Result<Vec<Process>, Mistake> {
        let (mut all, mut serial) = (Vec::new(), 0);
        loop {
            match self.process(serial) {
                Ok(record) => {
                    all.push(shown(&record));
                    // By serial numbers, which are never used twice: processes that come and go meanwhile
                    // shift nothing.
                    serial = record.serial.saturating_add(1);
                }
                Err(Status::NotFound) => return Ok(all),
                Err(status) => return Err(refused(status)),
            }
        }
    }

    fn log(&self, from: u64) -> Result<LogPart, Mistake> {
        // Even if each byte becomes four letters, the line stays below what a client reads.
        let mut bytes = vec![0; LOG_PART];
        let (address, room) = (bytes.as_mut_ptr() as u64, bytes.len() as u64);
        let ask = LogRead { from, address, bytes: room, lost: 0, end: 0 };
        let part = call(self.log, ask).map_err(refused)?;
        bytes.truncate(part.bytes as usize);
        // All of it is ASCII, unless somebody has written what is no text.
        let letter = |byte: u8| if byte.is_ascii() { char::from(byte) } else { '?' };
        let text = bytes.into_iter().map(letter).collect();
        Ok(LogPart { from: part.from, lost: part.lost, end: part.end, bytes: part.bytes, text })
    }

    fn exits(&self) -> Result<Vec<Exits>, Mistake> {
        self.vmm.as_ref().ok_or(Mistake::Absent)?.exits()
    }

    fn trace(&self, from: u64) -> Result<Vec<Traced>, Mistake> {
        self.vmm.as_ref().ok_or(Mistake::Absent)?.trace(from)
    }
}

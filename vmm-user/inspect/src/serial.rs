//! The host's second serial port (16550). It may be slow, or lie: then this process waits, and nobody else.

use core::cell::Cell;

use runtime::abi::operation::{Call, EventWait, Handle, InterruptBind, PortRead, PortWrite, SystemInfo};
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::host_serial::{self, DATA_READY, FIFO_BYTES, OPENING, TRANSMITTER_EMPTY, register};
use runtime::{Start, call, syscall};

/// How often in a second it is looked whether the FIFO is empty.
const LOOKS_A_SECOND: u64 = 1000;

/// Why there is no port.
pub enum SerialError {
    /// Nothing is at its addresses.
    Absent,
    /// A handle is missing.
    Handle(&'static str),
    /// The kernel refused.
    Kernel(Status),
}

impl From<Status> for SerialError {
    fn from(status: Status) -> Self {
        Self::Kernel(status)
    }
}

/// The port.
pub struct Serial {
    ports: Handle,
    /// Signalled when input comes.
    input: Event,
    /// Nobody signals it: for waiting.
    never: Event,
    /// Ticks of the TSC between two looks at a FIFO that is not empty.
    look_tsc: u64,
    /// The FIFO was empty at the last look, and nothing was sent since.
    has_room: Cell<bool>,
}

impl Serial {
    /// Opens the port that the handles are to: 8 data bits, FIFO, interrupts for input.
    pub fn open(start: &Start) -> Result<Self, SerialError> {
        let handle = |name: &'static str| start.handle(name).ok_or(SerialError::Handle(name));
        let (ports, interrupt) = (handle("second-serial-ports")?, handle("second-serial-interrupt")?);
        let tsc_hz = call(handle("system")?, SystemInfo::default())?.tsc_hz;
        let (input, never) = (Event::try_new()?, Event::try_new()?);
        let look_tsc = tsc_hz / LOOKS_A_SECOND;
        let serial = Self { ports, input, never, look_tsc, has_room: Cell::new(false) };
        if !serial.is_present()? {
            return Err(SerialError::Absent);
        }
        call(interrupt, InterruptBind { event: input.0, reserved: 0 })?;
        // Last, since input may come from here on, and its event has to be there.
        for (offset, value) in OPENING {
            serial.write(offset, value)?;
        }
        Ok(serial)
    }

    /// The scratch register keeps what is written. Where there is no port all reads are ones.
    fn is_present(&self) -> Result<bool, Status> {
        self.write(register::SCRATCH, 0x5a)?;
        Ok(self.read(register::SCRATCH)? == 0x5a)
    }

    fn read(&self, offset: u32) -> Result<u32, Status> {
        host_serial::read(self.ports, offset)
    }

    fn write(&self, offset: u32, value: u32) -> Result<(), Status> {
        host_serial::write(self.ports, offset, value)
    }

    /// Waits for a byte.
    pub fn receive(&self) -> Result<u8, Status> {
        while self.read(register::LINE_STATUS)? & DATA_READY == 0 {
            // The host signals what comes after the FIFO was empty, which it just was.
            self.input.wait()?;
        }
        self.read(register::DATA).map(|byte| byte as u8)
    }

    /// Sends bytes, as fast as the host takes them.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Status> {
        for part in bytes.chunks(FIFO_BYTES) {
            self.wait_for_room()?;
            self.send_part(part)?;
        }
        Ok(())
    }

    fn wait_for_room(&self) -> Result<(), Status> {
        while !self.has_room.get() {
            self.has_room.set(self.read(register::LINE_STATUS)? & TRANSMITTER_EMPTY != 0);
            if !self.has_room.get() {
                // Asleep in between: this process is there to look on, and takes no time from those it looks
                // at.
                let deadline_tsc = syscall::tsc().saturating_add(self.look_tsc);
                match call(self.never.0, EventWait { deadline_tsc }) {
                    Ok(_) | Err(Status::TimedOut) => {}
                    Err(status) => return Err(status),
                }
            }
        }
        Ok(())
    }

    /// Fills the empty FIFO and looks at it again, by one call.
    fn send_part(&self, part: &[u8]) -> Result<(), Status> {
        let write =
            |byte: &u8| PortWrite { offset: register::DATA, width: 1, value: u32::from(*byte), reserved: 0 };
        let look = PortRead { offset: register::LINE_STATUS, width: 1, value: 0, reserved: 0 };
        // One system call for a FIFO of bytes and the look after them: each on its own would be seventeen.
        let mut batch = [look.on(self.ports); FIFO_BYTES + 1];
        batch.iter_mut().zip(part).for_each(|(place, byte)| *place = write(byte).on(self.ports));
        let batch = batch.get_mut(..=part.len()).unwrap_or(&mut []);
        syscall::batch(batch).map_err(|(status, _)| status)?;
        let status = batch.last().map_or(0, |look| PortRead::from_operation(look).value);
        // Kept for the next part: a fast host has taken all by now, and is not asked again.
        self.has_room.set(status & TRANSMITTER_EMPTY != 0);
        Ok(())
    }
}

//! The guest's console: its first UART, connected to the host's first serial port.
//!
//! Output goes to the host's transmitter as it comes; input waits until the guest's UART takes it. The host
//! is not trusted with more than the bytes: what its registers say only delays them.

use alloc::collections::VecDeque;
use core::fmt;

use devices::uart::SerialBackend;
use runtime::abi::operation::Handle;
use runtime::host_serial::{self, DATA_READY, FIFO_BYTES, OPENING, TRANSMITTER_EMPTY, register};

/// Bytes of input that are kept for a guest that does not read.
const INPUT_MAX: usize = 256;

/// The host's serial port, as the guest's UART has it at its other end. Without one, output is dropped.
#[derive(Debug)]
pub struct HostSerial {
    ports: Option<Handle>,
    /// Bytes that the host's transmitter still takes without being asked again.
    room: usize,
    input: VecDeque<u8>,
    /// The host may have more input than was collected.
    has_more: bool,
}

impl HostSerial {
    /// Opens the port: 8 data bits, FIFO on, interrupts for input.
    pub fn open(ports: Option<Handle>) -> Self {
        let serial = Self { ports, room: 0, input: VecDeque::new(), has_more: false };
        for (offset, value) in OPENING {
            serial.write(offset, value);
        }
        serial
    }

    /// A register; `None` if there is no port, or the process may not read it.
    fn read(&self, offset: u32) -> Option<u32> {
        host_serial::read(self.ports?, offset).ok()
    }

    fn write(&self, offset: u32, value: u32) {
        let Some(ports) = self.ports else { return };
        if let Err(status) = host_serial::write(ports, offset, value) {
            log::warn!("host serial port: {status}");
        }
    }
}

/// Writes a line on the host's serial port when there will be no guest: the log tells only a debug image's
/// user.
pub fn last_words(ports: Option<Handle>, words: fmt::Arguments<'_>) {
    let mut serial = HostSerial::open(ports);
    for byte in alloc::format!("Plinth: {words}\r\n").bytes() {
        serial.transmit(byte);
    }
}

impl SerialBackend for HostSerial {
    /// The guest waits for a host that takes its output slowly: the byte must not be lost.
    fn transmit(&mut self, byte: u8) {
        while self.room == 0 {
            // Without a port, or the right to read it, nothing would ever end the wait: the byte is dropped.
            let Some(status) = self.read(register::LINE_STATUS) else { return };
            if status & TRANSMITTER_EMPTY != 0 {
                // Each look is a system call: one for a whole FIFO.
                self.room = FIFO_BYTES;
            }
        }
        self.room -= 1;
        self.write(register::DATA, u32::from(byte));
    }

    fn collect(&mut self) {
        // Bounded: a host that always has more would keep the vCPU's thread here.
        while self.input.len() < INPUT_MAX {
            self.has_more = self.read(register::LINE_STATUS).is_some_and(|status| status & DATA_READY != 0);
            if !self.has_more {
                return;
            }
            self.input.extend(self.read(register::DATA).map(|byte| byte as u8));
        }
    }

    fn receive(&mut self) -> Option<u8> {
        if self.input.is_empty() && self.has_more {
            // The host signals only what comes after its FIFO was empty.
            self.collect();
        }
        self.input.pop_front()
    }
}

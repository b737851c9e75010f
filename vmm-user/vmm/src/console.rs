//! The guest's console: its first UART, connected to the host's first serial port.
//!
//! Output waits in a queue until the host's transmitter is empty; input waits until the guest's UART takes it. The host is
//! not trusted with more than the bytes: what its registers say only delays them.

use alloc::collections::VecDeque;

use devices::uart::SerialBackend;
use runtime::abi::operation::{Call, Handle, Operation, PortRead, PortWrite};
use runtime::call;

/// 16550 registers, from the port's base (National Semiconductor PC16550D).
mod register {
    pub const DATA: u32 = 0;
    pub const INTERRUPT_ENABLE: u32 = 1;
    pub const FIFO_CONTROL: u32 = 2;
    pub const LINE_CONTROL: u32 = 3;
    pub const MODEM_CONTROL: u32 = 4;
    pub const LINE_STATUS: u32 = 5;
}

const DATA_READY: u32 = 1;
const TRANSMITTER_EMPTY: u32 = 1 << 5;
/// Bytes the host's transmitter takes when it is empty.
const FIFO_BYTES: usize = 16;
/// The most that is read at a time, and kept for a guest that does not read.
const INPUT_MAX: usize = 256;

/// The queue of a guest UART's output.
#[derive(Debug, Default)]
pub struct Output {
    /// Not yet with the host.
    pub queue: VecDeque<u8>,
}

impl SerialBackend for Output {
    fn transmit(&mut self, byte: u8) {
        self.queue.push_back(byte);
    }
}

/// The host's serial port.
#[derive(Debug)]
pub struct HostSerial {
    ports: Handle,
    input: VecDeque<u8>,
}

impl HostSerial {
    /// Opens the port: 8 data bits, FIFO on, interrupts for input.
    pub fn open(ports: Handle) -> Self {
        let serial = Self { ports, input: VecDeque::new() };
        for (offset, value) in [
            (register::LINE_CONTROL, 0x03),
            (register::FIFO_CONTROL, 0x07),
            (register::MODEM_CONTROL, 0x0b),
            (register::INTERRUPT_ENABLE, 0x01),
        ] {
            if let Err(status) = call(ports, PortWrite { offset, width: 1, value, reserved: 0 }) {
                log::warn!("host serial port: {status}");
            }
        }
        serial
    }

    fn read(&self, offset: u32) -> u32 {
        call(self.ports, PortRead { offset, width: 1, value: 0, reserved: 0 }).map_or(0, |c| c.value)
    }

    /// Fetches what the host has for us.
    pub fn fetch_input(&mut self) {
        while self.input.len() < INPUT_MAX && self.read(register::LINE_STATUS) & DATA_READY != 0 {
            let byte = self.read(register::DATA) as u8;
            self.input.push_back(byte);
        }
    }

    /// The next byte of input.
    pub fn peek_input(&self) -> Option<u8> {
        self.input.front().copied()
    }

    /// It was taken.
    pub fn take_input(&mut self) {
        self.input.pop_front();
    }

    /// Moves output from a queue into operations, as much as the host takes now; nothing while its transmitter is busy.
    pub fn send(&self, queue: &mut VecDeque<u8>, mut push: impl FnMut(Operation)) {
        if self.read(register::LINE_STATUS) & TRANSMITTER_EMPTY == 0 {
            return;
        }
        for byte in queue.drain(..FIFO_BYTES.min(queue.len())) {
            let write = PortWrite { offset: register::DATA, width: 1, value: u32::from(byte), reserved: 0 };
            push(write.on(self.ports));
        }
    }
}

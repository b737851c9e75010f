//! Messages: the 16550 at COM1, polled, 115200 baud. With no UART there, writing goes nowhere and does not hang.

use core::fmt;

use super::ports;

const COM1: u16 = 0x3f8;

/// Line status: the transmitter takes another byte.
const TRANSMITTER_EMPTY: u8 = 1 << 5;

/// How often to look before giving a byte up.
const PATIENCE: u32 = 100_000;

/// The console.
pub struct Serial;

/// Sets 115200 baud, 8 data bits, no parity, one stop bit, no interrupts.
pub fn initialize() {
    for (register, value) in [(1, 0x00), (3, 0x80), (0, 0x01), (1, 0x00), (3, 0x03), (2, 0x07), (4, 0x03)] {
        ports::write(COM1 + register, value);
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                put(b'\r');
            }
            put(byte);
        }
        Ok(())
    }
}

fn put(byte: u8) {
    for _ in 0..PATIENCE {
        if ports::read(COM1 + 5) & TRANSMITTER_EMPTY != 0 {
            break;
        }
    }
    ports::write(COM1, byte);
}

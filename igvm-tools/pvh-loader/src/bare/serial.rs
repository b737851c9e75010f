//! Messages: what went wrong goes to the 16550 at COM1, polled, 115200 baud, and to the debug port; progress
//! goes to the debug port alone, for the console is the image's. With no device there, writing goes nowhere
//! and does not hang.

use core::fmt;

use super::ports;

const COM1: u16 = 0x3f8;

/// Line status: the transmitter takes another byte.
const TRANSMITTER_EMPTY: u8 = 1 << 5;

/// How often to look before giving a byte up.
const PATIENCE: u32 = 100_000;

/// QEMU's `isa-debugcon` where firmware and Plinth's kernel have their logs.
const DEBUG_PORT: u16 = 0x402;

/// The console and the log.
pub struct Serial;

/// The log alone.
pub struct Log;

impl fmt::Write for Log {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| ports::write(DEBUG_PORT, byte));
        Ok(())
    }
}

/// Sets 115200 baud, 8 data bits, no parity, one stop bit, no interrupts.
pub fn initialize() {
    // Interrupts off, divisor 1 while DLAB is set, format, FIFOs, DTR and RTS.
    for (register, value) in [(1, 0x00), (3, 0x80), (0, 0x01), (1, 0x00), (3, 0x03), (2, 0x07), (4, 0x03)] {
        ports::write(COM1 + register, value);
    }
}

impl fmt::Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // A terminal would go down, but not to the line's beginning.
            if byte == b'\n' {
                put(b'\r');
            }
            put(byte);
        }
        Log.write_str(text)
    }
}

fn put(byte: u8) {
    for _ in 0..PATIENCE {
        if ports::read(COM1 + 5) & TRANSMITTER_EMPTY != 0 {
            break;
        }
    }
    // All the same when it is not ready: a console that is stuck must not keep the machine from its end.
    ports::write(COM1, byte);
}

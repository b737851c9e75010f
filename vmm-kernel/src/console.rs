//! The host's first serial port, for the last words of a machine that cannot begin or go on: the log of an
//! image that is not a debug one tells the host nothing, and a user in front of a silent console even less.
//! Polled; with no device there, it goes nowhere.

use core::fmt::{self, Write};

use crate::cpu::ports;
use crate::log_ring;

const COM1: u16 = 0x3f8;
const LINE_STATUS: u16 = COM1 + 5;
/// The transmitter takes another byte.
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// How often to look before a byte is given up.
const PATIENCE: u32 = 100_000;

struct Serial;

impl Serial {
    fn put(byte: u8) {
        // A host whose transmitter is never empty must not keep the machine from its end.
        for _ in 0..PATIENCE {
            if ports::read_u8(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
                break;
            }
        }
        ports::write_u8(COM1, byte);
    }
}

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                Self::put(b'\r');
            }
            Self::put(byte);
        }
        Ok(())
    }
}

/// Writes a line there, and then in the log, since this processor is about to stop the machine. Nothing in it
/// may be a secret of the guest's. Takes no lock of its own: whoever held it may have been stopped for good.
pub fn last_words(words: fmt::Arguments<'_>) {
    log_ring::in_distress();
    // Writing cannot fail.
    let _ = writeln!(Serial, "Plinth: {words}");
    log::error!("{words}");
}

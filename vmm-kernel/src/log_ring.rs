//! The log: a ring in memory. A debug image copies each line to the host's debug console; no other image tells the host.

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::cpu::{ports, this_cpu_number, time};
use crate::sync::SpinLock;

/// QEMU's debug console device (`-debugcon`), which reads back its own port number's low byte e9h when present.
const DEBUG_CONSOLE_PORT: u16 = 0x402;
const RING_BYTES: usize = 64 * 1024;

struct Ring {
    bytes: [u8; RING_BYTES],
    /// Bytes written since boot; the newest lies before `written % RING_BYTES`.
    written: usize,
}

static RING: SpinLock<Ring> = SpinLock::new(Ring { bytes: [0; RING_BYTES], written: 0 });
static TO_CONSOLE: AtomicBool = AtomicBool::new(false);
static LOGGER: KernelLog = KernelLog;

impl Write for Ring {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let to_console = TO_CONSOLE.load(Ordering::Relaxed);
        for &byte in text.as_bytes() {
            if let Some(place) = self.bytes.get_mut(self.written % RING_BYTES) {
                *place = byte;
            }
            self.written = self.written.wrapping_add(1);
            if to_console {
                ports::write_u8(DEBUG_CONSOLE_PORT, byte);
            }
        }
        Ok(())
    }
}

struct KernelLog;

impl Log for KernelLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        write_line(record.level(), "kernel", *record.args());
    }

    fn flush(&self) {}
}

/// Writes one line: time, processor, level, who, text.
pub fn write_line(level: Level, who: &str, text: core::fmt::Arguments<'_>) {
    let micros = time::since_boot_us();
    let mut ring = RING.lock();
    // Writing to the ring cannot fail.
    let _ = writeln!(
        ring,
        "[{:5}.{:06}] cpu{} {:5} {}: {}",
        micros / 1_000_000,
        micros % 1_000_000,
        this_cpu_number(),
        level,
        who,
        text
    );
}

/// Starts the log. `debug`: copy it to the host's console.
pub fn start(debug: bool) {
    TO_CONSOLE.store(debug, Ordering::Relaxed);
    // Fails only when a logger is set already, which is then this one.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(if debug { LevelFilter::Debug } else { LevelFilter::Info });
}

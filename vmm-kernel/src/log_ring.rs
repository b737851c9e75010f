//! The log: a ring in memory. A debug image copies each line to the host's debug console; no other image
//! tells the host.
//!
//! A fault, an NMI or a machine check may come while a line is being written, and what it says is what one
//! wants to read: so a processor never waits for itself, and once a processor is about to stop the machine,
//! not for ever for another. Lines are then cut, not lost.

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::cpu::{ports, this_cpu_number, time};
use crate::sync::turn::{Taken, Turn};

/// QEMU's debug console device (`-debugcon`), which reads back its own port number's low byte e9h when
/// present.
const DEBUG_CONSOLE_PORT: u16 = 0x402;
const RING_BYTES: usize = 64 * 1024;

/// Atomic, so that a processor that cannot wait for its [`TURN`] does no harm but to the text.
struct Ring {
    bytes: [AtomicU8; RING_BYTES],
    /// Bytes written since boot; the newest lies before `written % RING_BYTES`.
    written: AtomicUsize,
}

static RING: Ring = Ring { bytes: [const { AtomicU8::new(0) }; RING_BYTES], written: AtomicUsize::new(0) };
/// Who is writing a line.
static TURN: Turn = Turn::new();
/// A processor is about to stop the machine: nobody waits long for another, which may have stopped already.
static DISTRESS: AtomicBool = AtomicBool::new(false);
/// How often a processor looks whether the other has written its line, in distress. A line takes some
/// thousand.
const LOOKS_IN_DISTRESS: u64 = 10_000_000;
static TO_CONSOLE: AtomicBool = AtomicBool::new(false);
static LOGGER: KernelLog = KernelLog;

/// Writes to the ring.
struct Writer;

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        fault_if_asked(text);
        let to_console = TO_CONSOLE.load(Ordering::Relaxed);
        for &byte in text.as_bytes() {
            let written = RING.written.fetch_add(1, Ordering::Relaxed);
            if let Some(place) = RING.bytes.get(written % RING_BYTES) {
                place.store(byte, Ordering::Relaxed);
            }
            if to_console {
                ports::write_u8(DEBUG_CONSOLE_PORT, byte);
            }
        }
        Ok(())
    }
}

/// In a kernel for tests, a line that asks for it makes the processor fault in the middle of writing.
fn fault_if_asked(text: &str) {
    if cfg!(feature = "checks") && text == "checks: fault while the log is written" {
        x86_64::instructions::interrupts::int3();
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

/// Whether to look once more if the other processor has done with the ring.
fn is_patient(looks: u64) -> bool {
    looks < LOOKS_IN_DISTRESS || !DISTRESS.load(Ordering::Relaxed)
}

/// Writes one line: time, processor, level, who, text.
pub fn write_line(level: Level, who: &str, text: core::fmt::Arguments<'_>) {
    let micros = time::since_boot_us();
    let (cpu, seconds, rest) = (this_cpu_number(), micros / 1_000_000, micros % 1_000_000);
    TURN.with(cpu, is_patient, |taken| {
        // Writing to the ring cannot fail.
        if taken != Taken::Free {
            // Somebody's line is not ended yet, and may never be.
            let _ = Writer.write_str("\n");
        }
        let _ = writeln!(Writer, "[{seconds:5}.{rest:06}] cpu{cpu} {level:5} {who}: {text}");
    });
}

/// A part of the log that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The number of its first byte, counted from the log's first.
    pub first: u64,
    /// How many bytes it has.
    pub bytes: usize,
    /// The number of the byte that will be written next.
    pub end: u64,
}

/// Copies what was written from byte `from` on, or from the oldest byte that is still there. Nobody writes
/// meanwhile but who is in distress, so that no byte is read before it is there.
pub fn read(from: u64, to: &mut [u8]) -> Part {
    TURN.with(this_cpu_number(), is_patient, |_| RING.read(from, to))
}

impl Ring {
    fn read(&self, from: u64, to: &mut [u8]) -> Part {
        let end = self.written.load(Ordering::Relaxed) as u64;
        // Both ends are cut: what was overwritten is gone, and a number ahead of the log is a process's
        // invention.
        let first = from.clamp(end.saturating_sub(RING_BYTES as u64), end);
        let bytes = to.len().min((end - first) as usize);
        let places = self.bytes.iter().cycle().skip(first as usize % RING_BYTES);
        to.iter_mut().zip(places).take(bytes).for_each(|(to, from)| *to = from.load(Ordering::Relaxed));
        Part { first, bytes, end }
    }
}

/// From now on a line that another processor does not end is interrupted: this one is about to stop the
/// machine.
pub fn in_distress() {
    DISTRESS.store(true, Ordering::Relaxed);
}

/// Starts the log. `debug`: copy it to the host's console.
pub fn start(debug: bool) {
    TO_CONSOLE.store(debug, Ordering::Relaxed);
    // Fails only when a logger is set already, which is then this one.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(if debug { LevelFilter::Debug } else { LevelFilter::Info });
}

#[cfg(test)]
mod tests;

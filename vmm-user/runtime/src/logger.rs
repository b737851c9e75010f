//! The log: each record is one line in the kernel's ring, under the process's name.

use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};
use vcpu_abi::operation::LogWrite;

use crate::start::Start;
use crate::syscall::call;

static HANDLE: AtomicU32 = AtomicU32::new(0);

/// A line under construction; what does not fit is cut.
struct Line {
    bytes: [u8; 240],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for (to, from) in self.bytes.iter_mut().skip(self.used).zip(text.bytes()) {
            *to = from;
            self.used += 1;
        }
        Ok(())
    }
}

struct ProcessLog;

impl Log for ProcessLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        HANDLE.load(Ordering::Relaxed) != 0
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut line = Line { bytes: [0; 240], used: 0 };
        // Writing to a line cannot fail.
        let _ = write!(line, "{}", record.args());
        let level = match record.level() {
            Level::Error => 1,
            Level::Warn => 2,
            Level::Info => 3,
            Level::Debug | Level::Trace => 4,
        };
        let write =
            LogWrite { address: line.bytes.as_ptr() as u64, bytes: line.used as u64, level, reserved: 0 };
        // A log that cannot be written has nowhere to say so.
        let _ = call(HANDLE.load(Ordering::Relaxed), write);
    }

    fn flush(&self) {}
}

static LOGGER: ProcessLog = ProcessLog;

/// Logs to the handle named `log`, if the process has one.
pub fn start(start: &Start) {
    HANDLE.store(start.handle("log").unwrap_or(0), Ordering::Relaxed);
    // Fails only when a logger is set already, which is then this one.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(LevelFilter::Debug);
}

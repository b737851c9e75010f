//! Boots for a check: console and log in the check's own files.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use plinth_qemu::{Boot, Ended, Machine, Outcome, Qemu, read_text};

use super::Case;
use crate::log;

/// A machine that was booted, and what it left.
#[derive(Clone, Debug)]
pub struct Booted {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it ran.
    pub took: Duration,
    /// The console: each line after the seconds since QEMU's start.
    pub console: PathBuf,
    /// The log of a debug image.
    pub log: PathBuf,
}

impl Booted {
    /// The console's text.
    pub fn console_text(&self) -> String {
        read_text(&self.console)
    }

    /// The log's text.
    pub fn log_text(&self) -> String {
        read_text(&self.log)
    }
}

impl Case {
    /// A machine that boots an image by Plinth's own loader.
    pub fn machine(&self, image: PathBuf) -> Machine {
        Machine::new(Boot::Pvh { loader: self.project().programs().join("pvh-loader"), image })
    }

    /// Gives a machine the check's own log, `NAME.log`, and boots it to its end or the time limit; the
    /// console is `NAME.console`.
    ///
    /// # Errors
    /// When QEMU can't be started; how the machine ends is for the caller to judge.
    pub fn boot(&mut self, qemu: &Qemu, machine: &Machine) -> Result<Booted> {
        let name = self.name().to_owned();
        self.boot_as(&name, qemu, machine)
    }

    /// The same under another name than the check's, for one that boots several machines.
    ///
    /// # Errors
    /// As [`Case::boot`].
    pub fn boot_as(&mut self, name: &str, qemu: &Qemu, machine: &Machine) -> Result<Booted> {
        let console = self.sibling(&format!("{name}.console"));
        let log = self.sibling(&format!("{name}.log"));
        // The check's own, whatever the machine had: logs of two boots would be one.
        let machine = Machine { log: Some(log), ..machine.clone() };
        let ended = machine.run(qemu, &console, self.boot_limit())?;
        Ok(self.finished(name, ended))
    }

    /// For a machine that the check started itself, with these files: records how it ended.
    pub fn finished(&mut self, name: &str, ended: Ended) -> Booted {
        let Ended { outcome, took } = ended;
        // Whatever its end: a machine was there, and could have shown something.
        self.count_boot();
        self.record(format_args!("{name} ended with {outcome} after {:.1} s", took.as_secs_f32()));
        let console = self.sibling(&format!("{name}.console"));
        Booted { outcome, took, console, log: self.sibling(&format!("{name}.log")) }
    }

    /// Fails unless the machine ended so; the end of its log is recorded then.
    ///
    /// # Errors
    /// Then.
    pub fn expect_outcome(&mut self, booted: &Booted, outcome: Outcome) -> Result<()> {
        if booted.outcome == outcome {
            return Ok(());
        }
        // The reason is nearly always in the log's last lines.
        self.record(log::tail(&booted.log_text(), 40));
        bail!("ended with {}, not {outcome}", booted.outcome);
    }

    /// Fails if the kernel panicked.
    ///
    /// # Errors
    /// Then.
    pub fn expect_no_panic(&mut self, booted: &Booted) -> Result<()> {
        let text = booted.log_text();
        match text.lines().find(|line| line.contains("kernel panic")) {
            Some(line) => bail!("{line}"),
            None => Ok(()),
        }
    }
}

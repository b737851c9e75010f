//! Random guests (vmm-user/tests-guest/chaos): a guest does at random what a guest can do, on two processors,
//! for some seconds. Its own end by a triple fault, a reset or the power switch is legal, and the next one
//! takes the rest of the time. Anything else is a finding: the end of VMM, kernel or QEMU, a hang, or
//! something that the guest calls WRONG.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Machine, Outcome, Qemu, Version, read_text};

use crate::build::Build;
use crate::image::{Image, Payload, config_ended_by_reset};
use crate::project::{Project, read};

/// QEMU before it ends by itself at instructions which the guest's user code has: its translator has no way
/// to go on (7.2 at 0F 38 0C without VEX, whoever executes it and with no hypervisor as well).
const OLDEST: Version = Version { major: 10, minor: 0 };

/// What one seed differs from the next one of the same run by.
const STEP: u64 = 1_000_000;

/// More guests than this in one run would say that guests cannot live.
const MOST_GUESTS: u64 = 60;

/// How much longer than its own time a guest may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A QEMU that random guests do not end by themselves: the one with a loader of its own if there is one.
pub fn qemu(project: &Project, usual: &Qemu) -> Option<Qemu> {
    let found = [Qemu::find_with_igvm(&project.root), Some(usual.clone())];
    found.into_iter().flatten().find(|qemu| qemu.version() >= OLDEST)
}

/// Builds the guest.
///
/// # Errors
/// When cargo fails.
pub fn build(project: &Project) -> Result<PathBuf> {
    Ok(Build::new(project, &["chaos-guest"]).run()?.join("chaos-guest"))
}

/// The seeds that found something once: a seed, seconds, and what it was, in each line that is no comment.
///
/// # Errors
/// When the file is not like that.
pub fn known_seeds(project: &Project) -> Result<Vec<(u64, u64)>> {
    let file = project.root.join("vmm-user/tests-guest/chaos/seeds.txt");
    let text = read(&file)?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let pair = |line: &str| -> Option<(u64, u64)> {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    lines.map(|line| pair(line).with_context(|| format!("{}: {line}", file.display()))).collect()
}

/// Where random guests run.
#[derive(Clone, Debug)]
pub struct Place {
    /// The project.
    pub project: Project,
    /// The programs: Plinth's and the guest's.
    pub programs: PathBuf,
    /// QEMU.
    pub qemu: Qemu,
    /// The CPU model, if not QEMU's usual one.
    pub cpu: Option<String>,
    /// For images, consoles and logs.
    pub folder: PathBuf,
}

/// What a run of some seconds has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Guests that ran, one after the other.
    pub guests: u64,
    /// What must not happen, if it did.
    pub finding: Option<Finding>,
}

/// What must not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was seen.
    pub words: String,
    /// Whether it is that the guest did not go on, and nothing else.
    pub stood_still: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.words)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ends = self.guests.saturating_sub(1);
        match &self.finding {
            None => write!(out, "ok, {ends} ended by themselves"),
            Some(finding) => write!(out, "FINDING after {ends} that ended by themselves: {finding}"),
        }
    }
}

impl Place {
    /// Runs guests of a seed for so many seconds.
    ///
    /// # Errors
    /// When one can't be packed or started.
    pub fn run(&self, seed: u64, seconds: u64) -> Result<Seen> {
        let (mut left, mut seen) = (seconds, Seen::default());
        while left > 0 && seen.guests < MOST_GUESTS {
            // A guest that ended by itself is no finding, and the same seed would end again.
            let next = seed + seen.guests * STEP;
            seen.guests += 1;
            let (used, finding) = self.run_one(next, left)?;
            if let Some(finding) = finding {
                let words = format!("seed {next} for {left} s: {finding}");
                seen.finding = Some(Finding { words, ..finding });
                return Ok(seen);
            }
            left = left.saturating_sub(used);
        }
        // Ending by itself is legal, but guests that only do so have tested nothing.
        ensure!(left == 0, "seed {seed}: {MOST_GUESTS} guests ended by themselves");
        Ok(seen)
    }

    /// Runs one guest; returns the seconds that it has used, and what was wrong.
    fn run_one(&self, seed: u64, seconds: u64) -> Result<(u64, Option<Finding>)> {
        let file = |extension: &str| self.folder.join(format!("{seed}.{extension}"));
        let kernel = self.programs.join("chaos-guest");
        let payload = Payload { kernel, initrd: None, append: format!("{seed} {seconds}") };
        let config = config_ended_by_reset(&self.project, &[])?;
        let image = Image::new(&self.project, "debian")?;
        let image = image.programs(&self.programs).payload(&payload).config(&config);
        let (console, log) = (file("console"), file("log"));
        let mut machine = Machine::new(plinth_qemu::Boot::Pvh {
            loader: self.programs.join("pvh-loader"),
            image: image.pack(&file("igvm"))?,
        });
        (machine.memory_mib, machine.processors, machine.log) = (256, 2, Some(log.clone()));
        machine.cpu = self.cpu.clone();
        // The guest counts seconds by its own clock, which a busy host slows.
        let limit = Duration::from_secs(seconds * 3) + PATIENCE;
        let ended = machine.run(&self.qemu, &console, limit)?;
        let said = read_text(&console);
        let finding = judge(ended.outcome, &said, &read_text(&log));
        let is_done = said.contains("chaos: done");
        if finding.is_none() {
            // Runs of hours would fill the disk with what nobody will read.
            [console, log].iter().for_each(|file| drop(std::fs::remove_file(file)));
        }
        // Made again from the seed, if it is wanted.
        remove(&file("igvm"))?;
        // One that came to its end has had all of its time, whatever the clock on the wall says.
        let used = if is_done { seconds } else { ended.took.as_secs().max(1) };
        Ok((used, finding))
    }
}

fn remove(file: &Path) -> Result<()> {
    std::fs::remove_file(file).with_context(|| file.display().to_string())
}

/// What was wrong with a guest's end, if anything.
fn judge(outcome: Outcome, console: &str, log: &str) -> Option<Finding> {
    let said = |line: &&str| line.contains("WRONG") || line.contains("kernel panic");
    if let Some(line) = console.lines().chain(log.lines()).find(said) {
        return Some(Finding { words: line.trim().to_owned(), stood_still: false });
    }
    let legal = match outcome {
        // The guest's own end, or a snippet's doing, by a port that it met: as legal as a reset.
        Outcome::PowerOff => true,
        Outcome::TripleFault => {
            // Only what the VMM has logged was the guest's own: one of Plinth's would end QEMU in the same
            // way.
            log.contains(": triple fault (") || log.contains(": an event cannot be delivered (")
        }
        Outcome::Reboot => true,
        _ => false,
    };
    let last = console.lines().last().unwrap_or_default();
    (!legal).then(|| Finding {
        words: format!("{outcome}; the guest's last words: {last}"),
        stood_still: outcome == Outcome::Timeout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_judged() {
        let fault = "vmm: vCPU 1: triple fault (exit 11";
        for (outcome, console, log, is_finding) in [
            (Outcome::PowerOff, "chaos: done, rounds 1 2", "", false),
            (Outcome::PowerOff, "chaos: 3 s", "", false),
            (Outcome::PowerOff, "chaos: WRONG: x\nchaos: done", "", true),
            (Outcome::TripleFault, "chaos: 3 s", fault, false),
            (Outcome::TripleFault, "chaos: 3 s", "", true),
            (Outcome::TripleFault, "", "kernel panic: x\nvmm: vCPU 1: triple fault (exit 11", true),
            (Outcome::Reboot, "", "", false),
            (Outcome::ProcessFailure, "chaos: done", fault, true),
            (Outcome::Signal(6), "chaos: done", "", true),
            (Outcome::Timeout, "chaos: 3 s", "", true),
        ] {
            assert_eq!(judge(outcome, console, log).is_some(), is_finding, "{outcome} {console} {log}");
        }
        let stood_still = |outcome, console| judge(outcome, console, "").unwrap().stood_still;
        assert!(stood_still(Outcome::Timeout, "chaos: 3 s"));
        assert!(!stood_still(Outcome::Timeout, "chaos: WRONG: x"));
        assert!(!stood_still(Outcome::Signal(11), "chaos: 3 s"));
    }

    #[test]
    fn the_projects_seeds_are_read() {
        assert!(known_seeds(&Project::open().unwrap()).unwrap().iter().all(|(_, seconds)| *seconds > 0));
    }
}

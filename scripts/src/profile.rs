//! Where an exit's instructions go: every instruction executed in a stretch of a row's loop, looked up in the
//! programs' line tables.

mod places;
mod stages;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use plinth_qemu::{Machine, Outcome, Qmp, executed, read_text};
use serde::Serialize;

use places::Places;
pub use places::Unit;
pub use stages::Stages;

use crate::bench::{Bench, rows};

/// More than a profile takes, so that the guest stays in its loop.
const ITERATIONS: u64 = 100_000_000;
/// What is logged: some thousand iterations of an ordinary row.
const TRACE_BYTES: u64 = 64 << 20;
/// From the row's beginning to the log's. The row's first exits fill caches.
const WARM: Duration = Duration::from_secs(1);
/// How long the machine may take to come to the row.
const LIMIT: Duration = Duration::from_secs(300);
/// The benchmark's guest lies here, and nothing else that runs does.
const GUEST: std::ops::Range<u64> = 0x10_0000..0x20_0000;
/// The programs that are looked through: the VMM of the benchmark is the one with its devices.
const PROGRAMS: [&str; 2] = ["vmm-kernel", "test-vmm"];

/// What one iteration of a row's loop takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// The row's id.
    pub row: String,
    /// How many iterations were logged.
    pub iterations: u64,
    /// Instructions of one iteration.
    pub instructions: f64,
    /// Where they are executed, the most first.
    pub places: Vec<Share>,
}

/// The instructions that an iteration executes in one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// How many.
    pub instructions: f64,
    /// A file, a function or a stage.
    pub place: String,
}

impl fmt::Display for Profile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:9.1}  in all, over {} iterations", self.instructions, self.iterations)?;
        self.places.iter().try_for_each(|share| writeln!(out, "{:9.1}  {}", share.instructions, share.place))
    }
}

/// Runs a row under Plinth, whose programs and the benchmark's have been built, and logs a stretch of its
/// loop; returns how often each address was executed.
///
/// # Errors
/// When the guest does not come to the row, or QEMU does not log it.
pub fn log_row(bench: &Bench, row: &str) -> Result<BTreeMap<u64, u64>> {
    // Such a row is an ordinary one of the guest's, in an image whose device is another process.
    let image = match rows::access_of(row) {
        Some(row) => bench.process_image(format!("{ITERATIONS} 1 15 {row}"))?,
        None => bench.image(format!("{ITERATIONS} 1 15 {row}"))?,
    };
    let image = image.pack(&bench.folder.join("profile.igvm"))?;
    let control = std::env::temp_dir().join(format!("plinth-profile-{}", std::process::id()));
    let mut machine = bench.counted(bench.machine(image), 256);
    // In the folder for temporary files: a socket's path has about a hundred bytes at most.
    machine.control = Some(control.clone());
    let counts = log_machine(bench, row, &machine, &control);
    // QEMU removes it itself, unless it is killed.
    let _ = std::fs::remove_file(control);
    counts
}

fn log_machine(bench: &Bench, row: &str, machine: &Machine, control: &Path) -> Result<BTreeMap<u64, u64>> {
    let (console, trace) = (bench.folder.join("profile.console"), bench.folder.join("trace"));
    let mut running = machine.start(&bench.qemu, &console)?;
    let mut qmp = Qmp::connect(control, LIMIT)?;
    let end = Instant::now() + LIMIT;
    while !read_text(&console).contains(" START") {
        if let Some(outcome) = running.poll()? {
            bail!(no_such_row(row, outcome));
        }
        if Instant::now() >= end {
            bail!("the guest did not come to its row; its console is {}", console.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // What is logged is the loop as it goes on, not its first exits.
    std::thread::sleep(WARM);
    qmp.trace(&bench.qemu, &trace, TRACE_BYTES)?;
    // The row would go on for hours.
    running.kill();
    Ok(executed(&trace)?)
}

fn no_such_row(row: &str, outcome: Outcome) -> String {
    format!("the guest ended ({outcome}) without a row '{row}'; benches/guest/rows.S has the rows' names")
}

/// Sums up what was executed of a row by files, functions or stages.
///
/// # Errors
/// When the programs have no line tables, or the guest was not in its loop.
pub fn profile(
    bench: &Bench,
    row: &str,
    counts: &BTreeMap<u64, u64>,
    unit: Unit,
    stages: Option<&Stages>,
) -> Result<Profile> {
    let place = |name| Places::of(&bench.project.programs().join(name), &bench.project.root);
    let programs = PROGRAMS.into_iter().map(place).collect::<Result<Vec<_>>>()?;
    let mut places = HashMap::new();
    for address in counts.keys() {
        for program in &programs {
            // The programs do not overlap: kernel and process lie in different halves.
            if let Some(place) = program.find(*address, unit)? {
                let place = stages.map_or(place.as_str(), |stages| stages.stage(&place)).to_owned();
                places.insert(*address, place);
            }
        }
    }
    sum(row, counts, &places)
}

/// Sums up counts by the places of the addresses; those of the guest are one place.
fn sum(row: &str, counts: &BTreeMap<u64, u64>, places: &HashMap<u64, String>) -> Result<Profile> {
    // The loop's own instructions are the guest's that were executed most, once an iteration each.
    let Some(iterations) = counts.range(GUEST).map(|(_, count)| *count).max() else {
        bail!("nothing of the guest is in the log: its row may have ended");
    };
    let mut sums: HashMap<String, u64> = HashMap::new();
    for (address, count) in counts {
        // What neither program has is the guest's own, or nobody's that is known.
        let guest = || if GUEST.contains(address) { "(the guest)" } else { "(unknown)" };
        *sums.entry(places.get(address).cloned().unwrap_or_else(|| guest().to_owned())).or_default() += count;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of some millions")]
    let each = |count: u64| count as f64 / iterations as f64;
    let instructions = each(counts.values().sum());
    let mut places: Vec<_> =
        sums.into_iter().map(|(place, count)| Share { instructions: each(count), place }).collect();
    // By name where they are equal, so that two profiles can be compared line by line.
    places.sort_by(|one, other| {
        other.instructions.total_cmp(&one.instructions).then_with(|| one.place.cmp(&other.place))
    });
    Ok(Profile { row: row.to_owned(), iterations, instructions, places })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        let counts =
            BTreeMap::from([(0x10_0010, 10), (0x10_0020, 3), (0x4000, 30), (0x5000, 20), (0x6000, 1)]);
        let places = [0x4000, 0x5000].map(|address| (address, "a.rs".to_owned())).into();
        let profile = sum("outu", &counts, &places).unwrap();
        let lines: Vec<_> = profile.to_string().lines().map(|line| line.trim().to_owned()).collect();
        assert_eq!(
            lines,
            ["6.4  in all, over 10 iterations", "5.0  a.rs", "1.3  (the guest)", "0.1  (unknown)"]
        );
        assert!(sum("outu", &BTreeMap::from([(0x4000, 30)]), &places).is_err());
    }
}

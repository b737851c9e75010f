//! A smoke run of each fuzz target: its corpus, and inputs made from it. libFuzzer itself runs where there
//! are a nightly toolchain and cargo-fuzz; elsewhere, and there too, the same targets run as an ordinary
//! program.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use plinth_qemu::Qemu;

use crate::build::cargo;
use crate::fuzz::{Fuzz, targets};
use crate::testing::{Case, Suite};

/// Inputs made from the corpus, a target; slow ones get a twentieth.
const SMOKE_RUNS: u64 = 500_000;
const SLOWEST: u64 = 20;
/// Inputs that libFuzzer tries, a target.
const LIBFUZZER_RUNS: u64 = 50_000;

/// How many times fewer inputs a target gets that is much slower than the others.
fn fewer(target: &str) -> u64 {
    match target {
        // A physical memory to be made, and all tables to be walked.
        "kernel_mappings" => 100,
        // A TPM to be copied.
        "tpm_execute" => 20,
        _ => 1,
    }
}

/// The checks.
pub fn run(suite: &mut Suite, _: &Qemu) -> Result<()> {
    suite.check("fuzz-smoke", smoke);
    if Fuzz::is_there(suite.project()) {
        suite.check("fuzz-libfuzzer", libfuzzer);
    }
    Ok(())
}

/// How many files there are in a folder.
fn count_files(folder: &Path) -> Result<usize> {
    let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_file())).count())
}

fn smoke(case: &mut Case) -> Result<()> {
    let project = case.project().clone();
    let program = ["run", "-p", "fuzz-targets", "--bin", "fuzz-smoke", "--", "fuzz/corpus"];
    let said = case.run(cargo(&project.root).args(program).arg(SMOKE_RUNS.to_string()))?;
    for target in targets(&project)? {
        let inputs = count_files(&project.root.join("fuzz/corpus").join(&target))?;
        let made = made_from_corpus(&said, &target, inputs).unwrap_or(0);
        let least = SMOKE_RUNS / SLOWEST / fewer(&target);
        ensure!(made >= least, "{target}: {made} made from {inputs} inputs of the corpus");
    }
    Ok(())
}

fn libfuzzer(case: &mut Case) -> Result<()> {
    let project = case.project().clone();
    let fuzz = Fuzz::new(&project)?;
    for target in targets(&project)? {
        let runs = LIBFUZZER_RUNS / fewer(&target);
        let executed = fuzz.run(&target, runs)?;
        case.record(&executed);
        ensure!(executed.executions >= runs, "too few: {executed}");
    }
    Ok(())
}

/// What a line `TARGET: INPUTS inputs of the corpus, N made from them` says.
fn made_from_corpus(said: &str, target: &str, inputs: usize) -> Option<u64> {
    let start = format!("{target}: {inputs} inputs of the corpus, ");
    said.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix(" made from them")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let said = "walk: 91 inputs of the corpus, 50000 made from them\n";
        assert_eq!(made_from_corpus(said, "walk", 91), Some(50_000));
        assert_eq!(made_from_corpus(said, "walk", 9), None);
    }
}

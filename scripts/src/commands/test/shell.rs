//! Tests that are still shell scripts (`scripts/tests/*.sh`).

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::project::Project;
use crate::testing::Suite;
use crate::testing::limit::Victims;

/// How the line begins with which a check ends.
const PASSED: &str = "ok      ";
const FAILED: &str = "FAILED  ";

/// The scripts that there are.
pub fn scripts(project: &Project) -> Result<Vec<PathBuf>> {
    let folder = project.root.join("scripts/tests");
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    Ok(files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "sh")).collect())
}

/// Runs one and counts its checks: all it prints is passed on, but the line of counts and those by which a
/// check says that it begins. Each check has its time limit, and so has what the script does around them.
pub fn run(suite: &mut Suite, script: &Path) -> Result<()> {
    let runner = suite.project().root.join("scripts/lib/remaining.sh");
    let mut command = Command::new("bash");
    command.arg(&runner).arg(script).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", runner.display()))?;
    let name = script.file_stem().unwrap_or_default().to_string_lossy();
    let mut limit = suite.limit(&name, Victims::All);
    let (mut counted, mut late) = (None, 0);
    for line in BufReader::new(child.stdout.take().context("its output")?).lines() {
        let line = line?;
        if let Some(counts) = counts(&line) {
            counted = Some(counts);
        } else if let Some((shell, check)) = beginning(&line) {
            limit = suite.limit(check, Victims::Check { script: child.id(), shell });
        } else if is_end(&line) {
            let over = std::mem::replace(&mut limit, suite.limit(&name, Victims::All)).finish();
            late += end_of_check(suite, &line, over);
        } else {
            suite.line(&line);
        }
    }
    let (status, over) = (child.wait()?, limit.finish());
    match counted {
        Some((passed, failed)) => suite.count(passed.saturating_sub(late), failed + late),
        None => {
            suite.check(&name, |case| {
                over.iter().for_each(|over| case.note(over));
                anyhow::bail!("{} ended early ({status})", script.display())
            });
        }
    }
    Ok(())
}

/// Passes on the line with which a check ends; returns how many it calls good that were killed.
fn end_of_check(suite: &Suite, line: &str, over: Option<String>) -> u32 {
    match (over, line.strip_prefix(PASSED)) {
        (None, _) => {
            suite.line(line);
            0
        }
        (Some(over), Some(check)) => {
            suite.line(&format!("{FAILED}{check}: {over}"));
            1
        }
        (Some(over), None) => {
            suite.line(&format!("{line}\n    | {over}"));
            0
        }
    }
}

/// Whether a check ends with this line.
fn is_end(line: &str) -> bool {
    line.starts_with(PASSED) || line.starts_with(FAILED)
}

/// Shell and name of the check that begins with a line "checking SHELL NAME".
fn beginning(line: &str) -> Option<(u32, &str)> {
    let (shell, name) = line.strip_prefix("checking ")?.split_once(' ')?;
    Some((shell.parse().ok()?, name))
}

/// The counts of a line "N passed, N failed".
fn counts(line: &str) -> Option<(u32, u32)> {
    let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_counts() {
        assert_eq!(counts("3 passed, 0 failed"), Some((3, 0)));
        for line in ["", "ok      3 passed, 0 failed", "3 passed, x failed", "3 passed"] {
            assert_eq!(counts(line), None, "{line}");
        }
    }

    #[test]
    fn lines_of_checks() {
        assert_eq!(beginning("checking 17 boot-6.1-2-pvh"), Some((17, "boot-6.1-2-pvh")));
        assert_eq!(beginning("checking x y"), None);
        assert!(
            is_end("ok      a (1 s)") && is_end("FAILED  a (1 s, status 1)") && !is_end("    | ok      a")
        );
    }
}

//! Tests that are still shell scripts (`scripts/tests/*.sh`).

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::project::Project;
use crate::testing::Suite;

/// The scripts that there are.
pub fn scripts(project: &Project) -> Result<Vec<PathBuf>> {
    let folder = project.root.join("scripts/tests");
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    Ok(files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "sh")).collect())
}

/// Runs one and counts its checks: all it prints but the line of counts is passed on.
pub fn run(suite: &mut Suite, script: &Path) -> Result<()> {
    let runner = suite.project().root.join("scripts/lib/remaining.sh");
    let mut command = Command::new("bash");
    command.arg(&runner).arg(script).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", runner.display()))?;
    let mut counted = None;
    for line in BufReader::new(child.stdout.take().context("its output")?).lines() {
        let line = line?;
        match counts(&line) {
            Some(counts) => counted = Some(counts),
            None => suite.line(&line),
        }
    }
    let status = child.wait()?;
    match counted {
        Some((passed, failed)) => suite.count(passed, failed),
        None => {
            let name = script.file_stem().unwrap_or_default().to_string_lossy();
            suite.check(&name, |_| anyhow::bail!("{} ended early ({status})", script.display()));
        }
    }
    Ok(())
}

/// The counts of a line "N passed, N failed".
fn counts(line: &str) -> Option<(u32, u32)> {
    let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn lines_of_counts() {
        assert_eq!(counts("3 passed, 0 failed"), Some((3, 0)));
        for line in ["", "ok      3 passed, 0 failed", "3 passed, x failed", "3 passed"] {
            assert_eq!(counts(line), None, "{line}");
        }
    }
}

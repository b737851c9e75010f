//! Fuzzing with libFuzzer, by cargo-fuzz: each target over its corpus in `fuzz/corpus` and inputs made of it.
//!
//! New inputs go to `fuzz/target/corpus`, so that the corpora in the repository stay as small as they are.
//! What is found goes to `fuzz/artifacts`.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use plinth_qemu::read_text;
use serde::Serialize;

use crate::build::cargo;
use crate::command::{output, succeeds, typed};
use crate::project::{Project, make_folder};

/// What a target went through without a finding.
#[derive(Clone, Debug, Serialize)]
pub struct Executed {
    /// The target's name.
    pub target: String,
    /// How many inputs were run.
    pub executions: u64,
    /// How long that took.
    pub seconds: u64,
}

impl fmt::Display for Executed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, executions, seconds } = self;
        write!(out, "{target}: {executions} executions in {seconds} s, nothing found")
    }
}

/// Fuzzing: where, and how.
#[derive(Clone, Debug)]
pub struct Fuzz {
    project: Project,
    folder: PathBuf,
    /// The sanitizer, as cargo-fuzz calls it. Most of the crates forbid unsafe code, where one only costs
    /// time; the kernel does not.
    pub sanitizer: String,
    /// Whether libFuzzer's words are shown on standard error as well as kept in `fuzz/target/TARGET.log`.
    pub shown: bool,
}

impl Fuzz {
    /// Whether nightly and cargo-fuzz, which it needs, are there.
    pub fn is_there(project: &Project) -> bool {
        succeeds(cargo(&project.root).args(["+nightly", "fuzz", "--version"]))
    }

    /// Fuzzing in this checkout, without a sanitizer.
    ///
    /// # Errors
    /// When what it needs is not installed.
    pub fn new(project: &Project) -> Result<Self> {
        ensure!(
            Self::is_there(project),
            "fuzzing needs a nightly toolchain and cargo-fuzz: rustup toolchain install nightly && \
             cargo install cargo-fuzz"
        );
        let folder = project.root.join("fuzz");
        Ok(Self { project: project.clone(), folder, sanitizer: "none".to_owned(), shown: false })
    }

    /// Runs so many inputs of a target.
    ///
    /// # Errors
    /// When something was found: the error has its place.
    pub fn run(&self, target: &str, runs: u64) -> Result<Executed> {
        let began = Instant::now();
        self.prepare(target)?;
        // libFuzzer writes what it finds new to the first folder, and only reads the others.
        let folders = [format!("target/corpus/{target}"), format!("corpus/{target}")];
        let said = self.fuzz(target, &folders, &[format!("-runs={runs}")])?;
        let executions = executions(&said).with_context(|| {
            format!("libFuzzer says nothing of {target}'s runs: {}", self.log(target).display())
        })?;
        Ok(Executed { target: target.to_owned(), executions, seconds: began.elapsed().as_secs() })
    }

    /// Leaves in the target's corpus the fewest inputs that reach every edge reached: libFuzzer's set-cover
    /// merge, without counters. Returns how many those are.
    ///
    /// # Errors
    /// When libFuzzer fails; the corpus is as it was then.
    pub fn minimise(&self, target: &str) -> Result<usize> {
        self.prepare(target)?;
        let (corpus, fewest) = (format!("corpus/{target}"), format!("target/minimised/{target}"));
        let (place, new) = (self.folder.join(&corpus), self.folder.join(&fewest));
        if new.exists() {
            std::fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
        }
        make_folder(&new)?;
        // Counters would keep an input for each number of times that an edge is taken.
        let options = ["-set_cover_merge=1", "-use_counters=0"].map(str::to_owned);
        self.fuzz(target, &[fewest, corpus.clone(), format!("target/{corpus}")], &options)?;
        let count = new.read_dir().with_context(|| new.display().to_string())?.count();
        ensure!(count > 0, "nothing is left of {target}'s inputs; the corpus is as it was");
        // Only now: until here a failure leaves the corpus as it was.
        std::fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))?;
        std::fs::rename(&new, &place).with_context(|| format!("cannot move {}", new.display()))?;
        Ok(count)
    }

    fn prepare(&self, target: &str) -> Result<()> {
        let targets = targets(&self.project)?;
        if !targets.iter().any(|name| name == target) {
            bail!("there is no target '{target}'; there are {}", targets.join(", "));
        }
        // libFuzzer takes no folder that is not there.
        make_folder(&self.folder.join("corpus").join(target))?;
        make_folder(&self.folder.join("target/corpus").join(target))
    }

    fn log(&self, target: &str) -> PathBuf {
        self.folder.join("target").join(target).with_extension("log")
    }

    /// Runs libFuzzer over folders of inputs; returns its words.
    fn fuzz(&self, target: &str, folders: &[String], options: &[String]) -> Result<String> {
        // The target knows best how much input it can make use of; libFuzzer's own guess is the longest in
        // the corpus.
        let longest = ["run", "-q", "-p", "fuzz-targets", "--bin", "fuzz-smoke", "--", "max-bytes", target];
        let longest = output(cargo(&self.project.root).args(longest))?;
        let mut command = cargo(&self.folder);
        // Flags of its own would have the project's other programs built anew.
        command.env("CARGO_TARGET_DIR", self.folder.join("target"));
        command.args(["+nightly", "fuzz", "run", "-s", &self.sanitizer, target]).args(folders);
        command.arg("--").args(options).arg(format!("-max_len={}", longest.trim()));
        let log = self.log(target);
        if !self.copied(&mut command, &log)? {
            bail!(
                "{target} was not built, or failed: {} says why; an input that fails is in {}",
                log.display(),
                self.folder.join("artifacts").join(target).display()
            );
        }
        Ok(read_text(&log))
    }

    /// Runs a program whose words go to a file, and are shown; whether it succeeds.
    fn copied(&self, command: &mut Command, log: &Path) -> Result<bool> {
        let typed = typed(command);
        let what = || format!("cannot run {typed}");
        // One pipe for both, so that what was printed stays in order.
        let (mut reader, writer) = io::pipe().with_context(what)?;
        let both = writer.try_clone().with_context(what)?;
        let mut file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut child =
            command.stdin(Stdio::null()).stdout(both).stderr(writer).spawn().with_context(what)?;
        // The command holds the pipe's writing ends; there would be no end of reading.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut bytes = [0; 4096];
        loop {
            let count = reader.read(&mut bytes).context("reading libFuzzer's words")?;
            let Some(said) = bytes.get(..count).filter(|said| !said.is_empty()) else { break };
            file.write_all(said).with_context(|| format!("cannot write {}", log.display()))?;
            if self.shown {
                io::stderr().write_all(said).context("standard error")?;
            }
        }
        Ok(child.wait().context("waiting for libFuzzer")?.success())
    }
}

/// The targets' names: those of the files in `fuzz/fuzz_targets`.
///
/// # Errors
/// When there are none.
pub fn targets(project: &Project) -> Result<Vec<String>> {
    let entries = project.root.join("fuzz/fuzz_targets").read_dir().context("fuzz/fuzz_targets")?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    // A folder has no order.
    names.sort();
    ensure!(!names.is_empty(), "there is no fuzz target in fuzz/fuzz_targets");
    Ok(names)
}

/// What a line `Done N runs in ...` says.
fn executions(said: &str) -> Option<u64> {
    let number = |line: &str| line.strip_prefix("Done ")?.split_once(" runs")?.0.parse().ok();
    said.lines().find_map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_targets() {
        assert_eq!(executions("#7 DONE cov: 12\nDone 100001 runs in 3 second(s)\n"), Some(100_001));
        assert_eq!(executions("#7 DONE cov: 12\n"), None);
        assert!(targets(&Project::open().unwrap()).unwrap().contains(&"walk".to_owned()));
        let executed = Executed { target: "walk".to_owned(), executions: 7, seconds: 2 };
        assert_eq!(executed.to_string(), "walk: 7 executions in 2 s, nothing found");
    }

    #[test]
    fn words_are_kept() {
        let project = Project::open().unwrap();
        let fuzz =
            Fuzz { folder: project.root.join("fuzz"), project, sanitizer: String::new(), shown: false };
        let log = std::env::temp_dir().join(format!("plinth-fuzz-{}", std::process::id()));
        let sh = |script: &str| fuzz.copied(Command::new("sh").args(["-c", script]), &log).unwrap();
        assert!(sh("echo one; echo two >&2"));
        assert_eq!(read_text(&log), "one\ntwo\n");
        assert!(!sh("exit 77"));
        std::fs::remove_file(log).unwrap();
    }
}

//! One check: what it says, the programs it runs.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::command::{captured, last_lines, typed};
use crate::project::{Project, write};

/// One check.
#[derive(Debug)]
pub struct Case {
    project: Project,
    folder: PathBuf,
    name: String,
    words: String,
    boots: u32,
    boot_limit: Duration,
}

impl Case {
    pub(super) fn new(project: &Project, folder: &Path, name: &str, boot_limit: Duration) -> Self {
        let (project, folder, name) = (project.clone(), folder.to_path_buf(), name.to_owned());
        Self { project, folder, name, words: String::new(), boots: 0, boot_limit }
    }

    /// The project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The check's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many machines were booted to an end.
    pub fn boots(&self) -> u32 {
        self.boots
    }

    /// A machine that the check started itself has come to an end, or to the time limit.
    pub fn count_boot(&mut self) {
        self.boots += 1;
    }

    /// How long one boot may take.
    pub fn boot_limit(&self) -> Duration {
        self.boot_limit
    }

    /// A file of the check's own: `NAME.EXTENSION` in the suite's folder.
    pub fn file(&self, extension: &str) -> PathBuf {
        self.sibling(&format!("{}.{extension}", self.name))
    }

    /// A file in the suite's folder.
    pub fn sibling(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Records a text, which is shown if the check fails.
    pub fn record(&mut self, text: impl Display) {
        let text = text.to_string();
        // So that each text ends its line once, whatever it ends with.
        self.words += text.trim_end_matches('\n');
        self.words.push('\n');
        // `written` reports it when there is no writing.
        let _ = write(&self.file("out"), &self.words);
    }

    /// Records those lines of a text that have one of the words in them.
    pub fn record_lines(&mut self, text: &str, words: &[&str]) {
        for line in text.lines().filter(|line| words.iter().any(|word| line.contains(word))) {
            self.record(line);
        }
    }

    /// What was said so far.
    pub fn words(&self) -> &str {
        &self.words
    }

    pub(super) fn written(&self) -> Result<()> {
        write(&self.file("out"), &self.words)
    }

    /// Runs a program, records all it prints, and returns it.
    ///
    /// # Errors
    /// When it can't be started or fails.
    pub fn run(&mut self, command: &mut Command) -> Result<String> {
        let output = captured(command)?;
        // Recorded before the status is looked at: the words of a failure are wanted most.
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        self.record(format_args!("{said}{}", String::from_utf8_lossy(&output.stderr)));
        if !output.status.success() {
            bail!("{} failed ({})", typed(command), output.status);
        }
        Ok(said)
    }

    /// Fails unless a file has the text in it; what its end is instead is recorded.
    ///
    /// # Errors
    /// Then.
    pub fn expect(&mut self, file: &Path, text: &str) -> Result<()> {
        let contents = plinth_qemu::read_text(file);
        self.expect_text(&file.display().to_string(), &contents, text)
    }

    /// Fails unless `contents` has the text in it; `place` is what the contents are called.
    ///
    /// # Errors
    /// Then.
    pub fn expect_text(&mut self, place: &str, contents: &str, text: &str) -> Result<()> {
        if contents.contains(text) {
            return Ok(());
        }
        self.record(last_lines(contents, 25));
        bail!("expected \"{text}\" in {place}");
    }
}

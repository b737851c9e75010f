//! Checks that are counted. A [`Suite`] runs them one by one, each with a [`Case`] that takes down what it
//! says and boots machines; only a check that fails shows its words. The last line of [`Suite::finish`] is `N
//! passed, N failed`. A check that takes longer than its limit is killed and has failed.

mod booting;
mod case;
pub mod free_memory;
pub mod limit;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

pub use booting::Booted;
pub use case::Case;
use limit::Limit;

use crate::command::last_lines;
use crate::project::{Project, make_folder, variable};
use crate::say;

/// Lines of a failed check that are shown.
const SHOWN: usize = 40;
/// How long one boot may take. A shared, emulated machine is slow; a hang is slower.
const BOOT_SECONDS: u64 = 300;
/// How long one check may take. The longest known one took eleven minutes, on a busy machine.
const CHECK_SECONDS: u64 = 20 * 60;
/// How much longer than a boot a check may go on when its programs were killed: it may wait for words in a
/// log.
const GRACE: Duration = Duration::from_secs(60);

/// Checks and their counts.
#[derive(Debug)]
pub struct Suite {
    project: Project,
    folder: PathBuf,
    passed: u32,
    failed: u32,
    measures: Vec<String>,
    boot_limit: Duration,
    check_limit: Duration,
    quiet: bool,
    only: Vec<String>,
    checked: Vec<Checked>,
}

/// A check that was run.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// How many machines it booted to an end, or to the time limit.
    pub boots: u32,
    /// How long it took.
    pub took: Duration,
    /// What it said.
    pub words: String,
}

impl Suite {
    /// A suite whose files (outputs, consoles, logs, images) go to `folder`, which is emptied first.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn new(project: &Project, folder: &Path) -> Result<Self> {
        // What an earlier run left would be taken for this one's.
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        make_folder(folder)?;
        let (project, folder) = (project.clone(), folder.to_path_buf());
        let (boot_limit, check_limit) =
            (seconds("PLINTH_BOOT_LIMIT", BOOT_SECONDS)?, seconds("PLINTH_CHECK_LIMIT", CHECK_SECONDS)?);
        let (measures, only, checked) = (Vec::new(), Vec::new(), Vec::new());
        let (passed, failed, quiet) = (0, 0, false);
        Ok(Self { project, folder, passed, failed, measures, boot_limit, check_limit, quiet, only, checked })
    }

    /// Gives each check this much time, whatever the environment says.
    #[must_use]
    pub fn with_check_limit(self, check_limit: Duration) -> Self {
        Self { check_limit, ..self }
    }

    /// Gives each boot this much time.
    #[must_use]
    pub fn with_boot_limit(self, boot_limit: Duration) -> Self {
        Self { boot_limit, ..self }
    }

    /// Prints nothing: what became of the checks is in [`Self::checked`].
    #[must_use]
    pub fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// Leaves out all checks but those with these names, and those that build what others boot
    /// (`NAME-build`).
    #[must_use]
    pub fn only(self, names: &[&str]) -> Self {
        Self { only: names.iter().map(|name| (*name).to_owned()).collect(), ..self }
    }

    fn leaves_out(&self, name: &str) -> bool {
        !self.only.is_empty() && !name.ends_with("-build") && self.only.iter().all(|only| only != name)
    }

    /// The checks that were run so far.
    pub fn checked(&self) -> &[Checked] {
        &self.checked
    }

    /// The project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The suite's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs one check and counts it; returns whether it passed. What it says is in `NAME.out`. One that is
    /// left out passes, uncounted.
    pub fn check(&mut self, name: &str, body: impl FnOnce(&mut Case) -> Result<()>) -> bool {
        if self.leaves_out(name) {
            return true;
        }
        let began = Instant::now();
        let spinner = say::spinner(name);
        let mut case = Case::new(&self.project, &self.folder, name, self.boot_limit);
        // It runs beside the check, and kills the programs that the check waits for.
        let limit = self.limit(name);
        let result = body(&mut case);
        let late = limit.finish().map_or(Ok(()), |late| Err(anyhow!(late)));
        // A late check fails whatever it says itself; its own words tell where it was.
        let result = match (result, late) {
            (Err(error), Err(late)) => Err(error.context(late)),
            (result, late) => late.and(result),
        };
        // Words that could not be written are a failure as well: nobody could look at them.
        let result = result.and_then(|()| case.written());
        if let Err(error) = &result {
            // Not `{:?}`: a backtrace would push the words themselves out of what is shown.
            case.record(format!("{error:#}"));
        }
        spinner.finish_and_clear();
        let took = began.elapsed();
        let seconds = took.as_secs();
        match result {
            Ok(()) => self.line(&format!("ok      {name} ({seconds} s)")),
            Err(_) => {
                let out = case.file("out");
                let end = last_lines(case.words(), SHOWN).trim_end().replace('\n', "\n    | ");
                // In one go, lest another lane's lines come between.
                self.line(&format!(
                    "FAILED  {name} ({seconds} s); the end of {}:\n    | {end}",
                    out.display()
                ));
            }
        }
        let (passed, words, boots) = (result.is_ok(), case.words().to_owned(), case.boots());
        self.checked.push(Checked { name: name.to_owned(), passed, boots, took, words });
        self.count(u32::from(passed), u32::from(!passed));
        passed
    }

    /// Starts the time of a check that has this name. If it can't be stopped, the run ends in words.
    fn limit(&self, name: &str) -> Limit {
        let name = name.to_owned();
        // As they are if it never ends: this check has failed then.
        let (passed, failed, limit) = (self.passed, self.failed + 1, self.check_limit.as_secs());
        Limit::start(self.check_limit, self.boot_limit + GRACE, move || {
            // Nobody is left to tell when standard output is closed.
            let _ = say::print(format_args!(
                "FAILED  {name}: no end after {limit} s (PLINTH_CHECK_LIMIT), nor when the programs that it \
                 started were killed; the run ends here\n\n{passed} passed, {failed} failed\n"
            ));
            std::process::exit(1);
        })
    }

    /// Counts checks that another program ran.
    pub fn count(&mut self, passed: u32, failed: u32) {
        self.passed += passed;
        self.failed += failed;
    }

    /// Takes over what became of another suite's checks.
    pub fn take_over(&mut self, other: Self) {
        self.count(other.passed, other.failed);
        self.measures.extend(other.measures);
        self.checked.extend(other.checked);
    }

    /// A line about the checks.
    pub fn line(&self, text: &str) {
        if self.quiet {
            return;
        }
        // A reader who has gone away (`| head`) is no reason to stop.
        let _ = say::print(format_args!("{text}\n"));
    }

    /// A value that was measured, for the end.
    pub fn measure(&mut self, name: &str, value: &str) {
        self.measures.push(format!("{name:<58} {value}"));
    }

    /// How many checks passed, and how many failed.
    pub fn counts(&self) -> (u32, u32) {
        (self.passed, self.failed)
    }

    /// Prints what was measured and the counts; returns whether all passed, and there was one at all.
    pub fn finish(self) -> bool {
        if !self.measures.is_empty() {
            self.line(&format!("\n{}\n", self.measures.join("\n")));
        }
        self.line(&format!("{} passed, {} failed", self.passed, self.failed));
        // A run that checked nothing has shown nothing.
        self.failed == 0 && self.passed > 0
    }
}

/// A number of seconds in the environment.
///
/// # Errors
/// When it is none.
pub fn seconds(name: &str, otherwise: u64) -> Result<Duration> {
    let seconds = match variable(name) {
        Some(text) => {
            text.display().to_string().parse().with_context(|| format!("{name} is a number of seconds"))?
        }
        None => otherwise,
    };
    Ok(Duration::from_secs(seconds))
}

/// Bytes that are not the same anywhere (xorshift64), so that a piece at the wrong place shows; whole groups
/// of eight.
pub fn bytes_by_chance(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    // A whole number of the generator's words.
    (0..bytes / 8).flat_map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn checks_are_counted() {
        let folder = std::env::temp_dir().join(format!("plinth-suite-{}", std::process::id()));
        let mut suite = Suite::new(&Project::open().unwrap(), &folder).unwrap();
        assert!(suite.check("good", |case| {
            case.record("a word");
            case.expect_text("here", "a needle", "needle")
        }));
        assert!(!suite.check("bad", |_| bail!("on purpose")));
        assert!(!suite.check("wrong", |case| case.expect_text("here", "a needle", "haystack")));
        assert_eq!(suite.counts(), (1, 2));
        let said = plinth_qemu::read_text(&folder.join("wrong.out"));
        assert!(said.contains("expected \"haystack\" in here"), "{said}");
        assert_eq!(plinth_qemu::read_text(&folder.join("good.out")), "a word\n");
        let beside = folder.join("beside");
        let mut other = Suite::new(&Project::open().unwrap(), &beside).unwrap();
        assert!(other.check("beside", |_| Ok(())) && beside.join("beside.out").exists());
        suite.take_over(other);
        assert_eq!((suite.counts(), suite.checked().len()), ((2, 2), 4));
        assert!(!suite.finish());
        assert!(
            !Suite::new(&Project::open().unwrap(), &folder).unwrap().finish(),
            "none at all is no success"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}

//! What became of mutants, and the record of those that were killed.

use std::fmt::{Display, Formatter};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Killer, folder};
use crate::project::{Project, read, write};

/// What became of a mutant.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// This test failed, with these words.
    Killed(Killer, String),
    /// All its tests passed.
    Survived,
    /// Its text is not in its file, or not just once.
    Stale(String),
    /// It could not be tried: it does not build, a test did not start or fails without it as well.
    NotTried(String),
}

/// A mutant that was tried.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// How long that took.
    pub took: Duration,
}

impl Report {
    /// The verdict in a word.
    pub fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Killed(..) => "killed",
            Verdict::Survived => "SURVIVED",
            Verdict::Stale(_) => "STALE",
            Verdict::NotTried(_) => "NOT TRIED",
        }
    }

    /// Whether it is what it has to be.
    pub fn is_killed(&self) -> bool {
        matches!(self.verdict, Verdict::Killed(..))
    }

    /// As JSON.
    pub fn json(&self) -> serde_json::Value {
        let (by, why) = match &self.verdict {
            Verdict::Killed(by, why) => (Some(by.to_string()), Some(why)),
            // No test has said anything.
            Verdict::Survived => (None, None),
            Verdict::Stale(why) | Verdict::NotTried(why) => (None, Some(why)),
        };
        serde_json::json!({
            "name": self.name,
            "verdict": self.word().to_lowercase(),
            "by": by,
            "why": why,
            "seconds": self.took.as_secs(),
        })
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<9} {} ({} s)", self.word(), self.name, self.took.as_secs())?;
        match &self.verdict {
            Verdict::Killed(by, why) => write!(f, " by {by}: {why}"),
            Verdict::Survived => Ok(()),
            Verdict::Stale(why) | Verdict::NotTried(why) => write!(f, ": {why}"),
        }
    }
}

/// A mutant that was killed once: a line of `scripts/mutants.d/killed.txt`, "NAME | BY | SECONDS".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// What killed it.
    pub by: String,
    /// How long it took, builds included.
    pub seconds: u64,
}

/// What stands above the records.
const HEADING: &str =
    "# The mutants that were killed when they were last tried, by which test, after how many seconds.\n";

impl Record {
    fn file(project: &Project) -> PathBuf {
        folder(project).join("killed.txt")
    }

    /// All records.
    ///
    /// # Errors
    /// When a line is none.
    pub fn read(project: &Project) -> Result<Vec<Self>> {
        let text = read(&Self::file(project))?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| Self::parse(line).with_context(|| format!("\"{line}\" is no record"))).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, rest) = line.split_once(" | ")?;
        let (by, seconds) = rest.split_once(" | ")?;
        Some(Self { name: name.to_owned(), by: by.to_owned(), seconds: seconds.parse().ok()? })
    }

    /// Replaces the records of the mutants that were tried; one that was not killed loses its record.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn update(project: &Project, reports: &[Report]) -> Result<()> {
        let mut records = Self::read(project)?;
        // First without all that were tried, then with those that were killed: a survivor has none then.
        records.retain(|record| reports.iter().all(|report| report.name != record.name));
        records.extend(reports.iter().filter_map(|report| match &report.verdict {
            Verdict::Killed(by, _) => {
                Some(Self { name: report.name.clone(), by: by.to_string(), seconds: report.took.as_secs() })
            }
            _ => None,
        }));
        // Sorted, so that a new record changes one line of the file.
        records.sort_by(|left, right| left.name.cmp(&right.name));
        let lines = records.iter().map(|Self { name, by, seconds }| format!("{name} | {by} | {seconds}\n"));
        write(&Self::file(project), HEADING.to_owned() + &lines.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_records() {
        let record = Record { name: "a".into(), by: "abi 1 vm".into(), seconds: 3 };
        assert_eq!(Record::parse("a | abi 1 vm | 3"), Some(record));
        for line in ["", "a", "a | b", "a | b | c"] {
            assert_eq!(Record::parse(line), None, "{line}");
        }
    }
}

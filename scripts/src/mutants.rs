//! Shows that the tests can fail: each *mutant* is one change that takes something away from Plinth (a check,
//! a clearing, a flush, an intercept), and a test has to notice it.
//!
//! The list is data: `scripts/mutants.d/*.toml`. A [`Mutant`] names a file, a text that occurs in it once,
//! what to put in its place, and its *killers*: the tests of which one has to fail. A [`Workshop`] has a copy
//! of the source tree, where it makes the change, builds, and runs the killers. Each killer has to pass
//! without any change first; only then does its failure mean something.

mod choice;
mod killer;
mod report;
mod tree;
mod workshop;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

pub use choice::rotating;
pub use killer::Killer;
pub use report::{Record, Report, Verdict};
pub use workshop::Workshop;

use crate::project::{Project, read};

/// One change for the worse.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mutant {
    /// What it is called.
    pub name: String,
    /// The file it changes, below the project's root.
    pub file: PathBuf,
    /// What it takes away: a text that occurs in the file exactly once.
    pub from: String,
    /// What it puts there.
    pub to: String,
    /// The tests of which one has to fail, in the order in which they are tried.
    pub killed_by: Vec<Killer>,
}

/// A file of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

/// The folder of the list.
pub fn folder(project: &Project) -> PathBuf {
    project.root.join("scripts/mutants.d")
}

/// The whole list, in the order of the files' names.
///
/// # Errors
/// What is wrong with it, and in which file.
pub fn all(project: &Project) -> Result<Vec<Mutant>> {
    let folder = folder(project);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("no list in {}", folder.display()))?;
    // A set: the file system's order is any.
    let files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<BTreeSet<_>, _>>()?;
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "toml")) {
        let list: List = toml::from_str(&read(file)?).with_context(|| file.display().to_string())?;
        all.extend(list.mutant);
    }
    let mut names = BTreeSet::new();
    for Mutant { name, killed_by, .. } in &all {
        ensure!(names.insert(name), "there are two mutants {name}");
        ensure!(!killed_by.is_empty(), "the mutant {name} has no killer");
    }
    Ok(all)
}

impl Mutant {
    /// Its file's text with the change made.
    ///
    /// # Errors
    /// When the text to replace does not occur exactly once: the file has changed, and the mutant is stale.
    pub fn applied_to(&self, root: &Path) -> Result<String> {
        let text = read(&root.join(&self.file))?;
        let count = text.matches(&self.from).count();
        ensure!(count == 1, "the text to replace occurs {count} times in {}", self.file.display());
        // Such a mutant would survive for ever.
        ensure!(self.from != self.to, "nothing would change");
        Ok(text.replacen(&self.from, &self.to, 1))
    }
}

#[cfg(test)]
mod tests;

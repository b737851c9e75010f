//! The stages of an exit, `benches/report/stages.txt`: what code belongs to which.

use anyhow::{Context, Result};

use crate::project::{Project, read};

/// Prefixes of files and symbols, and the stage of each.
#[derive(Clone, Debug)]
pub struct Stages {
    prefixes: Vec<(String, String)>,
}

impl Stages {
    /// Those of the project.
    ///
    /// # Errors
    /// When the file is not there, or not as it should be.
    pub fn read(project: &Project) -> Result<Self> {
        Self::parse(&read(&project.root.join("benches/report/stages.txt"))?)
    }

    /// Reads lines of a prefix, two spaces or more, and a stage.
    ///
    /// # Errors
    /// With a line that is otherwise.
    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let prefix = |line: &str| {
            let (prefix, stage) = line
                // A stage's name has single blanks in it.
                .split_once("  ")
                .with_context(|| format!("benches/report/stages.txt: two spaces lack in '{line}'"))?;
            Ok((prefix.to_owned(), stage.trim().to_owned()))
        };
        Ok(Self { prefixes: lines.map(prefix).collect::<Result<_>>()? })
    }

    /// What the lines begin with.
    #[cfg(test)]
    fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.prefixes.iter().map(|(prefix, _)| prefix.as_str())
    }

    /// The stage of a place, by the longest prefix; one that has none is a stage by itself.
    pub fn stage<'a>(&'a self, place: &'a str) -> &'a str {
        let fitting = self.prefixes.iter().filter(|(prefix, _)| place.starts_with(prefix.as_str()));
        // A file's own line counts more than its folder's.
        fitting.max_by_key(|(prefix, _)| prefix.len()).map_or(place, |(_, stage)| stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_counts() {
        let stages = Stages::parse("# words\na/b   one\na/b/c.rs  the other one\n").unwrap();
        assert_eq!(stages.stage("a/b/d.rs"), "one");
        assert_eq!(stages.stage("a/b/c.rs"), "the other one");
        assert_eq!(stages.stage("a/c.rs"), "a/c.rs");
        assert!(Stages::parse("a/b one").is_err());
    }

    #[test]
    fn files_are_there() {
        let project = Project::open().unwrap();
        let stages = Stages::read(&project).unwrap();
        for prefix in stages.prefixes().filter(|prefix| prefix.contains('/')) {
            let (folder, start) = prefix.rsplit_once('/').unwrap();
            let mut entries = project.root.join(folder).read_dir().unwrap();
            let fits = |name: &str| name.starts_with(start);
            assert!(entries.any(|entry| fits(&entry.unwrap().file_name().to_string_lossy())), "{prefix}");
        }
    }
}

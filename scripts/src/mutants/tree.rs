//! A copy of the source tree, for changes that must not be made in the tree itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Mutant;
use crate::project::{make_folder, read, write};

/// A copy. Files keep their times when they have not changed, so that builds in it are incremental.
#[derive(Debug)]
pub struct Tree {
    copy: PathBuf,
}

/// A change that was made, and is taken back when this is dropped.
#[derive(Debug)]
pub struct Change {
    file: PathBuf,
    before: String,
}

impl Tree {
    /// Makes the copy, or makes it the same again.
    ///
    /// # Errors
    /// When a file can't be read or written.
    pub fn new(original: &Path, copy: &Path) -> Result<Self> {
        same_folder(original, copy)?;
        Ok(Self { copy: copy.to_path_buf() })
    }

    /// Makes a mutant's change.
    ///
    /// # Errors
    /// When it is stale, or there is no writing.
    pub fn change(&self, mutant: &Mutant) -> Result<Change> {
        let file = self.copy.join(&mutant.file);
        // The original may be another by now.
        let (before, after) = (read(&file)?, mutant.applied_to(&self.copy)?);
        write(&file, after)?;
        Ok(Change { file, before })
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        // There is nobody to return it to, and the next mutant's build would have this change in it.
        if let Err(error) = write(&self.file, &self.before) {
            crate::say::say(format_args!("a mutant's change stays in the copy: {error:#}"));
        }
    }
}

/// What no copy needs: what builds have left, and Git's own.
fn is_left_out(name: &str) -> bool {
    name == "target" || name.starts_with('.')
}

/// Makes a folder's contents those of another, but for what is left out.
fn same_folder(from: &Path, to: &Path) -> Result<()> {
    make_folder(to)?;
    // First what is too much in the copy: a folder may have become a file, or the other way round.
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        let name = entry.file_name();
        let source = from.join(&name);
        if is_left_out(&name.to_string_lossy()) || source.is_dir() && entry.path().is_dir() {
            continue;
        }
        if entry.path().is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if !source.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    // Then what is missing or different.
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        if is_left_out(&name.to_string_lossy()) {
            continue;
        }
        let (source, place) = (entry.path(), to.join(&name));
        if source.is_dir() {
            same_folder(&source, &place)?;
        } else {
            same_file(&source, &place)?;
        }
    }
    Ok(())
}

/// Makes a file's contents those of another; one that has them is left alone, with its time.
pub fn same_file(from: &Path, to: &Path) -> Result<()> {
    let wanted = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if to.exists() {
        // Lest what is written shows under the file's other names.
        fs::remove_file(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    write(to, wanted)?;
    // Scripts have to stay executable.
    let permissions = fs::metadata(from)?.permissions();
    fs::set_permissions(to, permissions).with_context(|| format!("permissions of {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_changes() {
        let folder = std::env::temp_dir().join(format!("plinth-tree-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        for name in ["a/b", "target", ".git"] {
            make_folder(&from.join(name)).unwrap();
        }
        write(&from.join("a/b/c.rs"), "one two").unwrap();
        write(&from.join("target/no"), "").unwrap();
        make_folder(&to.join("old")).unwrap();
        let tree = Tree::new(&from, &to).unwrap();
        assert!(!to.join("target").exists() && !to.join(".git").exists() && !to.join("old").exists());
        let there = to.join("a/b/c.rs");
        let mutant = |text: &str| Mutant {
            name: "m".to_owned(),
            file: "a/b/c.rs".into(),
            from: text.to_owned(),
            to: "three".to_owned(),
            killed_by: Vec::new(),
        };
        let change = tree.change(&mutant("two")).unwrap();
        assert_eq!(fs::read_to_string(&there).unwrap(), "one three");
        write(&from.join("a/b/c.rs"), "changed meanwhile two").unwrap();
        drop(change);
        assert_eq!(fs::read_to_string(&there).unwrap(), "one two");
        for text in ["o", "four"] {
            assert!(tree.change(&mutant(text)).is_err(), "{text}");
        }
        write(&there, "spoilt").unwrap();
        Tree::new(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&there).unwrap(), "changed meanwhile two");
        fs::remove_dir_all(folder).unwrap();
    }
}

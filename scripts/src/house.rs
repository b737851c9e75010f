//! What holds for every file of the project: tests that read it, run as unit tests of this crate.
//!
//! [`lines`]: no line is too long. [`crates`]: no crate names a dependency that it does not use, and all keep
//! the workspace's lints. [`documents`]: what documents say is so, and links lead to something.

mod crates;
mod documents;
mod lines;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders of which nothing is the project's own text: what is built, found by fuzzing, or fetched.
const NOT_OURS: [&str; 4] = ["target", "corpus", "artifacts", "node_modules"];

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of the project, as a path from its root.
fn files() -> Result<Vec<PathBuf>> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // A link leads to what is read elsewhere, or outside.
            if path.is_symlink() || name.starts_with('.') {
                continue;
            }
            if !path.is_dir() {
                found.push(path.strip_prefix(&root)?.to_path_buf());
            } else if !NOT_OURS.contains(&&*name) {
                folders.push(path);
            }
        }
    }
    // So that a failure names the same file in every run.
    found.sort();
    Ok(found)
}

/// The files whose names end so.
fn ending_in(end: &str) -> Result<Vec<PathBuf>> {
    Ok(files()?.into_iter().filter(|file| file.to_string_lossy().ends_with(end)).collect())
}

/// A file's text, by its path from the root.
fn text(file: impl AsRef<Path>) -> Result<String> {
    crate::project::read(&root().join(file))
}

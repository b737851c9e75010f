//! Where a recipe's files are.

use std::path::{Path, PathBuf};

/// Reads a file: a relative path is looked for under each root, in order, and the first that exists is taken.
///
/// # Errors
/// A message that names the file.
pub(super) fn read(roots: &[PathBuf], path: &Path) -> Result<Vec<u8>, String> {
    // Joining an absolute path gives that path.
    let found = roots.iter().map(|root| root.join(path)).find(|candidate| candidate.exists());
    let Some(found) = found else {
        let places: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
        let places = if path.is_absolute() { String::new() } else { format!(" in {}", places.join(", ")) };
        return Err(format!("there is no file {}{places}", path.display()));
    };
    std::fs::read(&found).map_err(|error| format!("cannot read {}: {error}", found.display()))
}

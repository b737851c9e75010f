//! Where things are: the checkout, its scratch folders, and the cache that all checkouts of one user share.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The target of everything that runs without an operating system.
pub const BARE: &str = "x86_64-unknown-none";

/// The project's folders.
#[derive(Clone, Debug)]
pub struct Project {
    /// The checkout.
    pub root: PathBuf,
    /// Cargo's target folder: `$CARGO_TARGET_DIR`, or `target` in the checkout.
    pub target: PathBuf,
    /// What runs leave: images, logs. `target/run`.
    pub work: PathBuf,
    /// What was downloaded: `$XDG_CACHE_HOME/plinth`, or `~/.cache/plinth`.
    pub cache: PathBuf,
}

impl Project {
    /// The project that this program was built from. Makes the scratch folders.
    ///
    /// # Errors
    /// When a folder can't be made.
    pub fn open() -> Result<Self> {
        // From when it was built: the folder in which it is started may be any.
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().context("scripts/ has a folder above it")?.to_path_buf();
        let target = variable("CARGO_TARGET_DIR")
            // Programs are run in other folders, where a relative path would be another.
            .map(std::path::absolute)
            .transpose()
            .context("CARGO_TARGET_DIR")?
            .unwrap_or_else(|| root.join("target"));
        let home = || variable("HOME").context("HOME is not set").map(|home| home.join(".cache"));
        let cache = variable("XDG_CACHE_HOME").map_or_else(home, Ok)?.join("plinth");
        let work = target.join("run");
        make_folder(&work)?;
        make_folder(&cache)?;
        Ok(Self { root, target, work, cache })
    }

    /// The folder of the released bare programs.
    pub fn programs(&self) -> PathBuf {
        self.target.join(BARE).join("release")
    }

    /// A folder of the target folder, made if it is not there.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join(name);
        make_folder(&folder)?;
        Ok(folder)
    }
}

/// Makes a folder and those above it.
///
/// # Errors
/// With its name.
pub fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Reads a file as text.
///
/// # Errors
/// With its name.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file.
///
/// # Errors
/// With its name.
pub fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

/// An environment variable that names a path; an empty one names none.
pub fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

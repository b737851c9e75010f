//! QEMU programs: finding one and checking that it can run Plinth.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::QemuError;

/// What is taken if nobody names a program.
const DEFAULT: &str = "qemu-system-x86_64";

/// The oldest that Plinth was tested with.
const OLDEST: Version = Version { major: 7, minor: 2 };

/// A QEMU's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

impl Version {
    /// The version in what `--version` prints ("QEMU emulator version 7.2.22 (Debian ...)").
    pub fn parse(said: &str) -> Option<Self> {
        let (_, rest) = said.lines().next()?.split_once("version ")?;
        let mut numbers = rest.split(|letter: char| !letter.is_ascii_digit());
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

/// A QEMU that can run Plinth.
#[derive(Clone, Debug)]
pub struct Qemu {
    path: PathBuf,
    version: Version,
    igvm: bool,
}

impl Qemu {
    /// Finds and checks `path`, or else `$PLINTH_QEMU`, or else `qemu-system-x86_64` of the `PATH`.
    ///
    /// # Errors
    /// [`QemuError`] when there is none, when it is too old, or when its TCG has no SVM.
    pub fn find(path: Option<&Path>) -> Result<Self, QemuError> {
        // What is typed now comes before what was set once.
        let named = path.map(Path::to_path_buf).or_else(|| variable("PLINTH_QEMU"));
        Self::at(&named.unwrap_or_else(|| DEFAULT.into()))
    }

    /// A QEMU that loads IGVM files itself: `$PLINTH_QEMU_IGVM`, one laid beside the checkout at `root` in a
    /// folder `qemu-igvm`, or the default one; `None` if there is none.
    pub fn find_with_igvm(root: &Path) -> Option<Self> {
        let beside = siblings(root).into_iter().map(|folder| folder.join("qemu-igvm").join(DEFAULT));
        let candidates = variable("PLINTH_QEMU_IGVM").into_iter().chain(beside.filter(|file| file.exists()));
        candidates
            .map(Some)
            // The usual one last: one that was laid out for this is meant first.
            .chain([None])
            .filter_map(|path| Self::find(path.as_deref()).ok())
            .find(Self::has_igvm_loader)
    }

    /// Checks one program.
    fn at(path: &Path) -> Result<Self, QemuError> {
        let said = output(path, &["--version"]).ok_or_else(|| QemuError::Missing(path.into()))?;
        let version = Version::parse(&String::from_utf8_lossy(&said.stdout))
            .ok_or_else(|| QemuError::NoVersion(path.into()))?;
        // Before it is tried: an old one would fail at the CPU model, in words that do not say what to do.
        if version < OLDEST {
            return Err(QemuError::TooOld { path: path.into(), version });
        }
        check_svm(path)?;
        // By asking, not by the version: the loader may have been left out of the build.
        let objects = output(path, &["-object", "help"]).map(|said| said.stdout).unwrap_or_default();
        let igvm = String::from_utf8_lossy(&objects).split_whitespace().any(|word| word == "igvm-cfg");
        Ok(Self { path: path.into(), version, igvm })
    }

    /// The program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether it loads IGVM files itself.
    pub fn has_igvm_loader(&self) -> bool {
        self.igvm
    }

    /// The CPU model that guests are booted on. Before QEMU 10, TCG miscompiles cmpxchg16b with a segment
    /// prefix; Linux does without it when CPUID does not offer it.
    pub fn cpu_model(&self) -> &'static str {
        if self.version.major >= 10 { "max" } else { "max,-cx16" }
    }

    /// The accelerator, for so many processors. Before QEMU 10, a CPU in a thread of its own may run code
    /// that another has just changed, as it was before: Linux, started by QEMU directly too, then dies at a
    /// static key now and then ("Oops: int3"). One thread for all CPUs has no such race.
    pub fn accelerator(&self, processors: u32) -> &'static str {
        if self.version.major >= 10 || processors < 2 { "tcg" } else { "tcg,thread=single" }
    }

    /// A QEMU that was not looked for, to compose commands in tests.
    #[cfg(test)]
    pub(crate) fn assumed(path: &str, version: Version, igvm: bool) -> Self {
        Self { path: path.into(), version, igvm }
    }
}

/// TCG must be built in and must offer AMD's nested virtualisation. Started stopped, with its monitor's input
/// at an end, QEMU ends at once with status 0 if the model can be had.
fn check_svm(path: &Path) -> Result<(), QemuError> {
    // With `enforce`, QEMU ends when the model lacks one of these; otherwise it would only warn.
    let arguments =
        ["-M", "q35", "-accel", "tcg", "-cpu", "max,+svm,+npt,enforce", "-nodefaults", "-display"];
    let mut child = Command::new(path)
        .args(arguments)
        .args(["none", "-S", "-monitor", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(QemuError::io(path.display().to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        // One that has ended already does not read; its status says why.
        let _ = std::io::Write::write_all(&mut input, b"quit\n");
    }
    let output = child.wait_with_output().map_err(QemuError::io(path.display().to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(QemuError::NoSvm { path: path.into(), said })
}

/// What a program prints; `None` if it could not be started.
fn output(path: &Path, arguments: &[&str]) -> Option<Output> {
    Command::new(path).args(arguments).stdin(Stdio::null()).output().ok()
}

/// An environment variable that names a program; an empty one names none.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value: &OsString| value != OsStr::new("")).map(PathBuf::from)
}

/// The folders beside the checkout, in order.
fn siblings(root: &Path) -> Vec<PathBuf> {
    let Some(entries) = root.parent().and_then(|parent| std::fs::read_dir(parent).ok()) else {
        return Vec::new();
    };
    let mut folders: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    // The file system's order is any.
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (said, version) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright", Some((7, 2))),
            ("QEMU emulator version 10.2.2", Some((10, 2))),
            ("QEMU emulator version 11.0", Some((11, 0))),
            ("something else 1.2", None),
            ("version x", None),
            ("", None),
        ] {
            let version = version.map(|(major, minor)| Version { major, minor });
            assert_eq!(Version::parse(said), version, "{said}");
        }
        assert!(Version { major: 10, minor: 0 } > Version { major: 7, minor: 2 });
    }

    #[test]
    fn what_depends_on_the_version() {
        let old = Qemu::assumed("q", Version { major: 9, minor: 2 }, false);
        let new = Qemu::assumed("q", Version { major: 10, minor: 0 }, false);
        assert_eq!((old.cpu_model(), new.cpu_model()), ("max,-cx16", "max"));
        assert_eq!((old.accelerator(1), old.accelerator(2)), ("tcg", "tcg,thread=single"));
        assert_eq!(new.accelerator(2), "tcg");
    }

    #[test]
    fn programs_that_are_none() {
        assert!(matches!(Qemu::find(Some(Path::new("/nowhere/qemu"))), Err(QemuError::Missing(_))));
        assert!(matches!(Qemu::find(Some(Path::new("true"))), Err(QemuError::NoVersion(_))));
    }
}

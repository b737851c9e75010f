//! Debian's root disk: an ext4 file system with unmodified packages, installed by mmdebstrap, and the
//! settings in `scripts/guest/disk`. The kernel and its drivers are not on it: they are in the initramfs, of
//! any release.
//!
//! `cache/disks/debian-DIGEST.img` is made once for each list of packages and settings, and never booted;
//! guests write to copies.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::apt::Apt;
use crate::command::{output, quietly};
use crate::project::{Project, make_folder, write};
use crate::say;

/// Bytes of the disk. What nobody wrote takes no place on the host.
pub const BYTES: u64 = 1 << 30;

/// The release, and where it gets its updates from.
const SUITE: &str = "bookworm";
const SUITES: [&str; 2] = [SUITE, "bookworm-security"];

/// What is installed besides apt and what it needs. System V's init starts in a fraction of systemd's time,
/// which counts where each instruction is emulated. `usr-is-merged` takes the place of usrmerge, which would
/// bring all of Perl.
const PACKAGES: [&str; 12] = [
    "usr-is-merged",
    "sysvinit-core",
    "e2fsprogs",
    "ifupdown",
    "iproute2",
    "kmod",
    "mount",
    "netbase",
    "procps",
    "udhcpc",
    "iputils-ping",
    "less",
];

/// Makes the file system of what mmdebstrap has packed.
const MAKE: &str = include_str!("disk.sh");

/// Returns the disk, made if it is not there: that takes some minutes, and a network.
///
/// # Errors
/// When packages or tools can't be had.
pub fn fetch(project: &Project) -> Result<PathBuf> {
    fetch_with(project, &[])
}

/// The same with more packages on it.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_with(project: &Project, more: &[&str]) -> Result<PathBuf> {
    let settings = project.root.join("scripts/guest/disk");
    let folder = project.cache.join("disks");
    make_folder(&folder)?;
    let packages = [PACKAGES.as_slice(), more].concat();
    let disk = folder.join(format!("debian-{}.img", digest(&settings, &packages)?));
    if disk.exists() {
        return Ok(disk);
    }
    // Of all checkouts, one makes it.
    let lock = File::create(folder.join("lock")).context("cannot lock the folder of disks")?;
    lock.lock().context("cannot lock the folder of disks")?;
    if !disk.exists() {
        make(project, &settings, &packages, &disk).context("Debian's root disk could not be made")?;
    }
    Ok(disk)
}

/// Copies a disk, without the parts that nobody wrote.
///
/// # Errors
/// When there is no room.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    // Whole or not at all.
    let new = to.with_extension(format!("{}.new", std::process::id()));
    output(Command::new("cp").args(["--sparse=always", "--reflink=auto"]).arg(from).arg(&new))?;
    fs::rename(&new, to).with_context(|| format!("cannot write {}", to.display()))
}

fn make(project: &Project, settings: &Path, names: &[&str], disk: &Path) -> Result<()> {
    let apt = Apt::open(project)?;
    say::say("making Debian's root disk from packages, once: this takes two to five minutes");
    let spinner = say::spinner("making the disk");
    let scratch = project.scratch("run/root-disk")?;
    let (sources, packages) = (scratch.join("sources.list"), scratch.join("packages.tar"));
    write(&sources, apt.sources(&SUITES)?)?;
    quietly(&mut bootstrap(&apt, names, &sources, &packages)?, &project.work.join("mmdebstrap.log"))?;
    let image = scratch.join("image");
    let mut finish = Command::new("fakeroot");
    finish.args(["--", "sh", "-c", MAKE, "disk.sh"]).arg(&packages).arg(settings);
    finish.arg(scratch.join("tree")).arg(&image).arg(BYTES.to_string());
    quietly(&mut finish, &project.work.join("mke2fs.log"))?;
    spinner.finish_and_clear();
    ensure!(fs::metadata(&image)?.len() == BYTES, "the disk has another size");
    // The cache may be on another file system.
    copy(&image, disk)?;
    fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))
}

/// The command that packs the installed packages. It needs no right that the user has not: as root it makes
/// its mounts, else it looks for user namespaces, else for fakechroot.
fn bootstrap(apt: &Apt, names: &[&str], sources: &Path, packages: &Path) -> Result<Command> {
    let mut command = Command::new("mmdebstrap");
    command.args(["--mode=auto", "--variant=apt", "--architectures=amd64", "--format=tar"]);
    command.arg("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr");
    for option in ["Acquire::Languages \"none\"", "APT::Install-Recommends \"false\""] {
        command.arg(format!("--aptopt={option}"));
    }
    command.arg(format!("--include={}", names.join(","))).arg(SUITE).arg(packages).arg(sources);
    let proxy = apt.proxy()?;
    if !proxy.is_empty() {
        // By the environment: an option would stay on the disk.
        command.env("http_proxy", &proxy).env("https_proxy", &proxy);
    }
    Ok(command)
}

/// What the disk is made of, as the start of a digest.
fn digest(settings: &Path, packages: &[&str]) -> Result<String> {
    let mut digest = Sha256::new();
    let mut take = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    for text in packages.iter().chain(&SUITES).chain(&[MAKE]) {
        take(text.as_bytes());
    }
    for file in files(settings)? {
        take(file.strip_prefix(settings)?.as_os_str().as_encoded_bytes());
        take(&fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    Ok(digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

/// The files below a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let what = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(what)? {
        let path = entry.with_context(what)?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_settings_make_another_disk() {
        let folder = std::env::temp_dir().join(format!("plinth-settings-{}", std::process::id()));
        make_folder(&folder.join("etc")).unwrap();
        let of = |text: &str| {
            write(&folder.join("etc/fstab"), text).unwrap();
            digest(&folder, &PACKAGES).unwrap()
        };
        let (one, other) = (of("one"), of("other"));
        assert_ne!(one, other);
        assert_eq!((one.len(), of("one")), (12, one));
        fs::rename(folder.join("etc/fstab"), folder.join("etc/mtab")).unwrap();
        assert_ne!(digest(&folder, &PACKAGES).unwrap(), other);
        assert_ne!(digest(&folder, &PACKAGES[1..]).unwrap(), digest(&folder, &PACKAGES).unwrap());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_copy_has_what_the_disk_has() {
        let folder = std::env::temp_dir().join(format!("plinth-copy-{}", std::process::id()));
        make_folder(&folder).unwrap();
        let (from, to) = (folder.join("from"), folder.join("to.img"));
        write(&from, b"sectors").unwrap();
        File::options().write(true).open(&from).unwrap().set_len(BYTES).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().len(), BYTES);
        let mut start = [0; 7];
        std::io::Read::read_exact(&mut File::open(&to).unwrap(), &mut start).unwrap();
        assert_eq!(&start, b"sectors");
        fs::remove_dir_all(&folder).unwrap();
    }
}

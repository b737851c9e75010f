//! A guest's disk that is one of the host's: Debian finds what a file of the host's has, and the file has
//! what Debian has written, however often the driver's process ends meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use block_crypt::KEY_BYTES;
use plinth_qemu::{Outcome, Qemu};

use super::encrypted;
use crate::debian::kernel;
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::testing::{Booted, Case, Suite, bytes_by_chance};

/// Bytes of the disk, and of the file that it has at first.
const DISK_BYTES: u64 = 32 << 20;
const KNOWN_BYTES: usize = 1 << 20;

/// What the guest does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("guest.sh");
/// What it writes, besides copies of its busybox.
const TEXT: &str = "Plinth's guest wrote this\n";

/// A driver that ends again and again, each time with a request at the device.
const IMPATIENT: &str = "for host-block\n  file impatient-block\n  set requests 9\n  on-end restart 100000\n";

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) {
    suite.check("guest-disk-1", |case| guest(case, qemu, 1, "", None));
    suite.check("guest-disk-2", |case| guest(case, qemu, 2, "", None));
    suite.check("guest-disk-driver-ends", |case| guest(case, qemu, 2, IMPATIENT, None));
    suite.check("guest-disk-encrypted", |case| {
        let key = case.file("disk.key");
        fs::write(&key, bytes_by_chance(KEY_BYTES))?;
        guest(case, qemu, 2, IMPATIENT, Some(&key))
    });
}

/// A program of e2fsprogs, which not everybody's path has.
pub fn e2fs(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// A disk that is an ext4 file system, with the file `known`.
fn file_system(case: &mut Case) -> Result<PathBuf> {
    let (file, folder) = (case.file("disk"), case.file("tree"));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("known"), bytes_by_chance(KNOWN_BYTES))?;
    fs::File::create(&file)?.set_len(DISK_BYTES)?;
    case.run(e2fs("mke2fs").args(["-q", "-F", "-t", "ext4", "-d"]).arg(&folder).arg(&file))?;
    Ok(file)
}

/// Debian with the disk behind a process. `more`: of the processes' configuration.
fn image(case: &Case, more: &str) -> Result<Image> {
    let project = case.project();
    let mut initramfs = Initramfs::new(project)?;
    initramfs.add_drivers(project, "6.1")?;
    initramfs.program("bin/disk", SCRIPT.as_bytes().to_vec());
    let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
    // The kernel's own check of its timer is about time, of which a busy machine has none.
    let append = "console=ttyS0 no_timer_check plinth.test=disk".to_owned();
    let payload = Payload { kernel: kernel::fetch(project, "6.1")?, initrd, append };
    Ok(Image::new(project, "debian")?
        .payload(&payload)
        .configs(project, &["vmm", "host-pci", "host-disk"], more)
        .with_programs(&["host-pci", "host-block", "impatient-block"]))
}

/// `more`: of the processes' configuration. With a key the disk is encrypted on the host's.
fn guest(case: &mut Case, qemu: &Qemu, processors: u32, more: &str, key: Option<&Path>) -> Result<()> {
    let disk = file_system(case)?;
    let image = match key {
        Some(key) => {
            crypt(&disk, |bytes| encrypted::cipher(key).map(|cipher| cipher.encrypt(0, bytes)))?;
            encrypted::with_key(image(case, &(encrypted::CONFIG.to_owned() + more))?, key)
        }
        None => image(case, more)?,
    };
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    machine.processors = processors;
    machine.disk = Some(disk.clone());
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.console_text(), &["disk: ", "vda", "EXT4"]);
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    check_guest(case, &booted)?;
    if let Some(key) = key {
        crypt(&disk, |bytes| encrypted::cipher(key).map(|cipher| cipher.decrypt(0, bytes)))?;
    }
    check_file(case, &disk)?;
    if !more.is_empty() {
        let starts = booted.log_text().matches("is started again").count();
        case.record(format_args!("the driver was started again {starts} times"));
        ensure!(starts > 10, "the driver ended {starts} times only");
    }
    case.expect_no_panic(&booted)
}

/// Makes something else of what a file has.
fn crypt(file: &Path, cipher: impl Fn(&mut [u8]) -> Result<()>) -> Result<()> {
    let mut bytes = fs::read(file)?;
    cipher(&mut bytes)?;
    Ok(fs::write(file, bytes)?)
}

/// What the guest says.
fn check_guest(case: &mut Case, booted: &Booted) -> Result<()> {
    let known = digest(case, &case.file("tree").join("known"))?;
    for line in [
        &format!("disk: sectors {}", DISK_BYTES / 512),
        &format!("disk: known {known}"),
        "disk: what was written is there",
        "guest: test status 0",
    ] {
        case.expect(&booted.console, line)?;
    }
    let console = booted.console_text();
    let is_good = ["I/O error", "Call Trace", "EXT4-fs error"].iter().all(|word| !console.contains(word));
    ensure!(is_good, "the guest complains");
    Ok(())
}

fn digest(case: &mut Case, file: &Path) -> Result<String> {
    let said = case.run(Command::new("md5sum").arg(file))?;
    said.split(' ').next().map(str::to_owned).context("md5sum says nothing")
}

/// What the host's file has: a file system without a mistake, with all that the guest has written.
fn check_file(case: &mut Case, disk: &Path) -> Result<()> {
    ensure!(fs::metadata(disk)?.len() == DISK_BYTES, "the disk has another size now");
    // Without -p or -y nothing is mended, and what is wrong is the exit status.
    case.run(e2fs("e2fsck").args(["-f", "-n"]).arg(disk))?;
    let busybox = fs::read(case.project().cache.join("busybox"))?;
    for (name, expected) in [
        ("copy-0", &busybox[..]),
        ("copy-1", &busybox),
        ("copy-2", &busybox),
        ("blocks", busybox.get(..131_072).context("busybox is small")?),
        ("known", &bytes_by_chance(KNOWN_BYTES)),
        ("text", TEXT.as_bytes()),
    ] {
        let copy = case.file(name);
        let dump = format!("dump /{name} {}", copy.display());
        case.run(e2fs("debugfs").args(["-R", &dump]).arg(disk))?;
        ensure!(fs::read(&copy)? == expected, "/{name} of the host's file is not what the guest wrote");
        fs::remove_file(&copy)?;
    }
    Ok(())
}

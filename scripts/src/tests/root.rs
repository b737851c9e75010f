//! A guest with its root on a disk: Debian, made of packages, starts from it, gets its address by DHCP,
//! updates its lists from an archive on this machine and installs a package of it; what it has written is
//! there in the next boot, and the file system without a mistake after each.

mod archive;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use super::disk::e2fs;
use crate::debian::{disk, kernel};
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::testing::{Booted, Case, Suite, bytes_by_chance};
use archive::Archive;

/// The guest's release.
const GUEST: &str = "6.1";
/// Those that [`soak`] boots, of each for clouds and for any machine.
const GUESTS: [&str; 6] = ["6.1", "6.1-full", "6.12", "6.12-full", "newest", "newest-full"];
/// Bytes of the package's file.
const DATA_BYTES: usize = 300_000;
/// What the guest does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("root.sh");

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    if suite.check("root-make", |case| disk::fetch(case.project()).map(drop)) {
        suite.check("root-disk", |case| root(case, qemu));
    }
    Ok(())
}

/// Boots each of several guests from a disk of its own so many times, with one processor, two and four.
pub fn soak(suite: &mut Suite, qemu: &Qemu, rounds: u32) {
    for guest in GUESTS {
        for processors in [1, 2, 4] {
            for round in 1..=rounds {
                suite.check(&format!("disk-{guest}-{processors}-{round}"), |case| {
                    again(case, qemu, guest, processors, round, round == rounds)
                });
            }
        }
    }
}

/// One boot of [`soak`].
fn again(
    case: &mut Case,
    qemu: &Qemu,
    guest: &str,
    processors: u32,
    round: u32,
    is_last: bool,
) -> Result<()> {
    let file = case.sibling(&format!("disk-{guest}-{processors}"));
    if round == 1 {
        disk::copy(&disk::fetch(case.project())?, &file)?;
    }
    pack(case, guest, "again")?;
    let booted = boot(case, qemu, "boot", processors, &file)?;
    case.expect(&booted.console, &format!("root: boot {round}"))?;
    fs::remove_file(case.file("igvm"))?;
    if is_last { Ok(fs::remove_file(&file)?) } else { Ok(()) }
}

fn root(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let file = case.file("disk");
    disk::copy(&disk::fetch(case.project())?, &file)?;
    let data = bytes_by_chance(DATA_BYTES);
    let archive = Archive::start(&case.file("archive"), &data)?;
    pack(case, GUEST, &archive.port.to_string())?;

    let first = boot(case, qemu, "first", 2, &file)?;
    for line in ["root: updated", "root: hello from the package"] {
        case.expect(&first.console, line)?;
    }
    for name in ["Packages", "plinth-hello_1.0_all.deb"] {
        ensure!(archive.served().iter().any(|served| served == name), "nobody asked for {name}");
    }
    let second = boot(case, qemu, "second", 1, &file)?;
    case.expect(&second.console, "root: hello from the package")?;
    let digest = case.file("data");
    fs::write(&digest, &data)?;
    let digest = case.run(Command::new("md5sum").arg(&digest))?;
    let digest = digest.split(' ').next().unwrap_or_default();
    case.expect(&second.console, &format!("root: the second boot found {digest}"))?;
    case.expect(&second.console, "plinth-hello\t1.0")?;
    // A gigabyte, of which much has been written.
    Ok(fs::remove_file(&file)?)
}

/// Packs the image, with the script in the initramfs, which is called with this word.
fn pack(case: &Case, guest: &str, word: &str) -> Result<()> {
    let project = case.project();
    let mut initramfs = Initramfs::new(project)?;
    initramfs.add_drivers(project, guest)?;
    initramfs.folder("run");
    initramfs.program("run/root-test", SCRIPT.as_bytes().to_vec());
    let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
    // The kernel's own check of its timer is about time, of which a busy machine has none.
    let test = format!("plinth.test=\"/run/root-test {word}\"");
    let append = format!("console=ttyS0 no_timer_check root=/dev/vda {test}");
    let payload = Payload { kernel: kernel::fetch(project, guest)?, initrd, append };
    let image = Image::new(project, "debian")?
        .payload(&payload)
        .configs(project, &["vmm", "host-pci", "host-disk", "host-net"], "")
        .with_programs(&["host-pci", "host-block", "host-net"]);
    image.pack(&case.file("igvm")).map(drop)
}

/// Boots it, and looks at what it must say each time.
fn boot(case: &mut Case, qemu: &Qemu, name: &str, processors: u32, disk: &Path) -> Result<Booted> {
    let mut machine = case.machine(case.file("igvm"));
    machine.processors = processors;
    machine.disk = Some(disk.into());
    machine.network = Some(String::new());
    let booted = case.boot_as(&format!("{}.{name}", case.name()), qemu, &machine)?;
    case.record_lines(&booted.console_text(), &["root: ", "guest: ", "debian: "]);
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    for line in [
        "root: /dev/vda ext4 rw,",
        "root: address 10.0.2.15/24",
        "root: router 10.0.2.2",
        &format!("root: processors {processors}"),
        "guest: test status 0",
        // By the guest's own check of its file system, before it is written to.
        "debian: clean, ",
    ] {
        case.expect(&booted.console, line)?;
    }
    let console = booted.console_text();
    for word in ["I/O error", "Call Trace", "EXT4-fs error", "recovery complete", "[FAIL]"] {
        ensure!(!console.contains(word), "the guest complains: {word}");
    }
    check_file_system(case, disk)?;
    case.expect_no_panic(&booted)?;
    Ok(booted)
}

/// Fails if the host's file has a mistake.
fn check_file_system(case: &mut Case, disk: &Path) -> Result<()> {
    // Without -p or -y nothing is mended, and what is wrong is the exit status.
    let said = case.run(e2fs("e2fsck").args(["-f", "-n"]).arg(disk))?;
    ensure!(!said.contains("recovery"), "the file system was not unmounted");
    Ok(())
}

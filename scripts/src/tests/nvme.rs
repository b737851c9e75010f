//! A guest's disk behind an NVMe controller, under Debian's own driver: written, read and flushed, and there
//! in the next boot; by messages and by the pin; on a disk of the host's, and encrypted in memory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use block_crypt::KEY_BYTES;
use plinth_qemu::{Outcome, Qemu};

use crate::debian::kernel;
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::testing::{Booted, Case, Suite, bytes_by_chance};

/// Bytes of the disk.
const DISK_BYTES: usize = 16 << 20;

/// What the guest does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("nvme.sh");

/// The disk behind such a controller. Its work is done by a thread, which is more urgent than vCPUs.
const CONFIG: &str =
    "for vmm\n  priority 2\n  set disk-front nvme\n  set disk-serial plinth-0123456789abcdef\n";

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("nvme-host-2", |case| of_host(case, qemu));
    suite.check("nvme-ram-1", |case| in_memory(case, qemu));
    Ok(())
}

/// The guest's kernel and initramfs. The controller's driver is built into Debian's cloud kernels.
fn payload(case: &Case, guest: &str, append: &str) -> Result<Payload> {
    let project = case.project();
    let mut initramfs = Initramfs::new(project)?;
    initramfs.program("bin/nvme", SCRIPT.as_bytes().to_vec());
    let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
    // The kernel's own check of its timer is about time, of which a busy machine has none.
    let append = format!("console=ttyS0 no_timer_check plinth.test=nvme{append}");
    Ok(Payload { kernel: kernel::fetch(project, guest)?, initrd, append })
}

fn boot(case: &mut Case, qemu: &Qemu, name: &str, image: Image, disk: Option<&Path>) -> Result<Booted> {
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    machine.processors = if disk.is_some() { 2 } else { 1 };
    machine.disk = disk.map(PathBuf::from);
    let booted = case.boot_as(&format!("{}.{name}", case.name()), qemu, &machine)?;
    case.record_lines(&booted.console_text(), &["nvme: ", "nvme nvme0"]);
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    case.expect(&booted.console, &format!("nvme: disk {DISK_BYTES} plinth-0123456789abc Plinth NVMe disk"))?;
    case.expect(&booted.console, "guest: test status 0")?;
    let console = booted.console_text();
    let is_good = ["I/O error", "Call Trace", "EXT4-fs error", "timeout", "nvme nvme0: Abort"]
        .iter()
        .all(|word| !console.contains(word));
    ensure!(is_good, "the guest complains");
    case.expect_no_panic(&booted)?;
    Ok(booted)
}

/// What the guest has found. `interrupts`: of the controller, by message and by the pin.
fn check(case: &mut Case, booted: &Booted, interrupts: &str) -> Result<()> {
    for line in [
        "nvme: transfers of 64 KiB, write back",
        &format!("nvme: interrupts {interrupts}"),
        "nvme: written and read again",
        "nvme: flushed",
        "nvme: discarded, at most ",
        "nvme: file system holds",
    ] {
        case.expect(&booted.console, line)?;
    }
    Ok(())
}

/// A file of the host's, through the process that drives QEMU's disk, with a queue a processor.
fn of_host(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let disk = case.file("disk");
    fs::write(&disk, vec![0; DISK_BYTES]).with_context(|| format!("cannot write {}", disk.display()))?;
    for (name, append) in [("first", ""), ("second", " plinth.second")] {
        let more = CONFIG.to_owned() + "  set disk-queues 2\n";
        let image = Image::new(case.project(), "debian")?
            .payload(&payload(case, "6.1", append)?)
            .configs(case.project(), &["vmm", "host-pci", "host-disk"], &more)
            .with_programs(&["host-pci", "host-block"]);
        let booted = boot(case, qemu, name, image, Some(&disk))?;
        match name {
            // The admin queue has one as well.
            "first" => check(case, &booted, "3 0")?,
            _ => case.expect(&booted.console, "nvme: what the first boot has written is there")?,
        }
    }
    Ok(())
}

/// A file of the image, in memory and encrypted, with the interrupt pin.
fn in_memory(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let (disk, key) = (case.file("disk"), case.file("disk.key"));
    fs::write(&disk, vec![0; DISK_BYTES]).with_context(|| format!("cannot write {}", disk.display()))?;
    fs::write(&key, bytes_by_chance(KEY_BYTES))?;
    let more = CONFIG.to_owned() + "  set disk-key disk.key\ndevice virtio-blk inside\n";
    let image = Image::new(case.project(), "debian")?
        .payload(&payload(case, "newest", " pci=nomsi")?)
        .configs(case.project(), &["vmm"], &more)
        .set("payload.disk", disk.display())
        .with_key("disk.key", &key);
    let booted = boot(case, qemu, "only", image, None)?;
    // Both queues share it, in one line.
    check(case, &booted, "0 1")
}

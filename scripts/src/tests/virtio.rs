//! Virtio devices under Debian's own drivers: a disk that is found as it was packed and keeps what is
//! written, random bytes, a console that sends back, a neighbour on the network; with split rings and packed
//! ones.

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use crate::debian::kernel;
use crate::image::{Image, Payload, config_with};
use crate::initramfs::Initramfs;
use crate::matrix::{self, GUESTS};
use crate::testing::{Booted, Case, Suite, bytes_by_chance};

/// Bytes of the disk: 8 MiB.
const DISK_BYTES: usize = 8 << 20;

/// What the guest does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("virtio.sh");

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for guest in GUESTS {
        for (rings, processors) in [("split", 1), ("split", 2), ("packed", 2)] {
            suite.check(&format!("virtio-{guest}-{processors}-{rings}"), |case| {
                everything(case, qemu, guest, processors, rings)
            });
        }
    }
    Ok(())
}

fn image(case: &Case, guest: &str, processors: u32, rings: &str) -> Result<Image> {
    let project = case.project();
    let mut initramfs = Initramfs::new(project)?;
    initramfs.add_drivers(project, guest)?;
    initramfs.program("bin/virtio", SCRIPT.as_bytes().to_vec());
    let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
    // The kernel's own check of its timer is about time, of which a busy machine has none.
    let append = "console=ttyS0 no_timer_check plinth.test=virtio".to_owned();
    let payload = Payload { kernel: kernel::fetch(project, guest)?, initrd, append };
    let file = case.file("disk");
    std::fs::write(&file, bytes_by_chance(DISK_BYTES))
        .with_context(|| format!("cannot write {}", file.display()))?;
    // They are settings of the last process or device of the configuration, which are all the VMM's.
    let config = config_with(project, "vmm", &[&format!("virtio-rings {rings}")])?
        + &format!(
            "device virtio-blk inside\n  set disk disk\n  set disk-serial plinth-0123456789abcdef\n  \
             set disk-queues {processors}\ndevice virtio-console inside\ndevice virtio-net inside\n"
        );
    Ok(Image::new(project, "debian")?.payload(&payload).set("payload.disk", file.display()).config(&config))
}

fn everything(case: &mut Case, qemu: &Qemu, guest: &str, processors: u32, rings: &str) -> Result<()> {
    let image = image(case, guest, processors, rings)?;
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    machine.processors = processors;
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.console_text(), &["virtio: "]);
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    check(case, &booted, processors, rings)?;
    matrix::check_exits(case, &booted)
}

/// What the guest has found.
fn check(case: &mut Case, booted: &Booted, processors: u32, rings: &str) -> Result<()> {
    let digest = md5(case)?;
    // One for its configuration, and one for each queue.
    let interrupts = 1 + processors;
    for line in [
        "virtio: functions 8086:29c0 1af4:1042 1af4:1044 1af4:1043 1af4:1041 8086:2918",
        "virtio: bar 0x00000000f0000000 0x00000000f0007fff",
        &format!("virtio: disk {DISK_BYTES} plinth-0123456789abc"),
        &format!("virtio: packed {}", u8::from(rings == "packed")),
        &format!("virtio: contents {digest}"),
        "virtio: written and read again",
        "virtio: discarded, at most 536870912 of 536870912",
        "virtio: file system holds",
        "virtio: entropy virtio_rng",
        "virtio: console sends back",
        "virtio: 5 packets transmitted, 5 packets received",
        &format!("virtio: messages of the disk {interrupts}"),
        "guest: test status 0",
    ] {
        case.expect(&booted.console, line)?;
    }
    let console = booted.console_text();
    ensure!(!console.contains("I/O error") && !console.contains("Call Trace"), "the guest complains");
    Ok(())
}

/// The digest that the guest must find.
fn md5(case: &mut Case) -> Result<String> {
    let said = case.run(std::process::Command::new("md5sum").arg(case.file("disk")))?;
    said.split(' ').next().map(str::to_owned).context("md5sum says nothing")
}

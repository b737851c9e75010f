//! A network of the host's, driven by a process: Debian's guest gets its address by DHCP from QEMU's user
//! network, fetches a file from a server on this machine, and sends it back; also while the driver ends again
//! and again, and behind an Intel 82574L.

mod server;

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use crate::debian::kernel;
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::project::read;
use crate::testing::{Booted, Case, Suite, bytes_by_chance};
use server::Servers;

/// The guest's release.
const GUEST: &str = "newest";
/// One with a driver of the 82574L, which kernels for clouds do not have.
const FULL: &str = "6.1-full";
/// The address of the host's device.
const ADDRESS: &str = "52:54:00:50:4c:01";
/// Bytes of the file.
const FILE_BYTES: usize = 2 << 20;

/// What the guest does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("network.sh");

/// What Linux' virtio driver must agree on, a character a feature from 0 on (virtio 1.2, 5.1.3): sums both
/// ways, the longest packet, the address, segments of three kinds, mergeable buffers, the status, commands of
/// three kinds; several pairs of queues or not; a command for the address.
const FEATURES: [&str; 2] = ["110101000001110111110001", "110101000001110111110011"];

/// A driver that ends after so many frames, again and again.
const IMPATIENT: [(&str, &str); 1] =
    [("  set serve net\n", "  set serve net\n  set frames 700\n  file impatient-net\n")];
/// How often it has to end. The file has 1450 frames, and crosses twice.
const ENDS: usize = 3;

/// Another front end.
const E1000E: [(&str, &str); 1] =
    [("  set net-channel net\n", "  set net-channel net\n  set net-front e1000e\n")];

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for processors in [1, 2] {
        suite.check(&format!("network-{processors}"), |case| {
            let booted = network(case, qemu, (GUEST, "virtio_net"), processors, &[])?;
            ensure!(!booted.log_text().contains("is started again"), "the driver has ended");
            Ok(())
        });
    }
    suite.check("network-driver-ends", |case| {
        let booted = network(case, qemu, (GUEST, "virtio_net"), 2, &IMPATIENT)?;
        let ends = booted.log_text().matches("host-net is started again").count();
        ensure!(ends >= ENDS, "the driver ended {ends} times only");
        Ok(())
    });
    suite.check("network-e1000e-2", |case| {
        network(case, qemu, (FULL, "e1000e"), 2, &E1000E)?;
        Ok(())
    });
    Ok(())
}

/// `guest`: its release. `changes`: what is replaced in the configuration of the driver.
fn image(case: &Case, guest: &str, servers: &Servers, changes: &[(&str, &str)]) -> Result<Image> {
    let project = case.project();
    let mut initramfs = Initramfs::new(project)?;
    initramfs.add_drivers(project, guest)?;
    initramfs.program("bin/network", SCRIPT.as_bytes().to_vec());
    let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
    // The kernel's own check of its timer is about time, of which a busy machine has none.
    let append = format!(
        "console=ttyS0 no_timer_check plinth.test=network plinth.network={},{},1",
        servers.fetch_port, servers.store_port
    );
    let payload = Payload { kernel: kernel::fetch(project, guest)?, initrd, append };
    let mut config = String::new();
    for name in ["vmm", "host-pci", "host-net"] {
        config += &read(&project.root.join("vmm-user/config").join(format!("{name}.conf")))?;
    }
    for (from, to) in changes {
        ensure!(config.contains(from), "the configuration has no \"{from}\"");
        config = config.replace(from, to);
    }
    let programs = ["host-pci", "host-net", "impatient-net"];
    Ok(Image::new(project, "debian")?.payload(&payload).config(&config).with_programs(&programs))
}

/// `guest`: its release, and the driver that it must have.
fn network(
    case: &mut Case,
    qemu: &Qemu,
    (guest, driver): (&str, &str),
    processors: u32,
    changes: &[(&str, &str)],
) -> Result<Booted> {
    let file = bytes_by_chance(FILE_BYTES);
    let servers = Servers::start(file.clone())?;
    let image = image(case, guest, &servers, changes)?;
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    machine.processors = processors;
    machine.network = Some(format!(",mac={ADDRESS}"));
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.console_text(), &["network: "]);
    case.record_lines(&booted.log_text(), &["host-net", "host-pci", "panic"]);
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    let pairs = if driver == "virtio_net" { processors } else { 1 };
    if driver == "virtio_net" {
        let features = if pairs > 1 { FEATURES[1] } else { FEATURES[0] };
        case.expect(&booted.console, &format!("network: features {features}"))?;
    }
    for line in [
        &format!("network: driver {driver}"),
        &format!("network: queues {pairs}"),
        &format!("network: address {ADDRESS}"),
        "network: lease 10.0.2.15 255.255.255.0 10.0.2.2",
        &format!("network: fetched {}", md5(case, &file)?),
        &format!("network: stored {FILE_BYTES}"),
        &format!("network: processors {processors}"),
        "guest: test status 0",
    ] {
        case.expect(&booted.console, line)?;
    }
    let stored = servers.stored().pop().context("the guest has sent nothing")?;
    ensure!(stored == file, "the guest has sent {} other bytes than it fetched", stored.len());
    ensure!(!booted.console_text().contains("Call Trace"), "the guest complains");
    case.expect_no_panic(&booted)?;
    Ok(booted)
}

/// The digest that the guest must find.
fn md5(case: &mut Case, file: &[u8]) -> Result<String> {
    let place = case.file("file");
    std::fs::write(&place, file).with_context(|| format!("cannot write {}", place.display()))?;
    let said = case.run(std::process::Command::new("md5sum").arg(&place))?;
    said.split(' ').next().map(str::to_owned).context("md5sum says nothing")
}

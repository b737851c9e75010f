//! An entropy device of the host's, driven by a process: its numbers are mixed into those that Debian's guest
//! reads and into the TPM's, and the guest has numbers also where the host gives none.

use std::ffi::OsString;

use anyhow::{Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use crate::debian::kernel;
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::testing::{Case, Suite};

/// The guest's release.
const GUEST: &str = "newest";
/// What the guest does: random bytes do not become fewer when they are packed.
const SCRIPT: &str = "#!/bin/busybox sh
set -e
echo entropy: $(cut -d. -f1 /sys/class/misc/hw_random/rng_current)
packed=$(head -c 4096 /dev/hwrng | gzip | wc -c)
if [ $packed -gt 4000 ]; then echo entropy: as it should be; fi
";
/// What the VMM and the TPM's process log when the host has given something.
const MIXED: &str = "the host's entropy is mixed in";
/// The TPM has it too.
const TPM: &str = "for tpm\n  grant entropy s\n  set rng-channel entropy\n";

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("entropy-host", |case| entropy(case, qemu, true));
    // No such device: its process ends, and nothing else does.
    suite.check("entropy-none", |case| entropy(case, qemu, false));
    Ok(())
}

fn image(case: &Case) -> Result<Image> {
    let project = case.project();
    let mut initramfs = Initramfs::new(project)?;
    initramfs.add_drivers(project, GUEST)?;
    initramfs.program("bin/entropy", SCRIPT.as_bytes().to_vec());
    let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
    // The kernel's own check of its timer is about time, of which a busy machine has none.
    let append = "console=ttyS0 no_timer_check plinth.test=entropy".to_owned();
    let payload = Payload { kernel: kernel::fetch(project, GUEST)?, initrd, append };
    Ok(Image::new(project, "debian")?
        .payload(&payload)
        .configs(project, &["vmm", "tpm", "host-pci", "host-rng"], TPM)
        .with_programs(&["vtpm", "host-pci", "host-rng"]))
}

/// `is_there`: the host has such a device.
fn entropy(case: &mut Case, qemu: &Qemu, is_there: bool) -> Result<()> {
    let mut machine = case.machine(image(case)?.pack(&case.file("igvm"))?);
    machine.processors = 2;
    if is_there {
        machine.more.extend(["-device", "virtio-rng-pci,disable-legacy=on"].map(OsString::from));
    }
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.console_text(), &["entropy: "]);
    case.record_lines(&booted.log_text(), &["host-rng", "host-pci", "entropy", "panic"]);
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    for line in ["entropy: virtio_rng", "entropy: as it should be", "guest: test status 0"] {
        case.expect(&booted.console, line)?;
    }
    let mixed = booted.log_text().matches(MIXED).count();
    let expected = if is_there { 2 } else { 0 };
    ensure!(mixed == expected, "the host's entropy was mixed in {mixed} times, not {expected}");
    case.expect_no_panic(&booted)
}

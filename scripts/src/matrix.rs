//! The boots that must hold: each guest kernel, with one processor and with two, by each loader that there is
//! a QEMU for.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};
use plinth_qemu::{Boot, Machine, Outcome, Qemu};

use crate::debian::kernel;
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::testing::{Booted, Case, Suite};
use crate::{log, say};

/// Releases of Debian's kernel.
pub const GUESTS: [&str; 2] = ["6.1", "newest"];

/// What the guest is told. It runs a little work on each of its processors, so that one which is only counted
/// shows.
pub const APPEND: &str = "console=ttyS0 \
    plinth.test=\"for i in $(seq 0 $(($(nproc)-1))); do taskset -c $i md5sum /bin/busybox; done\"";

/// What every guest exits for, and the VMM handles.
const HANDLED_BY_VMM: [&str; 5] = ["cpuid", "rdmsr", "wrmsr", "port", "memory"];
/// What the kernel handles itself: its own business.
const HANDLED_BY_KERNEL: [&str; 2] = ["host interrupt", "host nmi"];

/// One of the boots. It is shown as the end of its check's name, `6.1-2-pvh`.
#[derive(Clone, Debug)]
pub struct Place {
    /// `pvh` or `igvm`.
    pub loader: &'static str,
    /// A QEMU that has this loader.
    pub qemu: Qemu,
    /// The guest.
    pub guest: &'static str,
    /// The processors.
    pub processors: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}-{}", self.guest, self.processors, self.loader)
    }
}

/// All boots, the loader for any QEMU first. Says it when there is no QEMU with an IGVM loader.
pub fn places(suite: &Suite, qemu: &Qemu) -> Vec<Place> {
    let mut loaders = vec![("pvh", qemu.clone())];
    match Qemu::find_with_igvm(&suite.project().root) {
        Some(with_igvm) => loaders.push(("igvm", with_igvm)),
        None => say::say(
            "no QEMU with an IGVM loader here (name one in PLINTH_QEMU_IGVM): its boots are left out",
        ),
    }
    let mut places = Vec::new();
    for (loader, qemu) in loaders {
        for guest in GUESTS {
            let place = |processors| Place { loader, qemu: qemu.clone(), guest, processors };
            // Two are enough to have another processor start, be interrupted, and be waited for.
            places.extend([1, 2].map(place));
        }
    }
    places
}

/// A guest of this release, with the command line [`APPEND`].
///
/// # Errors
/// When the kernel or busybox can't be had.
pub fn payload(case: &Case, guest: &str) -> Result<Payload> {
    let project = case.project();
    let initrd = Initramfs::new(project)?.pack(&case.sibling("initrd.gz"))?;
    Ok(Payload { kernel: kernel::fetch(project, guest)?, initrd: Some(initrd), append: APPEND.to_owned() })
}

/// Where the image of a guest is.
fn image(case: &Case, guest: &str) -> PathBuf {
    case.sibling(&format!("{guest}.igvm"))
}

/// Packs an image of each guest, `GUEST.igvm`.
pub fn pack(suite: &mut Suite) {
    for guest in GUESTS {
        suite.check(&format!("pack-{guest}"), |case| {
            let payload = payload(case, guest)?;
            Image::new(case.project(), "debian")?.payload(&payload).pack(&image(case, guest)).map(drop)
        });
    }
}

/// Boots one of the images that [`pack`] made; see [`boot_image`].
///
/// # Errors
/// When it does not hold.
pub fn boot(case: &mut Case, place: &Place) -> Result<()> {
    let image = image(case, place.guest);
    let mut machine = match place.loader {
        "igvm" => Machine::new(Boot::Igvm { image }),
        _ => case.machine(image),
    };
    machine.processors = place.processors;
    boot_image(case, &place.qemu, &machine)
}

/// Boots to user space: every processor works, poweroff ends it, and the log has the exit table, by which the
/// kernel handled nothing that the guest itself did.
///
/// # Errors
/// When that does not hold.
pub fn boot_image(case: &mut Case, qemu: &Qemu, machine: &Machine) -> Result<()> {
    let booted = case.boot(qemu, machine)?;
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    case.expect(&booted.console, "guest: user space reached: Linux")?;
    // By what Linux counts: a processor that did not start would be missing.
    case.expect(&booted.console, &format!(", {} CPUs,", machine.processors))?;
    case.expect(&booted.console, "guest: test status 0")?;
    check_exits(case, &booted)
}

/// Boots the same kernel by the same QEMU without Plinth, to compare with.
///
/// # Errors
/// When that fails.
pub fn boot_direct(case: &mut Case, place: &Place) -> Result<()> {
    let Payload { kernel, initrd, append } = payload(case, place.guest)?;
    let mut machine = Machine::new(Boot::Direct { kernel, initrd, append });
    machine.processors = place.processors;
    let booted = case.boot(&place.qemu, &machine)?;
    case.expect(&booted.console, "guest: test status 0")
}

/// By the exit table, what guests exit for was handled by the VMM, and nothing by the kernel but what is the
/// host's.
///
/// # Errors
/// When that does not hold.
pub fn check_exits(case: &mut Case, booted: &Booted) -> Result<()> {
    let text = booted.log_text();
    // The table is the only witness of who handled what: the guest cannot tell.
    let table = log::exit_table(&text);
    table.iter().for_each(|line| case.record(line));
    let rows = log::exit_rows(&table).map_err(|error| anyhow!(error))?;
    if let Some(row) =
        rows.iter().find(|row| row.by == "kernel" && !HANDLED_BY_KERNEL.contains(&&*row.reason))
    {
        bail!("the kernel handled {}", row.reason);
    }
    let count = |reason: &str, by: &str| {
        let row = rows.iter().find(|row| row.reason == reason && row.by == by);
        row.map(|row| row.count).with_context(|| format!("the exit table has no row of {reason} by {by}"))
    };
    // A table without these rows is no proof: the exits may not have been counted.
    for reason in HANDLED_BY_VMM {
        ensure!(count(reason, "vmm")? > 0, "no exits for {reason}");
    }
    ensure!(count(HANDLED_BY_KERNEL[0], "kernel")? > 0, "no host interrupts");
    Ok(())
}

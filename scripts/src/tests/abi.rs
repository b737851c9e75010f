//! The kernel's ABI under abuse: an image whose only process tries everything, with one CPU and with two.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use plinth_qemu::{Machine, Outcome, Qemu};

use super::kernel::checked_kernel;
use crate::image::{Image, config_with};
use crate::testing::{Case, Suite};

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for processors in [1, 2] {
        suite.check(&format!("abi-{processors}"), |case| abi(case, qemu, processors, &[]));
    }
    suite.check("abi-long-way", |case| abi(case, qemu, 1, &LONG_WAY));
    Ok(())
}

/// Without the kernel's short cuts and its measures against speculative execution.
const LONG_WAY: [(&str, &str); 2] = [("shortcuts", "false"), ("mitigations", "false")];

/// One part of the tests alone (`abi-test/src/suite.rs` has their names), on a kernel of this variant.
///
/// # Errors
/// When the part fails, or the image can't be made.
pub fn part(case: &mut Case, qemu: &Qemu, variant: Variant, processors: u32, part: &str) -> Result<()> {
    part_with(case, qemu, variant, processors, &[&format!("only {part}")])
}

/// What the tests are told: `only PART`, or `seconds N` for a part that goes on for some time.
///
/// # Errors
/// As [`part`].
pub fn part_with(
    case: &mut Case,
    qemu: &Qemu,
    variant: Variant,
    processors: u32,
    settings: &[&str],
) -> Result<()> {
    let config = config_with(case.project(), "abi-test", settings)?;
    let image = Image::new(case.project(), "abi-test")?.config(&config);
    match variant {
        Variant::Released => boot(case, qemu, processors, image, &[]),
        Variant::LongWay => boot(case, qemu, processors, image, &LONG_WAY),
        Variant::Checked => {
            let kernel = checked_kernel(case.project())?;
            boot(case, qemu, processors, image.set("kernel", kernel), &[])
        }
    }
}

/// A second processor that changes the pages that the kernel shares, from so many seeds, two seconds each.
///
/// # Errors
/// When the kernel did not stand it, or the image can't be made.
pub fn page_race(case: &mut Case, qemu: &Qemu, first: u64, count: u64) -> Result<()> {
    let settings = ["only page race", &format!("first-seed {first}"), &format!("seeds {count}")];
    let config = config_with(case.project(), "abi-test", &settings)?;
    let image = Image::new(case.project(), "abi-test")?.config(&config);
    boot(case, qemu, 2, image, &[])
}

/// Which kernel runs the tests, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Variant {
    /// The one that ships.
    Released,
    /// The same without short cuts and measures against speculative execution.
    LongWay,
    /// The one that looks after stacks and TLBs.
    Checked,
}

fn abi(case: &mut Case, qemu: &Qemu, processors: u32, settings: &[(&str, &str)]) -> Result<()> {
    let image = Image::new(case.project(), "abi-test")?;
    boot(case, qemu, processors, image, settings)
}

/// The machine for the tests: it has two devices that a process may drive.
pub fn machine(case: &Case, image: PathBuf, processors: u32) -> Machine {
    let mut machine = case.machine(image);
    (machine.memory_mib, machine.processors) = (256, processors);
    for _ in 0..2 {
        machine
            .more
            .extend(["-device", "virtio-rng-pci,disable-legacy=on,iommu_platform=on"].map(OsString::from));
    }
    machine
}

fn boot(
    case: &mut Case,
    qemu: &Qemu,
    processors: u32,
    mut image: Image,
    settings: &[(&str, &str)],
) -> Result<()> {
    for (key, value) in settings {
        image = image.set(key, value);
    }
    let packed = image.pack(&case.file("igvm"))?;
    let booted = case.boot(qemu, &machine(case, packed, processors))?;
    // The children's faults are many; the suite's own words are few.
    case.record_lines(&booted.log_text(), &["abi-test: abi-test", "abi-test: FAILED", "page race", "panic"]);
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    case.expect(&booted.log, &format!("0 failures, {processors} cpus"))?;
    case.expect_no_panic(&booted)
}

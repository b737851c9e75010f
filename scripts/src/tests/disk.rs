//! A disk of the host's, driven by a process: what its file has is read, and what is written is in the file.

mod cuts;
mod encrypted;
mod guest;

use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use crate::image::{Image, config_with};
use crate::testing::{Case, Suite};
pub use cuts::cuts;
pub(super) use guest::e2fs;

const SECTOR: usize = 512;
/// Sectors of the file, and those that `vmm-user/block-test` writes: first, count, salt, in order.
const SECTORS: u64 = 16384;
const WRITTEN: [(u64, u64, u64); 3] = [(4096, 512, 1), (4099, 1, 2), (4106, 200, 3)];
/// What it discards: these have any contents afterwards.
const DISCARDED: std::ops::Range<u64> = 8192..8256;

/// How often QEMU is killed while a guest writes; `scripts/soak` does it more often.
const CUTS: u32 = 2;

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("disk-1", |case| disk(case, qemu, 1, "", &[]));
    suite.check("disk-2", |case| disk(case, qemu, 2, ",iommu_platform=on", &[]));
    suite.check("disk-driver-ends", |case| disk(case, qemu, 2, "", &IMPATIENT));
    guest::run(suite, qemu);
    encrypted::run(suite, qemu);
    suite.check("disk-cuts", |case| cuts(case, qemu, CUTS));
    Ok(())
}

/// A driver that ends again and again, with a request at the device, and more for it to do.
const IMPATIENT: [(&str, &str); 3] = [
    ("set serve disk\n", "set serve disk\n  set requests 9\n  file impatient-block\n"),
    ("on-end restart\n", "on-end restart 10000\n"),
    ("  grant disk s\n", "  grant disk s\n  set rounds 20\n"),
];

/// How often it has to end. A driver has nine calls and ends at the next one that needs the device; about 30
/// end in twenty rounds. It depends on the processors' speeds which calls reach a driver about to end,
/// so it is a few more or less.
const ENDS_AT_LEAST: usize = 20;

/// A sector of the test's: as `vmm-user/block-test` has it.
fn sector(number: u64, salt: u64) -> Vec<u8> {
    let word = |index: u64| (number << 16 | index << 4 | salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..SECTOR as u64 / 8).flat_map(|index| word(index).to_le_bytes()).collect()
}

/// The salt of a sector after the test.
fn salt_after(number: u64) -> u64 {
    let is_in = |(first, count, _): &&(u64, u64, u64)| (*first..first + count).contains(&number);
    WRITTEN.iter().rev().find(is_in).map_or(0, |(_, _, salt)| *salt)
}

/// `changes`: what is replaced in the configuration.
fn disk(
    case: &mut Case,
    qemu: &Qemu,
    processors: u32,
    options: &str,
    changes: &[(&str, &str)],
) -> Result<()> {
    let file = case.file("disk");
    let contents: Vec<u8> = (0..SECTORS).flat_map(|number| sector(number, 0)).collect();
    fs::write(&file, contents).with_context(|| format!("cannot write {}", file.display()))?;
    let mut config = config_with(case.project(), "disk", &[])?;
    for (from, to) in changes {
        ensure!(config.contains(from), "the configuration has no \"{from}\"");
        config = config.replace(from, to);
    }
    let image = Image::new(case.project(), "disk")?.config(&config).pack(&case.file("igvm"))?;
    let mut machine = case.machine(image);
    (machine.memory_mib, machine.processors) = (256, processors);
    let drive = format!("if=none,id=disk,format=raw,discard=unmap,file={}", file.display());
    let device = format!("virtio-blk-pci,drive=disk,disable-legacy=on{options}");
    machine.more.extend(["-drive", &drive, "-device", &device].map(OsString::from));
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.log_text(), &["block-test: ", "host-pci: ", "panic"]);
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    case.expect(&booted.log, " checks, 0 failures")?;
    if !changes.is_empty() {
        let text = booted.log_text();
        let starts = text.matches("is started again").count();
        ensure!(starts >= ENDS_AT_LEAST, "the driver ended {starts} times only");
        ensure!(!text.contains("cannot be given"), "a driver that was started again got no function");
    }
    let contents = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(contents.len() as u64 == SECTORS * SECTOR as u64, "the disk has another size now");
    for (number, found) in (0..SECTORS).zip(contents.chunks(SECTOR)) {
        let holds = DISCARDED.contains(&number) || found == sector(number, salt_after(number));
        ensure!(holds, "sector {number} of the host's file is not what was written");
    }
    case.expect_no_panic(&booted)
}

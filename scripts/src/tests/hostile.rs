//! A guest that means no good (vmm-user/tests-guest): it does its worst, says so, and triple-faults. Neither
//! kernel nor VMM may mind.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use plinth_qemu::{Outcome, Qemu};

use crate::assemble;
use crate::image::{Image, Payload};
use crate::project::Project;
use crate::testing::{Booted, Case, Suite};

/// A part of the guest: its number, processors, and what it says when it is through.
type Part = (u32, u32, &'static str);

const PARTS: [Part; 18] = [
    (0, 1, "the TSC moved, and its deadline came"),
    (1, 1, "every port read and written"),
    (2, 1, "memory that is not there is not there"),
    (3, 1, "every instruction on every place"),
    (4, 1, "nothing that should not be executed was"),
    (5, 2, "interrupts to others"),
    (6, 1, "an IDT that is not there"),
    (7, 1, "a stack that is not there"),
    (8, 1, "page tables that are not there"),
    (9, 1, "no firmware to reset to"),
    (10, 1, "an interrupt, and a stack that is not there"),
    // 11 is the late processor's.
    (12, 1, "page tables in absent memory have reserved bits set"),
    (13, 1, "instructions that are not emulated"),
    (14, 1, "one NMI after the other"),
    (15, 1, "a step over HLT"),
    (16, 1, "interrupts whatever the task priority was"),
    (17, 1, "EFER, PAT and CR3"),
    (18, 1, "debug exceptions"),
];

/// Parts that end where they say; the others can go on and say that nothing was wrong.
const ENDING: std::ops::RangeInclusive<u32> = 6..=10;

/// Lines about a guest's oddities that each vCPU may cost the log.
const ODDITIES: usize = 256;

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("hostile-build", |case| build(case.project()).map(drop));
    for part in PARTS {
        suite.check(&format!("hostile-{}", part.0), |case| hostile(case, qemu, part));
    }
    Ok(())
}

/// The guest, assembled and linked.
///
/// # Errors
/// With the assembler's words.
pub fn build(project: &Project) -> Result<PathBuf> {
    let folder = project.scratch("hostile")?;
    let own = project.root.join("vmm-user/tests-guest");
    let shared = project.root.join("benches/guest");
    // start.S is first: the entry is at the beginning.
    let own = ["start", "registers", "control", "memory", "ends", "late"].map(|name| own.join(name));
    let sources = own.into_iter().chain(["setup", "text"].map(|name| shared.join(name)));
    let sources: Vec<_> = sources.map(|source| source.with_extension("S")).collect();
    assemble::guest(&shared.join("guest.ld"), &sources, &folder, &folder.join("guest.bin"))
}

/// An image with the guest, which tries this part.
///
/// # Errors
/// When it can't be packed.
pub fn image(case: &Case, part: u32) -> Result<PathBuf> {
    let kernel = case.project().target.join("hostile/guest.bin");
    let payload = Payload { kernel, initrd: None, append: part.to_string() };
    Image::new(case.project(), "debian")?.payload(&payload).pack(&case.file("igvm"))
}

fn hostile(case: &mut Case, qemu: &Qemu, (part, processors, words): Part) -> Result<()> {
    let mut machine = case.machine(image(case, part)?);
    (machine.memory_mib, machine.processors) = (256, processors);
    let booted = case.boot(qemu, &machine)?;
    case.expect_outcome(&booted, Outcome::TripleFault)?;
    case.expect(&booted.console, &format!("hostile guest: {words}"))?;
    if !ENDING.contains(&part) {
        case.expect(&booted.console, "hostile guest: done, as it should be")?;
    }
    check_log(&booted, processors)
}

fn check_log(booted: &Booted, processors: u32) -> Result<()> {
    let log = booted.log_text();
    let place: &Path = &booted.log;
    let end = |line: &str| {
        let words = line.split_once("vmm: vCPU 0: ").map(|(_, words)| words);
        words.is_some_and(|words| {
            words.starts_with("triple fault") || words.starts_with("an event cannot be delivered")
        })
    };
    ensure!(log.lines().any(end), "{} does not say how the guest ended", place.display());
    ensure!(log.contains(" rip "), "{} does not show the guest's registers", place.display());
    let oddities = log.lines().filter(|line| is_oddity(line)).count();
    let most = ODDITIES * processors as usize;
    ensure!(oddities <= most, "{oddities} lines of the guest's oddities, more than {most}");
    // A panic of the kernel, or an end of the VMM's process: neither may happen for what a guest does.
    let bad = log
        .lines()
        .map(str::to_lowercase)
        .find(|line| line.contains("panic") || line.contains("process vmm"));
    match bad {
        Some(line) => bail!("{line}"),
        None => Ok(()),
    }
}

/// A line "vmm: vCPU N: WHAT at 0xADDRESS".
fn is_oddity(line: &str) -> bool {
    line.split_once("vmm: vCPU ").is_some_and(|(_, rest)| rest.contains(" at 0x"))
}

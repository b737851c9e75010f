//! The guest's TPM under Debian's own drivers, by either of its interfaces: what was measured before the
//! guest ran, PCRs, random numbers, a key that takes long to make while the guest goes on, and Debian's
//! tpm2-tools.

mod event_log;
mod presence;
mod state;
mod tools;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use crate::debian::kernel;
use crate::image::{Image, Payload, config_with, tpm_config};
use crate::initramfs::Initramfs;
use crate::matrix;
use crate::testing::{Case, Suite};

/// The guest's release.
const GUEST: &str = "newest";

/// What the guest does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("tpm.sh");

/// SHA-256 of 32 bytes of 0 and 32 bytes of 1: a PCR that was extended once.
const EXTENDED: &str = "5c85955f709283ecce2b74f1b1552918819f390911816e7bb466805a38ab87f3";

/// The checks: interface, processors, Linux's driver.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for (interface, processors, driver) in [("crb", 1, "tpm_crb"), ("fifo", 2, "tpm_tis")] {
        suite.check(&format!("tpm-{interface}-{processors}"), |case| {
            everything(case, qemu, interface, processors, driver)
        });
    }
    suite.check("tpm-state", |case| state::run(case, qemu));
    suite.check("tpm-memory", |case| state::run_in_memory(case, qemu));
    suite.check("tpm-presence", |case| presence::run(case, qemu));
    Ok(())
}

/// The command line. The kernel's own check of its timer is about time, of which a busy machine has none.
const APPEND: &str = "console=ttyS0 no_timer_check plinth.test=tpm";

fn payload(case: &Case) -> Result<Payload> {
    let project = case.project();
    let mut initramfs = Initramfs::new(project)?;
    initramfs.program("bin/tpm", SCRIPT.as_bytes().to_vec());
    tools::add(&mut initramfs, project)?;
    let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
    Ok(Payload { kernel: kernel::fetch(project, GUEST)?, initrd, append: APPEND.to_owned() })
}

fn image(case: &Case, payload: &Payload, interface: &str) -> Result<Image> {
    let project = case.project();
    Ok(Image::new(project, "debian")?
        .payload(payload)
        .set("files.vtpm", project.programs().join("vtpm").display())
        .config(&(config_with(project, "vmm", &[])? + &tpm_config(project, interface)?)))
}

fn everything(case: &mut Case, qemu: &Qemu, interface: &str, processors: u32, driver: &str) -> Result<()> {
    let payload = payload(case)?;
    let mut machine = case.machine(image(case, &payload, interface)?.pack(&case.file("igvm"))?);
    machine.processors = processors;
    let booted = case.boot(qemu, &machine)?;
    let (console, log) = (booted.console_text(), booted.log_text());
    case.record_lines(&console, &["tpm"]);
    case.record_lines(&log, &["vtpm", "device tpm", "kept by Plinth", "panic"]);
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    case.expect(&booted.log, "a new TPM: its state is kept in memory only")?;
    for line in [
        "tpm: device /dev/tpm0",
        "tpm: device /dev/tpmrm0",
        // Newer kernels call it by a longer name.
        &format!("tpm: driver {driver}"),
        "tpm: version 2",
        &format!("tpm: before {}", "0".repeat(64)),
        // Tag, size, success, no parameters; the session's nonce, attributes and HMAC.
        "tpm: extend 80020000001300000000000000000000010000",
        &format!("tpm: after {}", EXTENDED.to_uppercase()),
        &format!("00000001000b0300000100000001{:04x}{EXTENDED}", 32),
        "tpm: random 2 of 2",
        "tpm: key 800200000000, other work meanwhile yes",
    ] {
        case.expect(&booted.console, line)?;
    }
    // Accesses were answered at once, also while a command was executed.
    case.expect(&booted.log, "lost: 0 ended, 0 late, 0 nonsense; 0 to nobody")?;
    // The time stands before each line of the console.
    let bad = |line: &&str| {
        let line = line.to_lowercase();
        line.contains("tpm: dmesg: ")
            && ["error", "fail", "bug", "timed", "bypass"].iter().any(|word| line.contains(word))
    };
    let bad: Vec<&str> = console.lines().filter(bad).collect();
    ensure!(bad.is_empty(), "the kernel complains: {bad:?}");
    check_log(&console, &payload)?;
    tools::check(&console)?;
    matrix::check_exits(case, &booted)
}

/// The log that the guest found gives the PCRs' values, and it is of what was packed.
fn check_log(console: &str, payload: &Payload) -> Result<()> {
    let line = |start: &str| console.lines().find_map(|line| Some(line.trim_end().split_once(start)?.1));
    let log = event_log::from_hex(line("tpm: log ").context("there is no event log")?)?;
    let replayed = event_log::replay(&log)?;
    let read = |file: &Path| std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    let initrd = payload.initrd.as_deref().map(read).transpose()?.unwrap_or_default();
    let texts = [
        event_log::text_of(4, "linux", &read(&payload.kernel)?),
        event_log::text_of(9, "cmdline", payload.append.as_bytes()),
        event_log::text_of(9, "initrd", &initrd),
    ];
    ensure!(replayed.texts == texts, "measured was {:?}, not {texts:?}", replayed.texts);
    for (pcr, value) in replayed.pcrs.iter().enumerate().take(10) {
        let found = line(&format!("tpm: pcr {pcr} ")).context("a PCR was not read")?;
        let expected = event_log::hex(value);
        ensure!(found.eq_ignore_ascii_case(&expected), "PCR {pcr} is {found}; the log gives {expected}");
    }
    Ok(())
}

//! The TPM's state on a disk of the host's: it is there after the machine has ended, and after the TPM's
//! process has; what is damaged is refused. And in memory: it is there after the guest has reset its machine,
//! and after the TPM's process has ended.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use plinth_qemu::{Outcome, Qemu};

use super::GUEST as RELEASE;
use crate::debian::kernel;
use crate::disk_key;
use crate::image::{Image, Payload};
use crate::initramfs::Initramfs;
use crate::testing::{Booted, Case};

/// What the guest does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("state.sh");
const GUEST: Guest = Guest { name: "state", script: SCRIPT };
/// Bytes of the disk.
const DISK_BYTES: u64 = 1 << 20;
/// A byte of the first slot's snapshot, and of the second's.
const DAMAGE: [usize; 2] = [700, (256 << 10) + 700];
/// What the guest keeps in an index, and what a read of it returns.
const DATA: &[u8] = b"Plinthed";
const READ: &str = "80020000001d000000000000000a0008506c696e74686564";

/// What a guest does.
pub struct Guest {
    /// The name of its command.
    pub name: &'static str,
    /// What that is.
    pub script: &'static str,
}

/// Three runs: the guest of the first one writes, resets its machine, and reads; that of the second one
/// reads, before and after the TPM's process has ended, and the third one is refused.
pub fn run(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let disk = case.file("disk");
    for old in [&disk, &case.file("disk.key")] {
        let _ = fs::remove_file(old);
    }
    disk_key::make_disk(&disk, DISK_BYTES)?;
    let key = disk_key::of_disk(&disk)?;

    let first = boot(case, qemu, &GUEST, Some(&key), "first", " plinth.first")?;
    case.expect_outcome(&first, Outcome::PowerOff)?;
    case.expect(&first.log, "a new TPM: the disk for its state was empty")?;
    for line in ["tpm: before 80010000000a00000", "tpm: defined 80020000001300000000", "tpm: written 8002"] {
        case.expect(&first.console, line)?;
    }
    check_reset(case, &first)?;
    ensure!(!first.log_text().contains("the TPM is started again"), "the TPM takes the reset for a loss");
    let found = fs::read(&disk)?;
    ensure!(
        !found.windows(DATA.len()).any(|window| window == DATA),
        "the host's file has what the guest kept"
    );

    let second = boot(case, qemu, &GUEST, Some(&key), "second", "")?;
    case.expect_outcome(&second, Outcome::PowerOff)?;
    case.expect(&second.log, "the TPM's state was on the disk: snapshot ")?;
    check_restart(case, &second)?;

    let mut bytes = fs::read(&disk)?;
    for at in DAMAGE {
        *bytes.get_mut(at).context("the disk is larger")? ^= 1;
    }
    fs::write(&disk, &bytes)?;
    let third = boot(case, qemu, &GUEST, Some(&key), "third", "")?;
    case.expect_outcome(&third, Outcome::ProcessFailure)?;
    case.expect(&third.log, "the TPM's state is damaged, or was saved with another key")?;
    case.expect(&third.log, "it can't be measured")?;
    ensure!(fs::read(&disk)? == bytes, "the damaged state was written to");
    Ok(())
}

/// One run: the guest writes, resets its machine, and reads, before and after the TPM's process has ended.
pub fn run_in_memory(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let booted = boot(case, qemu, &GUEST, None, "memory", " plinth.first plinth.again")?;
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    case.expect(&booted.log, "a new TPM: its state is kept in memory only")?;
    case.expect(&booted.log, "the TPM's state was in memory: snapshot ")?;
    check_reset(case, &booted)?;
    check_restart(case, &booted)
}

/// The TPM's process has ended while the guest ran: the index is there, and PCR 4 has another value.
fn check_restart(case: &mut Case, booted: &Booted) -> Result<()> {
    case.expect(&booted.log, "the TPM is started again: snapshot ")?;
    for line in [&format!("tpm: read {READ}"), &format!("tpm: read again {READ}"), "tpm: PCR 4 spoilt"] {
        case.expect(&booted.console, line)?;
    }
    Ok(())
}

/// The guest has reset its machine when it had written: the index is there, and the PCRs are as at first.
fn check_reset(case: &mut Case, booted: &Booted) -> Result<()> {
    case.expect(&booted.console, &format!("tpm: read after a reset {READ}"))?;
    let console = booted.console_text();
    let values: Vec<_> = console.lines().filter_map(|line| line.split_once("PCR 4 at the start ")).collect();
    let [(_, before), (_, behind)] = values[..] else { bail!("{} starts, not two", values.len()) };
    ensure!(before == behind && before.len() == 64, "PCR 4 was {before}, and then {behind}");
    Ok(())
}

/// Boots a guest whose TPM has its state on the check's disk, by that key, or in memory.
///
/// # Errors
/// When it can't be booted, or Plinth's kernel panics.
pub fn boot(
    case: &mut Case,
    qemu: &Qemu,
    guest: &Guest,
    key: Option<&Path>,
    name: &str,
    append: &str,
) -> Result<Booted> {
    let project = case.project();
    let mut initramfs = Initramfs::new(project)?;
    initramfs.program(&format!("bin/{}", guest.name), guest.script.as_bytes().to_vec());
    let initrd = Some(initramfs.pack(&case.file("initrd.gz"))?);
    let append = format!("console=ttyS0 no_timer_check plinth.test={}{append}", guest.name);
    let payload = Payload { kernel: kernel::fetch(project, RELEASE)?, initrd, append };
    let image = Image::new(project, "debian")?.payload(&payload).with_programs(&["impatient-vtpm"]);
    let program = "for tpm\n  file impatient-vtpm\n";
    let image = match key {
        None => image.configs(project, &["vmm", "tpm"], program),
        Some(key) => image
            .configs(
                project,
                &["vmm", "tpm", "host-pci", "tpm-disk"],
                &format!("for host-pci\n  set give.tpm-function 1af4:1042 0\n{program}"),
            )
            .with_programs(&["host-pci", "host-block"])
            .with_key("tpm.key", key),
    };
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    machine.tpm = key.map(|_| case.file("disk"));
    let booted = case.boot_as(&format!("{}.{name}", case.name()), qemu, &machine)?;
    case.record_lines(&booted.console_text(), &["tpm: "]);
    case.record_lines(&booted.log_text(), &["vtpm", "tpm", "TPM", "panic"]);
    case.expect_no_panic(&booted)?;
    Ok(booted)
}

//! The Physical Presence Interface in the guest: Linux finds it, a request outlives the machine, is carried
//! out before the next boot's guest runs, and says so there.

use std::fs;

use anyhow::{Result, ensure};
use plinth_qemu::{Outcome, Qemu};

use super::state::{Guest, boot};
use crate::disk_key;
use crate::testing::Case;

/// What the guest does, a file of its own: a kernel's command line is too short for it.
const SCRIPT: &str = include_str!("presence.sh");
const GUEST: Guest = Guest { name: "presence", script: SCRIPT };
/// Bytes of the disk.
const DISK_BYTES: u64 = 1 << 20;
/// The response to a command that needs the platform's hierarchy: TPM_RC_HIERARCHY for handle 1.
const CLOSED: &str = "tpm: platform 80010000000a00000185";

/// Two boots: the first one asks for a clear, and the second one finds it done.
pub fn run(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let disk = case.file("disk");
    for old in [&disk, &case.file("disk.key")] {
        let _ = fs::remove_file(old);
    }
    disk_key::make_disk(&disk, DISK_BYTES)?;
    let key = disk_key::of_disk(&disk)?;
    for (name, append, lines) in [
        (
            "first",
            " plinth.first",
            &[
                CLOSED,
                "tpm: response 0: No Recent Request",
                "tpm: index 0000018b",
                "tpm: version 1.3",
                "tpm: clear 5 4: User not required",
                "tpm: physical user 0",
                "tpm: defined 00000000",
                "tpm: unknown refused",
                "tpm: asked",
                "tpm: request 5",
                "tpm: then 2: Reboot",
            ][..],
        ),
        (
            "second",
            "",
            // The index is gone with its owner.
            &[
                CLOSED,
                "tpm: response 5 0: Success",
                "tpm: index 0000018b",
                "tpm: request 0",
                "tpm: asked",
                "tpm: request now 23 2",
            ][..],
        ),
    ] {
        let booted = boot(case, qemu, &GUEST, Some(&key), name, append)?;
        case.expect_outcome(&booted, Outcome::PowerOff)?;
        for line in lines {
            case.expect(&booted.console, line)?;
        }
        let console = booted.console_text();
        let bad = |line: &&str| line.contains("tpm: dmesg: ") && line.contains("Error");
        ensure!(
            !console.lines().any(|line| bad(&line)),
            "the kernel complains of its ACPI tables or its TPM"
        );
        if name == "second" {
            case.expect(&booted.log, "physical presence: operation 5: response 0x0")?;
        }
    }
    Ok(())
}

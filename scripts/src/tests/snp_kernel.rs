//! Plinth's own kernel for SEV-SNP, at VMPL0 of the simulator: it boots, accepts its memory, and starts init,
//! which starts a process that ends the machine by saying whether it found what it should. The simulator
//! passes its guest's word on.

use anyhow::Result;
use plinth_qemu::{Outcome, Qemu};

use super::hostile;
use crate::bench;
use crate::image::{Image, Payload, config_with};
use crate::matrix;
use crate::snp_sim;
use crate::testing::{Booted, Case, Suite};

/// Memory of the simulated machine, and of QEMU's, in MiB: for guests in assembly, and for Linux.
const SMALL: [u32; 2] = [24, 256];
const LARGE: [u32; 2] = [256, 512];
/// Parts of the guest that means no good: its accesses, its instructions, privileged ones; interrupts that
/// wait for one instruction, or for a lower task priority.
const HOSTILE_PARTS: [u32; 4] = [2, 3, 4, 16];

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("snp-kernel", |case| runs_a_process(case, qemu));
    suite.check("snp-kernel-no-init", |case| says_why_not(case, qemu));
    suite.check("snp-guest", |case| runs_a_guest(case, qemu));
    suite.check("snp-linux", |case| boots_linux(case, qemu));
    for part in HOSTILE_PARTS {
        suite.check(&format!("snp-guest-hostile-{part}"), |case| runs_a_hostile_guest(case, qemu, part));
    }
    Ok(())
}

/// The image with that kernel, in the simulator.
fn boot(case: &mut Case, qemu: &Qemu, guest: Image) -> Result<Booted> {
    boot_with(case, qemu, guest, SMALL)
}

/// The same with so much memory, of the simulated machine's and of QEMU's, in MiB.
fn boot_with(case: &mut Case, qemu: &Qemu, guest: Image, [simulated, real]: [u32; 2]) -> Result<Booted> {
    let settings = format!("memory-mib {simulated}");
    let image = snp_sim::pack_plinth(case.project(), guest, &[&settings], &case.file("igvm"))?;
    let mut machine = case.machine(image);
    machine.memory_mib = real;
    machine.cpu = Some(snp_sim::cpu_model(qemu));
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.log_text(), &["snp-sim: ", "panic"]);
    case.record_lines(&booted.console_text(), &["Plinth", "SEV-SNP", "hostile guest"]);
    Ok(booted)
}

fn runs_a_process(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let guest = Image::new(case.project(), "snp-test")?;
    let booted = boot(case, qemu, guest)?;
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    // By the process, from the kernel's log.
    case.expect(&booted.console, "pages accepted beside")?;
    case.expect_no_panic(&booted)
}

/// The exit benchmark's guest at VMPL1, by the same VMM as on SVM: every kind of exit that it has, interrupts
/// that it sends to itself, and HLT until its timer fires. It ends by the reset register: 11h.
fn runs_a_guest(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let rows = case.project().root.join("benches/guest/rows.S");
    let kernel = bench::guest(case.project(), &rows, &case.sibling(""), &case.file("bin"))?;
    let payload = Payload { kernel, initrd: None, append: "50 1 15 -".to_owned() };
    let project = case.project();
    let guest = Image::new(project, "snp-guest")?
        .payload(&payload)
        .config(&config_with(project, "snp-guest", &["bench-devices yes"])?)
        .set("files.vmm", project.programs().join("test-vmm").display());
    let booted = boot(case, qemu, guest)?;
    case.record_lines(&booted.console_text(), &["ROW", "IPIS"]);
    case.expect_outcome(&booted, Outcome::Reboot)?;
    case.expect(&booted.console, "IPIS")?;
    case.expect_no_panic(&booted)
}

/// Debian's kernel, unmodified, to user space at VMPL1, where it works and powers off: 10h.
fn boots_linux(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let guest = Image::new(case.project(), "snp-guest")?.payload(&matrix::payload(case, "6.1")?);
    let booted = boot_with(case, qemu, guest, LARGE)?;
    case.expect_outcome(&booted, Outcome::PowerOff)?;
    case.expect(&booted.console, "guest: user space reached: Linux")?;
    case.expect(&booted.console, "guest: test status 0")?;
    case.expect_no_panic(&booted)
}

/// The guest that means no good, at VMPL1: it does its worst, and triple-faults, 12h.
fn runs_a_hostile_guest(case: &mut Case, qemu: &Qemu, part: u32) -> Result<()> {
    let payload = Payload { kernel: hostile::build(case.project())?, initrd: None, append: part.to_string() };
    let guest = Image::new(case.project(), "snp-guest")?.payload(&payload);
    let booted = boot(case, qemu, guest)?;
    case.expect_outcome(&booted, Outcome::TripleFault)?;
    case.expect(&booted.console, "hostile guest: done, as it should be")?;
    case.expect_no_panic(&booted)
}

/// Last words go to the serial port by calls, and the machine's end is a request with its number: 14h.
fn says_why_not(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let guest = Image::new(case.project(), "snp-test")?.set("files.init", "");
    let booted = boot(case, qemu, guest)?;
    case.expect_outcome(&booted, Outcome::TestsFailed)?;
    case.expect(&booted.console, "Plinth: cannot boot: the image has no file named init")?;
    case.expect(&booted.log, "the guest asks to be ended: set 15, reason 20")
}

//! The kernel's ABI under abuse: an image whose only process tries everything, with one CPU and with two.

use anyhow::Result;
use plinth_qemu::{Outcome, Qemu};

use crate::build::Build;
use crate::image::Image;
use crate::project::Project;
use crate::testing::{Case, Suite};

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for processors in [1, 2] {
        suite.check(&format!("abi-{processors}"), |case| abi(case, qemu, processors, &[]));
    }
    suite.check("fault-in-log", |case| fault_in_log(case, qemu));
    let long_way = [("shortcuts", "false"), ("mitigations", "false")];
    suite.check("abi-long-way", |case| abi(case, qemu, 1, &long_way));
    Ok(())
}

fn abi(case: &mut Case, qemu: &Qemu, processors: u32, settings: &[(&str, &str)]) -> Result<()> {
    let mut image = Image::new(case.project(), "abi-test")?;
    for (key, value) in settings {
        image = image.set(key, value);
    }
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    (machine.memory_mib, machine.processors) = (256, processors);
    let booted = case.boot(qemu, &machine)?;
    let log = booted.log_text();
    // The children's faults are many; the suite's own words are few.
    let ours = ["abi-test: abi-test", "abi-test: FAILED", "panic"];
    log.lines().filter(|line| ours.iter().any(|word| line.contains(word))).for_each(|line| case.note(line));
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    case.expect(&booted.log, &format!("0 failures, {processors} cpus"))?;
    case.expect_no_panic(&booted)
}

/// The kernel with the checks that only tests need; returns its file.
fn checked_kernel(project: &Project) -> Result<String> {
    let mut build = Build::new(project, &["vmm-kernel"]);
    build.profile = "checked".to_owned();
    build.features = vec!["vmm-kernel/checks".to_owned()];
    Ok(build.run_quietly()?.join("vmm-kernel").display().to_string())
}

/// A fault of the kernel's while it writes a line of the log is told, and ends the machine.
fn fault_in_log(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let config = "process abi-test\n  grant log w\n  set role fault-in-log\n  on-end end-machine\n";
    let kernel = checked_kernel(case.project())?;
    let image = Image::new(case.project(), "abi-test")?.set("kernel", &kernel).config(config);
    let mut machine = case.machine(image.pack(&case.file("igvm"))?);
    machine.memory_mib = 256;
    let booted = case.boot(qemu, &machine)?;
    case.expect_outcome(&booted, Outcome::KernelPanic)?;
    case.expect(&booted.log, "breakpoint (vector 3) in the kernel on cpu0")?;
    case.expect(&booted.log, "the machine stops")
}

//! How processes and the machine end: init's policies, and that nothing runs on when the machine has ended.
//! The processes are roles of abi-test.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use plinth_qemu::{Outcome, Qemu, read_text, wait_for};

use crate::image::Image;
use crate::testing::{Case, Suite};

/// A process that dies again and again.
const RESTART: &str = "\
process abi-test
  grant log w
  grant system r
  set role die
  set after-ms 20
  set code 7
  on-end restart
";

/// Two processes: one may end, the other's end is the machine's.
const POLICIES: &str = "\
process abi-test
  grant log w
  set role die
  set code 7
  on-end ignore
process abi-test
  grant log w
  grant system r
  set role die
  set after-ms 300
  set code 0
  on-end end-machine
";

/// One process logs on the second processor, the other ends the machine on the first.
const STOPS: &str = "\
process abi-test
  grant log w
  grant system rc
  set role tick
  set cpu 1
  cpu 1
process abi-test
  grant log w
  grant system rw
  set role end
  set after-ms 500
  set code 5
";

/// What the kernel logs of a process's end.
const ENDED: &str = "kernel: process abi-test ended";

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("restart", |case| restart(case, qemu));
    suite.check("policies", |case| policies(case, qemu));
    suite.check("stops", |case| stops(case, qemu));
    Ok(())
}

/// It is started five times more, each time is told, and then the machine ends.
fn restart(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let log = ends(case, qemu, RESTART)?;
    for text in [
        "abi-test is started again (1 of 5)",
        "abi-test is started again (5 of 5)",
        "abi-test has been started again 5 times; giving up",
    ] {
        case.expect_text("the log", &log, text)?;
    }
    ensure!(count(&log, ENDED) == 6, "abi-test ended {} times, not 6:\n{log}", count(&log, ENDED));
    let again = count(&log, "is started again");
    ensure!(again == 5, "abi-test was started again {again} times, not 5");
    Ok(())
}

/// The end of the first changes nothing for the second.
fn policies(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let log = ends(case, qemu, POLICIES)?;
    ensure!(count(&log, ENDED) == 2, "abi-test ended {} times, not 2:\n{log}", count(&log, ENDED));
    ensure!(count(&log, "is started again") == 0, "a process was started again");
    Ok(())
}

/// One processor ends the machine, and nobody takes note, since isa-debug-exit is elsewhere: no other goes
/// on, though it is in a process.
fn stops(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let mut machine = case.machine(image(case, STOPS)?);
    (machine.memory_mib, machine.processors, machine.exit_port) = (256, 2, 0x4f0);
    let log = case.file("log");
    machine.log = Some(log.clone());
    let running = machine.start(qemu, &case.file("console"))?;
    case.count_boot();
    if let Err(error) = wait_for(&log, "the machine ends: TestsFailed", case.boot_limit()) {
        bail!("{error}:\n{}", read_text(&log));
    }
    let ticks = || count(&read_text(&log), "abi-test: tick");
    let before = ticks();
    // Long enough for hundreds of ticks, if the other processor went on.
    sleep(Duration::from_secs(3));
    let after = ticks();
    running.kill();
    case.record(format_args!("ticks: {before} before, {after} after"));
    // One that was on its way when the count was taken.
    ensure!(before > 10 && after <= before + 1, "{before} ticks before the end, {after} after it");
    Ok(())
}

fn image(case: &Case, config: &str) -> Result<PathBuf> {
    Image::new(case.project(), "abi-test")?.config(config).pack(&case.file("igvm"))
}

/// Boots processes whose end is the machine's, and returns the log.
fn ends(case: &mut Case, qemu: &Qemu, config: &str) -> Result<String> {
    let mut machine = case.machine(image(case, config)?);
    machine.memory_mib = 256;
    let booted = case.boot(qemu, &machine)?;
    case.expect_outcome(&booted, Outcome::ProcessFailure)?;
    case.expect_no_panic(&booted)?;
    Ok(booted.log_text())
}

fn count(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

//! A processor that answers when the guest already runs: it must come into the kernel, not into what the
//! guest left for it at the address where processors start (vmm-user/tests-guest/late.S). QEMU's debugger
//! stub holds it back.

use std::time::Duration;

use anyhow::{Context, Result};
use plinth_qemu::{Gdb, Outcome, Qemu, wait_for};

use super::hostile;
use crate::symbol;
use crate::testing::{Case, Suite};

/// Which part of the hostile guest waits.
const PART: u32 = 11;

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("late-build", |case| hostile::build(case.project()).map(drop));
    suite.check("late-processor", |case| late(case, qemu));
    Ok(())
}

fn late(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let image = hostile::image(case, PART)?;
    let socket = std::env::temp_dir().join(format!("plinth-late-{}", std::process::id()));
    let (console, log) = (case.file("console"), case.file("log"));
    let mut machine = case.machine(image);
    (machine.memory_mib, machine.processors) = (256, 2);
    machine.log = Some(log.clone());
    (machine.gdb, machine.stopped) = (Some(Gdb::place(&socket)), true);
    let limit = case.boot_limit();
    let mut running = machine.start(qemu, &console)?;
    let mut gdb = Gdb::connect(&socket, limit)?;
    // The socket's name is of no use any more.
    std::fs::remove_file(&socket).context("the debugger stub's socket")?;
    // From here on whatever goes wrong is the kernel's.
    case.count_boot();
    // Firmware has done with all processors when the kernel is entered; from there on the first one runs
    // alone.
    gdb.run_to(symbol::address(&case.project().programs().join("vmm-kernel"), "kernel_entry")?)?;
    gdb.resume("vCont;c:1")?;
    let waits = wait_for(&console, "hostile guest: waits", limit);
    // All of them.
    gdb.interrupt()?;
    gdb.stopped()?;
    gdb.resume("vCont;c")?;
    let runs = wait_for(&log, "cpu1 runs", Duration::from_secs(20));
    running.send(b"\n")?;
    let booted = case.finished("late-processor", running.wait(limit)?);
    case.record_lines(&booted.console_text(), &["hostile guest"]);
    case.expect_outcome(&booted, Outcome::TripleFault)?;
    waits.and(runs)?;
    case.expect(&log, "did not start; it is left out")?;
    case.expect(&console, "hostile guest: the start page is not there")?;
    case.expect(&console, "hostile guest: done, as it should be")
}

//! In a boot, every CPUID, MSR, port and MMIO exit was handled by the VMM process: the kernel's own part of
//! the exit table lists what is the host's, and nothing else.

use anyhow::{Result, anyhow, ensure};
use plinth_qemu::{Outcome, Qemu};

use crate::image::Image;
use crate::log;
use crate::matrix;
use crate::testing::{Case, Suite};

/// More exits for memory than this one has no such boot: without the pages of ones where option ROMs would be
/// it has 16,000 more.
const MEMORY_EXITS: u64 = 12_000;

/// What the guest does where an option ROM would be.
const USE_ROM: &str = "devmem 0xc8000 32 0x12345678; echo ROM $(devmem 0xc8000 32)";

/// The check.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("who-handles", |case| who_handles(case, qemu));
    Ok(())
}

fn who_handles(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let mut payload = matrix::payload(case, "6.1")?;
    payload.append = format!("console=ttyS0 quiet plinth.test=\"{USE_ROM}\"");
    let image = Image::new(case.project(), "debian")?.payload(&payload).pack(&case.file("igvm"))?;
    let mut machine = case.machine(image);
    machine.processors = 2;
    let booted = case.boot(qemu, &machine)?;
    matrix::check_exits(case, &booted)?;
    let text = booted.log_text();
    let rows = log::exit_rows(&log::exit_table(&text)).map_err(|error| anyhow!(error))?;
    let memory = rows.iter().filter(|row| row.reason == "memory").map(|row| row.count).sum::<u64>();
    case.expect(&booted.console, "ROM 0xFFFFFFFF")?;
    case.record(format_args!("{memory} exits for memory"));
    ensure!(memory < MEMORY_EXITS, "{memory} exits for memory");
    case.expect_outcome(&booted, Outcome::PowerOff)
}

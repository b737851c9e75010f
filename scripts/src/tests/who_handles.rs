//! In a boot, every CPUID, MSR, port and MMIO exit was handled by the VMM process: the kernel's own part of
//! the exit table lists what is the host's, and nothing else.

use anyhow::Result;
use plinth_qemu::{Outcome, Qemu};

use crate::image::Image;
use crate::matrix;
use crate::testing::{Case, Suite};

/// The check.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    suite.check("who-handles", |case| who_handles(case, qemu));
    Ok(())
}

fn who_handles(case: &mut Case, qemu: &Qemu) -> Result<()> {
    let mut payload = matrix::payload(case, "6.1")?;
    payload.append = "console=ttyS0 quiet plinth.test=true".to_owned();
    let image = Image::new(case.project(), "debian")?.payload(&payload).pack(&case.file("igvm"))?;
    let mut machine = case.machine(image);
    machine.processors = 2;
    let booted = case.boot(qemu, &machine)?;
    matrix::check_exits(case, &booted)?;
    case.expect_outcome(&booted, Outcome::PowerOff)
}

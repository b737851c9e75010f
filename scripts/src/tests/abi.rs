//! The kernel's ABI under abuse: an image whose only process tries everything, with one CPU and with two.

use anyhow::Result;
use plinth_qemu::{Outcome, Qemu};

use crate::image::Image;
use crate::testing::{Case, Suite};

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for processors in [1, 2] {
        suite.check(&format!("abi-{processors}"), |case| abi(case, qemu, processors, &[]));
    }
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
    // The children's faults are many; the suite's own words are few.
    case.note_lines(&booted.log_text(), &["abi-test: abi-test", "abi-test: FAILED", "panic"]);
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    case.expect(&booted.log, &format!("0 failures, {processors} cpus"))?;
    case.expect_no_panic(&booted)
}

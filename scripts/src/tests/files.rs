//! Files that a process serves to others.

use anyhow::Result;
use plinth_qemu::{Outcome, Qemu};

use crate::image::Image;
use crate::testing::{Case, Suite};

/// The checks.
pub fn run(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    for processors in [1, 2] {
        suite.check(&format!("files-{processors}"), |case| files(case, qemu, processors));
    }
    Ok(())
}

/// Two clients of `ram-files`, which `vmm-user/file-test` is both of, find what they have to.
fn files(case: &mut Case, qemu: &Qemu, processors: u32) -> Result<()> {
    let mut machine = case.machine(Image::new(case.project(), "files")?.pack(&case.file("igvm"))?);
    (machine.memory_mib, machine.processors) = (256, processors);
    let booted = case.boot(qemu, &machine)?;
    case.record_lines(&booted.log_text(), &["file-test: ", "ram-files: ", "panic"]);
    case.expect_outcome(&booted, Outcome::TestsPassed)?;
    for role in ["writer", "reader"] {
        let counts = booted.log_text().lines().any(|line| {
            line.split_once(&format!("{role}: "))
                .is_some_and(|(_, counts)| counts.ends_with(" checks, 0 failures"))
        });
        anyhow::ensure!(counts, "the {role} did not end well");
    }
    case.expect_no_panic(&booted)
}

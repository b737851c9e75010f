//! `scripts/soak`: boots each guest many times in a row.

use std::process::ExitCode;

use anyhow::Result;
use plinth_qemu::Qemu;

use crate::project::Project;
use crate::testing::Suite;
use crate::{build, matrix};

/// Boots each guest many times in a row: {6.1, newest} x {1, 2} CPUs x each loader
#[derive(Debug, clap::Args)]
#[command(override_usage = "scripts/soak [ROUNDS]")]
pub struct Options {
    /// How many times
    #[arg(default_value_t = 10, value_name = "ROUNDS")]
    rounds: u32,
}

/// Boots them.
///
/// # Errors
/// When there is no QEMU, or the build fails.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let qemu = Qemu::find(None)?;
    build::plinth(project)?;
    let mut suite = Suite::new(project, &project.work.join("soak"))?;
    matrix::pack(&mut suite);
    for place in matrix::places(&suite, &qemu) {
        for round in 1..=options.rounds {
            suite.check(&format!("soak-{place}-{round}"), |case| matrix::boot(case, &place));
        }
    }
    Ok(if suite.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

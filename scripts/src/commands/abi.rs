//! `scripts/abi`: the tests of the ABI, or one part of them, for as long as wanted.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use plinth_qemu::Qemu;

use crate::project::Project;
use crate::testing::Suite;
use crate::tests::abi::{self, Variant};
use crate::{build, say};

/// How much longer than what a part is told to take it may take.
const MORE_SECONDS: u64 = 300;

/// Runs the tests of the ABI, or one part of them: `fire` takes as long as it is told
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The part: fire, revocation, "run page", ... (the names are in vmm-user/abi-test/src/suite.rs)
    part: Option<String>,
    /// How many processors
    #[arg(long, default_value_t = 4)]
    processors: u32,
    /// Which kernel
    #[arg(long, value_enum, default_value_t = Variant::Checked)]
    kernel: Variant,
    /// How long a part that depends on it goes on
    #[arg(long, default_value_t = 2)]
    seconds: u64,
}

/// Runs it.
///
/// # Errors
/// When there is no QEMU, or something can't be built.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let qemu = Qemu::find(None)?;
    build::plinth(project)?;
    let limit = Duration::from_secs(options.seconds + MORE_SECONDS);
    // Of the part's own: another one may go on for hours beside it.
    let folder = match &options.part {
        Some(part) => project.work.join(format!("abi-{}", part.replace(' ', "-"))),
        None => project.work.join("abi"),
    };
    let mut suite = Suite::new(project, &folder)?.with_boot_limit(limit).with_check_limit(2 * limit);
    let mut settings = vec![format!("seconds {}", options.seconds)];
    settings.extend(options.part.iter().map(|part| format!("only {part}")));
    suite.check("abi", |case| {
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        abi::part_with(case, &qemu, options.kernel, options.processors, &settings)
    });
    // Of a check that passes too, which the suite itself says nothing of.
    for line in suite.checked().iter().flat_map(|checked| checked.words.lines()) {
        say::print(format_args!("{line}\n"))?;
    }
    Ok(if suite.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

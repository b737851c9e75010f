//! `scripts/profile`: where an exit's instructions go.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use plinth_qemu::Qemu;

use crate::bench::Bench;
use crate::profile::{self, Stages, Unit};
use crate::project::Project;
use crate::{build, say};

/// Where an exit's instructions go under Plinth, by source file: what one iteration of a row's loop executes
///
/// QEMU logs every instruction of some thousand iterations, and each is looked up in the line tables of the
/// kernel and the VMM.
#[derive(Debug, clap::Args)]
#[command(override_usage = "scripts/profile ROW [OPTION]...")]
pub struct Options {
    /// A row's id: outu, cpuid, mmiow, ...
    row: String,
    /// By function instead of by file
    #[arg(long, conflicts_with = "stages")]
    functions: bool,
    /// By the stages of an exit, as benches/report/stages.txt has them
    #[arg(long)]
    stages: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The QEMU to use [default: $PLINTH_QEMU, or qemu-system-x86_64]
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
}

/// Runs the row and prints.
///
/// # Errors
/// When something can't be built, or the guest has no such row.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let qemu = Qemu::find(options.qemu.as_deref())?;
    let bench = Bench::new(project, &qemu, &project.scratch("bench")?)?;
    build::plinth(project)?;
    bench.build()?;
    say::say(format_args!("logging {}", options.row));
    let spinner = say::spinner("logging");
    let counts = profile::log_row(&bench, &options.row);
    spinner.finish_and_clear();
    let unit = if options.functions { Unit::Function } else { Unit::File };
    let stages = if options.stages { Some(Stages::read(project)?) } else { None };
    // Only now, so that the spinner is gone when there is an error to show.
    let profile = profile::profile(&bench, &options.row, &counts?, unit, stages.as_ref())?;
    if options.json {
        say::print(format_args!("{}\n", serde_json::to_string_pretty(&profile)?))?;
    } else {
        say::print(&profile)?;
    }
    Ok(ExitCode::SUCCESS)
}

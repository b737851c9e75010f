//! `scripts/decoder-cost`: what decoding and emulating cost.

use std::process::ExitCode;

use anyhow::Result;

use crate::build::cargo;
use crate::command;
use crate::project::Project;

/// Prints what decoding and emulating cost, in executed instructions: the table of docs/benchmarks.md
#[derive(Debug, clap::Args)]
#[command(override_usage = "scripts/decoder-cost [--peer]")]
pub struct Options {
    /// Also print rows of a public emulator crate, which is built for it in some minutes
    #[arg(long)]
    peer: bool,
}

/// Counts and prints.
///
/// # Errors
/// When a build fails.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let quiet = ["run", "--quiet", "--release"];
    command::run(cargo(&project.root).args(quiet).args(["-p", "decoder-oracle", "--bin", "decoder-cost"]))?;
    if options.peer {
        // No member of the workspace, so that nothing else builds what it depends on.
        let manifest = project.root.join("benches/emulator-peer/Cargo.toml");
        command::run(cargo(&project.root).args(quiet).arg("--manifest-path").arg(manifest))?;
    }
    Ok(ExitCode::SUCCESS)
}

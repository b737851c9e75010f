//! `scripts/tpm`: tests the TPM, as a program on the host, with software for TPMs that others wrote.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::project::Project;
use crate::say::say;
use crate::tpm::{compare, missing, server, suite, tools};

/// Tests the TPM with tpm2-tools and random commands, compared with swtpm, and with the test suite of the
/// crate tss-esapi
#[derive(Debug, clap::Args)]
#[command(override_usage = "scripts/tpm [tools] [suite] [differential [--seed N] [--commands N]]")]
pub struct Options {
    /// Which; the first two, if none is named
    #[arg(value_parser = ["tools", "suite", "differential"])]
    which: Vec<String>,
    /// What the random commands begin with
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many random commands, at least
    #[arg(long, default_value_t = 20_000)]
    commands: u64,
}

/// Tests it.
///
/// # Errors
/// When a program is missing, or a build or a server fails.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let names = |name: &str| options.which.iter().any(|which| which == name);
    let wants = |name: &str| options.which.is_empty() || names(name);
    // Before the build.
    if let Some(package) = missing() {
        bail!("Debian's package {package} is missing: apt-get install {package}");
    }
    let program = server::build(project)?;
    let mut failures = 0;
    if wants("tools") {
        let result = tools::compare(project, &program)?;
        result.different.iter().for_each(|line| say(format_args!("{line}")));
        say(format_args!("tools: {} of {} commands as expected", result.same, result.all));
        failures += result.different.len();
    }
    if wants("suite") {
        let result = suite::run(project, &program)?;
        result.failed.iter().for_each(|name| say(format_args!("failed: {name}")));
        say(format_args!("suite: {} passed, {} failed", result.passed, result.failed.len()));
        failures += result.failed.len();
    }
    if names("differential") {
        let compare = compare::build(project)?;
        let seen = compare::codes(project, &compare, &program, options.seed, options.commands)?;
        seen.different.iter().for_each(|line| say(format_args!("{line}")));
        let compare::Seen { sent, succeeded, explained, different } = seen;
        say(format_args!(
            "differential: {sent} commands, {succeeded} executed by both, {explained} differences explained"
        ));
        failures += different.len();
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

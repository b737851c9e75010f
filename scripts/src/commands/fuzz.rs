//! `fuzz/run`: libFuzzer over what reads hostile bytes.

use std::process::ExitCode;

use anyhow::Result;

use crate::fuzz::{Fuzz, targets};
use crate::project::Project;
use crate::say;

/// Fuzzes what reads hostile bytes: each target over its corpus in fuzz/corpus and inputs made of it
///
/// Needs a nightly toolchain and cargo-fuzz (cargo install cargo-fuzz). What is found goes to fuzz/artifacts,
/// new inputs to fuzz/target/corpus. Ends with a line a target: how many executions there were.
#[derive(Debug, clap::Args)]
#[command(override_usage = "fuzz/run [OPTION]... [TARGET]...")]
pub struct Options {
    /// What to fuzz, by the names in fuzz/fuzz_targets; all of them if none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How many inputs a target
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    runs: u64,
    /// Leave in fuzz/corpus the fewest inputs that reach every edge reached, instead of looking for more
    #[arg(long, conflicts_with = "runs")]
    minimise: bool,
    /// A sanitizer, such as address, which builds everything anew
    #[arg(long, value_name = "NAME", default_value = "none")]
    sanitizer: String,
    /// Print the counts as JSON
    #[arg(long, conflicts_with = "minimise")]
    json: bool,
}

/// Fuzzes, or minimises the corpora.
///
/// # Errors
/// When something was found, or what is needed is not installed.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let mut fuzz = Fuzz::new(project)?;
    // Who types the command watches; a test reads the log.
    (fuzz.sanitizer, fuzz.shown) = (options.sanitizer.clone(), true);
    let targets = if options.targets.is_empty() { targets(project)? } else { options.targets.clone() };
    let mut all = Vec::new();
    for target in &targets {
        if options.minimise {
            let count = fuzz.minimise(target)?;
            say::print(format_args!("{target}: {count} inputs reach all that was reached\n"))?;
        } else {
            all.push(fuzz.run(target, options.runs)?);
        }
    }
    if options.json {
        say::print(format_args!("{}\n", serde_json::to_string_pretty(&all)?))?;
    } else {
        all.iter().try_for_each(|executed| say::print(format_args!("{executed}\n")))?;
    }
    Ok(ExitCode::SUCCESS)
}

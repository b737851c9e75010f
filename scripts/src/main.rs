//! The command line of the project's tools: `scripts/NAME` is `xtask NAME`, after what is missing was
//! installed.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::commands::{
    abi, bench, chaos, decoder_cost, fuzz, inspect, lying_hosts, mutants, profile, run, soak, test, tpm,
};
use xtask::project::Project;
use xtask::say;

/// Plinth's tools: builds, images, boots, tests, measurements
#[derive(Parser)]
#[command(name = "xtask", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Abi(abi::Options),
    Bench(bench::Options),
    Chaos(chaos::Options),
    DecoderCost(decoder_cost::Options),
    Fuzz(fuzz::Options),
    Inspect(inspect::Options),
    LyingHosts(lying_hosts::Options),
    Mutants(mutants::Options),
    Profile(profile::Options),
    Run(run::Options),
    Soak(soak::Options),
    Test(test::Options),
    Tpm(tpm::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = Project::open().and_then(|project| match cli.command {
        Command::Abi(options) => abi::run(&project, &options),
        Command::Bench(options) => bench::run(&project, &options),
        Command::Chaos(options) => chaos::run(&project, &options),
        Command::DecoderCost(options) => decoder_cost::run(&project, &options),
        Command::Fuzz(options) => fuzz::run(&project, &options),
        Command::Inspect(options) => inspect::run(&project, &options),
        Command::LyingHosts(options) => lying_hosts::run(&project, &options),
        Command::Mutants(options) => mutants::run(&project, &options),
        Command::Profile(options) => profile::run(&project, &options),
        Command::Run(options) => run::run(&project, &options),
        Command::Soak(options) => soak::run(&project, &options),
        Command::Test(options) => test::run(&project, &options),
        Command::Tpm(options) => tpm::run(&project, &options),
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            // With all of its causes, and without a backtrace: what is wrong is said in words.
            say::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

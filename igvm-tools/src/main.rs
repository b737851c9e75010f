//! The command line: `igvm-tools build|inspect|measure|run`.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use igvm_tools::recipe::Loaded;

/// Builds, inspects, measures and runs Plinth's IGVM images.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build an image from a recipe
    Build(BuildArgs),
}

#[derive(Args)]
struct BuildArgs {
    /// The recipe (JSON; docs/images.md describes it)
    recipe: PathBuf,
    /// The IGVM file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Say something else than the recipe: debug, kernel, files.NAME, payload.NAME, layout.FIELD.
    /// A file is a path relative to the current directory, or text:CONTENTS, or nothing to leave it out
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Where to look for the recipe's relative paths, before its own folder (may be given several times)
    #[arg(long, value_name = "DIR")]
    file_root: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Build(args) => build(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("igvm-tools: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build(args: &BuildArgs) -> anyhow::Result<()> {
    let built = Loaded::read(&args.recipe, &args.file_root, &args.overrides)?.build()?;
    std::fs::write(&args.output, &built.bytes)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    let kib = |bytes: u64| bytes.div_ceil(1024);
    println!(
        "{}: {} KiB; {} KiB of the window, {} KiB of payload",
        args.output.display(),
        kib(built.bytes.len() as u64),
        kib(built.window_used),
        kib(built.payload)
    );
    Ok(())
}

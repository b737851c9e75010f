//! The command line: `igvm-tools build|from-ovmf|inspect|measure|run`.
#![forbid(unsafe_code)]

mod cli;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use cli::from_ovmf::{FromOvmfArgs, from_ovmf};
use cli::measure::{MeasureArgs, measure};
use igvm_tools::inspect::Report;
use igvm_tools::recipe::Loaded;
use igvm_tools::recipe::pages::LoadedPages;
use plinth_qemu::{Boot, Machine, Qemu, shell};
use pvh_loader::file::IgvmFile;

/// Builds, inspects, measures and runs IGVM images: Plinth's, and other guests' for SEV-SNP
#[derive(Parser)]
#[command(version, after_help = "docs/images.md describes recipes, images and measurements.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build an image from a recipe
    Build(BuildArgs),
    /// Make an image for SEV-SNP out of an OVMF image
    FromOvmf(FromOvmfArgs),
    /// List what is in an image
    Inspect(InspectArgs),
    /// Print a digest of what an image loads
    Measure(MeasureArgs),
    /// Run an image in QEMU, its serial port on the terminal
    Run(RunArgs),
}

#[derive(Args)]
struct BuildArgs {
    /// The recipe, a JSON file
    recipe: PathBuf,
    /// The IGVM file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Say something else than the recipe: debug, mitigations, shortcuts, kernel, files.NAME, payload.NAME,
    /// layout.FIELD. A file is what it is in the recipe, contents or a path (relative to the current
    /// directory); text:CONTENTS and file:PATH say which; nothing leaves it out
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Where to look for the recipe's relative paths, before its own folder (may be given several times)
    #[arg(long, value_name = "DIR")]
    file_root: Vec<PathBuf>,
}

#[derive(Args)]
struct InspectArgs {
    /// The IGVM file
    image: PathBuf,
    /// As JSON, addresses and sizes in bytes
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct RunArgs {
    /// The IGVM file
    image: PathBuf,
    /// The QEMU program, instead of $PLINTH_QEMU or qemu-system-x86_64
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
    /// Load by this PVH loader, in any QEMU; without it, by QEMU's own IGVM loader
    #[arg(long, value_name = "PATH")]
    pvh_loader: Option<PathBuf>,
    /// Memory, in MiB, or as in 512M and 2G
    #[arg(long, default_value = "512M", value_parser = mebibytes)]
    mem: u32,
    /// Number of processors
    #[arg(long, default_value_t = 1)]
    smp: u32,
    /// Show the QEMU command and stop
    #[arg(long)]
    print: bool,
    /// More arguments for QEMU
    #[arg(last = true)]
    more: Vec<String>,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Build(args) => build(&args),
        Command::FromOvmf(args) => from_ovmf(&args),
        Command::Inspect(args) => inspect(&args),
        Command::Measure(args) => measure(&args),
        Command::Run(args) => return run(args).unwrap_or_else(|error| report(&error)),
    };
    result.map_or_else(|error| report(&error), |()| ExitCode::SUCCESS)
}

fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("igvm-tools: {error:#}");
    ExitCode::FAILURE
}

/// Writes to standard output; one that is closed is an error, not a panic.
fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

fn build(args: &BuildArgs) -> anyhow::Result<()> {
    // What can't be read is told below, as a recipe of either kind.
    let pages = std::fs::read_to_string(&args.recipe).is_ok_and(|text| LoadedPages::is_meant(&text));
    if pages { build_pages(args) } else { build_plinth(args) }
}

fn build_plinth(args: &BuildArgs) -> anyhow::Result<()> {
    let built = Loaded::read(&args.recipe, &args.file_root, &args.overrides)?.build()?;
    write_image(&args.output, &built.bytes)?;
    let kib = |bytes: u64| bytes.div_ceil(1024);
    print(&format!(
        "{}: {} KiB; {} KiB of the window, {} KiB of payload\n",
        args.output.display(),
        kib(built.bytes.len() as u64),
        kib(built.window_used),
        kib(built.payload)
    ))
}

fn build_pages(args: &BuildArgs) -> anyhow::Result<()> {
    if let Some(first) = args.overrides.first() {
        bail!("--set {first}: a recipe with pages says everything itself");
    }
    let bytes = LoadedPages::read(&args.recipe, &args.file_root)?.build()?;
    write_image(&args.output, &bytes)?;
    print(&format!("{}: {} KiB\n", args.output.display(), bytes.len().div_ceil(1024)))
}

/// Only when nothing can be wrong any more: a mistake in a recipe leaves the old image alone.
fn write_image(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn inspect(args: &InspectArgs) -> anyhow::Result<()> {
    let bytes = cli::read(&args.image)?;
    let report = Report::new(&bytes).with_context(|| args.image.display().to_string())?;
    if args.json {
        print(&(serde_json::to_string_pretty(&report)? + "\n"))
    } else {
        print(&report.to_string())
    }
}

/// An amount of memory in MiB.
fn mebibytes(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.trim_end_matches(['G', 'g']) {
        short if short.len() < text.len() => (short, 1024),
        _ => (text.trim_end_matches(['M', 'm']), 1),
    };
    let amount = number.parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
    amount.ok_or_else(|| "an amount of memory is like 512M or 2G".to_owned())
}

/// Composes QEMU's command as all of the project's tools do, and runs it.
fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    // A file that is corrupt is told here by name; a loader could only say so on a console.
    of_image(&args.image, |_| Ok(()))?;
    let qemu = Qemu::find(args.qemu.as_deref())?;
    let mut machine = Machine::new(match args.pvh_loader {
        Some(loader) => Boot::Pvh { loader, image: args.image },
        None => Boot::Igvm { image: args.image },
    });
    (machine.memory_mib, machine.processors) = (args.mem, args.smp);
    machine.more = args.more.into_iter().map(Into::into).collect();
    let command = machine.command(&qemu)?;
    // After the command was composed: what is wrong with it is told in either case.
    if args.print {
        print(&(shell(&command) + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some((program, arguments)) = command.split_first() else { bail!("no command") };
    let status = std::process::Command::new(program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    // QEMU's own status, where it ended by itself.
    // Where a signal ended it there is none.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Reads and checks a file, and hands it on; errors name it.
fn of_image<T>(path: &Path, then: impl FnOnce(&IgvmFile<'_>) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let check = || {
        let file = IgvmFile::parse(&bytes)?;
        // What lies behind the end that the file itself says is neither loaded nor in the digest.
        if file.bytes().len() != bytes.len() {
            bail!("the file is corrupt: {} bytes after its end", bytes.len() - file.bytes().len());
        }
        then(&file)
    };
    check().with_context(|| path.display().to_string())
}

//! `scripts/bench`: what an exit costs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use plinth_qemu::{Qemu, QemuError};

use crate::bench::{Amount, Bench, QUICK, Side, expected};
use crate::commands::run::Loader;
use crate::project::{Project, write};
use crate::tpm::compare;
use crate::{build, guest_bench, say};

/// What an exit costs, in executed instructions: under Plinth, under Linux KVM, and the floor, on the same
/// emulated machine
///
/// Runs the benchmark's guest on each SIDE and writes to target/bench: exits.json, exits.md (tables) and
/// exits.svg (bars). Results of sides not run now are kept.
#[derive(Debug, clap::Args)]
#[command(override_usage = "scripts/bench [OPTION]... [SIDE]...\n       scripts/bench tpm\n       \
                      scripts/bench guest [--smp N] [--rounds N]")]
pub struct Options {
    /// What to run, of floor, kvm, kvm_off, plinth, plinth_guarded, flat and batch; all of them if none is
    /// named. Or `tpm`: how many commands the TPM executes in a second, and swtpm. Or `guest`: a guest's
    /// start, disk, network and compiler, under Plinth and without
    #[arg(value_name = "SIDE", value_parser = what)]
    sides: Vec<What>,
    /// Take the counts of Plinth and the floor as those to come: writes benches/expected.txt, with which
    /// scripts/test compares (it runs --quick, so give that too)
    #[arg(long)]
    accept: bool,
    /// Put the tables and the picture into docs/
    #[arg(long)]
    publish: bool,
    /// A tenth of the iterations, one round
    #[arg(long)]
    quick: bool,
    /// Print the JSON instead of the tables
    #[arg(long)]
    json: bool,
    /// The QEMU to use, instead of $PLINTH_QEMU or qemu-system-x86_64
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
    /// Who loads Plinth's image: igvm or pvh
    #[arg(long, value_name = "WHICH", default_value = "pvh", value_parser = loader)]
    loader: Loader,
    /// Processors of the machine, for `guest`
    #[arg(long, value_name = "N", default_value_t = 1)]
    smp: u32,
    /// How often `guest` boots each side; the median counts
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: u32,
}

/// A side, the TPM or a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Side(Side),
    Tpm,
    Guest,
}

fn what(name: &str) -> Result<What, String> {
    match name {
        "tpm" => Ok(What::Tpm),
        "guest" => Ok(What::Guest),
        _ => Side::from_str(name, true).map(What::Side),
    }
}

fn loader(name: &str) -> Result<Loader, String> {
    match name {
        "igvm" => Ok(Loader::Igvm),
        "pvh" => Ok(Loader::Pvh),
        _ => Err("it is igvm or pvh".to_owned()),
    }
}

/// Runs the sides and reports.
///
/// # Errors
/// When something can't be built, or a side gives no rows.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    if options.sides.contains(&What::Tpm) {
        ensure!(options.sides.len() == 1, "`tpm` is measured alone");
        let (program, compare) = (compare::build_released(project)?, compare::build(project)?);
        say::print(&compare::rates(project, &compare, &program)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let qemu = Qemu::find(options.qemu.as_deref())?;
    if options.sides.contains(&What::Guest) {
        ensure!(options.sides.len() == 1, "`guest` is measured alone");
        say::print(&guest(project, &qemu, options)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let igvm = options.loader == Loader::Igvm;
    // Before anything is built: the sides that need it come late.
    if igvm && !qemu.has_igvm_loader() {
        return Err(QemuError::NoIgvm { path: qemu.path().into(), version: qemu.version() }.into());
    }
    let mut bench = Bench::new(project, &qemu, &project.target.join("bench"))?;
    bench.igvm = igvm;
    let named = options.sides.iter().filter_map(|what| match what {
        What::Side(side) => Some(*side),
        What::Tpm | What::Guest => None,
    });
    let sides = if options.sides.is_empty() { Side::ALL.to_vec() } else { named.collect() };
    let amount = if options.quick { QUICK } else { Amount { iterations: 5000, rounds: 3 } };
    bench.build()?;
    if sides.iter().any(|side| side.is_plinth()) {
        build::plinth(project)?;
    }
    let bar = say::bar(sides.len() as u64, "sides");
    for side in &sides {
        say::say(format_args!("running {side}"));
        bench.run(*side, amount)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    // Also those of sides that were run before.
    let rows = bench.rows()?;
    let report = bench.report(&rows)?;
    if options.accept {
        write(&project.root.join("benches/expected.txt"), expected::accept(&rows))?;
    }
    if options.publish {
        bench.publish(&report)?;
    }
    say::print(if options.json { &report.json } else { &report.tables })?;
    say::say(format_args!("written: exits.json, exits.md, exits.svg in {}", bench.folder.display()));
    Ok(ExitCode::SUCCESS)
}

/// Boots the guest on each side by turns and returns the table.
fn guest(project: &Project, qemu: &Qemu, options: &Options) -> Result<String> {
    build::plinth(project)?;
    let mut bench = guest_bench::Bench::new(project, qemu, options.smp)?;
    let mut said = guest_bench::Side::ALL.map(|side| (side, Vec::new()));
    for round in 1..=options.rounds {
        for (side, consoles) in &mut said {
            say::say(format_args!("round {round}: the guest on {}", side.name()));
            consoles.push(bench.run(*side)?);
        }
    }
    Ok(guest_bench::table::markdown(&said))
}

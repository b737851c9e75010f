//! `scripts/chaos`: random guests, several at a time, for as long as wanted.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, anyhow};
use plinth_qemu::Qemu;

use crate::chaos::{self, Place};
use crate::project::{Project, make_folder};
use crate::{build, say};

/// Runs random guests, and prints what each seed has found
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The first seed; the others follow it
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many seeds
    #[arg(long, default_value_t = 300)]
    count: u64,
    /// How long each runs
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many at a time
    #[arg(long, default_value_t = 2)]
    jobs: u64,
    /// QEMU, 10 or later
    #[arg(long)]
    qemu: Option<PathBuf>,
    /// QEMU's CPU model, such as max,-cx16
    #[arg(long)]
    cpu: Option<String>,
    /// Where the programs are; they are built otherwise
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Where images, and the logs of findings, go
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Runs them.
///
/// # Errors
/// When something can't be built or started.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let usual = Qemu::find(options.qemu.as_deref())?;
    // A QEMU that the user names is taken, whatever its version.
    let qemu = if options.qemu.is_some() { Some(usual) } else { chaos::qemu(project, &usual) };
    let programs = match &options.programs {
        Some(programs) => programs.clone(),
        None => {
            build::plinth(project)?;
            chaos::build(project)?;
            project.programs()
        }
    };
    let folder = options.folder.clone().unwrap_or_else(|| project.work.join("chaos"));
    make_folder(&folder)?;
    let qemu = qemu.context("random guests need QEMU 10 or later")?;
    let place = Place { project: project.clone(), programs, qemu, cpu: options.cpu.clone(), folder };
    let (next, findings) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || -> Result<()> {
        loop {
            // Whoever is free takes the next one, as guests end at different times.
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= options.count {
                return Ok(());
            }
            let seed = options.first + index;
            let seen = place.run(seed, options.seconds)?;
            findings.fetch_add(u64::from(seen.finding.is_some()), Ordering::Relaxed);
            say::print(format_args!("seed {seed}: {seen}\n"))?;
        }
    };
    // A machine dies with the thread that started it: each thread runs its own to their ends.
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.jobs).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    let findings = findings.into_inner();
    say::print(format_args!("{} seeds of {} s, {findings} findings\n", options.count, options.seconds))?;
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

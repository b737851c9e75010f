//! `scripts/soak`: boots each guest many times in a row; or has a second processor change the pages that the
//! kernel shares, for as long as one wants; or boots from disks, or with devices in processes of their own;
//! or kills one; or has a guest reset its machine; or kills QEMU.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use plinth_qemu::Qemu;

use crate::project::Project;
use crate::testing::Suite;
use crate::tests::{abi, devices, disk, resets, root};
use crate::{build, matrix};

/// Seeds of page races in one machine: each takes two seconds, or more on a busy host, and the ABI's tests
/// wait 200 s for a part.
const SEEDS: u64 = 20;

/// How long any number of kills, resets, or cuts may take.
const KILLS_LIMIT: Duration = Duration::from_secs(7200);

/// Boots each guest many times in a row: {6.1, newest} x {1, 2} CPUs x each loader
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "scripts/soak [ROUNDS]\n       scripts/soak --page-race SEEDS [--first SEED]\n       \
                      scripts/soak --disk ROUNDS\n       scripts/soak --devices ROUNDS\n       \
                      scripts/soak --device-kills TIMES\n       scripts/soak --resets TIMES\n       \
                      scripts/soak --cuts TIMES"
)]
pub struct Options {
    /// How many times
    #[arg(default_value_t = 10, value_name = "ROUNDS")]
    rounds: u32,
    /// Instead: from so many seeds, two seconds each, a second processor changes run page and batch page
    /// while the first one runs the vCPU
    #[arg(long, value_name = "SEEDS")]
    page_race: Option<u64>,
    /// Instead: Debian from its root disk, {6.1, 6.12, newest} x {the kernel for clouds, for any machine} x
    /// {1, 2, 4} CPUs, so many times each
    #[arg(long, value_name = "ROUNDS", conflicts_with_all = ["page_race", "devices"])]
    disk: Option<u32>,
    /// Instead: Debian with serial port, clock and example device in processes of their own, so many times
    /// with one processor and with four
    #[arg(long, value_name = "ROUNDS", conflicts_with = "page_race")]
    devices: Option<u32>,
    /// Instead: the processes of serial port, clock and example device are ended so many times at random
    /// moments, while four processors use all three
    #[arg(long, value_name = "TIMES", conflicts_with_all = ["page_race", "devices", "disk"])]
    device_kills: Option<u32>,
    /// Instead: a small guest on two processors resets its machine so many times, at most 255
    #[arg(long, value_name = "TIMES", conflicts_with_all = ["page_race", "devices", "disk", "device_kills"])]
    resets: Option<u8>,
    /// Instead: QEMU is killed so many times while a guest writes to an encrypted disk with a journaling file
    /// system
    #[arg(
        long,
        value_name = "TIMES",
        conflicts_with_all = ["page_race", "devices", "disk", "device_kills", "resets"]
    )]
    cuts: Option<u32>,
    /// The first of those seeds
    #[arg(long, value_name = "SEED", default_value_t = 100, requires = "page_race")]
    first: u64,
}

/// Boots them.
///
/// # Errors
/// When there is no QEMU, or the build fails.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let qemu = Qemu::find(None)?;
    build::plinth(project)?;
    // Each with a folder of its own: one may go on for hours beside another.
    let folder = match options {
        Options { page_race: Some(_), .. } => "soak-page-race",
        Options { devices: Some(_), .. } => "soak-devices",
        Options { disk: Some(_), .. } => "soak-disk",
        Options { device_kills: Some(_), .. } => "soak-device-kills",
        Options { resets: Some(_), .. } => "soak-resets",
        Options { cuts: Some(_), .. } => "soak-cuts",
        _ => "soak",
    };
    let mut suite = Suite::new(project, &project.work.join(folder))?;
    if options.cuts.is_some() {
        suite = suite.with_check_limit(KILLS_LIMIT);
    }
    if options.device_kills.is_some() || options.resets.is_some() {
        suite = suite.with_boot_limit(KILLS_LIMIT).with_check_limit(KILLS_LIMIT);
    }
    if let Some(seeds) = options.page_race {
        page_race(&mut suite, &qemu, options.first, seeds);
    } else if let Some(rounds) = options.devices {
        device_boots(&mut suite, &qemu, rounds);
    } else if let Some(rounds) = options.disk {
        root::soak(&mut suite, &qemu, rounds);
    } else if let Some(times) = options.device_kills {
        suite.check("device-kills", |case| devices::kills(case, &qemu, times, 4));
    } else if let Some(times) = options.cuts {
        suite.check("cuts", |case| disk::cuts(case, &qemu, times));
    } else if let Some(times) = options.resets {
        suite.check("resets", |case| resets::resets(case, &qemu, times.into()));
    } else {
        guests(&mut suite, &qemu, options.rounds);
    }
    Ok(if suite.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn guests(suite: &mut Suite, qemu: &Qemu, rounds: u32) {
    matrix::pack(suite);
    for place in matrix::places(suite, qemu) {
        for round in 1..=rounds {
            suite.check(&format!("soak-{place}-{round}"), |case| matrix::boot(case, &place));
        }
    }
}

fn device_boots(suite: &mut Suite, qemu: &Qemu, rounds: u32) {
    for round in 1..=rounds {
        // One, where vCPU and device take turns, and several that come to the device at once.
        for processors in [1, 4] {
            suite.check(&format!("devices-{processors}-{round}"), |case| {
                let (kept, free) = devices::everything(case, qemu, processors)?;
                case.record(format_args!("{kept} KiB kept, {free} KiB of them free"));
                Ok(())
            });
        }
    }
}

fn page_race(suite: &mut Suite, qemu: &Qemu, first: u64, seeds: u64) {
    let end = first.saturating_add(seeds);
    for first in (first..end).step_by(SEEDS as usize) {
        // The last machine has what is left.
        let count = SEEDS.min(end - first);
        suite.check(&format!("page-race-{first}"), |case| abi::page_race(case, qemu, first, count));
    }
}

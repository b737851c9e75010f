//! `scripts/test`: runs every test, ends with a line of counts.

use std::process::ExitCode;

use anyhow::Result;
use plinth_qemu::Qemu;

use super::mutants;
use crate::project::Project;
use crate::testing::Suite;
use crate::tests::{GROUPS, Group, Lane};
use crate::{build, say};

/// Builds, runs every test, ends with a line of counts
#[derive(Debug, clap::Args)]
#[command(override_usage = "scripts/test [OPTION]... [PATTERN]...")]
pub struct Options {
    /// Only the groups whose name has one of these in it (10-host, boot, ...)
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// List the groups and stop
    #[arg(long)]
    list: bool,
}

/// Runs the tests.
///
/// # Errors
/// When there is no QEMU, or the build fails.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let wanted = |name: &str| {
        options.patterns.is_empty() || options.patterns.iter().any(|pattern| name.contains(pattern))
    };
    let mut groups: Vec<_> =
        GROUPS.iter().chain([&mutants::GROUP]).filter(|group| wanted(group.name)).collect();
    // The numbers in the names are the order, in each lane.
    groups.sort_by_key(|group| group.name);
    if options.list {
        groups.iter().try_for_each(|group| say::print(format_args!("{}\n", group.name)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let qemu = Qemu::find(None)?;
    build::plinth(project)?;
    let folder = project.work.join("tests");
    let mut suite = Suite::new(project, &folder)?;
    let mut beside = Suite::new(project, &folder.join("beside"))?;
    let (boots, computes): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.lane == Lane::Boots);
    // With one core the second lane would only take the first one's time.
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        std::thread::scope(|scope| {
            scope.spawn(|| run_lane(&computes, &mut beside, &qemu));
            run_lane(&boots, &mut suite, &qemu);
        });
    } else {
        run_lane(&computes, &mut beside, &qemu);
        run_lane(&boots, &mut suite, &qemu);
    }
    suite.take_over(beside);
    Ok(if suite.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs groups one after the other.
fn run_lane(groups: &[&Group], suite: &mut Suite, qemu: &Qemu) {
    for group in groups {
        if let Err(error) = (group.run)(suite, qemu) {
            // A group that does not even begin is a failure that is counted, and the others still run.
            suite.check(group.name, |_| Err(error));
        }
    }
}

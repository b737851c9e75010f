//! `scripts/test`: runs every test, ends with a line of counts.

mod shell;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use plinth_qemu::Qemu;

use super::mutants;
use crate::build;
use crate::project::Project;
use crate::testing::Suite;
use crate::tests::{GROUPS, Group};

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

/// A group of tests.
enum Tests {
    /// In this program.
    Here(&'static Group),
    /// In a shell script.
    Shell(PathBuf),
}

/// Runs the tests.
///
/// # Errors
/// When there is no QEMU, or the build fails.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let wanted = |name: &str| {
        options.patterns.is_empty() || options.patterns.iter().any(|pattern| name.contains(pattern))
    };
    let mut groups: Vec<_> = all(project)?.into_iter().filter(|(name, _)| wanted(name)).collect();
    groups.sort_by(|(left, _), (right, _)| left.cmp(right));
    if options.list {
        groups.iter().try_for_each(|(name, _)| crate::say::print(format_args!("{name}\n")))?;
        return Ok(ExitCode::SUCCESS);
    }
    let qemu = Qemu::find(None)?;
    build::plinth(project)?;
    let mut suite = Suite::new(project, &project.work.join("tests"))?;
    for (name, tests) in &groups {
        match tests {
            Tests::Here(group) => {
                if let Err(error) = (group.run)(&mut suite, &qemu) {
                    suite.check(name, |_| Err(error));
                }
            }
            Tests::Shell(file) => shell::run(&mut suite, file)?,
        }
    }
    Ok(if suite.finish() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn all(project: &Project) -> Result<Vec<(String, Tests)>> {
    let here =
        GROUPS.iter().chain([&mutants::GROUP]).map(|group| (group.name.to_owned(), Tests::Here(group)));
    let scripts = shell::scripts(project)?.into_iter().map(|file| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, Tests::Shell(file))
    });
    Ok(here.chain(scripts).collect())
}

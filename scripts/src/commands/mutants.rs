//! `scripts/mutants`: breaks Plinth in each way of a list, and sees that a test notices.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use plinth_qemu::Qemu;

use crate::mutants::{self, Mutant, Record, Report, Verdict, Workshop};
use crate::project::{Project, write};
use crate::testing::Suite;
use crate::tests::{Group, Lane, group};
use crate::{build, say};

/// Breaks Plinth in each way of a list (scripts/mutants.d), and sees that a test notices
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Only this mutant; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only this many, others with each commit, of those that are recorded as killed
    #[arg(long, value_name = "COUNT")]
    rotate: Option<usize>,
    /// Only those that are not recorded as killed
    #[arg(long)]
    new: bool,
    /// List the mutants and stop
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write down which were killed (scripts/mutants.d/killed.txt)
    #[arg(long)]
    record: bool,
    /// Where the copy of the source and its builds go, and results.txt and results.json
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Runs them.
///
/// # Errors
/// When the list is wrong, or Plinth itself can't be built.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let mutants = chosen(project, options)?;
    if options.list {
        mutants.iter().try_for_each(|Mutant { name, file, .. }| {
            say::print(format_args!("{name:<44} {}\n", file.display()))
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before the build, which takes longer.
    let qemu = Qemu::find(None)?;
    build::plinth(project)?;
    let folder = options.folder.clone().unwrap_or_else(|| project.target.join("mutants"));
    let reports = tried(project, &qemu, &folder, &mutants, |report| {
        // Each as soon as it is known: whoever ends a run of hours keeps what it has found.
        if options.record {
            Record::update(project, std::slice::from_ref(report))?;
        }
        // Standard output is for the JSON alone, at the end.
        if options.json {
            say::say(report);
            return Ok(());
        }
        Ok(say::print(format_args!("{report}\n"))?)
    })?;
    let json = serde_json::Value::from(reports.iter().map(Report::json).collect::<Vec<_>>());
    let text: String = reports.iter().map(|report| format!("{report}\n")).collect();
    // In both forms, whatever was printed: a run takes hours.
    write(&folder.join("results.json"), format!("{json:#}\n"))?;
    write(&folder.join("results.txt"), text + &counts(&reports) + "\n")?;
    say::print(if options.json { format!("{json:#}\n") } else { format!("\n{}\n", counts(&reports)) })?;
    Ok(if reports.iter().all(Report::is_killed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(project: &Project, options: &Options) -> Result<Vec<Mutant>> {
    let all = mutants::all(project)?;
    for name in &options.only {
        // A name with a mistake in it would choose nothing, which looks like success.
        ensure!(all.iter().any(|mutant| mutant.name == *name), "there is no mutant {name}; see --list");
    }
    let records = Record::read(project)?;
    let is_new = |mutant: &Mutant| records.iter().all(|record| record.name != mutant.name);
    let is_wanted = |mutant: &Mutant| {
        (options.only.is_empty() || options.only.contains(&mutant.name)) && (!options.new || is_new(mutant))
    };
    let wanted = all.into_iter().filter(is_wanted).collect();
    Ok(match options.rotate {
        Some(count) => mutants::rotating(project, wanted, &records, count),
        None => wanted,
    })
}

/// Tries them one by one; each report goes to `take` as soon as it is there.
fn tried(
    project: &Project,
    qemu: &Qemu,
    folder: &std::path::Path,
    mutants: &[Mutant],
    take: impl Fn(&Report) -> Result<()>,
) -> Result<Vec<Report>> {
    // One for all, so that each build has little to do.
    let mut workshop = Workshop::new(project, qemu, folder)?;
    workshop.baselines(mutants, |line| say::say(line))?;
    let try_one = |mutant| {
        let report = workshop.test(mutant);
        take(&report)?;
        Ok(report)
    };
    mutants.iter().map(try_one).collect()
}

fn counts(reports: &[Report]) -> String {
    let count = |is: fn(&Verdict) -> bool| reports.iter().filter(|report| is(&report.verdict)).count();
    format!(
        "{} killed, {} survived, {} stale, {} not tried",
        count(|verdict| matches!(verdict, Verdict::Killed(..))),
        count(|verdict| matches!(verdict, Verdict::Survived)),
        count(|verdict| matches!(verdict, Verdict::Stale(_))),
        count(|verdict| matches!(verdict, Verdict::NotTried(_))),
    )
}

/// How many `scripts/test` tries.
const FEW: usize = 6;

/// The group of `scripts/test`: a few of those that were killed are killed again, others with each commit.
pub const GROUP: Group = group("60-mutants", few, Lane::Boots);

fn few(suite: &mut Suite, qemu: &Qemu) -> Result<()> {
    let project = suite.project().clone();
    let records = Record::read(&project)?;
    let mutants = mutants::rotating(&project, mutants::all(&project)?, &records, FEW);
    let mut workshop = Workshop::new(&project, qemu, &project.target.join("mutants"))?;
    // Only what passes without a change can tell by its failure that it has noticed one.
    suite.check("mutants-baselines", |case| workshop.baselines(&mutants, |line| case.record(line)));
    for mutant in &mutants {
        suite.check(&format!("mutant-{}", mutant.name), |case| {
            let report = workshop.test(mutant);
            case.record(&report);
            ensure!(report.is_killed(), "{}", report.word());
            Ok(())
        });
    }
    Ok(())
}

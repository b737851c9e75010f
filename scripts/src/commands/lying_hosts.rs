//! `scripts/lying-hosts`: boots on many hosts that lie, each by a seed.

use std::process::ExitCode;

use anyhow::Result;
use plinth_qemu::Qemu;

use crate::build;
use crate::lying_host::{self, End, Host, Lie};
use crate::project::Project;
use crate::say;
use crate::testing::Suite;
use crate::tests::hostile;

/// Boots on many lying hosts, one after the other; prints the seeds whose end nobody explains
#[derive(Debug, clap::Args)]
#[command(override_usage = "scripts/lying-hosts [OPTION]...")]
pub struct Options {
    /// How many
    #[arg(long, default_value_t = 1000)]
    count: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Boots them.
///
/// # Errors
/// When there is no QEMU, or the build fails.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let qemu = Qemu::find(None)?;
    build::plinth(project)?;
    let mut suite = Suite::new(project, &project.work.join("lying-hosts"))?;
    let mut findings = Vec::new();
    let (mut ran, mut refused) = (0, 0);
    suite.check("hosts", |case| {
        hostile::build(project)?;
        let host = Host::new(case, &qemu, hostile::image(case, lying_host::PART)?);
        let bar = say::bar(options.count, "lying hosts");
        for seed in options.seed..options.seed + options.count {
            let lie = Lie::from_seed(seed);
            match host.boot(&lie, &case.sibling(&seed.to_string())) {
                Ok(End::Ran) => ran += 1,
                Ok(End::Refused(_)) => refused += 1,
                // A finding ends nothing: the other seeds are wanted as well.
                Err(error) => findings.push(format!("seed {seed}: {lie}: {error:#}")),
            }
            bar.inc(1);
        }
        Ok(())
    });
    findings.iter().for_each(|finding| suite.line(finding));
    suite.line(&format!(
        "{ran} ran the guest, {refused} were refused with words, {} findings",
        findings.len()
    ));
    // The suite has counted one check, which passed if all hosts were tried.
    Ok(if suite.finish() && findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `scripts/tpm`: tests the TPM, as a program on the host, with software for TPMs that others wrote.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::command;
use crate::project::Project;
use crate::say::say;
use crate::tpm::{server, suite, tools};

/// What Debian's packages have to be there for, and a program or file of each.
const NEEDED: [(&str, &str); 3] = [
    ("tpm2-tools", "command -v tpm2_getrandom"),
    ("swtpm", "command -v swtpm"),
    ("libtss2-dev", "test -e /usr/include/tss2/tss2_esys.h"),
];

/// Tests the TPM with tpm2-tools, compared with swtpm, and with the test suite of the crate tss-esapi
#[derive(Debug, clap::Args)]
#[command(override_usage = "scripts/tpm [tools] [suite]")]
pub struct Options {
    /// Which; both, if none is named
    #[arg(value_parser = ["tools", "suite"])]
    which: Vec<String>,
}

/// Tests it.
///
/// # Errors
/// When a program is missing, or a build or a server fails.
pub fn run(project: &Project, options: &Options) -> Result<ExitCode> {
    let wants = |name: &str| options.which.is_empty() || options.which.iter().any(|which| which == name);
    // Before the build, and by what is used of each package.
    for (package, test) in NEEDED {
        if !command::succeeds(std::process::Command::new("sh").args(["-c", test])) {
            bail!("Debian's package {package} is missing: apt-get install {package}");
        }
    }
    let program = server::build(project)?;
    let mut failures = 0;
    if wants("tools") {
        let result = tools::compare(project, &program)?;
        result.different.iter().for_each(|line| say(format_args!("{line}")));
        say(format_args!("tools: {} of {} commands as expected", result.same, result.all));
        failures += result.different.len();
    }
    if wants("suite") {
        let result = suite::run(project, &program)?;
        result.failed.iter().for_each(|name| say(format_args!("failed: {name}")));
        say(format_args!("suite: {} passed, {} failed", result.passed, result.failed.len()));
        failures += result.failed.len();
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

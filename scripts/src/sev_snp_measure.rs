//! PyPI's `sev-snp-measure`: a program that computes launch digests, and that others trust. It is installed
//! into an environment of its own in the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::quietly;
use crate::project::{Project, make_folder, write};
use crate::say;

/// The version, and the digest of its only file.
const REQUIREMENT: &str = "sev-snp-measure==0.0.13 \
    --hash=sha256:feda1aebe69dcbf38e9c636ed1d082bb7dc741fc6969f197d39faddb72b2762d\n";
const FOLDER: &str = "sev-snp-measure-0.0.13";

/// Returns the program, which is installed where it is not there yet.
///
/// # Errors
/// When there is no Python with `venv`, or PyPI can't be reached.
pub fn program(project: &Project) -> Result<PathBuf> {
    let folder = project.cache.join(FOLDER);
    let program = folder.join("bin/sev-snp-measure");
    if program.exists() {
        return Ok(program);
    }
    say::say("installing sev-snp-measure from PyPI");
    // What an interrupted installation has left has no such program.
    let log = project.work.join("sev-snp-measure.log");
    let mut environment = Command::new("python3");
    quietly(environment.args(["-m", "venv", "--clear"]).arg(&folder), &log)
        .context("python3 with venv is needed (Debian's package python3-venv)")?;
    let requirements = project.work.join("sev-snp-measure.txt");
    make_folder(&project.work)?;
    write(&requirements, REQUIREMENT)?;
    let mut install = Command::new(folder.join("bin/python3"));
    // What it depends on is needed for another of its programs alone.
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    install.args(["--require-hashes", "--requirement"]).arg(&requirements);
    quietly(&mut install, &log).context("PyPI can't be reached")?;
    ensure!(program.exists(), "the package has no {}", program.display());
    Ok(program)
}

/// The command that prints the launch digest of SEV-SNP for these options.
pub fn command(program: &Path, rom: &Path, options: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(["--mode", "snp", "--ovmf"]).arg(rom).args(options);
    command
}

//! The TPM as a program on the host, tested by what others wrote for TPMs, and its engine as a package that
//! others may take.

use std::path::Path;

use anyhow::{Result, ensure};
use plinth_qemu::Qemu;

use crate::build::cargo;
use crate::testing::{Case, Suite};
use crate::tpm::{missing, server, suite, tools};

/// The engine's package.
const ENGINE: &str = "tpm2-engine";
/// How many tests tss-esapi's suite has.
const TESTS: usize = 401;

/// The checks.
pub fn run(suite: &mut Suite, _: &Qemu) -> Result<()> {
    suite.check("tpm-package", package);
    if let Some(package) = missing() {
        suite.line(&format!("skipped tpm-tools, tpm-suite: need {package}"));
        return Ok(());
    }
    let mut program = None;
    suite.check("tpm-build", |case| {
        program = Some(server::build(case.project())?);
        Ok(())
    });
    let Some(program) = program else { return Ok(()) };
    suite.check("tpm-tools", |case| compare(case, &program));
    suite.check("tpm-suite", |case| all_of_suite(case, &program));
    Ok(())
}

/// tpm2-tools' commands do the same here and on swtpm.
fn compare(case: &mut Case, program: &Path) -> Result<()> {
    let compared = tools::compare(case.project(), program)?;
    compared.different.iter().for_each(|line| case.record(line));
    case.record(format_args!("{} of {} commands as expected", compared.same, compared.all));
    ensure!(compared.different.is_empty() && compared.all >= 60, "commands differ");
    Ok(())
}

/// The crate's suite passes, all of it.
fn all_of_suite(case: &mut Case, program: &Path) -> Result<()> {
    let done = suite::run(case.project(), program)?;
    done.failed.iter().for_each(|name| case.record(format_args!("failed: {name}")));
    case.record(format_args!("{} passed, {} failed", done.passed, done.failed.len()));
    ensure!(done.failed.is_empty(), "{} failed", done.failed.len());
    ensure!(done.passed == TESTS, "{} tests were run", done.passed);
    Ok(())
}

/// The engine is packed, documented without a warning, and needs nothing of Plinth's.
fn package(case: &mut Case) -> Result<()> {
    let root = case.project().root.clone();
    let target = case.project().target.clone();
    // It is built by other checks; in the package's own folder it would be built a second time. What is not
    // committed yet is no mistake of the package's.
    let mut package = cargo(&root);
    package.args(["package", "-p", ENGINE, "--no-verify", "--allow-dirty"]);
    let said = case.run(package.arg("--target-dir").arg(&target))?;
    ensure!(!said.contains("warning") && !case.words().contains("warning"), "the package has a warning");
    let mut tree = cargo(&root);
    let tree = case.run(tree.args(["tree", "-p", ENGINE, "--edges", "normal", "--prefix", "none"]))?;
    // Only a package of this workspace has its folder behind its name.
    let own: Vec<_> = tree.lines().filter(|line| line.contains(" (/")).collect();
    ensure!(own.len() == 1, "the engine needs packages of the project's: {own:?}");
    let mut doc = cargo(&root);
    doc.args(["doc", "-p", ENGINE, "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    case.run(doc.arg("--target-dir").arg(&target)).map(drop)
}

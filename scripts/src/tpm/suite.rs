//! The test suite of the crate tss-esapi, as it is on crates.io, against Plinth's TPM.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::server::Server;
use crate::command;
use crate::project::{Project, make_folder, read, write};

const VERSION: &str = "7.7.0";

/// The result of the suite.
#[derive(Debug)]
pub struct Passed {
    /// Tests that passed.
    pub passed: usize,
    /// The names of those that did not.
    pub failed: Vec<String>,
}

/// Copies the crate's source from cargo's registry to a folder of ours, where it can be built.
fn source(folder: &Path) -> Result<PathBuf> {
    let (stub, copy) = (folder.join("stub"), folder.join(format!("tss-esapi-{VERSION}")));
    make_folder(&stub.join("src"))?;
    let manifest = format!(
        "[package]\nname = \"stub\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         tss-esapi = \"={VERSION}\"\n"
    );
    write(&stub.join("Cargo.toml"), manifest)?;
    write(&stub.join("src/lib.rs"), "")?;
    // Cargo fetches the crate, checks it, and says where it has it.
    let mut metadata = Command::new("cargo");
    metadata.args(["metadata", "--format-version", "1"]).current_dir(&stub);
    let metadata: serde_json::Value = serde_json::from_str(&command::output(&mut metadata)?)?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    let package = packages.iter().find(|package| package["name"] == "tss-esapi");
    let manifest = package.and_then(|package| package["manifest_path"].as_str()).context("no tss-esapi")?;
    let registry = Path::new(manifest).parent().context("a manifest is in a folder")?;
    // Once: the version is fixed, and building it takes minutes.
    if !copy.exists() {
        command::run(Command::new("cp").arg("-r").arg(registry).arg(&copy))?;
        // It lies within this project, and is no part of its workspace.
        let manifest = copy.join("Cargo.toml");
        let text = read(&manifest)? + "\n[workspace]\n";
        write(&manifest, text)?;
    }
    Ok(copy)
}

/// Builds the tests and returns the program with them.
fn build(source: &Path) -> Result<PathBuf> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--no-run", "--test", "integration_tests"]);
    // The scripts name this project's target folder, where nothing of the suite belongs.
    let target = source.join("target");
    command::run(cargo.current_dir(source).env("CARGO_TARGET_DIR", &target))?;
    let programs = fs::read_dir(target.join("debug/deps"))?.filter_map(Result::ok);
    let paths = programs.map(|entry| entry.path()).filter(|path| path.extension().is_none());
    let is_test = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("integration_tests-"))
    };
    paths
        .filter(is_test)
        // Earlier builds have left theirs, with other hashes in the names.
        .max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
        .context("no test")
}

/// Reads what the test program prints.
fn parse(text: &str) -> Passed {
    let results = text.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    let mut passed = Passed { passed: 0, failed: Vec::new() };
    for (name, result) in results {
        match result {
            "ok" => passed.passed += 1,
            // Its authors do not run it either.
            result if result.starts_with("ignored") => {}
            _ => passed.failed.push(name.to_owned()),
        }
    }
    passed
}

/// The results in what the test program printed. `succeeded`: what its exit status says.
fn finished(text: &str, succeeded: bool) -> Result<Passed> {
    // The program prints its last line when all tests were run: without it, some were not.
    ensure!(text.lines().any(|line| line.starts_with("test result: ")), "the suite did not run to its end");
    let passed = parse(text);
    ensure!(succeeded == passed.failed.is_empty(), "the suite's status is not that of its tests");
    Ok(passed)
}

/// Runs the suite, one test after the other.
///
/// # Errors
/// When it can't be had, built or started, or does not run to its end.
pub fn run(project: &Project, program: &Path) -> Result<Passed> {
    let folder = project.work.join("tpm-suite");
    let tests = build(&source(&folder)?)?;
    let server = Server::start(program, &folder.join("state"))?;
    let mut command = Command::new(tests);
    // One after the other, as all of them use the one TPM.
    command.arg("--test-threads=1").env("TEST_TCTI", server.tcti()).env("TSS2_LOG", "all+NONE");
    let output = command::captured(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    finished(&text, output.status.success()).with_context(|| {
        let (said, status) = (String::from_utf8_lossy(&output.stderr), output.status);
        format!("{status}\n{}\n{}", command::last_lines(&text, 10), command::last_lines(&said, 10))
    })
}

#[cfg(test)]
mod tests {
    use super::{finished, parse};

    #[test]
    fn a_suite_that_ends_early_has_not_passed() {
        let start = "running 2 tests\ntest a ... ok\n";
        assert!(finished(&(start.to_owned() + "test b ... "), false).is_err());
        assert!(finished(start, true).is_err());
        let end = start.to_owned() + "test b ... ok\n\ntest result: ok. 2 passed\n";
        assert!(finished(&end, false).is_err());
        assert_eq!(finished(&end, true).unwrap().passed, 2);
        let failed = start.to_owned() + "test b ... FAILED\n\ntest result: FAILED. 1 passed\n";
        assert!(finished(&failed, true).is_err());
        assert_eq!(finished(&failed, false).unwrap().failed, ["b"]);
    }

    #[test]
    fn results_are_read() {
        let text = "running 3 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... ignored, why\n\n\
                    test result: FAILED. 1 passed\n";
        let passed = parse(text);
        assert_eq!((passed.passed, passed.failed), (1, vec!["c".to_owned()]));
    }
}

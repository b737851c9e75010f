//! The test suite of the crate tss-esapi, as it is on crates.io, against Plinth's TPM.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

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
            result if result.starts_with("ignored") => {}
            _ => passed.failed.push(name.to_owned()),
        }
    }
    passed
}

/// Runs the suite, one test after the other.
///
/// # Errors
/// When it can't be had, built or started.
pub fn run(project: &Project, program: &Path) -> Result<Passed> {
    let folder = project.work.join("tpm-suite");
    let tests = build(&source(&folder)?)?;
    let server = Server::start(program, &folder.join("state"))?;
    let mut command = Command::new(tests);
    // One after the other, as all of them use the one TPM.
    command.arg("--test-threads=1").env("TEST_TCTI", server.tcti()).env("TSS2_LOG", "all+NONE");
    Ok(parse(&String::from_utf8_lossy(&command::captured(&mut command)?.stdout)))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn results_are_read() {
        let text = "running 3 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... ignored, why\n\n\
                    test result: FAILED. 1 passed\n";
        let passed = parse(text);
        assert_eq!((passed.passed, passed.failed), (1, vec!["c".to_owned()]));
    }
}

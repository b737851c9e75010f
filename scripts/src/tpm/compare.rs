//! Plinth's TPM and Debian's swtpm side by side, by the program `tpm2-compare`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::server::Server;
use crate::build;
use crate::command;
use crate::project::Project;

/// Commands of a seed, after which both TPMs are made anew.
const COMMANDS: u64 = 2000;

/// A TPM in memory, where no disk makes one side slower than the other.
const IN_MEMORY: &str = "/dev/shm";

/// What a differential run has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Commands that were sent to each.
    pub sent: u64,
    /// Of these, commands that both executed.
    pub succeeded: u64,
    /// Differences that `docs/vtpm.md` explains.
    pub explained: u64,
    /// The others: what the program printed of them.
    pub different: Vec<String>,
}

/// Builds `tpm2-compare` and returns where it is.
///
/// # Errors
/// When the build fails.
pub fn build(project: &Project) -> Result<PathBuf> {
    let mut cargo = build::cargo(&project.root);
    cargo.args(["build", "--profile", "dev", "--package", "tpm2-compare"]);
    command::run(cargo.arg("--target-dir").arg(&project.target))?;
    Ok(project.target.join("debug/tpm2-compare"))
}

/// Builds Plinth's TPM as it is released, and returns where it is.
///
/// # Errors
/// When the build fails.
pub fn build_released(project: &Project) -> Result<PathBuf> {
    let mut cargo = build::cargo(&project.root);
    cargo.args(["build", "--release", "--package", "tpm2-socket"]);
    command::run(cargo.arg("--target-dir").arg(&project.target))?;
    Ok(project.target.join("release/tpm2-socket"))
}

/// Runs `tpm2-compare` with arguments on two new TPMs and returns what it prints.
fn compared(project: &Project, program: &Path, ours: &Path, arguments: &[&str]) -> Result<String> {
    let memory = Path::new(IN_MEMORY);
    // Of this process alone, as others may compare at the same time.
    let folder = match memory.is_dir() {
        true => memory.join(format!("plinth-tpm-{}", std::process::id())),
        false => project.scratch("tpm-compare")?,
    };
    let theirs = Server::start(Path::new("swtpm"), &folder.join("swtpm"));
    let ours = Server::start(ours, &folder.join("plinth"));
    let result = ours.and_then(|ours| {
        // Both are held until the program has ended: a server that goes is stopped.
        let theirs = theirs?;
        let mut command = Command::new(program);
        command.args(["--ours", &ours.place(), "--theirs", &theirs.place()]).args(arguments);
        command::captured(&mut command)
    });
    // Only now: the servers have ended.
    let _ = std::fs::remove_dir_all(&folder);
    let output = result?;
    let (text, errors) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    // A difference is in what it prints; an error is not.
    ensure!(errors.is_empty(), "tpm2-compare: {errors}");
    String::from_utf8(text).context("what tpm2-compare prints")
}

/// Sends random commands to both, so many at least, from a seed on.
///
/// # Errors
/// When one of the TPMs does not start or ends.
pub fn codes(project: &Project, program: &Path, ours: &Path, seed: u64, commands: u64) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut seed = seed;
    while seen.sent < commands {
        let arguments = ["codes", "--seed", &seed.to_string(), "--commands", &COMMANDS.to_string()];
        let text = compared(project, program, ours, &arguments)?;
        let [sent, succeeded, explained, different] =
            numbers(&text).with_context(|| format!("tpm2-compare prints no sum: {text}"))?;
        seen.sent += sent;
        seen.succeeded += succeeded;
        seen.explained += explained;
        if different > 0 {
            let lines = text.lines().filter(|line| line.starts_with("different") || line.starts_with(' '));
            seen.different.extend(lines.map(|line| format!("seed {seed}: {line}")));
        }
        // A seed whose TPMs differ at once would have this go on for good.
        seen.sent += 1;
        seed += 1;
    }
    Ok(seen)
}

/// The numbers of the last line: `sent N, succeeded N, explained N, different N`.
fn numbers(text: &str) -> Option<[u64; 4]> {
    let line = text.lines().last()?;
    let mut numbers = line.split(", ").map(|part| part.split_once(' ')?.1.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??])
}

/// Measures both, and returns a table.
///
/// # Errors
/// When one of the TPMs does not start, or refuses a command.
pub fn rates(project: &Project, program: &Path, ours: &Path) -> Result<String> {
    let text = compared(project, program, ours, &["rates"])?;
    table(&text).with_context(|| format!("tpm2-compare prints no rates: {text}"))
}

/// A table of lines NAME, TAB, nanoseconds, TAB, the other's nanoseconds.
fn table(text: &str) -> Option<String> {
    let mut table =
        "| command | here, a second | swtpm, a second | here / swtpm |\n|---|---|---|---|\n".to_owned();
    for line in text.lines() {
        let mut parts = line.split('\t');
        let name = parts.next()?;
        let ours: f64 = parts.next()?.parse().ok()?;
        let theirs: f64 = parts.next()?.parse().ok()?;
        let rate = |time_ns: f64| 1e9 / time_ns;
        let (ours, theirs) = (rate(ours), rate(theirs));
        table += &format!("| {name} | {ours:.0} | {theirs:.0} | {:.2} |\n", ours / theirs);
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::{numbers, table};

    #[test]
    fn what_the_program_prints_is_read() {
        let text = "explained: 3: why\nsent 10, succeeded 4, explained 3, different 0\n";
        assert_eq!(numbers(text), Some([10, 4, 3, 0]));
        assert_eq!(numbers("Error: no response\n"), None);
        assert_eq!(numbers(""), None);
        let rates = table("Sign\t2000\t1000\n").unwrap();
        assert!(rates.ends_with("| Sign | 500000 | 1000000 | 0.50 |\n"), "{rates}");
        assert_eq!(table("Sign\tfast\t1\n"), None);
    }
}

//! The commands of `steps.list` on Plinth's TPM and on swtpm, compared.

use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::server::Server;
use crate::command;
use crate::project::{Project, make_folder, write};

const STEPS: &str = include_str!("steps.list");

/// Seconds that a command may take.
const LIMIT: &str = "60";

/// What of a line of `steps.list` is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// That both succeed.
    Success,
    /// What both print, too.
    Output,
    /// That both fail, with the same response code.
    Refusal,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    has_succeeded: bool,
    output: String,
    /// The response code as tpm2-tools prints it.
    code: String,
}

/// The result of a comparison.
#[derive(Debug)]
pub struct Compared {
    /// Commands that did what they must.
    pub same: usize,
    /// All commands.
    pub all: usize,
    /// The others, with what both TPMs did.
    pub different: Vec<String>,
}

fn steps() -> impl Iterator<Item = (Mark, &'static str)> {
    let lines = STEPS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| match line.split_at_checked(2) {
        Some(("= ", command)) => (Mark::Output, command),
        Some(("! ", command)) => (Mark::Refusal, command),
        _ => (Mark::Success, line),
    })
}

/// The first response code in an error message: `(0x98E)`.
fn code_in(errors: &str) -> String {
    // The first: what the tool says behind it follows from that one.
    let found = errors.split("(0x").nth(1).and_then(|rest| rest.split(')').next());
    found.unwrap_or_default().to_uppercase()
}

/// Runs all commands on one TPM. After each, what it left there is flushed, as there is no resource manager.
fn run_all(program: &Path, folder: &Path) -> Result<Vec<Outcome>> {
    let server = Server::start(program, &folder.join("state"))?;
    write(&folder.join("message"), "hello\n")?;
    write(&folder.join("other"), "bye\n")?;
    write(&folder.join("bits81"), [0, 0, 0, 0, 0, 0, 0, 0x81])?;
    let run = |command: &str| {
        // A TPM that does not answer would hold up all that follows.
        let mut shell = Command::new("timeout");
        shell.args([LIMIT, "bash", "-c", command]).current_dir(folder);
        // The library's own log is off: a code in it would be taken for the tool's.
        command::captured(shell.env("TPM2TOOLS_TCTI", server.tcti()).env("TSS2_LOG", "all+NONE"))
    };
    let mut outcomes = Vec::new();
    for (_, command) in steps() {
        let output = run(command)?;
        outcomes.push(Outcome {
            has_succeeded: output.status.success(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            code: code_in(&String::from_utf8_lossy(&output.stderr)),
        });
        // A command that fails here had nothing to flush.
        run("tpm2_flushcontext -t")?;
    }
    Ok(outcomes)
}

fn is_as_expected(mark: Mark, ours: &Outcome, theirs: &Outcome) -> bool {
    let is_same = ours.has_succeeded == theirs.has_succeeded;
    is_same
        && match mark {
            // What such a command prints has chance in it, a key or a nonce.
            Mark::Success => ours.has_succeeded,
            Mark::Output => ours.has_succeeded && ours.output == theirs.output,
            Mark::Refusal => !ours.has_succeeded && ours.code == theirs.code,
        }
}

/// Compares Plinth's TPM with swtpm.
///
/// # Errors
/// When one of them does not start.
pub fn compare(project: &Project, program: &Path) -> Result<Compared> {
    let folder = project.scratch("tpm-tools")?;
    // Commands leave files, which those of the other TPM must not find.
    let folders = ["plinth", "swtpm"].map(|name| folder.join(name));
    folders.iter().try_for_each(|folder| make_folder(folder))?;
    let [ours, theirs] = &folders;
    // Side by side: each command mostly waits for its TPM.
    let theirs = thread::scope(|scope| {
        let theirs = scope.spawn(|| run_all(Path::new("swtpm"), theirs).context("swtpm"));
        let ours = run_all(program, ours)?;
        let theirs = theirs.join().map_err(|_| anyhow!("the thread with swtpm has ended"))??;
        anyhow::Ok((ours, theirs))
    });
    let (ours, theirs) = theirs?;
    let mut result = Compared { same: 0, all: 0, different: Vec::new() };
    for ((mark, command), (ours, theirs)) in steps().zip(ours.iter().zip(&theirs)) {
        result.all += 1;
        if is_as_expected(mark, ours, theirs) {
            result.same += 1;
        } else {
            result.different.push(format!("{command}\n  here: {ours:?}\n  swtpm: {theirs:?}"));
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_seen() {
        let outcome = |has_succeeded, output: &str, code: &str| Outcome {
            has_succeeded,
            output: output.to_owned(),
            code: code.to_owned(),
        };
        let (good, other, bad) = (outcome(true, "1", ""), outcome(true, "2", ""), outcome(false, "", "98E"));
        let cases = [
            (Mark::Success, &good, &other, true),
            (Mark::Success, &bad, &bad, false),
            (Mark::Output, &good, &other, false),
            (Mark::Output, &good, &good, true),
            (Mark::Refusal, &bad, &bad, true),
            (Mark::Refusal, &good, &good, false),
            (Mark::Refusal, &bad, &outcome(false, "", "9A2"), false),
            (Mark::Success, &good, &bad, false),
        ];
        for (mark, ours, theirs, expected) in cases {
            assert_eq!(is_as_expected(mark, ours, theirs), expected, "{mark:?} {ours:?} {theirs:?}");
        }
        assert_eq!(code_in("ERROR: Esys_Unseal(0x98E) - tpm:session(1)"), "98E");
    }

    #[test]
    fn there_are_enough_commands() {
        assert!(steps().filter(|(_, command)| command.starts_with("tpm2_")).count() > 100);
    }
}

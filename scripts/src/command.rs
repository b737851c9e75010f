//! Running other programs.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Lines of a failed program's output that are shown.
const SHOWN: usize = 40;

/// A command as one would type it, for messages.
pub fn typed(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let words: Vec<_> = words.into_iter().map(|word| word.to_owned()).collect();
    plinth_qemu::shell(&words)
}

/// Runs a program on the user's terminal.
///
/// # Errors
/// When it can't be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", typed(command)))?;
    check(command, status)
}

/// Runs a program and returns what it prints on standard output; standard error is shown only when it fails.
///
/// # Errors
/// When it can't be started or fails.
pub fn output(command: &mut Command) -> Result<String> {
    let output = captured(command)?;
    if output.status.success() {
        return String::from_utf8(output.stdout).with_context(|| format!("the output of {}", typed(command)));
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Always an error here; the words come before the status in what is shown.
    check(command, output.status).context(last_lines(&said, SHOWN))?;
    Ok(said)
}

/// Runs a program with its output in the file `log`; the end of that is in the error when it fails.
///
/// # Errors
/// When it can't be started or fails, or when there is no writing the log.
pub fn quietly(command: &mut Command, log: &Path) -> Result<()> {
    let file = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    // One file for both, so that what was printed stays in order.
    let both = file.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
    // Nobody answers a question that the program might ask.
    command.stdin(Stdio::null()).stdout(file).stderr(both);
    let status = command.status().with_context(|| format!("cannot start {}", typed(command)))?;
    if status.success() {
        return Ok(());
    }
    let said = plinth_qemu::read_text(log);
    check(command, status)
        .with_context(|| format!("{}\n(all of it is in {})", last_lines(&said, SHOWN), log.display()))
}

/// Runs a program without input and returns all it printed and its status; a failure is no error.
///
/// # Errors
/// When it can't be started.
pub fn captured(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", typed(command)))
}

/// Whether a program is there and succeeds.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A program that is not there cannot be started, and is no error here.
    quiet.status().is_ok_and(|status| status.success())
}

/// The last lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().fold(String::new(), |mut all, line| {
        // Writing to a string can't fail.
        let _ = writeln!(all, "{line}");
        all
    })
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{} failed ({status})", typed(command));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs() {
        assert_eq!(output(Command::new("echo").arg("a b")).unwrap(), "a b\n");
        assert!(succeeds(&mut Command::new("true")) && !succeeds(&mut Command::new("false")));
        assert!(!succeeds(&mut Command::new("/nowhere/at/all")));
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        let said = format!("{error:#}");
        assert!(said.contains("why") && said.contains("exit status: 3"), "{said}");
    }

    #[test]
    fn ends_of_texts() {
        assert_eq!(last_lines("a\nb\nc", 2), "b\nc\n");
        assert_eq!(last_lines("", 2), "");
    }
}

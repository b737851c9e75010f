//! A machine that runs.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Machine, Outcome, Qemu, QemuError, console, process, shell};

/// How often it is looked whether QEMU has ended.
const LOOK: Duration = Duration::from_millis(10);

/// A machine that runs. It is killed when this is dropped, and when the thread that started it ends.
#[derive(Debug)]
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    console: Option<JoinHandle<io::Result<()>>>,
    began: Instant,
}

/// How a machine ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// In a word.
    pub outcome: Outcome,
    /// From QEMU's start to its end.
    pub took: Duration,
}

impl Machine {
    /// Starts the machine. What it writes to standard output and standard error goes to the file `console`,
    /// each line after the seconds since the start; [`Running::send`] types into it. The log's file is
    /// emptied first.
    ///
    /// # Errors
    /// [`QemuError`], if the command can't be composed or started.
    pub fn start(&self, qemu: &Qemu, console: &Path) -> Result<Running, QemuError> {
        if let Some(log) = &self.log {
            // Whoever waits for words in it would find those of the run before.
            File::create(log).map_err(QemuError::io(log.display().to_string()))?;
        }
        let file = File::create(console).map_err(QemuError::io(console.display().to_string()))?;
        Running::start(&self.command(qemu)?, file)
    }

    /// Starts the machine and waits for its end, at most `limit`.
    ///
    /// # Errors
    /// As [`Machine::start`]; a machine that ends badly is no error.
    pub fn run(&self, qemu: &Qemu, console: &Path, limit: Duration) -> Result<Ended, QemuError> {
        self.start(qemu, console)?.wait(limit)
    }
}

impl Machine {
    /// Runs the machine on the user's terminal, for as long as it takes.
    ///
    /// # Errors
    /// As [`Machine::start`].
    pub fn run_on_terminal(&self, qemu: &Qemu) -> Result<Outcome, QemuError> {
        if let Some(log) = &self.log {
            File::create(log).map_err(QemuError::io(log.display().to_string()))?;
        }
        let words = self.command(qemu)?;
        let mut command = Command::new(qemu.path());
        command.args(words.iter().skip(1));
        process::die_with_us(&mut command);
        Ok(outcome(command.status().map_err(QemuError::io(shell(&words)))?))
    }
}

impl Running {
    fn start(command: &[OsString], mut console: File) -> Result<Self, QemuError> {
        let what = || shell(command);
        let (program, arguments) =
            command.split_first().ok_or_else(|| QemuError::Protocol("an empty command".to_owned()))?;
        // One pipe for standard output and standard error, lest the guest's lines and QEMU's change places.
        let (reader, writer) = io::pipe().map_err(QemuError::io("a pipe"))?;
        let both = writer.try_clone().map_err(QemuError::io("a pipe"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(writer).stderr(both);
        process::die_with_us(&mut command);
        let began = Instant::now();
        let mut child = command.spawn().map_err(QemuError::io(what()))?;
        // The command holds the pipe's writing end; the console's reader would wait for its end for ever.
        drop(command);
        let input = child.stdin.take();
        // A thread, since a pipe that nobody reads fills up, and QEMU would then stand still in the middle of
        // a line.
        let console = std::thread::spawn(move || console::stamp(reader, &mut console, began));
        Ok(Self { child, input, console: Some(console), began })
    }

    /// Types bytes on the console.
    ///
    /// # Errors
    /// [`QemuError::Io`], when QEMU has ended.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), QemuError> {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let input = self.input.as_mut().ok_or_else(closed);
        let sent = input.and_then(|input| input.write_all(bytes).and_then(|()| input.flush()));
        sent.map_err(QemuError::io("typing on the console"))
    }

    /// How the machine has ended; `None` while it runs.
    ///
    /// # Errors
    /// [`QemuError::Io`], if the system can't tell.
    pub fn poll(&mut self) -> Result<Option<Outcome>, QemuError> {
        Ok(self.child.try_wait().map_err(QemuError::io("waiting for QEMU"))?.map(outcome))
    }

    /// Waits for the end, at most until `limit` after the start; then QEMU is killed and the outcome is
    /// [`Outcome::Timeout`].
    ///
    /// # Errors
    /// [`QemuError::Io`], if the console could not be written.
    pub fn wait(mut self, limit: Duration) -> Result<Ended, QemuError> {
        let outcome = loop {
            if let Some(outcome) = self.poll()? {
                break outcome;
            }
            // From the start on, not from this call: a caller may have waited for words before.
            if self.began.elapsed() >= limit {
                self.stop();
                break Outcome::Timeout;
            }
            std::thread::sleep(LOOK);
        };
        // Before the console's rest is read: that is no time of the machine's.
        let took = self.began.elapsed();
        if let Some(console) = self.console.take() {
            let copied = console.join().map_err(|_| QemuError::Protocol("the console's copy".to_owned()))?;
            copied.map_err(QemuError::io("writing the console"))?;
        }
        Ok(Ended { outcome, took })
    }

    /// Kills QEMU.
    pub fn kill(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        // One that has ended already can't be killed, and need not be.
        let _ = self.child.kill();
        // Until it is gone it may still write its files.
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn outcome(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::of_status(code),
        (None, signal) => Outcome::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> (Ended, String) {
        let path = std::env::temp_dir().join(format!("plinth-qemu-{}-{}", std::process::id(), script.len()));
        let command = ["sh", "-c", script].map(OsString::from);
        let running = Running::start(&command, File::create(&path).unwrap()).unwrap();
        let ended = running.wait(limit).unwrap();
        let text = crate::read_text(&path);
        std::fs::remove_file(path).unwrap();
        (ended, text)
    }

    #[test]
    fn ends() {
        let long = Duration::from_secs(60);
        let (ended, text) = sh("echo out; echo err >&2; exit 33", long);
        assert_eq!(ended.outcome, Outcome::PowerOff);
        assert!(text.contains(" out\n") && text.contains(" err\n"), "{text}");
        assert_eq!(sh("kill -6 $$", long).0.outcome, Outcome::Signal(6));
        let (ended, _) = sh("exec sleep 100", Duration::from_millis(100));
        assert_eq!(ended.outcome, Outcome::Timeout);
    }

    #[test]
    fn typing() {
        let path = std::env::temp_dir().join(format!("plinth-qemu-{}-typing", std::process::id()));
        let command = ["sh", "-c", "read line; echo got $line"].map(OsString::from);
        let mut running = Running::start(&command, File::create(&path).unwrap()).unwrap();
        assert_eq!(running.poll().unwrap(), None);
        running.send(b"this\n").unwrap();
        assert_eq!(running.wait(Duration::from_secs(60)).unwrap().outcome, Outcome::Quit);
        assert!(crate::read_text(&path).contains("got this"));
        std::fs::remove_file(path).unwrap();
    }
}

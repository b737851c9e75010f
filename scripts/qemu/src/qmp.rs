//! QEMU's control protocol (QMP), over the machine's `control` socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::QemuError;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// A connection to a running machine's control socket.
#[derive(Debug)]
pub struct Qmp {
    lines: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects, waiting until QEMU has made the socket.
    ///
    /// # Errors
    /// [`QemuError`], if there is no socket within `limit`, or no QEMU behind it.
    pub fn connect(socket: &Path, limit: Duration) -> Result<Self, QemuError> {
        let stream = connect(socket, limit)?;
        // A QEMU that stands still would otherwise hold its test for ever.
        stream.set_read_timeout(Some(ANSWER)).map_err(QemuError::io("the control socket"))?;
        let mut qmp = Self { lines: BufReader::new(stream) };
        let greeting = qmp.read()?;
        if greeting.get("QMP").is_none() {
            return Err(QemuError::Protocol(format!("the control socket began with {greeting}")));
        }
        // QEMU takes no other command before this one.
        qmp.execute("qmp_capabilities", &Value::Null)?;
        Ok(qmp)
    }

    /// Carries out a command of the protocol (`"stop"`, `"system_powerdown"`, `"quit"`, ...) and returns what
    /// it does.
    ///
    /// # Errors
    /// [`QemuError::Protocol`] with QEMU's words, if it refuses; [`QemuError::Io`], if it has ended.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, QemuError> {
        let mut message = json!({ "execute": command });
        // Left out where there are none: QEMU takes nothing but an object there.
        if !arguments.is_null() {
            message["arguments"] = arguments.clone();
        }
        let line = format!("{message}\n");
        self.lines.get_mut().write_all(line.as_bytes()).map_err(QemuError::io("the control socket"))?;
        loop {
            let mut answer = self.read()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(QemuError::Protocol(format!("QEMU refuses {command}: {error}")));
            }
            // What else comes are events.
        }
    }

    /// Carries out a command of QEMU's monitor for people (`"info registers"`, `"nmi"`, `"xp /4wx 0xb8000"`)
    /// and returns what it prints.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn monitor(&mut self, line: &str) -> Result<String, QemuError> {
        let said = self.execute("human-monitor-command", &json!({ "command-line": line }))?;
        Ok(said.as_str().unwrap_or_default().to_owned())
    }

    fn read(&mut self) -> Result<Value, QemuError> {
        let mut line = String::new();
        let count = self.lines.read_line(&mut line).map_err(QemuError::io("the control socket"))?;
        if count == 0 {
            return Err(QemuError::Protocol("QEMU closed its control socket".to_owned()));
        }
        serde_json::from_str(&line).map_err(|error| QemuError::Protocol(format!("QEMU said {line}: {error}")))
    }
}

/// Connects to a socket that QEMU is about to make.
pub fn connect(socket: &Path, limit: Duration) -> Result<UnixStream, QemuError> {
    let end = Instant::now() + limit;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() >= end => {
                return Err(QemuError::Io { what: format!("connecting to {}", socket.display()), error });
            }
            // Not there yet, or there and nobody listens yet.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

//! A TPM behind a socket: Plinth's, or Debian's swtpm, which takes the same options.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::build;
use crate::command;
use crate::project::{Project, make_folder};

/// Builds Plinth's and returns where it is.
///
/// # Errors
/// When the build fails.
pub fn build(project: &Project) -> Result<PathBuf> {
    let mut cargo = build::cargo(&project.root);
    cargo.args(["build", "--profile", "dev", "--package", "tpm2-socket"]);
    command::run(cargo.arg("--target-dir").arg(&project.target))?;
    Ok(project.target.join("debug/tpm2-socket"))
}

/// A TPM that runs until this goes.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
}

/// A port that is free, with a free one behind it for the control channel.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        // libtss2 takes the control channel to be at the next port.
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no two free ports in a row")
}

impl Server {
    /// Starts a new TPM with its state in a folder.
    ///
    /// # Errors
    /// When it does not start within ten seconds.
    pub fn start(program: &Path, folder: &Path) -> Result<Server> {
        // A folder of an earlier run holds another TPM.
        let _ = std::fs::remove_dir_all(folder);
        make_folder(folder)?;
        let port = free_port()?;
        let channel = |port: u16| format!("type=tcp,port={port}");
        let child = Command::new(program)
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args(["--server", &channel(port), "--ctrl", &channel(port + 1)])
            .arg("--tpmstate")
            .arg(format!("dir={}", folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let server = Server { child, port };
        let start = Instant::now();
        // The control channel tells: a connection to the data channel would be the TPM's client.
        while TcpStream::connect(("127.0.0.1", port + 1)).is_err() {
            if start.elapsed() > Duration::from_secs(10) {
                bail!("{} does not listen", program.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// How `tpm2-compare` reaches it: the port, and the process whose time is counted.
    pub fn place(&self) -> String {
        format!("{},{}", self.port, self.child.id())
    }

    /// How libtss2 reaches it.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // Waited for, as its ports and its state are free only when it has gone.
        let _ = self.child.wait();
    }
}

//! iperf3 on this machine's loopback, which QEMU's own network reaches as 10.0.2.2.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A server; ended with this value.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub port: u16,
    child: Child,
}

impl Server {
    /// Starts one.
    ///
    /// # Errors
    /// When the program is missing, or there is no port.
    pub fn start() -> Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.context("no port to listen at")?.port();
        let mut command = Command::new("iperf3");
        command.args(["--server", "--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("no iperf3 on this machine: apt-get install iperf3")?;
        Ok(Self { port, child })
    }

    /// Fails if it has ended: another program may have taken the port.
    ///
    /// # Errors
    /// With how it ended.
    pub fn check(&mut self) -> Result<()> {
        let ended = self.child.try_wait().context("iperf3")?;
        ensure!(ended.is_none(), "iperf3 has ended: {ended:?}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

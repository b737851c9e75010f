//! A TPM behind swtpm's socket protocol: commands over one port, power over the next one.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};

use crate::wire::{command, number};

/// Where a TPM is: the port of its data channel, with the control channel at the next one, and the number
/// of its process.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    port: u16,
    process: u32,
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Place> {
        let (port, process) = text.split_once(',').context("it is PORT,PROCESS")?;
        Ok(Place { port: port.parse()?, process: process.parse()? })
    }
}

/// A connection to a TPM.
#[derive(Debug)]
pub struct Socket {
    place: Place,
    data: TcpStream,
    control: TcpStream,
}

/// TPM_RC_TESTING and TPM_RC_RETRY: the command was not executed, and is to be sent again.
const AGAIN: [u32; 2] = [0x90a, 0x922];

/// How often a connection is tried.
const WAITS: u32 = 100;

/// How often it is sent again, at most.
const TRIES: u32 = 1000;

impl Socket {
    /// Connects to a TPM.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(place: Place) -> Result<Socket> {
        let connect = |port: u16| -> Result<TcpStream> {
            let place = ("127.0.0.1", port);
            // A server that has just started may listen on one of its channels only.
            let tries = (0..WAITS).find_map(|_| {
                let stream = TcpStream::connect(place).ok();
                if stream.is_none() {
                    thread::sleep(Duration::from_millis(50));
                }
                stream
            });
            let stream = tries.with_context(|| format!("nobody listens on port {port}"))?;
            // A command is one write: nothing is gained by waiting for more.
            stream.set_nodelay(true)?;
            // A TPM that hangs is a finding, and must not hang the comparison.
            stream.set_read_timeout(Some(Duration::from_secs(120)))?;
            Ok(stream)
        };
        Ok(Socket { place, data: connect(place.port)?, control: connect(place.port + 1)? })
    }

    /// Sends a command.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn send(&mut self, command: &[u8]) -> Result<()> {
        self.data.write_all(command).context("a command can't be sent")
    }

    /// Receives the response to what was sent, which is sent again where the TPM wants that.
    ///
    /// # Errors
    /// When the connection is lost, or the response's header is none.
    pub fn receive(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        for _ in 0..TRIES {
            let mut response = vec![0; 10];
            self.data.read_exact(&mut response).context("no response")?;
            let size = number(&response, 2) as usize;
            ensure!((10..=4096).contains(&size), "a response of {size} bytes");
            response.resize(size, 0);
            let rest = response.get_mut(10..).unwrap_or_default();
            self.data.read_exact(rest).context("a response that ends early")?;
            if !AGAIN.contains(&number(&response, 6)) {
                return Ok(response);
            }
            self.send(command)?;
        }
        anyhow::bail!("the TPM is busy for good")
    }

    /// Executes a command.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn execute(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        self.send(command)?;
        self.receive(command)
    }

    /// Executes a command that must succeed, and returns what follows the response's header.
    ///
    /// # Errors
    /// When it fails.
    pub fn succeed(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        let mut response = self.execute(command)?;
        let code = number(&response, 6);
        ensure!(code == 0, "command {:x} returned {code:x}", number(command, 6));
        Ok(response.split_off(10))
    }

    /// Takes the power away and gives it back (CMD_INIT).
    ///
    /// # Errors
    /// When the control channel fails.
    pub fn power_cycle(&mut self) -> Result<()> {
        self.control.write_all(&[0, 0, 0, 2, 0, 0, 0, 0])?;
        let mut result = [0; 4];
        self.control.read_exact(&mut result).context("the control channel")?;
        ensure!(result == [0; 4], "CMD_INIT returned {result:?}");
        Ok(())
    }

    /// Starts it after a power cycle, if it was not started yet, and runs its self-tests.
    ///
    /// # Errors
    /// When they fail.
    pub fn start(&mut self) -> Result<()> {
        // A TPM that the server has started returns TPM_RC_INITIALIZE, which is as good.
        self.execute(&command(0x144, &[0, 0]))?;
        self.succeed(&command(0x143, &[1])).map(drop)
    }

    /// The processor time that the TPM's process has used, in nanoseconds.
    ///
    /// # Errors
    /// When Linux does not tell.
    pub fn processor_time_ns(&self) -> Result<u64> {
        // Of the process's first thread, which executes the commands: time that others use counts nothing.
        let path = format!("/proc/{}/schedstat", self.place.process);
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        text.split(' ').next().and_then(|first| first.parse().ok()).with_context(|| path)
    }
}

//! Two small servers on this machine's loopback: one gives a file to whoever connects, the other keeps what
//! it is sent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// The servers. Their threads end with the program.
#[derive(Clone, Debug)]
pub struct Servers {
    /// Where the file is to be had.
    pub fetch_port: u16,
    /// Where files are sent to.
    pub store_port: u16,
    stored: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Servers {
    /// Starts both.
    ///
    /// # Errors
    /// When this machine gives them no port.
    pub fn start(file: Vec<u8>) -> Result<Self> {
        let stored = Arc::new(Mutex::new(Vec::new()));
        let kept = stored.clone();
        // A guest that goes away in the middle has its reasons; what counts is what it says, and was sent.
        let fetch_port = serve(move |mut stream| drop(stream.write_all(&file)))?;
        let store_port = serve(move |mut stream| {
            let mut bytes = Vec::new();
            if stream.read_to_end(&mut bytes).is_ok() {
                let count = bytes.len();
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
                drop(writeln!(stream, "{count}"));
            }
        })?;
        Ok(Self { fetch_port, store_port, stored })
    }

    /// What was sent, in order.
    pub fn stored(&self) -> Vec<Vec<u8>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut work: impl FnMut(TcpStream) + Send + 'static) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port to listen at")?;
    let port = listener.local_addr().context("a port without a number")?.port();
    thread::spawn(move || listener.incoming().flatten().for_each(&mut work));
    Ok(port)
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;
    use crate::testing::bytes_by_chance;

    #[test]
    fn files_go_both_ways() {
        let servers = Servers::start(bytes_by_chance(1 << 16)).unwrap();
        let connect = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut fetched = Vec::new();
        connect(servers.fetch_port).read_to_end(&mut fetched).unwrap();
        assert_eq!(fetched, bytes_by_chance(1 << 16));
        let mut stream = connect(servers.store_port);
        stream.write_all(b"twelve bytes").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!((said.as_str(), servers.stored()), ("12\n", vec![b"twelve bytes".to_vec()]));
    }
}

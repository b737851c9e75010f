//! QEMU's debugger stub: the little of gdb's remote protocol that tests need. The protocol is described in
//! gdb's manual, appendix "Remote Protocol". Numbers in it are hexadecimal.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::QemuError;
use crate::qmp::connect;

/// A connection to the stub of a machine started with `gdb: Some("unix:PATH,server=on,wait=off")`.
#[derive(Debug)]
pub struct Gdb {
    stream: UnixStream,
}

impl Gdb {
    /// The machine's `gdb` field for a stub at this socket.
    pub fn place(socket: &Path) -> String {
        format!("unix:{},server=on,wait=off", socket.display())
    }

    /// Connects, waiting until QEMU has made the socket; later answers may take as long.
    ///
    /// # Errors
    /// [`QemuError::Io`].
    pub fn connect(socket: &Path, limit: Duration) -> Result<Self, QemuError> {
        let stream = connect(socket, limit)?;
        stream.set_read_timeout(Some(limit)).map_err(QemuError::io("the debugger stub"))?;
        Ok(Self { stream })
    }

    /// Sends a packet and returns the answer to it. Not for packets that let the machine run: see
    /// [`Gdb::resume`].
    ///
    /// # Errors
    /// [`QemuError`], if QEMU has ended, is silent, or answers with an error.
    pub fn ask(&mut self, packet: &str) -> Result<String, QemuError> {
        self.send(packet)?;
        let answer = self.receive()?;
        // "E" and two digits is an error; longer ones are data that begins with an E.
        if answer.starts_with('E') && answer.len() == 3 {
            return Err(QemuError::Protocol(format!("the debugger stub refuses {packet}: {answer}")));
        }
        Ok(answer)
    }

    /// Lets the machine run: `"c"`, `"vCont;c"` all processors, `"vCont;c:1"` the first one only,
    /// `"vCont;s:1"` one step.
    ///
    /// # Errors
    /// [`QemuError::Io`], if QEMU has ended.
    pub fn resume(&mut self, packet: &str) -> Result<(), QemuError> {
        self.send(packet)
    }

    /// Waits until the machine has stopped, at a breakpoint, after a step or because of [`Gdb::interrupt`];
    /// returns the stub's words, such as `T05thread:01;`.
    ///
    /// # Errors
    /// [`QemuError`], if it does not within the limit given to [`Gdb::connect`].
    pub fn stopped(&mut self) -> Result<String, QemuError> {
        loop {
            let answer = self.receive()?;
            // Anything else that comes is left over, or output of the stub's.
            if answer.starts_with(['T', 'S']) {
                return Ok(answer);
            }
            if answer.starts_with(['W', 'X']) {
                return Err(QemuError::Protocol(format!("the machine has ended ({answer})")));
            }
        }
    }

    /// Lets all processors run until one comes to `address`.
    ///
    /// # Errors
    /// As [`Gdb::stopped`].
    pub fn run_to(&mut self, address: u64) -> Result<(), QemuError> {
        self.break_at(address)?;
        self.resume("c")?;
        self.stopped()?;
        // Left there, it would stop all processors again when another one comes by.
        self.unbreak(address)
    }

    /// One instruction of one processor (from 1 on), the others standing still.
    ///
    /// # Errors
    /// As [`Gdb::stopped`].
    pub fn step(&mut self, processor: u32) -> Result<String, QemuError> {
        self.resume(&format!("vCont;s:{processor:x}"))?;
        self.stopped()
    }

    /// Stops all processors; [`Gdb::stopped`] says when.
    ///
    /// # Errors
    /// [`QemuError::Io`], if QEMU has ended.
    pub fn interrupt(&mut self) -> Result<(), QemuError> {
        // A byte of its own, outside any packet: the protocol's ctrl-C, which the stub reads while the
        // machine runs.
        self.stream.write_all(&[3]).map_err(QemuError::io("the debugger stub"))
    }

    /// Sets a breakpoint of the machine's hardware kind.
    ///
    /// # Errors
    /// As [`Gdb::ask`].
    pub fn break_at(&mut self, address: u64) -> Result<(), QemuError> {
        // Not of the software kind: it would be written into code that the loader has not put there yet, and
        // be overwritten by that.
        self.ask(&format!("Z1,{address:x},1")).map(drop)
    }

    /// Takes it away.
    ///
    /// # Errors
    /// As [`Gdb::ask`].
    pub fn unbreak(&mut self, address: u64) -> Result<(), QemuError> {
        self.ask(&format!("z1,{address:x},1")).map(drop)
    }

    /// Reads memory at a linear address of the processor that is selected (packet `Hg1`; the one that
    /// stopped).
    ///
    /// # Errors
    /// As [`Gdb::ask`].
    pub fn read(&mut self, address: u64, bytes: usize) -> Result<Vec<u8>, QemuError> {
        from_hex(&self.ask(&format!("m{address:x},{bytes:x}"))?)
    }

    /// Writes memory.
    ///
    /// # Errors
    /// As [`Gdb::ask`].
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), QemuError> {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.ask(&format!("M{address:x},{:x}:{hex}", bytes.len())).map(drop)
    }

    /// Writes at a physical address, a device's too.
    ///
    /// # Errors
    /// As [`Gdb::ask`].
    pub fn write_physical(&mut self, address: u64, bytes: &[u8]) -> Result<(), QemuError> {
        // QEMU's own packet: addresses are physical until it is taken back, also when the write fails.
        self.ask("Qqemu.PhyMemMode:1")?;
        let written = self.write(address, bytes);
        self.ask("Qqemu.PhyMemMode:0")?;
        written
    }

    /// The general registers of the processor that is selected, as the stub has them: RAX, RBX, RCX, RDX,
    /// RSI, RDI, RBP, RSP, R8 to R15, RIP; what follows is left out.
    ///
    /// # Errors
    /// As [`Gdb::ask`].
    pub fn registers(&mut self) -> Result<[u64; 17], QemuError> {
        let bytes = self.all_registers()?;
        let mut registers = [0; 17];
        // The first registers all have 8 bytes; behind RIP the sizes change.
        let words = bytes.as_chunks::<8>().0;
        if words.len() < registers.len() {
            return Err(QemuError::Protocol(format!("the debugger stub gave {} registers", words.len())));
        }
        for (register, word) in registers.iter_mut().zip(words) {
            *register = u64::from_le_bytes(*word);
        }
        Ok(registers)
    }

    /// All registers of the processor that is selected, in the order of QEMU's description of them: RAX to
    /// R15 and RIP as above, then 4 bytes each of EFLAGS, CS, SS, DS, ES, FS, GS, then FS, GS and kernel GS
    /// base, control registers, FPU.
    ///
    /// # Errors
    /// As [`Gdb::ask`].
    pub fn all_registers(&mut self) -> Result<Vec<u8>, QemuError> {
        from_hex(&self.ask("g")?)
    }

    fn send(&mut self, packet: &str) -> Result<(), QemuError> {
        self.stream.write_all(&framed(packet)).map_err(QemuError::io("the debugger stub"))
    }

    /// The next packet's contents. Its acknowledgement is sent with it, checksums of a local socket are not
    /// checked.
    fn receive(&mut self) -> Result<String, QemuError> {
        // What stands before a packet is the acknowledgement of ours.
        while self.byte()? != b'$' {}
        let mut packet = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => packet.push(byte),
            }
        }
        // The two digits of its checksum.
        self.byte()?;
        self.byte()?;
        // Behind the answer to a detach QEMU may have ended already. Who wants another packet of a stub that
        // is gone learns of it there.
        let _ = self.stream.write_all(b"+");
        Ok(String::from_utf8_lossy(&packet).into_owned())
    }

    fn byte(&mut self) -> Result<u8, QemuError> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).map_err(QemuError::io("the debugger stub's answer"))?;
        Ok(byte[0])
    }
}

/// A packet with its checksum.
fn framed(packet: &str) -> Vec<u8> {
    // None of our packets has a byte in it that would have to be escaped.
    let sum = packet.bytes().fold(0u8, u8::wrapping_add);
    format!("${packet}#{sum:02x}").into_bytes()
}

fn from_hex(text: &str) -> Result<Vec<u8>, QemuError> {
    let wrong = || QemuError::Protocol(format!("the debugger stub said {text}"));
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets() {
        assert_eq!(framed("c"), b"$c#63");
        assert_eq!(framed("m0,4"), b"$m0,4#fd");
        assert_eq!(from_hex("00ff10").unwrap(), [0, 255, 16]);
        assert!(from_hex("0x").is_err() && from_hex("zz").is_err());
    }
}

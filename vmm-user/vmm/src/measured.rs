//! Measured boot: what the guest starts from is in the TPM's PCRs before its first instruction, and in an
//! event log that gives the PCRs' values when it is replayed.
//!
//! | PCR | event | what |
//! |---|---|---|
//! | 0 | EV_S_CRTM_VERSION | the version of Plinth, UTF-16 |
//! | 0 to 7 | EV_SEPARATOR | four bytes of zero |
//! | 4 | EV_EVENT_TAG | the kernel |
//! | 9 | EV_EVENT_TAG | the command line as the image has it, the initial RAM disk |
//!
//! The digests of an event are those of its data, in each of the TPM's banks, made by the TPM itself. The
//! data of an EV_EVENT_TAG are a text with the SHA-256 digest of the part: `linux 12345 sha256 0123…`.

pub mod driver;
pub mod event_log;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};

use driver::{Driver, Registers};
use event_log::EventLog;

/// Event types (TCG PC Client Platform Firmware Profile 1.06, table 14).
const EV_SEPARATOR: u32 = 4;
const EV_EVENT_TAG: u32 = 6;
const EV_S_CRTM_VERSION: u32 = 8;
/// The tag of our events.
const TAG: u32 = u32::from_be_bytes(*b"PLTH");

/// Where the kernel's event goes, and those of what it is given.
const KERNEL_PCR: u32 = 4;
const DATA_PCR: u32 = 9;

/// Why what the guest starts from is not in the PCRs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureError {
    /// The TPM does not do what a driver expects.
    Silent,
    /// It refuses a command, with this response code.
    Refused(u32),
    /// Its response is none of that command.
    Nonsense,
    /// The log's area is too small.
    LogFull,
}

impl fmt::Display for MeasureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(f, "the TPM does not respond"),
            Self::Refused(code) => write!(f, "the TPM returns {code:#x}"),
            Self::Nonsense => write!(f, "the TPM's response makes no sense"),
            Self::LogFull => write!(f, "the event log is full"),
        }
    }
}

/// A part of what the guest starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name in the image.
    pub name: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 digest.
    pub digest: [u8; 32],
}

impl Part {
    /// A part whose contents `copy` gives piece by piece: from an offset. `None`: it can't.
    pub fn new(name: &'static str, bytes: u64, mut copy: impl FnMut(u64, &mut [u8]) -> bool) -> Option<Self> {
        let mut hash = Sha256::new();
        // By pieces: an initial RAM disk may be larger than what this process has of memory.
        let mut piece = alloc::vec![0; 64 * 1024];
        let mut done = 0;
        while done < bytes {
            let count = (bytes - done).min(piece.len() as u64);
            let piece = piece.get_mut(..count as usize)?;
            copy(done, piece).then_some(())?;
            hash.update(&*piece);
            done += count;
        }
        Some(Self { name, bytes, digest: hash.finalize().into() })
    }

    /// The data of its event.
    fn event(&self) -> Vec<u8> {
        let digest: String = self.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("{} {} sha256 {digest}", self.name, self.bytes);
        let mut data = TAG.to_le_bytes().to_vec();
        data.extend((text.len() as u32).to_le_bytes());
        data.extend(text.as_bytes());
        data
    }

    fn pcr(&self) -> u32 {
        if self.name == "linux" { KERNEL_PCR } else { DATA_PCR }
    }
}

/// Starts the TPM, and extends its PCRs with the parts. Returns the event log, which has at most
/// `limit_bytes`.
///
/// # Errors
/// The guest must not run: it could extend the PCRs to the values of another one.
pub fn measure(
    registers: impl Registers,
    parts: &[Part],
    limit_bytes: usize,
) -> Result<Vec<u8>, MeasureError> {
    let mut driver = Driver::new(registers);
    driver.open()?;
    driver.startup()?;
    let mut log = EventLog::default();
    let version = concat!("Plinth ", env!("CARGO_PKG_VERSION"), "\0");
    let version: Vec<u8> = version.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut events = alloc::vec![(0, EV_S_CRTM_VERSION, version)];
    events.extend((0..8).map(|pcr| (pcr, EV_SEPARATOR, alloc::vec![0; 4])));
    events.extend(parts.iter().map(|part| (part.pcr(), EV_EVENT_TAG, part.event())));
    for (pcr, kind, data) in events {
        let digests = driver.event(pcr, &data)?;
        // With the digests that the TPM returns: log and PCRs agree in whatever banks it has.
        log.add(pcr, kind, &digests, &data);
    }
    // Last of all: its authorization is empty, and the guest must not have it.
    driver.close_platform()?;
    driver.close();
    let bytes = log.bytes();
    if bytes.len() <= limit_bytes { Ok(bytes) } else { Err(MeasureError::LogFull) }
}

#[cfg(test)]
mod tests;

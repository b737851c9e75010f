//! What the VMM asks of a device.
//!
//! | word | |
//! |---|---|
//! | 0 | bits 7:0 code, 15:8 width in bytes, 63:32 session; others zero |
//! | 1 | port, offset, index of a claim, or version of the protocol |
//! | 2 | value |
//! | 3 | guest time in nanoseconds |
//!
//! A *session* begins with GREET and is the VMM's number for it. A device that was started again knows of
//! none, so whoever asks it something finds out.

use devices::capability::Width;

use crate::Words;

/// Codes, in word 0.
pub mod code {
    /// A session begins. Word 1: [`VERSION`](crate::VERSION).
    pub const GREET: u8 = 1;
    /// What the device claims. Word 1: which claim, from 0.
    pub const CLAIM: u8 = 2;
    /// IN.
    pub const PORT_READ: u8 = 3;
    /// OUT.
    pub const PORT_WRITE: u8 = 4;
    /// A load.
    pub const MMIO_READ: u8 = 5;
    /// A store.
    pub const MMIO_WRITE: u8 = 6;
    /// The deadline has come, or the device has signalled that there is something to tell.
    pub const LOOK: u8 = 7;
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A session begins.
    Greet {
        /// The VMM's protocol.
        version: u64,
    },
    /// What the device claims.
    Claim {
        /// Which claim, from 0.
        index: u64,
    },
    /// IN.
    PortRead {
        /// The port.
        port: u16,
        /// 1, 2 or 4 bytes.
        width: Width,
    },
    /// OUT.
    PortWrite {
        /// The port.
        port: u16,
        /// 1, 2 or 4 bytes.
        width: Width,
        /// At most as wide.
        value: u32,
    },
    /// A load.
    MmioRead {
        /// From the start of the range that was hit.
        offset: u64,
        /// How much.
        width: Width,
    },
    /// A store.
    MmioWrite {
        /// From the start of the range that was hit.
        offset: u64,
        /// How much.
        width: Width,
        /// At most as wide.
        value: u64,
    },
    /// The deadline has come, or the device has something to tell.
    Look,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub ask: Ask,
    /// The session it belongs to.
    pub session: u32,
    /// Guest time.
    pub now_ns: u64,
}

impl Request {
    /// Writes the request's words.
    #[inline(always)]
    pub fn write(&self, words: &mut Words) {
        let (code, width, place, value) = match self.ask {
            Ask::Greet { version } => (code::GREET, 0, version, 0),
            Ask::Claim { index } => (code::CLAIM, 0, index, 0),
            Ask::PortRead { port, width } => (code::PORT_READ, width as u8, port.into(), 0),
            Ask::PortWrite { port, width, value } => {
                (code::PORT_WRITE, width as u8, port.into(), value.into())
            }
            Ask::MmioRead { offset, width } => (code::MMIO_READ, width as u8, offset, 0),
            Ask::MmioWrite { offset, width, value } => (code::MMIO_WRITE, width as u8, offset, value),
            Ask::Look => (code::LOOK, 0, 0, 0),
        };
        words[0] = u64::from(code) | u64::from(width) << 8 | u64::from(self.session) << 32;
        words[1] = place;
        words[2] = value;
        words[3] = self.now_ns;
    }

    /// Takes a request apart. `None`: no VMM says this.
    #[inline(always)]
    pub fn read(words: &Words) -> Option<Self> {
        let [head, place, value, now_ns, ..] = *words;
        if head & 0xffff_0000 != 0 {
            return None;
        }
        let width = match (head >> 8) as u8 {
            1 => Some(Width::Byte),
            2 => Some(Width::Word),
            4 => Some(Width::Dword),
            8 => Some(Width::Qword),
            _ => None,
        };
        let ask = match head as u8 {
            code::GREET => Ask::Greet { version: place },
            code::CLAIM => Ask::Claim { index: place },
            code::PORT_READ => Ask::PortRead { port: port(place)?, width: port_width(width)? },
            code::PORT_WRITE => {
                let width = port_width(width)?;
                Ask::PortWrite { port: port(place)?, width, value: narrow(value, width)? as u32 }
            }
            code::MMIO_READ => Ask::MmioRead { offset: place, width: width? },
            code::MMIO_WRITE => {
                let width = width?;
                Ask::MmioWrite { offset: place, width, value: narrow(value, width)? }
            }
            code::LOOK => Ask::Look,
            _ => return None,
        };
        Some(Self { ask, session: (head >> 32) as u32, now_ns })
    }
}

fn port(place: u64) -> Option<u16> {
    place.try_into().ok()
}

fn port_width(width: Option<Width>) -> Option<Width> {
    width.filter(|width| *width != Width::Qword)
}

/// A value that is not wider than `width`.
fn narrow(value: u64, width: Width) -> Option<u64> {
    (value & !width.mask() == 0).then_some(value)
}

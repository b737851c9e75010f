//! What the VMM asks of a device.
//!
//! | word | |
//! |---|---|
//! | 0 | bits 7:0 code, 9:8 width as a power of two, 63:32 session; others zero |
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

impl Ask {
    /// Its words: the first without the session, place and value.
    #[inline(always)]
    pub fn words(self) -> [u64; 3] {
        let (code, width, place, value) = match self {
            Self::Greet { version } => (code::GREET, Width::Byte, version, 0),
            Self::Claim { index } => (code::CLAIM, Width::Byte, index, 0),
            Self::PortRead { port, width } => (code::PORT_READ, width, port.into(), 0),
            Self::PortWrite { port, width, value } => (code::PORT_WRITE, width, port.into(), value.into()),
            Self::MmioRead { offset, width } => (code::MMIO_READ, width, offset, 0),
            Self::MmioWrite { offset, width, value } => (code::MMIO_WRITE, width, offset, value),
            Self::Look => (code::LOOK, Width::Byte, 0, 0),
        };
        [u64::from(code) | u64::from((width as u8).trailing_zeros()) << WIDTH_SHIFT, place, value]
    }
}

/// Where the width is in word 0.
const WIDTH_SHIFT: u32 = 8;
/// Where the first bit is that has to be zero.
const RESERVED_SHIFT: u32 = 10;
/// Where the session is.
const SESSION_SHIFT: u32 = 32;

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

/// The words of a request of a session.
#[inline(always)]
pub fn words([head, place, value]: [u64; 3], session: u32, now_ns: u64) -> Words {
    [head | u64::from(session) << SESSION_SHIFT, place, value, now_ns]
}

/// Whether a request is one of this session, and the bits of its first word are zero that have to be.
#[inline(always)]
pub fn is_of(words: &Words, session: u32) -> bool {
    words[0] >> RESERVED_SHIFT == u64::from(session) << (SESSION_SHIFT - RESERVED_SHIFT)
}

impl Request {
    /// The request's words.
    pub fn words(&self) -> Words {
        words(self.ask.words(), self.session, self.now_ns)
    }

    /// Takes a request apart. `None`: no VMM says this.
    #[inline(always)]
    pub fn read(words: &Words) -> Option<Self> {
        let [head, place, value, now_ns] = *words;
        let session = (head >> SESSION_SHIFT) as u32;
        // Against its own session: what is checked here are the bits that have to be zero. Whose session it
        // is the server decides.
        if !is_of(words, session) {
            return None;
        }
        let width = match head >> WIDTH_SHIFT & 3 {
            0 => Width::Byte,
            1 => Width::Word,
            2 => Width::Dword,
            // Two bits: there is no fifth.
            _ => Width::Qword,
        };
        let ask = match head as u8 {
            code::GREET => Ask::Greet { version: place },
            code::CLAIM => Ask::Claim { index: place },
            code::PORT_READ => Ask::PortRead { port: port(place)?, width: port_width(width)? },
            code::PORT_WRITE => {
                let width = port_width(width)?;
                Ask::PortWrite { port: port(place)?, width, value: narrow(value, width)? as u32 }
            }
            code::MMIO_READ => Ask::MmioRead { offset: place, width },
            code::MMIO_WRITE => Ask::MmioWrite { offset: place, width, value: narrow(value, width)? },
            code::LOOK => Ask::Look,
            _ => return None,
        };
        Some(Self { ask, session, now_ns })
    }
}

#[inline(always)]
fn port(place: u64) -> Option<u16> {
    place.try_into().ok()
}

#[inline(always)]
fn port_width(width: Width) -> Option<Width> {
    // No instruction accesses a port by eight bytes.
    (width != Width::Qword).then_some(width)
}

/// A value that is not wider than `width`.
#[inline(always)]
fn narrow(value: u64, width: Width) -> Option<u64> {
    (value & !width.mask() == 0).then_some(value)
}

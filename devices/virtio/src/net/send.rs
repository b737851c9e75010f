//! A frame that the guest sends: its header, its checksum, its segments.

use alloc::vec;
use alloc::vec::Vec;

use devices::guest_memory::GuestMemory;
use devices::network::packet::Version;
use devices::network::segments::{Cut, SUM};
use devices::network::{FRAME_MAX, Link, UNCUT_MAX, checksum};

use super::spec::{HEADER_BYTES, feature, header};
use crate::queue::{Chain, RingError};

/// What is left of a frame.
#[derive(Clone, Copy, Debug, Default)]
enum Left {
    /// Nothing.
    #[default]
    Nothing,
    /// All of its bytes.
    Frame(usize),
    /// Segments, from this one on.
    Segments(Cut, usize),
}

/// A frame on its way out. It is the device's own copy: its chain was given back.
pub struct Outgoing {
    bytes: Vec<u8>,
    segment: [u8; FRAME_MAX],
    left: Left,
}

fn half(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u16::from_le_bytes)
}

/// Puts the checksum in that the header asks for. `None`: there is no such place in the frame.
fn insert_sum(head: &[u8], frame: &mut [u8]) -> Option<()> {
    let start = usize::from(half(head, header::SUM_START));
    let at = start + usize::from(half(head, header::SUM_OFFSET));
    let sum = match !checksum::sum(frame.get(start..)?) {
        // For UDP that would be none (RFC 768); to every other it is the same.
        0 => 0xffff,
        sum => sum,
    };
    *frame.get_mut(at..)?.first_chunk_mut()? = sum.to_be_bytes();
    Some(())
}

/// What is to be done with a frame, by what driver and device have agreed on. `None`: it is none that can be
/// sent.
fn plan(head: &[u8], frame: &mut [u8], features: u64) -> Option<Left> {
    let has = |feature| features & feature != 0;
    let needs_sum = has(feature::SUM) && head.first()? & header::NEEDS_SUM != 0;
    let kind = *head.get(header::KIND)?;
    let version = match kind & !header::ECN {
        // A driver that knows of no segments has no such field.
        _ if !has(feature::CUTS_V4 | feature::CUTS_V6) => None,
        header::WHOLE => None,
        header::TCP_V4 if has(feature::CUTS_V4) => Some(Version::V4),
        header::TCP_V6 if has(feature::CUTS_V6) => Some(Version::V6),
        _ => return None,
    };
    let Some(version) = version else {
        if needs_sum {
            insert_sum(head, frame)?;
        }
        return (1..=FRAME_MAX).contains(&frame.len()).then_some(Left::Frame(frame.len()));
    };
    // Each segment needs a sum of its own, so where it goes has to be said (5.1.6.2.1).
    if !needs_sum || usize::from(half(head, header::SUM_OFFSET)) != SUM {
        return None;
    }
    let tcp = usize::from(half(head, header::SUM_START));
    let cut = Cut::new(frame, version, tcp, half(head, header::SEGMENT))?;
    Some(Left::Segments(cut, 0))
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { bytes: vec![0; HEADER_BYTES + UNCUT_MAX], segment: [0; FRAME_MAX], left: Left::Nothing }
    }
}

impl Outgoing {
    /// Nothing is on its way any more.
    pub fn reset(&mut self) {
        self.left = Left::Nothing;
    }

    /// Takes the frame of a chain; the one before is gone. One that can't be sent goes nowhere.
    ///
    /// # Errors
    /// When a buffer is not memory.
    pub fn load(&mut self, memory: &impl GuestMemory, chain: &Chain, features: u64) -> Result<(), RingError> {
        self.left = Left::Nothing;
        // Of all that the guest sends, or a frame that is too long would go out cut.
        let bytes = chain.readable_bytes() as usize;
        // Of a frame that is too long as much as the buffer holds; below it is dropped for its length.
        chain.readable().read(memory, &mut self.bytes)?;
        let whole = self.bytes.get_mut(..bytes).and_then(|whole| whole.split_at_mut_checked(HEADER_BYTES));
        if let Some((head, frame)) = whole {
            self.left = plan(head, frame, features).unwrap_or_default();
        }
        Ok(())
    }

    /// The frame, before it is cut; empty if there is none.
    pub fn frame(&self) -> &[u8] {
        let bytes = match self.left {
            Left::Nothing => 0,
            Left::Frame(bytes) => bytes,
            Left::Segments(cut, _) => cut.bytes(),
        };
        self.bytes.get(HEADER_BYTES..HEADER_BYTES + bytes).unwrap_or_default()
    }

    /// Sends what is left, as far as the link has room, and at most so many frames, which are counted down.
    /// Returns whether that was all.
    pub fn flush(&mut self, link: &mut impl Link, frames: &mut usize) -> bool {
        loop {
            if matches!(self.left, Left::Nothing) {
                return true;
            }
            if *frames == 0 || !link.has_room() {
                return false;
            }
            *frames -= 1;
            self.send_next(link);
        }
    }

    fn send_next(&mut self, link: &mut impl Link) {
        match self.left {
            Left::Nothing => {}
            Left::Frame(_) => {
                link.send(self.frame());
                self.left = Left::Nothing;
            }
            Left::Segments(cut, number) => {
                let frame = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
                let written = cut.write(frame, number, &mut self.segment);
                if let Some(segment) = written.and_then(|bytes| self.segment.get(..bytes)) {
                    link.send(segment);
                }
                let next = number + 1;
                self.left = if next < cut.count() { Left::Segments(cut, next) } else { Left::Nothing };
            }
        }
    }
}

//! Transmit descriptors: legacy, context and data.

use alloc::vec;
use alloc::vec::Vec;

use devices::guest_memory::{GuestMemory, NotMemory};
use devices::network::{FRAME_MAX, Link, UNCUT_MAX};

use crate::offload::{Context, Wanted, insert_sum};
use crate::registers::Registers;
use crate::ring::{AT_ONCE, Ring};
use crate::spec::register;

/// Commands of a descriptor: last of a frame, checksum of a legacy one, report, extended.
mod command {
    pub const LAST: u8 = 1 << 0;
    pub const CHECKSUM: u8 = 1 << 2;
    pub const SEGMENTS: u8 = 1 << 2;
    pub const REPORT: u8 = 1 << 3;
    pub const EXTENDED: u8 = 1 << 5;
}
/// TCTL: enabled.
const ENABLED: u32 = 1 << 1;
/// Status of a descriptor: done.
const DONE: u8 = 1;

/// A frame that is being collected, and the context for it.
#[derive(Debug)]
pub struct Transmit {
    frame: Vec<u8>,
    scratch: Vec<u8>,
    context: Context,
    wanted: Wanted,
    /// Parts of it are not memory, or it is too long: it goes nowhere.
    is_lost: bool,
}

impl Default for Transmit {
    fn default() -> Self {
        Self {
            frame: Vec::with_capacity(UNCUT_MAX),
            scratch: vec![0; FRAME_MAX],
            context: Context::default(),
            wanted: Wanted::default(),
            is_lost: false,
        }
    }
}

impl Transmit {
    /// What was collected is forgotten.
    pub fn reset(&mut self) {
        self.frame.clear();
        (self.context, self.wanted, self.is_lost) = (Context::default(), Wanted::default(), false);
    }

    /// Sends what the ring has, while the link has room. Returns whether a descriptor was reported, and
    /// whether that was all.
    ///
    /// # Errors
    /// When the ring is not memory.
    pub fn run(
        &mut self,
        registers: &mut Registers,
        memory: &impl GuestMemory,
        link: &mut impl Link,
    ) -> Result<(bool, bool), NotMemory> {
        let ring = Ring(register::TRANSMIT);
        let mut is_reported = false;
        if registers.get(register::TCTL) & ENABLED == 0 {
            return Ok((false, true));
        }
        for _ in 0..AT_ONCE {
            let Some(at) = ring.next(registers).filter(|_| link.has_room()) else {
                return Ok((is_reported, true));
            };
            let mut bytes = [0; 16];
            memory.read(at, &mut bytes)?;
            let sent = self.take(u128::from_le_bytes(bytes), memory, link);
            registers.count(register::GPTC, sent);
            if bytes[11] & command::REPORT != 0 {
                memory.write(at.wrapping_add(12), &[bytes[12] | DONE])?;
                is_reported = true;
            }
            ring.advance(registers);
        }
        Ok((is_reported, false))
    }

    /// Takes a descriptor. Returns how many frames were sent.
    fn take(&mut self, words: u128, memory: &impl GuestMemory, link: &mut impl Link) -> u32 {
        let command = (words >> 88) as u8;
        let is_extended = command & command::EXTENDED != 0;
        if is_extended && words >> 84 & 0xf == 0 {
            self.context = Context::new(words);
            return 0;
        }
        let bytes = (words >> 64) as u32 & if is_extended { 0xf_ffff } else { 0xffff };
        self.collect(words as u64, bytes as usize, memory);
        let options = (words >> 104) as u8;
        if is_extended {
            self.wanted.ip |= options & 1 != 0;
            self.wanted.payload |= options & 2 != 0;
            self.wanted.segments |= command & command::SEGMENTS != 0;
        }
        if command & command::LAST == 0 {
            return 0;
        }
        if !is_extended && command & command::CHECKSUM != 0 {
            insert_sum(&mut self.frame, options, (words >> 80) as u8, 0);
        }
        self.finish(link)
    }

    fn collect(&mut self, gpa: u64, bytes: usize, memory: &impl GuestMemory) {
        let start = self.frame.len();
        if self.is_lost || start + bytes > UNCUT_MAX {
            self.is_lost = true;
            return;
        }
        self.frame.resize(start + bytes, 0);
        let room = self.frame.get_mut(start..).unwrap_or_default();
        self.is_lost = memory.read(gpa, room).is_err();
    }

    fn finish(&mut self, link: &mut impl Link) -> u32 {
        let mut sent = 0;
        if !self.is_lost {
            self.context.send(&mut self.frame, self.wanted, &mut self.scratch, |frame| {
                // What is longer than a frame goes nowhere.
                if (1..=FRAME_MAX).contains(&frame.len()) {
                    link.send(frame);
                    sent += 1;
                }
            });
        }
        self.frame.clear();
        (self.wanted, self.is_lost) = (Wanted::default(), false);
        sent
    }
}

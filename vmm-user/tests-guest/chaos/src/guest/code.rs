//! Where code is written.

use super::machine::write;

/// Code under construction. What does not fit any more is left out.
pub struct Code {
    at: u64,
    end: u64,
}

impl Code {
    /// Code at an address, of so many bytes at most. All is filled with UD2, two bytes of which end any
    /// snippet.
    pub fn new(at: u64, bytes: u64) -> Self {
        for offset in (0..bytes).step_by(2) {
            write(at + offset, 0x0b0fu16);
        }
        Self { at, end: at + bytes - 2 }
    }

    pub fn byte(&mut self, byte: u8) {
        if self.at < self.end {
            write(self.at, byte);
            self.at += 1;
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// Where the next byte goes.
    pub fn here(&self) -> u64 {
        self.at
    }

    /// The snippet's end, by an interrupt that user code may ask for.
    pub fn finish(&mut self) {
        self.bytes(&[0xcd, super::layout::END_VECTOR as u8]);
    }
}

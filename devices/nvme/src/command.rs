//! A command as it is in a submission queue (NVM Express 1.4, 4.2).

use crate::spec::COMMAND_BYTES;

/// A command: a copy, which the guest can't change any more.
#[derive(Clone, Copy, Debug)]
pub struct Command([u8; COMMAND_BYTES]);

/// What a completion names its command by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The submission queue.
    pub queue: u16,
    /// The command's identifier in it.
    pub id: u16,
}

impl Command {
    /// A command in these bytes.
    pub fn new(bytes: [u8; COMMAND_BYTES]) -> Self {
        Self(bytes)
    }

    /// A dword of it.
    pub fn dword(&self, index: usize) -> u32 {
        let at = self.0.get(4 * index..).and_then(|bytes| bytes.first_chunk());
        at.copied().map_or(0, u32::from_le_bytes)
    }

    fn qword(&self, index: usize) -> u64 {
        u64::from(self.dword(index)) | u64::from(self.dword(index + 1)) << 32
    }

    /// The opcode.
    pub fn opcode(&self) -> u8 {
        self.dword(0) as u8
    }

    /// Whether it is a part of a fused operation, or its data are described by SGLs: neither is supported.
    pub fn is_fused_or_sgl(&self) -> bool {
        self.dword(0) & 0xc300 != 0
    }

    /// The identifier.
    pub fn id(&self) -> u16 {
        (self.dword(0) >> 16) as u16
    }

    /// The namespace.
    pub fn namespace(&self) -> u32 {
        self.dword(1)
    }

    /// Both PRP entries.
    pub fn prps(&self) -> [u64; 2] {
        [self.qword(6), self.qword(8)]
    }

    /// Dwords 10 and 11 as a number of 64 bits: the first block of a read or a write.
    pub fn first_block(&self) -> u64 {
        self.qword(10)
    }

    /// The low half of a dword.
    pub fn low(&self, index: usize) -> u16 {
        self.dword(index) as u16
    }

    /// The high half of a dword.
    pub fn high(&self, index: usize) -> u16 {
        (self.dword(index) >> 16) as u16
    }
}

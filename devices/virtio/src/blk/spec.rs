//! What requests are made of (virtio 1.2, 5.2.6).

/// Bytes of a request's header: type, four reserved, sector.
pub const HEADER_BYTES: u32 = 16;
/// Bytes of a range to discard or to fill with zeroes: sector, number of sectors, flags.
pub const RANGE_BYTES: u32 = 16;
/// Bytes of a serial number.
pub const SERIAL_BYTES: usize = 20;

/// Types of requests.
pub mod kind {
    /// Read.
    pub const IN: u32 = 0;
    /// Write.
    pub const OUT: u32 = 1;
    /// Flush.
    pub const FLUSH: u32 = 4;
    /// Serial number.
    pub const GET_ID: u32 = 8;
    /// Discard.
    pub const DISCARD: u32 = 11;
    /// Zeroes.
    pub const WRITE_ZEROES: u32 = 13;
}

/// How a request ended.
pub mod status {
    /// Well.
    pub const OK: u8 = 0;
    /// Not at all.
    pub const IO_ERROR: u8 = 1;
    /// It is none that the device knows.
    pub const UNSUPPORTED: u8 = 2;
}

/// A range's flag, of zeroes only: the sectors may be given back.
pub const UNMAP: u32 = 1 << 0;

/// Features.
pub mod feature {
    /// The most segments of a request are said.
    pub const SEGMENTS_MAX: u64 = 1 << 2;
    /// The disk can't be written.
    pub const READ_ONLY: u64 = 1 << 5;
    /// The size of the disk's own blocks is said.
    pub const BLOCK_SIZE: u64 = 1 << 6;
    /// Flushes.
    pub const FLUSH: u64 = 1 << 9;
    /// More than one queue.
    pub const QUEUES: u64 = 1 << 12;
    /// Discards, and zeroes.
    pub const CHANGES: u64 = 1 << 13 | 1 << 14;
}

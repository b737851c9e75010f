//! What queues, frames and configuration are made of (virtio 1.2, 5.1).

/// Bytes in front of each frame (5.1.6): all zero but the last two, the number of buffers, when received.
pub const HEADER_BYTES: usize = 12;
/// Where that number is.
pub const BUFFERS: usize = 10;

/// The queues of a device with one pair of them.
pub mod queue {
    /// Frames that the driver receives.
    pub const RECEIVE: u16 = 0;
    /// Frames that it sends.
    pub const SEND: u16 = 1;
}

/// Features.
pub mod feature {
    /// The device says its address.
    pub const MAC: u64 = 1 << 5;
    /// The device says whether the link is up.
    pub const STATUS: u64 = 1 << 16;
}

/// Configuration, status: the link is up.
pub const LINK_UP: u8 = 1;

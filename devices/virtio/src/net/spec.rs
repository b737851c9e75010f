//! What queues, frames, configuration and commands are made of (virtio 1.2, 5.1).

/// Bytes in front of each frame (5.1.6).
pub const HEADER_BYTES: usize = 12;

/// Its fields, in the order that they have.
pub mod header {
    /// Flag: the checksum is the device's to put in, from `SUM_START` on, `SUM_OFFSET` behind that.
    pub const NEEDS_SUM: u8 = 1;
    /// Flag, of a frame that is received: its checksum is right.
    pub const SUM_IS_RIGHT: u8 = 2;
    /// Where the kind of segments is.
    pub const KIND: usize = 1;
    /// Bytes of data in each segment.
    pub const SEGMENT: usize = 4;
    /// Where what is summed begins.
    pub const SUM_START: usize = 6;
    /// Where the sum is, from there on.
    pub const SUM_OFFSET: usize = 8;
    /// How many buffers a frame is in that is received.
    pub const BUFFERS: usize = 10;

    /// Kinds: a frame as it is.
    pub const WHOLE: u8 = 0;
    /// TCP segments over IPv4.
    pub const TCP_V4: u8 = 1;
    /// TCP segments over IPv6.
    pub const TCP_V6: u8 = 4;
    /// A bit beside the kind: TCP says that its window was reduced.
    pub const ECN: u8 = 0x80;
}

/// The queues of a device with one pair of them.
pub mod queue {
    /// Frames that the driver receives.
    pub const RECEIVE: u16 = 0;
    /// Frames that it sends.
    pub const SEND: u16 = 1;
}

/// Features.
pub mod feature {
    /// The device puts checksums in.
    pub const SUM: u64 = 1 << 0;
    /// The driver takes frames whose checksum the device has looked at.
    pub const GUEST_SUM: u64 = 1 << 1;
    /// The device says the longest packet.
    pub const MTU: u64 = 1 << 3;
    /// The device says its address.
    pub const MAC: u64 = 1 << 5;
    /// The device cuts TCP over IPv4 into segments.
    pub const CUTS_V4: u64 = 1 << 11;
    /// The device cuts TCP over IPv6 into segments.
    pub const CUTS_V6: u64 = 1 << 12;
    /// The device cuts such whose window was reduced.
    pub const CUTS_ECN: u64 = 1 << 13;
    /// A frame may be in several buffers.
    pub const MERGEABLE: u64 = 1 << 15;
    /// The device says whether the link is up.
    pub const STATUS: u64 = 1 << 16;
    /// There is a queue for commands.
    pub const COMMANDS: u64 = 1 << 17;
    /// Commands of which frames are received.
    pub const COMMANDS_RECEIVE: u64 = 1 << 18;
    /// Commands of which VLANs are received.
    pub const COMMANDS_VLAN: u64 = 1 << 19;
    /// Further commands of which frames are received.
    pub const COMMANDS_RECEIVE_MORE: u64 = 1 << 20;
    /// There may be several pairs of queues.
    pub const PAIRS: u64 = 1 << 22;
    /// A command for the address.
    pub const COMMANDS_ADDRESS: u64 = 1 << 23;
}

/// Configuration (5.1.4): places, and what is there.
pub mod config {
    /// The address, six bytes.
    pub const ADDRESS_BYTES: u64 = 6;
    /// The status, two bytes.
    pub const STATUS: u64 = 6;
    /// The most pairs of queues, two bytes.
    pub const PAIRS: u64 = 8;
    /// The longest packet, two bytes.
    pub const MTU: u64 = 10;
    /// Status: the link is up.
    pub const LINK_UP: u8 = 1;
}

/// Commands (5.1.6.5): a class and what to do, the data, and a byte for the device.
pub mod command {
    /// Which frames are received: a byte that is 0 or 1.
    pub const RECEIVE: u8 = 0;
    /// Of [`RECEIVE`]: all frames; all multicast; all unicast; no multicast; no unicast; no broadcast.
    pub const MODES: u8 = 6;
    /// Addresses.
    pub const ADDRESS: u8 = 1;
    /// Of [`ADDRESS`]: two tables, of unicast and of multicast, each behind its count of 32 bits.
    pub const TABLES: u8 = 0;
    /// Of [`ADDRESS`]: the device's.
    pub const OWN: u8 = 1;
    /// VLANs.
    pub const VLAN: u8 = 2;
    /// Of [`VLAN`]: one is received; one is not.
    pub const ADD: u8 = 0;
    /// See [`ADD`].
    pub const REMOVE: u8 = 1;
    /// Pairs of queues.
    pub const PAIRS: u8 = 4;
    /// Of [`PAIRS`]: how many are used.
    pub const SET: u8 = 0;
    /// Done.
    pub const DONE: u8 = 0;
    /// Refused.
    pub const REFUSED: u8 = 1;
}

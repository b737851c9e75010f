//! Registers and descriptors of the controller (Intel 82574 GbE Controller Family datasheet).

/// PCI identity.
pub const VENDOR: u16 = 0x8086;
/// The 82574L.
pub const DEVICE: u16 = 0x10d3;
/// Network, Ethernet.
pub const CLASS: u32 = 0x02_0000;
/// The BAR with the registers, and its size.
pub const REGISTERS: (u8, u64) = (0, 0x2_0000);
/// The BAR with the messages, and its size.
pub const MESSAGES: (u8, u64) = (3, 0x4000);
/// Where the pending bits are in that.
pub const PENDING: u32 = 0x2000;
/// Interrupt vectors.
pub const VECTORS: u16 = 5;
/// The first byte behind the registers that keep something.
pub const END: u64 = 0x6000;

/// Registers, by offset.
pub mod register {
    /// Device control.
    pub const CTRL: u64 = 0x0000;
    /// Device status.
    pub const STATUS: u64 = 0x0008;
    /// NVM control.
    pub const EECD: u64 = 0x0010;
    /// NVM read.
    pub const EERD: u64 = 0x0014;
    /// More of device control.
    pub const CTRL_EXT: u64 = 0x0018;
    /// PHY access.
    pub const MDIC: u64 = 0x0020;
    /// Interrupt causes; reading clears.
    pub const ICR: u64 = 0x00c0;
    /// Causes are set.
    pub const ICS: u64 = 0x00c8;
    /// Causes are enabled.
    pub const IMS: u64 = 0x00d0;
    /// Causes are disabled.
    pub const IMC: u64 = 0x00d8;
    /// Causes that a message clears.
    pub const EIAC: u64 = 0x00dc;
    /// Causes that reading ICR disables.
    pub const IAM: u64 = 0x00e0;
    /// Which cause has which vector.
    pub const IVAR: u64 = 0x00e4;
    /// Receive control.
    pub const RCTL: u64 = 0x0100;
    /// Transmit control.
    pub const TCTL: u64 = 0x0400;
    /// Semaphore of the PHY.
    pub const EXTCNF_CTRL: u64 = 0x0f00;
    /// The receive ring: address, bytes, head, tail.
    pub const RECEIVE: u64 = 0x2800;
    /// The transmit ring.
    pub const TRANSMIT: u64 = 0x3800;
    /// Statistics; reading clears.
    pub const STATISTICS: core::ops::Range<u64> = 0x4000..0x4128;
    /// Good packets received.
    pub const GPRC: u64 = 0x4074;
    /// Good packets transmitted.
    pub const GPTC: u64 = 0x4080;
    /// Receive filter control.
    pub const RFCTL: u64 = 0x5008;
    /// Multicast table, 128 words.
    pub const MTA: u64 = 0x5200;
    /// Receive addresses, 16 of two words.
    pub const RAL: u64 = 0x5400;
    /// Software semaphore.
    pub const SWSM: u64 = 0x5b50;
    /// Firmware semaphore.
    pub const FWSM: u64 = 0x5b54;
}

/// Interrupt causes.
pub mod cause {
    /// Transmit descriptor written back.
    pub const TXDW: u32 = 1 << 0;
    /// Transmit queue empty.
    pub const TXQE: u32 = 1 << 1;
    /// Link status change.
    pub const LSC: u32 = 1 << 2;
    /// Receive timer.
    pub const RXT0: u32 = 1 << 7;
    /// Receive queue 0.
    pub const RXQ0: u32 = 1 << 20;
    /// Transmit queue 0.
    pub const TXQ0: u32 = 1 << 22;
    /// Other causes, by message.
    pub const OTHER: u32 = 1 << 24;
    /// An interrupt is asserted.
    pub const ASSERTED: u32 = 1 << 31;
}

/// CTRL: set link up.
pub const CTRL_LINK_UP: u32 = 1 << 6;
/// CTRL: reset.
pub const CTRL_RESET: u32 = 1 << 26;
/// CTRL: reset of the PHY.
pub const CTRL_PHY_RESET: u32 = 1 << 31;
/// STATUS: full duplex, 1000 Mb/s, GIO master enable.
pub const STATUS_FIXED: u32 = 1 | 2 << 6 | 1 << 19;
/// STATUS: link up.
pub const STATUS_LINK_UP: u32 = 1 << 1;
/// EECD: NVM present, read after reset, size, access granted.
pub const EECD_FIXED: u32 = 1 << 8 | 1 << 9 | 1 << 7;
/// CTRL_EXT: causes of EIAC are disabled as well when their message is sent.
pub const CTRL_EXT_IAME: u32 = 1 << 27;

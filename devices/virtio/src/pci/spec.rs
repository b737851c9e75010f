//! Virtio over PCI (virtio 1.2, 4.1): identity, capabilities, registers.

/// Vendor of all virtio devices.
pub const VENDOR: u16 = 0x1af4;
/// A device's PCI device ID is this and its virtio device ID.
pub const DEVICE_BASE: u16 = 0x1040;
/// No transitional device: 1 or higher (4.1.2.1).
pub const REVISION: u8 = 1;
/// No transitional device: 40h or higher.
pub const SUBSYSTEM: u16 = 0x1100;

/// The BAR that has everything.
pub const BAR: u8 = 0;
/// Its size.
pub const BAR_BYTES: u64 = 0x8000;
/// Common configuration.
pub const COMMON: u64 = 0x0000;
/// The interrupt status.
pub const ISR: u64 = 0x1000;
/// The device's own configuration.
pub const DEVICE: u64 = 0x2000;
/// Notifications: a dword for each queue.
pub const NOTIFY: u64 = 0x3000;
/// MSI-X table.
pub const TABLE: u64 = 0x4000;
/// MSI-X pending bits.
pub const PENDING: u64 = 0x6000;
/// Each of these has so much room.
pub const PART_BYTES: u64 = 0x1000;
/// Bytes between the notification addresses of two queues.
pub const NOTIFY_BYTES: u32 = 4;
/// The most queues that a device may have here.
pub const QUEUES_MAX: u16 = 64;

/// ID of a vendor-specific capability.
pub const CAPABILITY: u8 = 0x09;
/// What a capability says where it is (4.1.4).
pub mod capability {
    /// Common configuration.
    pub const COMMON: u8 = 1;
    /// Notifications.
    pub const NOTIFY: u8 = 2;
    /// Interrupt status.
    pub const ISR: u8 = 3;
    /// The device's own configuration.
    pub const DEVICE: u8 = 4;
    /// A window to BARs, in configuration space.
    pub const WINDOW: u8 = 5;
    /// Offsets in the window's capability: BAR, offset, length, and the data.
    pub const WINDOW_BAR: u16 = 4;
    /// See [`WINDOW_BAR`].
    pub const WINDOW_OFFSET: u16 = 8;
    /// See [`WINDOW_BAR`].
    pub const WINDOW_LENGTH: u16 = 12;
    /// See [`WINDOW_BAR`].
    pub const WINDOW_DATA: u16 = 16;
}

/// Common configuration (4.1.4.3): offsets.
pub mod common {
    /// Which 32 of the features offered are read.
    pub const DEVICE_FEATURE_SELECT: u64 = 0x00;
    /// They.
    pub const DEVICE_FEATURE: u64 = 0x04;
    /// Which 32 of the features accepted are accessed.
    pub const DRIVER_FEATURE_SELECT: u64 = 0x08;
    /// They.
    pub const DRIVER_FEATURE: u64 = 0x0c;
    /// The vector of configuration changes.
    pub const CONFIG_VECTOR: u64 = 0x10;
    /// How many queues there are.
    pub const QUEUES: u64 = 0x12;
    /// Device status.
    pub const STATUS: u64 = 0x14;
    /// Changes whenever the device's configuration does.
    pub const GENERATION: u64 = 0x15;
    /// Which queue the rest is of.
    pub const QUEUE_SELECT: u64 = 0x16;
    /// Its size; 0 if there is none.
    pub const QUEUE_SIZE: u64 = 0x18;
    /// Its vector.
    pub const QUEUE_VECTOR: u64 = 0x1a;
    /// Whether it is enabled.
    pub const QUEUE_ENABLE: u64 = 0x1c;
    /// Its number among the notification addresses.
    pub const QUEUE_NOTIFY: u64 = 0x1e;
    /// Its descriptor area.
    pub const QUEUE_DESCRIPTORS: u64 = 0x20;
    /// Its driver area.
    pub const QUEUE_DRIVER: u64 = 0x28;
    /// Its device area.
    pub const QUEUE_DEVICE: u64 = 0x30;
    /// How many bytes there are.
    pub const BYTES: u64 = 0x38;
}

/// Device status (2.1).
pub mod status {
    /// The driver has found the device.
    pub const ACKNOWLEDGE: u8 = 1;
    /// The driver knows how to drive the device.
    pub const DRIVER: u8 = 2;
    /// The driver is ready.
    pub const DRIVER_OK: u8 = 4;
    /// The features are agreed on.
    pub const FEATURES_OK: u8 = 8;
    /// The device can't go on.
    pub const NEEDS_RESET: u8 = 64;
}

/// Features of rings and transport (6).
pub mod feature {
    /// Indirect descriptors.
    pub const INDIRECT: u64 = 1 << 28;
    /// Event indices.
    pub const EVENT_INDEX: u64 = 1 << 29;
    /// This standard, version 1 or later.
    pub const VERSION_1: u64 = 1 << 32;
    /// Packed rings.
    pub const PACKED: u64 = 1 << 34;
}

/// Interrupt status: a queue has something.
pub const ISR_QUEUE: u8 = 1;
/// Interrupt status: the configuration has changed.
pub const ISR_CONFIG: u8 = 2;
/// No vector.
pub const NO_VECTOR: u16 = 0xffff;

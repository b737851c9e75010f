//! The small traits a device is made of. A device implements those whose capability it has, and no more; its
//! [`Device`] implementation says which these are, and the compiler holds the two against each other.
//!
//! Vocabulary: a *line* is a global system interrupt (GSI) input of the I/O APIC; lines 0 to 15 are the ISA
//! interrupts and reach the PIC as well (line 0, the PIT, reaches the I/O APIC as GSI 2: the interrupt router
//! does that). A guest's mistake is register state or an all-ones read, never an error and never a panic.

mod device;
#[cfg(test)]
mod tests;

pub use device::{Device, Input, Lines, Missing, Mmio, Ports, Present, Timer};

/// The width of a port or MMIO access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Width {
    /// 1 byte.
    Byte = 1,
    /// 2 bytes.
    Word = 2,
    /// 4 bytes.
    Dword = 4,
    /// 8 bytes; MMIO only.
    Qword = 8,
}

impl Width {
    /// The width in bytes.
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// All the bits an access of this width carries: what a read of nothing gives.
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self as u32)
    }
}

/// A run of ports, as a device lists what it wants claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// How many.
    pub count: u16,
}

/// A run of guest physical addresses, as a device lists what it wants claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioRange {
    /// The first byte.
    pub gpa: u64,
    /// Size in bytes; any, not only whole pages.
    pub bytes: u64,
}

/// What the guest asked of the machine as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerEvent {
    /// ACPI S5.
    Off,
    /// A reset by the reset register, the keyboard controller or CF9h.
    Reset,
}

/// What a device may use of its surroundings during one call.
pub trait Platform {
    /// Guest time in nanoseconds since the VM was created. Never goes back.
    fn now_ns(&self) -> u64;
    /// Drives an interrupt line. Level-triggered devices hold it, edge-triggered ones pulse it.
    fn set_line(&mut self, line: u8, level: bool);
    /// Switches the machine off or resets it, after the access in progress.
    fn power(&mut self, event: PowerEvent);
}

/// A device with I/O ports. `port` is the absolute port number; only ports of [`Self::ports`] are given to
/// it.
pub trait PortDevice: Device<Ports = Present> {
    /// The ports it claims. Asked once, when the device is added to the board.
    fn ports(&self) -> &[PortRange];
    /// An `IN`. Bits above `width` are ignored. `width` is never [`Width::Qword`].
    fn port_read(&mut self, port: u16, width: Width, platform: &mut dyn Platform) -> u32;
    /// An `OUT`. Bits of `value` above `width` are zero.
    fn port_write(&mut self, port: u16, width: Width, value: u32, platform: &mut dyn Platform);
}

/// A device with memory-mapped registers. `offset` is from the start of the range of [`Self::ranges`] that
/// was hit.
pub trait MmioDevice: Device<Mmio = Present> {
    /// The guest physical addresses it claims. Asked once, when the device is added to the board.
    fn ranges(&self) -> &[MmioRange];
    /// A load. Bits above `width` are ignored.
    fn mmio_read(&mut self, offset: u64, width: Width, platform: &mut dyn Platform) -> u64;
    /// A store. Bits of `value` above `width` are zero.
    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, platform: &mut dyn Platform);
}

/// A device that does something by itself as time passes.
pub trait TimedDevice: Device<Timer = Present> {
    /// When [`Self::expire`] wants to be called next, in [`Platform::now_ns`] time; `None` for not at all.
    fn deadline_ns(&self) -> Option<u64>;
    /// Called at or after the deadline; may be called early or late, and must catch up.
    fn expire(&mut self, platform: &mut dyn Platform);
}

/// A device that owns interrupt lines: no other device may claim them.
///
/// A device that drives lines which the guest chooses, or which belong to another device, owns none of them.
pub trait LineDevice: Device<Lines = Present> {
    /// The lines it owns. Asked once, when the device is added to the board.
    fn lines(&self) -> &[u8];
}

/// A device that gets input from the host, as a serial port does.
pub trait InputDevice: Device<Input = Present> {
    /// The host has signalled that there is input. May be called when there is none.
    fn input(&mut self, platform: &mut dyn Platform);
}

//! The PCI host: configuration mechanism #1 and ECAM on one bus, bus 0, and what a function on it is.
//!
//! [`PciHost`] finds out which function an access is for; a [`Bus`], which holds the functions, carries it
//! out. An empty slot reads all-ones, and so do all other buses. Mechanism #2 is not there: its byte
//! registers CF8h and CFAh are parts of the dword register CONFIG_ADDRESS and read all-ones on their own, its
//! window C000h–CFFFh is absent.
//!
//! A function has a [`ConfigSpace`] with its BARs ([`Bar`]) and capabilities. Where a BAR is, and whether it
//! is decoded, is the guest's to say at any time: whoever routes accesses asks
//! [`ConfigSpace::bar_base`] again after each write.

mod bar;
mod chipset;
pub mod config;
pub mod dwords;
mod interrupts;
pub mod msix;
pub mod spec;

use crate::acpi_entry::{AcpiEntry, OEM_ID, OEM_REVISION, OEM_TABLE_ID};
use crate::capability::{MmioRange, Platform, PortRange, Width};
use acpi_tables::{Aml, aml::Memory32Fixed, mcfg::MCFG};
use alloc::vec::Vec;
pub use bar::{BARS, Bar, BarKind};
pub use chipset::{HOST_BRIDGE_DEVFN, LPC_DEVFN, PlainFunction, host_bridge, lpc_bridge};
pub use config::ConfigSpace;
pub use interrupts::Interrupts;

/// What a function may use of its surroundings during one call.
pub trait PciPlatform: Platform {
    /// A message-signalled interrupt: a write of `data` to `address`, which reaches nothing but local APICs.
    fn send_msi(&mut self, address: u64, data: u32);
    /// Drives the function's interrupt pin. Functions whose pins share a line do not disturb each other.
    fn set_intx(&mut self, level: bool);
}

/// A function on the bus.
pub trait PciFunction: Send {
    /// What messages call it.
    fn name(&self) -> &'static str;
    /// Its configuration space.
    fn space(&self) -> &ConfigSpace;
    /// The same, for firmware that gives the BARs their first addresses.
    fn space_mut(&mut self) -> &mut ConfigSpace;
    /// A configuration read. `offset` is below 4096; an access never crosses a dword. Bits above `width` are
    /// ignored.
    fn config_read(&mut self, offset: u16, width: Width, _platform: &mut dyn PciPlatform) -> u32 {
        self.space().read(offset, width)
    }
    /// A configuration write. Bits of `value` above `width` are zero.
    fn config_write(&mut self, offset: u16, width: Width, value: u32, platform: &mut dyn PciPlatform);
    /// A load from a BAR. `offset` is from its start, and all of the access is inside.
    fn bar_read(&mut self, bar: u8, offset: u64, width: Width, platform: &mut dyn PciPlatform) -> u64;
    /// A store to a BAR. Bits of `value` above `width` are zero.
    fn bar_write(&mut self, bar: u8, offset: u64, width: Width, value: u64, platform: &mut dyn PciPlatform);
    /// What is behind the function has signalled that there is something for it.
    fn input(&mut self, _platform: &mut dyn PciPlatform) {}
}

/// The functions of bus 0, as the host reaches them.
pub trait Bus {
    /// A configuration read of the function at `devfn` (device number times 8 plus function number). `None`
    /// if there is none.
    fn config_read(&mut self, devfn: u8, offset: u16, width: Width) -> Option<u32>;
    /// A configuration write.
    fn config_write(&mut self, devfn: u8, offset: u16, width: Width, value: u32);
}

/// The host bridge's two ways into configuration space: ports at [`spec::PORTS`], memory at
/// [`spec::ECAM_GPA`].
#[derive(Debug, Default)]
pub struct PciHost {
    address: u32,
}

/// What a configuration access is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    bus: u8,
    devfn: u8,
    offset: u16,
}

impl Target {
    /// Accesses that cross a dword are not defined: nobody's.
    fn has(self, width: Width) -> bool {
        // There is one bus, and no access of configuration space crosses a dword.
        self.bus == 0 && u64::from(self.offset & 3) + width.bytes() <= 4
    }

    fn read(self, width: Width, bus: &mut dyn Bus) -> u32 {
        let value = self.has(width).then(|| bus.config_read(self.devfn, self.offset, width)).flatten();
        value.unwrap_or(u32::MAX) & width.mask() as u32
    }

    fn write(self, width: Width, value: u32, bus: &mut dyn Bus) {
        if self.has(width) {
            bus.config_write(self.devfn, self.offset, width, value);
        }
    }

    /// Of an offset into ECAM.
    fn of_ecam(offset: u64) -> Self {
        Self { bus: (offset >> 20) as u8, devfn: (offset >> 12) as u8, offset: offset as u16 & 0xfff }
    }
}

impl PciHost {
    /// What messages call it.
    pub const NAME: &'static str = "PCI host bridge";
    /// The ports it claims.
    pub const PORTS: &'static [PortRange] = spec::PORTS;
    /// The addresses it claims.
    pub const RANGES: &'static [MmioRange] = &[MmioRange { gpa: spec::ECAM_GPA, bytes: spec::ECAM_BYTES }];

    /// What the ACPI tables say of it. The root bridge itself is in the DSDT in any case.
    pub fn acpi() -> Vec<AcpiEntry> {
        let window = Memory32Fixed::new(true, spec::ECAM_GPA as u32, spec::ECAM_BYTES as u32);
        [AcpiEntry::system("ECAM", "PNP0C02", &[&window]), acpi_table()].into()
    }

    /// What a CONFIG_DATA access is for, if CONFIG_ADDRESS is enabled.
    fn target(&self, port: u16) -> Option<Target> {
        let [register, devfn, bus, _] = self.address.to_le_bytes();
        // The lower two bits of the address come from the port within CONFIG_DATA.
        let offset = u16::from(register & 0xfc) + (port & 3);
        let is_data = port >= spec::CONFIG_DATA && self.address & spec::ADDRESS_ENABLE != 0;
        is_data.then_some(Target { bus, devfn, offset })
    }

    /// IN.
    pub fn port_read(&self, port: u16, width: Width, bus: &mut dyn Bus) -> u32 {
        // Only as a dword: narrower accesses there are for other devices (PCI local bus specification 3.0,
        // 3.2.2.3.2).
        if port == spec::CONFIG_ADDRESS && width == Width::Dword {
            return self.address;
        }
        self.target(port).map_or(width.mask() as u32, |target| target.read(width, bus))
    }

    /// OUT.
    pub fn port_write(&mut self, port: u16, width: Width, value: u32, bus: &mut dyn Bus) {
        if port == spec::CONFIG_ADDRESS && width == Width::Dword {
            self.address = value & spec::ADDRESS_KEPT;
        } else if let Some(target) = self.target(port) {
            target.write(width, value, bus);
        }
    }

    /// A load from ECAM. A qword is two dwords.
    pub fn ecam_read(offset: u64, width: Width, bus: &mut dyn Bus) -> u64 {
        // The bus knows dwords: these are two accesses.
        if width == Width::Qword {
            let low = Self::ecam_read(offset, Width::Dword, bus);
            return low | Self::ecam_read(offset.wrapping_add(4), Width::Dword, bus) << 32;
        }
        u64::from(Target::of_ecam(offset).read(width, bus))
    }

    /// A store to ECAM.
    pub fn ecam_write(offset: u64, width: Width, value: u64, bus: &mut dyn Bus) {
        if width == Width::Qword {
            Self::ecam_write(offset, Width::Dword, value & 0xffff_ffff, bus);
            return Self::ecam_write(offset.wrapping_add(4), Width::Dword, value >> 32, bus);
        }
        Target::of_ecam(offset).write(width, value as u32, bus);
    }
}

/// The MCFG table (PCI firmware specification 3.3, 4.1.2): one window, for all buses of segment 0.
fn acpi_table() -> AcpiEntry {
    let mut table = MCFG::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    table.add_ecam(spec::ECAM_GPA, 0, 0, 255);
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    AcpiEntry::Table(bytes)
}

#[cfg(test)]
mod tests;

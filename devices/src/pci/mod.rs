//! The PCI host: configuration mechanism #1 and ECAM on one bus, bus 0, whose slots hold [`PciFunction`]s.
//!
//! An empty slot reads all-ones, and so do all other buses. Mechanism #2 is not there: its byte registers
//! CF8h and CFAh are parts of the dword register CONFIG_ADDRESS and read all-ones on their own, its window
//! C000h–CFFFh is absent.
//!
//! The host owns its functions as boxes. A device process or a device with a lock of its own is put in as a
//! handle that implements [`PciFunction`].

mod chipset;
pub mod config;
pub mod spec;

use crate::acpi_entry::{AcpiEntry, OEM_ID, OEM_REVISION, OEM_TABLE_ID};
use crate::capability::{
    Device, Missing, MmioDevice, MmioRange, Platform, PortDevice, PortRange, Present, Width,
};
use acpi_tables::{Aml, aml::Memory32Fixed, mcfg::MCFG};
use alloc::{boxed::Box, vec::Vec};
pub use chipset::{HOST_BRIDGE_DEVFN, LPC_DEVFN, PlainFunction, host_bridge, lpc_bridge};

/// A function's configuration space. `offset` is below 4096; an access never crosses a dword.
pub trait PciFunction {
    /// A configuration read. Bits above `width` are ignored.
    fn config_read(&mut self, offset: u16, width: Width, platform: &mut dyn Platform) -> u32;
    /// A configuration write. Bits of `value` above `width` are zero.
    fn config_write(&mut self, offset: u16, width: Width, value: u32, platform: &mut dyn Platform);
}

/// A place on bus 0 that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotTaken {
    /// Device number times 8 plus function number.
    pub devfn: u8,
}

/// The host bridge's two ways into configuration space: ports at [`spec::PORTS`], memory at
/// [`spec::ECAM_GPA`].
pub struct PciHost {
    functions: Vec<Option<Box<dyn PciFunction + Send>>>,
    address: u32,
}

impl Default for PciHost {
    fn default() -> Self {
        Self::empty()
    }
}

impl PciHost {
    /// A bus without functions.
    pub fn empty() -> Self {
        Self { functions: (0..256).map(|_| None).collect(), address: 0 }
    }

    /// A bus with the host bridge and the LPC bridge.
    pub fn q35() -> Self {
        let mut host = Self::empty();
        // An empty bus has room for both: the results cannot be errors.
        let _ = host.plug(HOST_BRIDGE_DEVFN, Box::new(host_bridge()));
        let _ = host.plug(LPC_DEVFN, Box::new(lpc_bridge()));
        host
    }

    /// Puts a function on the bus. Function 0 of a slot with further functions must say so itself (header
    /// type bit 7).
    pub fn plug(&mut self, devfn: u8, function: Box<dyn PciFunction + Send>) -> Result<(), SlotTaken> {
        match self.functions.get_mut(usize::from(devfn)) {
            Some(slot @ None) => {
                *slot = Some(function);
                Ok(())
            }
            _ => Err(SlotTaken { devfn }),
        }
    }

    /// A configuration read, all-ones where nothing is. Accesses that cross a dword are not defined:
    /// all-ones.
    pub fn config_read(
        &mut self,
        bus: u8,
        devfn: u8,
        offset: u16,
        width: Width,
        platform: &mut dyn Platform,
    ) -> u32 {
        match self.function(bus, devfn, offset, width) {
            Some(function) => function.config_read(offset, width, platform),
            None => width.mask() as u32,
        }
    }

    /// A configuration write.
    pub fn config_write(
        &mut self,
        bus: u8,
        devfn: u8,
        offset: u16,
        width: Width,
        value: u32,
        platform: &mut dyn Platform,
    ) {
        if let Some(function) = self.function(bus, devfn, offset, width) {
            function.config_write(offset, width, value, platform);
        }
    }

    fn function(
        &mut self,
        bus: u8,
        devfn: u8,
        offset: u16,
        width: Width,
    ) -> Option<&mut (dyn PciFunction + Send + 'static)> {
        if bus != 0 || u64::from(offset & 3) + width.bytes() > 4 {
            return None;
        }
        self.functions.get_mut(usize::from(devfn))?.as_deref_mut()
    }

    /// Bus, function and offset of a CONFIG_DATA access, if CONFIG_ADDRESS is enabled.
    fn target(&self, port: u16) -> Option<(u8, u8, u16)> {
        let [register, devfn, bus, _] = self.address.to_le_bytes();
        let offset = u16::from(register & 0xfc) + (port & 3);
        (self.address & spec::ADDRESS_ENABLE != 0).then_some((bus, devfn, offset))
    }
}

impl Device for PciHost {
    const NAME: &'static str = "PCI host bridge";
    type Ports = Present;
    type Mmio = Present;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        let window = Memory32Fixed::new(true, spec::ECAM_GPA as u32, spec::ECAM_BYTES as u32);
        [AcpiEntry::system("ECAM", "PNP0C02", &[&window]), acpi_table()].into()
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

impl PortDevice for PciHost {
    fn ports(&self) -> &[PortRange] {
        spec::PORTS
    }

    fn port_read(&mut self, port: u16, width: Width, platform: &mut dyn Platform) -> u32 {
        if port == spec::CONFIG_ADDRESS && width == Width::Dword {
            return self.address;
        }
        match self.target(port) {
            Some((bus, devfn, offset)) if port >= spec::CONFIG_DATA => {
                self.config_read(bus, devfn, offset, width, platform)
            }
            _ => width.mask() as u32,
        }
    }

    fn port_write(&mut self, port: u16, width: Width, value: u32, platform: &mut dyn Platform) {
        if port == spec::CONFIG_ADDRESS && width == Width::Dword {
            self.address = value & spec::ADDRESS_KEPT;
        } else if let Some((bus, devfn, offset)) = self.target(port)
            && port >= spec::CONFIG_DATA
        {
            self.config_write(bus, devfn, offset, width, value, platform);
        }
    }
}

/// Bus, function and offset of an ECAM access.
fn ecam(offset: u64) -> (u8, u8, u16) {
    ((offset >> 20) as u8, (offset >> 12) as u8, offset as u16 & 0xfff)
}

impl MmioDevice for PciHost {
    fn ranges(&self) -> &[MmioRange] {
        &[MmioRange { gpa: spec::ECAM_GPA, bytes: spec::ECAM_BYTES }]
    }

    /// A qword is two dwords.
    fn mmio_read(&mut self, offset: u64, width: Width, platform: &mut dyn Platform) -> u64 {
        if width == Width::Qword {
            let low = self.mmio_read(offset, Width::Dword, platform);
            return low | self.mmio_read(offset.wrapping_add(4), Width::Dword, platform) << 32;
        }
        let (bus, devfn, register) = ecam(offset);
        u64::from(self.config_read(bus, devfn, register, width, platform))
    }

    fn mmio_write(&mut self, offset: u64, width: Width, value: u64, platform: &mut dyn Platform) {
        if width == Width::Qword {
            self.mmio_write(offset, Width::Dword, value & 0xffff_ffff, platform);
            return self.mmio_write(offset.wrapping_add(4), Width::Dword, value >> 32, platform);
        }
        let (bus, devfn, register) = ecam(offset);
        self.config_write(bus, devfn, register, width, value as u32, platform);
    }
}

#[cfg(test)]
mod tests;

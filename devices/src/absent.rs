//! Nothing there: reads give all-ones, writes go nowhere. What a range that nobody claims does, as a device,
//! for those who want to claim a range so (an empty legacy range, a policy's "absent").

use alloc::vec::Vec;

use crate::acpi_entry::AcpiEntry;
use crate::capability::{
    Device, Missing, MmioDevice, MmioRange, Platform, PortDevice, PortRange, Present, Width,
};

/// The device that is not there, in the ranges that are its.
#[derive(Clone, Debug, Default)]
pub struct Absent {
    /// The ports that are to be absent.
    pub ports: Vec<PortRange>,
    /// The addresses that are to be absent.
    pub ranges: Vec<MmioRange>,
}

impl Device for Absent {
    const NAME: &'static str = "absent";
    type Ports = Present;
    type Mmio = Present;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        Vec::new()
    }
}

impl PortDevice for Absent {
    fn ports(&self) -> &[PortRange] {
        &self.ports
    }

    fn port_read(&mut self, _port: u16, width: Width, _platform: &mut dyn Platform) -> u32 {
        width.mask() as u32
    }

    fn port_write(&mut self, _port: u16, _width: Width, _value: u32, _platform: &mut dyn Platform) {}
}

impl MmioDevice for Absent {
    fn ranges(&self) -> &[MmioRange] {
        &self.ranges
    }

    fn mmio_read(&mut self, _offset: u64, width: Width, _platform: &mut dyn Platform) -> u64 {
        width.mask()
    }

    fn mmio_write(&mut self, _offset: u64, _width: Width, _value: u64, _platform: &mut dyn Platform) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn reads_all_ones() {
        let (mut bench, mut absent) = (Bench::default(), Absent::default());
        assert_eq!(absent.port_read(0x2f8, Width::Byte, &mut bench), 0xff);
        assert_eq!(absent.port_read(0x2f8, Width::Dword, &mut bench), 0xffff_ffff);
        assert_eq!(absent.mmio_read(0, Width::Qword, &mut bench), u64::MAX);
        absent.port_write(0x2f8, Width::Byte, 0, &mut bench);
        absent.mmio_write(0, Width::Byte, 0, &mut bench);
        assert_eq!(bench, Bench::default());
    }
}

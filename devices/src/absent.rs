//! Nothing there: reads give all-ones, writes go nowhere. What a range that nobody claims does, as a device, for those
//! who want to claim a range so (an empty legacy range, a policy's "absent").

use crate::capability::{MmioDevice, Platform, PortDevice, Width};

/// The device that is not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Absent;

impl PortDevice for Absent {
    fn port_read(&mut self, _port: u16, width: Width, _platform: &mut dyn Platform) -> u32 {
        width.mask() as u32
    }

    fn port_write(&mut self, _port: u16, _width: Width, _value: u32, _platform: &mut dyn Platform) {}
}

impl MmioDevice for Absent {
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
        let mut bench = Bench::default();
        assert_eq!(Absent.port_read(0x2f8, Width::Byte, &mut bench), 0xff);
        assert_eq!(Absent.port_read(0x2f8, Width::Dword, &mut bench), 0xffff_ffff);
        assert_eq!(Absent.mmio_read(0, Width::Qword, &mut bench), u64::MAX);
        Absent.port_write(0x2f8, Width::Byte, 0, &mut bench);
        Absent.mmio_write(0, Width::Byte, 0, &mut bench);
        assert_eq!(bench, Bench::default());
    }
}

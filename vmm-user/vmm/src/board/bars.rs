//! Accesses to functions of the PCI bus: their BARs, which the guest moves, and their configuration spaces.

use devices::bus::{BarHit, DeviceId};
use devices::capability::Width;

use super::{Board, BoardAccess};

impl Board {
    /// A load from where no device is fixed: a BAR, or nothing.
    #[inline(never)]
    pub(super) fn read_outside(&self, gpa: u64, width: Width, access: &mut BoardAccess<'_>) -> u64 {
        match self.bars.find(gpa) {
            // Another vCPU may move the BAR in between: the access reaches the old place, as one on its way
            // would.
            Some(hit) => self.read_bar(hit, width, access),
            None => self.mmio_read_split(gpa, width, access),
        }
    }

    /// Of an access that leaves the BAR, what is outside is absent.
    fn read_bar(&self, hit: BarHit, width: Width, access: &mut BoardAccess<'_>) -> u64 {
        self.with(hit.device, width.mask(), access, |device, access| {
            let Some(function) = device.as_function() else { return width.mask() };
            if hit.remaining >= width.bytes() {
                return function.bar_read(hit.bar, hit.offset, width, access);
            }
            (0..hit.remaining).fold(width.mask(), |value, i| {
                let byte = function.bar_read(hit.bar, hit.offset + i, Width::Byte, access);
                value & !(0xff << (8 * i)) | (byte & 0xff) << (8 * i)
            })
        })
    }

    #[inline(never)]
    pub(super) fn write_outside(&self, gpa: u64, width: Width, value: u64, access: &mut BoardAccess<'_>) {
        match self.bars.find(gpa) {
            Some(hit) => self.write_bar(hit, width, value, access),
            None => self.mmio_write_split(gpa, width, value, access),
        }
    }

    fn write_bar(&self, hit: BarHit, width: Width, value: u64, access: &mut BoardAccess<'_>) {
        self.with(hit.device, (), access, |device, access| {
            let Some(function) = device.as_function() else { return };
            if hit.remaining >= width.bytes() {
                return function.bar_write(hit.bar, hit.offset, width, value, access);
            }
            for i in 0..hit.remaining {
                let byte = value >> (8 * i) & 0xff;
                function.bar_write(hit.bar, hit.offset + i, Width::Byte, byte, access);
            }
        });
    }

    fn function_at(&self, devfn: u8) -> Option<DeviceId> {
        *self.functions.get(usize::from(devfn))?
    }

    /// A configuration read of a PCI function, if there is one at that place.
    pub(super) fn config_read(
        &self,
        devfn: u8,
        offset: u16,
        width: Width,
        access: &mut BoardAccess<'_>,
    ) -> Option<u32> {
        let id = self.function_at(devfn)?;
        self.with(id, None, access, |device, access| {
            Some(device.as_function()?.config_read(offset, width, access))
        })
    }

    /// A configuration write. It may have moved the function's BARs.
    pub(super) fn config_write(
        &self,
        devfn: u8,
        offset: u16,
        width: Width,
        value: u32,
        access: &mut BoardAccess<'_>,
    ) {
        let Some(id) = self.function_at(devfn) else { return };
        self.with(id, (), access, |device, access| {
            let Some(function) = device.as_function() else { return };
            function.config_write(offset, width, value, access);
            // Under the function's lock: what two vCPUs write one after the other is found in that order.
            let space = function.space();
            // All of them, whatever was written: the command register decides too whether they are decoded.
            for (bar, _) in space.bars() {
                self.bars.place(id, bar, space.bar_base(bar));
            }
        });
    }
}

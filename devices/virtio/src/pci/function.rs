//! The PCI function: configuration space and BAR.

use devices::capability::Width;
use devices::guest_memory::GuestMemory;
use devices::pci::{ConfigSpace, PciFunction, PciPlatform};

use super::VirtioPci;
use super::spec::{self, NOTIFY_BYTES, PART_BYTES};
use crate::device::VirtioDevice;

impl<D: VirtioDevice, M: GuestMemory + Send> PciFunction for VirtioPci<D, M> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn space(&self) -> &ConfigSpace {
        &self.space
    }

    fn space_mut(&mut self) -> &mut ConfigSpace {
        &mut self.space
    }

    fn config_read(&mut self, offset: u16, width: Width, platform: &mut dyn PciPlatform) -> u32 {
        self.window_read(offset, width, platform).unwrap_or_else(|| self.space.read(offset, width))
    }

    fn config_write(&mut self, offset: u16, width: Width, value: u32, platform: &mut dyn PciPlatform) {
        // First, as all below go by what it says now.
        self.space.write(offset, width, value);
        self.interrupts.config_written(&self.space, platform);
        // The write may have switched the pin off, or MSI-X on, which takes its place.
        self.update_pin(platform);
        self.window_write(offset, width, value, platform);
        // It may be a master of the bus again, with results that have waited for that.
        self.take_input(platform);
    }

    fn bar_read(&mut self, bar: u8, offset: u64, width: Width, platform: &mut dyn PciPlatform) -> u64 {
        if bar != spec::BAR {
            return width.mask();
        }
        if let Some(value) = self.interrupts.read(bar, offset, width) {
            return value;
        }
        let inside = offset % PART_BYTES;
        match offset - inside {
            spec::COMMON => self.common_read(inside, width),
            spec::ISR if inside == 0 => {
                // Reading acknowledges, and takes the pin down (4.1.4.5).
                let isr = core::mem::take(&mut self.state.isr);
                self.update_pin(platform);
                isr.into()
            }
            spec::DEVICE => {
                // Byte by byte: fields have any width, and a load may be across two of them.
                let byte = |i: u64| u64::from(self.device.config(inside + i)) << (8 * i);
                (0..width.bytes()).map(byte).sum()
            }
            _ => 0,
        }
    }

    fn bar_write(&mut self, bar: u8, offset: u64, width: Width, value: u64, platform: &mut dyn PciPlatform) {
        if bar != spec::BAR || self.interrupts.write(bar, offset, width, value, &self.space, platform) {
            return;
        }
        let inside = offset % PART_BYTES;
        match offset - inside {
            spec::COMMON => self.common_write(inside, width, value, platform),
            // The address says which queue it is.
            spec::NOTIFY => self.notify((inside / u64::from(NOTIFY_BYTES)) as u16, platform),
            _ => {}
        }
    }

    fn input(&mut self, platform: &mut dyn PciPlatform) {
        if self.device.attend() {
            self.config_changed(platform);
        }
        self.take_input(platform);
    }
}

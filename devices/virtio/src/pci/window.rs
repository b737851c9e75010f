//! The window in configuration space to the BAR (virtio 1.2, 4.1.4.9): for firmware that can't reach BARs.

use devices::capability::Width;
use devices::guest_memory::GuestMemory;
use devices::pci::{PciFunction, PciPlatform};

use super::VirtioPci;
use super::spec::{self, capability};
use crate::device::VirtioDevice;

impl<D: VirtioDevice, M: GuestMemory + Send> VirtioPci<D, M> {
    /// Where the access of the window's data goes to in the BAR, and how wide it is, if `offset` is that of
    /// the data and what the driver says of the access is sound.
    fn window_target(&self, offset: u16) -> Option<(u64, Width)> {
        let at = self.window_at?;
        if offset != at + capability::WINDOW_DATA {
            return None;
        }
        let field = |offset, width| u64::from(self.space.read(at + offset, width));
        let bar = field(capability::WINDOW_BAR, Width::Byte);
        let start = field(capability::WINDOW_OFFSET, Width::Dword);
        let width = match field(capability::WINDOW_LENGTH, Width::Dword) {
            1 => Width::Byte,
            2 => Width::Word,
            4 => Width::Dword,
            _ => return None,
        };
        // At each access, as the driver may have written anything there since the last one.
        let is_inside = start.is_multiple_of(width.bytes()) && start < spec::BAR_BYTES;
        (bar == u64::from(spec::BAR) && is_inside).then_some((start, width))
    }

    pub(super) fn window_read(
        &mut self,
        offset: u16,
        width: Width,
        platform: &mut dyn PciPlatform,
    ) -> Option<u32> {
        let (start, wanted) = self.window_target(offset)?;
        // As wide as the driver has said, since that is what registers with effects see; of what comes it may
        // take less.
        let value = self.bar_read(spec::BAR, start, wanted, platform) & wanted.mask();
        Some((value & width.mask()) as u32)
    }

    pub(super) fn window_write(
        &mut self,
        offset: u16,
        width: Width,
        value: u32,
        platform: &mut dyn PciPlatform,
    ) {
        // The driver has said how wide the access is, and has to keep to it (4.1.4.9).
        if let Some((start, wanted)) = self.window_target(offset).filter(|(_, wanted)| *wanted == width) {
            self.bar_write(spec::BAR, start, wanted, u64::from(value), platform);
        }
    }
}

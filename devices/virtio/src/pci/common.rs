//! The common configuration: how driver and device come to agree (virtio 1.2, 3.1, 4.1.4.3).

use devices::capability::Width;
use devices::guest_memory::GuestMemory;
use devices::pci::PciPlatform;

use super::VirtioPci;
use super::spec::{NO_VECTOR, common, feature, status};
use crate::device::VirtioDevice;
use crate::queue::Queue;

/// One of two halves of 32 bits; the others are zero.
fn half(value: u64, select: u32) -> u32 {
    match select {
        0 => value as u32,
        1 => (value >> 32) as u32,
        _ => 0,
    }
}

/// Replaces 32 of 64 bits.
fn set_half(value: &mut u64, is_high: bool, half: u32) {
    *value = match is_high {
        false => *value & !0xffff_ffff | u64::from(half),
        true => *value & 0xffff_ffff | u64::from(half) << 32,
    };
}

impl<D: VirtioDevice, M: GuestMemory> VirtioPci<D, M> {
    fn selected(&self) -> Option<&Queue> {
        self.queues.get(usize::from(self.state.queue_select))
    }

    /// The dword at an offset, a multiple of 4.
    fn common_dword(&self, offset: u64) -> u32 {
        let state = &self.state;
        let words = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
        // A queue that there is not has a size of 0: so drivers find out how many there are.
        let queue = self.selected();
        let area = |area: u64| half(area, (offset >> 2 & 1) as u32);
        match offset {
            common::DEVICE_FEATURE_SELECT => state.device_feature_select,
            common::DEVICE_FEATURE => half(self.features(), state.device_feature_select),
            common::DRIVER_FEATURE_SELECT => state.driver_feature_select,
            common::DRIVER_FEATURE => half(state.driver_features, state.driver_feature_select),
            common::CONFIG_VECTOR => words(state.config_vector, self.queues.len() as u16),
            common::STATUS => words(u16::from_le_bytes([state.status, self.generation]), state.queue_select),
            common::QUEUE_SIZE => {
                let vector = self.vectors.get(usize::from(state.queue_select)).copied();
                words(queue.map_or(0, |queue| queue.size), vector.unwrap_or(NO_VECTOR))
            }
            common::QUEUE_ENABLE => words(queue.is_some_and(Queue::is_enabled).into(), state.queue_select),
            0x20..0x38 => queue.map_or(0, |queue| match offset & !7 {
                common::QUEUE_DESCRIPTORS => area(queue.areas.descriptors),
                common::QUEUE_DRIVER => area(queue.areas.driver),
                _ => area(queue.areas.device),
            }),
            _ => 0,
        }
    }

    /// A load, of any width at any place.
    pub(super) fn common_read(&self, offset: u64, width: Width) -> u64 {
        let low = u64::from(self.common_dword(offset & !3));
        // The next one as well: a load may be across two.
        let high = u64::from(self.common_dword((offset & !3).saturating_add(4)));
        (low | high << 32) >> (8 * (offset & 3)) & width.mask()
    }

    /// A store. Fields are written whole, those of 64 bits also by halves (4.1.3.1); others are dropped.
    pub(super) fn common_write(
        &mut self,
        offset: u64,
        width: Width,
        value: u64,
        platform: &mut dyn PciPlatform,
    ) {
        match (offset, width) {
            (common::DEVICE_FEATURE_SELECT, Width::Dword) => self.state.device_feature_select = value as u32,
            (common::DRIVER_FEATURE_SELECT, Width::Dword) => self.state.driver_feature_select = value as u32,
            (common::DRIVER_FEATURE, Width::Dword) => self.accept_features(value as u32),
            (common::CONFIG_VECTOR, Width::Word) => self.state.config_vector = self.vector(value as u16),
            (common::STATUS, Width::Byte) => self.write_status(value as u8, platform),
            (common::QUEUE_SELECT, Width::Word) => self.state.queue_select = value as u16,
            (common::QUEUE_VECTOR, Width::Word) => {
                let vector = self.vector(value as u16);
                if let Some(slot) = self.vectors.get_mut(usize::from(self.state.queue_select)) {
                    *slot = vector;
                }
            }
            // A queue is disabled by a reset alone (4.1.4.3.2).
            (common::QUEUE_ENABLE, Width::Word) if value == 1 => self.enable_queue(platform),
            // Any number is taken; whether it can be one is looked at when the queue is enabled.
            (common::QUEUE_SIZE, Width::Word) => self.set_up_queue(|queue| queue.size = value as u16),
            (0x20..0x38, Width::Dword) => self.write_area(offset, value as u32),
            (0x20..0x38, Width::Qword) if offset & 7 == 0 => {
                self.write_area(offset, value as u32);
                self.write_area(offset + 4, (value >> 32) as u32);
            }
            _ => {}
        }
    }

    /// Vectors that there are not become none: the driver reads back that it failed (4.1.5.1.2).
    fn vector(&self, vector: u16) -> u16 {
        if vector < self.interrupts.vectors() { vector } else { NO_VECTOR }
    }

    fn accept_features(&mut self, value: u32) {
        // Nothing is accepted behind that bit (3.1.1): the rings are made by what was.
        if self.has_status(status::FEATURES_OK) {
            return;
        }
        match self.state.driver_feature_select {
            0 => set_half(&mut self.state.driver_features, false, value),
            1 => set_half(&mut self.state.driver_features, true, value),
            // Features that there are none of.
            _ => {}
        }
    }

    fn write_status(&mut self, value: u8, platform: &mut dyn PciPlatform) {
        if value == 0 {
            // In this access: a driver waits for the status to read 0, and may take its memory back then.
            return self.reset(platform);
        }
        let had = self.state.status;
        // No bit is taken back but by a reset, and the device's own is not the driver's (2.1.1).
        let mut new = had | value & !status::NEEDS_RESET;
        let accepted = self.state.driver_features;
        // A driver without VERSION_1 is a legacy one, which expects registers that are not here.
        let is_agreed = accepted & !self.features() == 0 && accepted & feature::VERSION_1 != 0;
        if had & status::FEATURES_OK == 0 && !is_agreed {
            new &= !status::FEATURES_OK;
        }
        // A driver that goes on without features is not ready.
        if new & status::FEATURES_OK == 0 {
            new &= !status::DRIVER_OK;
        }
        self.state.status = new;
        if new & !had & status::FEATURES_OK != 0 {
            self.device.agreed(accepted);
        }
    }

    /// Changes what the driver says of a queue, until it is enabled.
    fn set_up_queue(&mut self, change: impl FnOnce(&mut Queue)) {
        let queue = self.queues.get_mut(usize::from(self.state.queue_select));
        // The ring was checked when it was enabled, and stays what was checked.
        if let Some(queue) = queue.filter(|queue| !queue.is_enabled()) {
            change(queue);
        }
    }

    fn write_area(&mut self, offset: u64, value: u32) {
        let is_high = offset & 4 != 0;
        self.set_up_queue(|queue| {
            let area = match offset & !7 {
                common::QUEUE_DESCRIPTORS => &mut queue.areas.descriptors,
                common::QUEUE_DRIVER => &mut queue.areas.driver,
                _ => &mut queue.areas.device,
            };
            // Only whole halves.
            if offset.is_multiple_of(4) {
                set_half(area, is_high, value);
            }
        });
    }

    /// Not before the features are agreed on, which say what a ring is like.
    fn enable_queue(&mut self, platform: &mut dyn PciPlatform) {
        if !self.has_status(status::FEATURES_OK) {
            return;
        }
        let format = self.format();
        let mut result = Ok(());
        self.set_up_queue(|queue| result = queue.enable(format));
        if let Err(error) = result {
            self.give_up(error, platform);
        }
    }
}

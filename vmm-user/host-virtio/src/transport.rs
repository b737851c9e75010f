//! The transport over PCI (virtio 1.2, 4.1): features, status, queues.

use runtime::host_function::HostFunction;
use runtime::syscall;
use runtime::window::Window;
use virtio_devices::pci::spec::feature::VERSION_1;
use virtio_devices::pci::spec::{common as register, status};

use crate::DriverError;
use crate::layout::{self, Region};
use crate::queue::Queue;

/// Where a queue's descriptors, available ring and used ring are said.
const QUEUE_ADDRESSES: [u64; 3] =
    [register::QUEUE_DESCRIPTORS, register::QUEUE_DRIVER, register::QUEUE_DEVICE];
/// It accesses memory as the bus lets it.
const ACCESS_PLATFORM: u64 = 1 << 33;
/// The most that is mapped of a region: what one call maps.
const MAP_BYTES_MAX: u64 = 256 * 1024;
/// How often a configuration that changes is read again.
const READS_MAX: usize = 16;

/// A device.
#[derive(Clone, Copy, Debug)]
pub struct Transport {
    function: HostFunction,
    common: Window,
    notify: Window,
    multiplier: u32,
    device: Option<Window>,
}

fn map(function: HostFunction, region: Region) -> Result<Window, DriverError> {
    let (first, bytes, offset) = region.pages(MAP_BYTES_MAX);
    let pages = function.map(region.bar, first, bytes)?;
    // The host names the region: a part of it that was not mapped is not the driver's to access.
    let rest = pages.bytes().saturating_sub(offset);
    pages.part(offset, u64::from(region.bytes).min(rest)).ok_or(DriverError::NotVirtio)
}

impl Transport {
    /// Maps the registers of a function that was claimed.
    ///
    /// # Errors
    /// NotVirtio, or the kernel's.
    pub fn open(function: HostFunction) -> Result<Self, DriverError> {
        let read = |offset| function.read(offset).unwrap_or(u32::MAX);
        let layout = layout::find(read).ok_or(DriverError::NotVirtio)?;
        let common = map(function, layout.common)?;
        if common.bytes() < register::BYTES {
            return Err(DriverError::NotVirtio);
        }
        let notify = map(function, layout.notify)?;
        let device = layout.device.map(|region| map(function, region)).transpose()?;
        Ok(Self { function, common, notify, multiplier: layout.multiplier, device })
    }

    /// The function.
    pub fn function(&self) -> HostFunction {
        self.function
    }

    /// Resets it, and waits until a TSC value at most for that.
    ///
    /// # Errors
    /// Silent.
    pub fn reset(&self, deadline_tsc: u64) -> Result<(), DriverError> {
        self.common.write_u8(register::STATUS, 0);
        // It reads as zero when the reset is over (virtio 1.2, 4.1.4.3.2).
        while self.common.read_u8(register::STATUS) != 0 {
            if syscall::tsc() > deadline_tsc {
                return Err(DriverError::Silent);
            }
            // The host may take its time, and others need not wait for that.
            syscall::yield_now();
        }
        Ok(())
    }

    fn add_status(&self, bits: u8) {
        let status = self.common.read_u8(register::STATUS);
        self.common.write_u8(register::STATUS, status | bits);
    }

    /// Agrees on features: those of `wanted` that the device offers. Returns them.
    ///
    /// # Errors
    /// Lacks: virtio 1; or the device does not agree.
    pub fn negotiate(&self, wanted: u64) -> Result<u64, DriverError> {
        self.add_status(status::ACKNOWLEDGE);
        self.add_status(status::DRIVER);
        let offered = [0, 1].map(|half| {
            self.common.write_u32(register::DEVICE_FEATURE_SELECT, half);
            u64::from(self.common.read_u32(register::DEVICE_FEATURE))
        });
        // No more than is known here: an agreed feature that the driver did not act on would be taken for a
        // promise.
        let agreed = (offered[1] << 32 | offered[0]) & (wanted | VERSION_1 | ACCESS_PLATFORM);
        if agreed & VERSION_1 == 0 {
            return Err(DriverError::Lacks("version 1 of virtio"));
        }
        for (half, features) in [(0, agreed as u32), (1, (agreed >> 32) as u32)] {
            self.common.write_u32(register::DRIVER_FEATURE_SELECT, half);
            self.common.write_u32(register::DRIVER_FEATURE, features);
        }
        self.add_status(status::FEATURES_OK);
        // Read back, as the device may refuse a combination by leaving the bit clear (3.1.1, step 6).
        if self.common.read_u8(register::STATUS) & status::FEATURES_OK == 0 {
            return Err(DriverError::Lacks("the features that it offers"));
        }
        Ok(agreed)
    }

    /// How many descriptors a queue may have; 0 if there is no such queue.
    pub fn queue_size(&self, index: u16) -> u16 {
        self.common.write_u16(register::QUEUE_SELECT, index);
        self.common.read_u16(register::QUEUE_SIZE)
    }

    /// Gives the device a queue, which sends the message of an entry of its table.
    ///
    /// # Errors
    /// Lacks: it takes no message.
    pub fn start_queue(&self, index: u16, queue: &Queue, entry: u16) -> Result<(), DriverError> {
        self.common.write_u16(register::QUEUE_SELECT, index);
        self.common.write_u16(register::QUEUE_SIZE, queue.size());
        self.common.write_u16(register::QUEUE_VECTOR, entry);
        // A device that lacks the means for a vector says so by another value here (4.1.5.1.2).
        if self.common.read_u16(register::QUEUE_VECTOR) != entry {
            return Err(DriverError::Lacks("a message for its queue"));
        }
        for (register, address) in QUEUE_ADDRESSES.into_iter().zip(queue.addresses()) {
            // In halves: a driver accesses fields of 64 bits by 32 (4.1.3.1).
            self.common.write_u32(register, address as u32);
            self.common.write_u32(register + 4, (address >> 32) as u32);
        }
        self.common.write_u16(register::QUEUE_ENABLE, 1);
        Ok(())
    }

    /// The device may begin.
    pub fn ready(&self) {
        self.add_status(status::DRIVER_OK);
    }

    /// Says that there is something in a queue.
    pub fn notify(&self, index: u16) {
        self.common.write_u16(register::QUEUE_SELECT, index);
        let place = self.common.read_u16(register::QUEUE_NOTIFY);
        // The host's numbers. Their product fits 64 bits, and a place outside the window is dropped by
        // `Window`.
        self.notify.write_u16(u64::from(place) * u64::from(self.multiplier), index);
    }

    /// A number of 64 bits in the device's own configuration, as it was at one moment.
    ///
    /// # Errors
    /// Lacks: there is none. Nonsense: it changes without end.
    pub fn read_u64(&self, offset: u64) -> Result<u64, DriverError> {
        let device = self.device.ok_or(DriverError::Lacks("a configuration"))?;
        for _ in 0..READS_MAX {
            // Two halves of one moment only if the generation has not changed in between (2.5.1).
            let before = self.common.read_u8(register::GENERATION);
            let (low, high) = (device.read_u32(offset), device.read_u32(offset + 4));
            if self.common.read_u8(register::GENERATION) == before {
                return Ok(u64::from(high) << 32 | u64::from(low));
            }
        }
        Err(DriverError::Nonsense)
    }
}

#[cfg(test)]
pub(crate) mod tests;

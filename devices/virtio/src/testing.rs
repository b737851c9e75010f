//! A driver for the tests: guest memory, rings of both formats, and the transport's registers.

use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{boxed::Box, vec};
use std::sync::{Mutex, MutexGuard, PoisonError};

use devices::capability::{Platform, PowerEvent, Width};
use devices::guest_memory::{GuestMemory, NotMemory};
use devices::pci::{PciFunction, PciPlatform};

use crate::device::VirtioDevice;
use crate::pci::spec::{self, common, feature, status};
use crate::pci::{Rings, VirtioPci};
use crate::queue::{Areas, Format};

/// Bytes of the guest's memory, from address 0.
pub const RAM_BYTES: usize = 1 << 20;

/// Guest memory.
#[derive(Clone)]
pub struct Ram(Arc<Mutex<Vec<u8>>>);

impl Default for Ram {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(vec![0; RAM_BYTES])))
    }
}

impl Ram {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes at an address.
    pub fn copy(&self, gpa: u64, bytes: usize) -> Vec<u8> {
        self.bytes()[gpa as usize..][..bytes].to_vec()
    }

    /// Stores bytes.
    pub fn put(&self, gpa: u64, bytes: &[u8]) {
        self.bytes()[gpa as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Two bytes.
    pub fn word(&self, gpa: u64) -> u16 {
        self.load_u16(gpa).unwrap()
    }
}

fn range(gpa: u64, bytes: usize) -> Option<core::ops::Range<usize>> {
    let start = usize::try_from(gpa).ok()?;
    Some(start..start.checked_add(bytes)?)
}

impl GuestMemory for Ram {
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), NotMemory> {
        let ram = self.bytes();
        let from = range(gpa, bytes.len()).and_then(|range| ram.get(range)).ok_or(NotMemory)?;
        bytes.copy_from_slice(from);
        Ok(())
    }

    fn write(&self, gpa: u64, bytes: &[u8]) -> Result<(), NotMemory> {
        let mut ram = self.bytes();
        let to = range(gpa, bytes.len()).and_then(|range| ram.get_mut(range)).ok_or(NotMemory)?;
        to.copy_from_slice(bytes);
        Ok(())
    }

    fn load_u16(&self, gpa: u64) -> Result<u16, NotMemory> {
        assert!(gpa.is_multiple_of(2), "an index at an odd address");
        let mut bytes = [0; 2];
        self.read(gpa, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn store_u16(&self, gpa: u64, value: u16) -> Result<(), NotMemory> {
        assert!(gpa.is_multiple_of(2), "an index at an odd address");
        self.write(gpa, &value.to_le_bytes())
    }
}

/// Records a function's interrupts.
#[derive(Default)]
pub struct Bench {
    /// Messages: their data.
    pub messages: Vec<u32>,
    /// The pin.
    pub intx: bool,
}

impl Platform for Bench {
    fn now_ns(&self) -> u64 {
        0
    }

    fn set_line(&mut self, _: u8, _: bool) {}

    fn power(&mut self, _: PowerEvent) {}
}

impl PciPlatform for Bench {
    fn send_msi(&mut self, _: u64, data: u32) {
        self.messages.push(data);
    }

    fn set_intx(&mut self, level: bool) {
        self.intx = level;
    }
}

/// The driver's side of a queue.
#[derive(Clone, Debug)]
pub struct DriverQueue {
    /// Where it is.
    pub areas: Areas,
    /// How many descriptors it has.
    pub size: u16,
    available: u16,
    used: u16,
    /// Packed: the wrap counters.
    available_wrap: bool,
    used_wrap: bool,
}

/// A buffer: where, how long, whether the device writes it.
pub type Buffer = (u64, u32, bool);

/// A device and its driver.
pub struct Machine<D> {
    /// The function.
    pub function: VirtioPci<D, Ram>,
    /// The guest's memory.
    pub ram: Ram,
    /// Its interrupts.
    pub bench: Bench,
    /// What driver and device agree on.
    pub format: Format,
    /// Which of the device's own features the driver accepts.
    pub accepted: u64,
    /// The driver's queues.
    pub queues: Vec<DriverQueue>,
    /// Where the next buffer goes.
    next_buffer: u64,
}

/// Each ring has so much memory, from here on.
const RINGS: u64 = 0x1_0000;
const RING_BYTES: u64 = 0x4000;
/// Buffers are from here on.
const BUFFERS: u64 = 0x8_0000;
/// Indirect tables of the queues, one each.
const TABLES: u64 = 0x7_0000;

/// All formats.
pub fn formats() -> impl Iterator<Item = Format> + Clone {
    (0..8).map(|bits| Format { packed: bits & 1 != 0, indirect: bits & 2 != 0, event_index: bits & 4 != 0 })
}

impl<D: VirtioDevice> Machine<D> {
    /// A device that its driver has not touched but to make it a master of the bus.
    pub fn fresh(device: D, format: Format) -> Self {
        let ram = Ram::default();
        let rings = if format.packed { Rings::Packed } else { Rings::Split };
        let mut function = VirtioPci::new(device, ram.clone(), rings);
        let mut bench = Bench::default();
        function.config_write(4, Width::Word, 6, &mut bench);
        Self { function, ram, bench, format, accepted: 0xff_ffff, queues: Vec::new(), next_buffer: BUFFERS }
    }

    /// A device that is ready, with queues of so many descriptors.
    pub fn ready(device: D, format: Format, size: u16) -> Self {
        let mut machine = Self::fresh(device, format);
        machine.start(size);
        machine
    }

    /// Does all that a driver does until the device is ready (3.1.1).
    pub fn start(&mut self, size: u16) {
        self.set_common(common::STATUS, Width::Byte, 0);
        self.set_common(common::STATUS, Width::Byte, (1 | status::DRIVER).into());
        self.set_common(common::DEVICE_FEATURE_SELECT, Width::Dword, 0);
        let low = self.common(common::DEVICE_FEATURE, Width::Dword);
        let mut accepted = low & self.accepted | feature::VERSION_1;
        for (is_wanted, bit) in [
            (self.format.packed, feature::PACKED),
            (self.format.indirect, feature::INDIRECT),
            (self.format.event_index, feature::EVENT_INDEX),
        ] {
            accepted |= if is_wanted { bit } else { 0 };
        }
        for (select, half) in [(0, accepted & 0xffff_ffff), (1, accepted >> 32)] {
            self.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, select);
            self.set_common(common::DRIVER_FEATURE, Width::Dword, half);
        }
        self.set_common(common::STATUS, Width::Byte, (3 | status::FEATURES_OK).into());
        assert_eq!(self.status(), 3 | status::FEATURES_OK);
        self.queues.clear();
        for index in 0..self.common(common::QUEUES, Width::Word) {
            self.set_up_queue(index, size);
        }
        self.set_common(common::STATUS, Width::Byte, (7 | status::FEATURES_OK).into());
    }

    fn set_up_queue(&mut self, index: u64, size: u16) {
        let start = RINGS + index * RING_BYTES;
        let areas = Areas { descriptors: start, driver: start + 0x2000, device: start + 0x3000 };
        self.ram.put(start, &[0; RING_BYTES as usize]);
        self.set_common(common::QUEUE_SELECT, Width::Word, index);
        self.set_common(common::QUEUE_SIZE, Width::Word, size.into());
        self.set_common(common::QUEUE_DESCRIPTORS, Width::Qword, areas.descriptors);
        self.set_common(common::QUEUE_DRIVER, Width::Dword, areas.driver);
        self.set_common(common::QUEUE_DEVICE, Width::Dword, areas.device);
        self.set_common(common::QUEUE_ENABLE, Width::Word, 1);
        assert_eq!(self.common(common::QUEUE_ENABLE, Width::Word), 1);
        self.queues.push(DriverQueue {
            areas,
            size,
            available: 0,
            used: 0,
            available_wrap: true,
            used_wrap: true,
        });
    }

    /// A load from common configuration.
    pub fn common(&mut self, offset: u64, width: Width) -> u64 {
        self.function.bar_read(spec::BAR, spec::COMMON + offset, width, &mut self.bench)
    }

    /// A store to common configuration.
    pub fn set_common(&mut self, offset: u64, width: Width, value: u64) {
        self.function.bar_write(spec::BAR, spec::COMMON + offset, width, value, &mut self.bench);
    }

    /// The device's status.
    pub fn status(&mut self) -> u8 {
        self.common(common::STATUS, Width::Byte) as u8
    }

    /// The interrupt status, which reading clears.
    pub fn isr(&mut self) -> u64 {
        self.function.bar_read(spec::BAR, spec::ISR, Width::Byte, &mut self.bench)
    }

    /// Notifies of a queue.
    pub fn notify(&mut self, queue: usize) {
        let at = spec::NOTIFY + 4 * queue as u64;
        self.function.bar_write(spec::BAR, at, Width::Word, queue as u64, &mut self.bench);
    }

    /// Memory for a buffer that holds these bytes.
    pub fn buffer(&mut self, bytes: &[u8]) -> u64 {
        if self.next_buffer + bytes.len() as u64 > RAM_BYTES as u64 {
            self.next_buffer = BUFFERS;
        }
        let gpa = self.next_buffer;
        self.next_buffer += bytes.len() as u64;
        self.ram.put(gpa, bytes);
        gpa
    }

    /// Makes buffers available, in an indirect table if that is agreed on and there are several.
    pub fn add(&mut self, queue: usize, buffers: &[Buffer]) {
        let table = TABLES + 0x2000 * queue as u64;
        if !self.format.indirect || buffers.len() < 2 {
            let entries: Vec<_> = buffers.iter().map(|b| (b.0, b.1, if b.2 { 2 } else { 0 })).collect();
            return self.add_descriptors(queue, &entries);
        }
        for (index, (gpa, bytes, is_writable)) in buffers.iter().enumerate() {
            let is_last = index + 1 == buffers.len();
            let flags = if *is_writable { 2 } else { 0 } | u16::from(!is_last && !self.format.packed);
            let next = if self.format.packed { [0, flags] } else { [flags, index as u16 + 1] };
            self.descriptor(table + 16 * index as u64, *gpa, *bytes, next);
        }
        self.add_descriptors(queue, &[(table, 16 * buffers.len() as u32, 4)]);
    }

    /// Writes a descriptor.
    pub fn descriptor(&mut self, at: u64, gpa: u64, bytes: u32, words: [u16; 2]) {
        let value = u128::from(gpa)
            | u128::from(bytes) << 64
            | u128::from(words[0]) << 96
            | u128::from(words[1]) << 112;
        self.ram.put(at, &value.to_le_bytes());
    }

    /// Makes descriptors of the ring available: address, bytes, flags without NEXT.
    pub fn add_descriptors(&mut self, queue: usize, entries: &[(u64, u32, u16)]) {
        let mut state = self.queues[queue].clone();
        match self.format.packed {
            false => self.add_split(&mut state, entries),
            true => self.add_packed(&mut state, entries),
        }
        self.queues[queue] = state;
    }

    /// One chain at a time is in a split ring, from the first descriptor on that its index leads to.
    fn add_split(&mut self, queue: &mut DriverQueue, entries: &[(u64, u32, u16)]) {
        let head = queue.available.wrapping_mul(3) % queue.size;
        let mut index = head;
        for (number, (gpa, bytes, flags)) in entries.iter().enumerate() {
            let next = (index + 1) % queue.size;
            let is_last = number + 1 == entries.len();
            let words = [flags | u16::from(!is_last), next];
            self.descriptor(queue.areas.descriptors + 16 * u64::from(index), *gpa, *bytes, words);
            index = next;
        }
        let slot = u64::from(queue.available % queue.size);
        self.ram.put(queue.areas.driver + 4 + 2 * slot, &head.to_le_bytes());
        queue.available = queue.available.wrapping_add(1);
        self.ram.put(queue.areas.driver + 2, &queue.available.to_le_bytes());
    }

    fn add_packed(&mut self, queue: &mut DriverQueue, entries: &[(u64, u32, u16)]) {
        let id = 0x4000 | queue.available;
        for (number, (gpa, bytes, flags)) in entries.iter().enumerate() {
            let is_last = number + 1 == entries.len();
            let wrap: u16 = if queue.available_wrap { 1 << 7 } else { 1 << 15 };
            let at = queue.areas.descriptors + 16 * u64::from(queue.available);
            self.descriptor(at, *gpa, *bytes, [id, flags | u16::from(!is_last) | wrap]);
            queue.available += 1;
            if queue.available == queue.size {
                (queue.available, queue.available_wrap) = (0, !queue.available_wrap);
            }
        }
    }

    /// The next chain that the device has given back, of so many descriptors: how many bytes it has written.
    pub fn used(&mut self, queue: usize, descriptors: u16) -> Option<u32> {
        let ram = self.ram.clone();
        let packed = self.format.packed;
        let queue = &mut self.queues[queue];
        let areas = queue.areas;
        if !packed {
            if ram.word(areas.device + 2) == queue.used {
                return None;
            }
            let element = ram.copy(areas.device + 4 + 8 * u64::from(queue.used % queue.size), 8);
            queue.used = queue.used.wrapping_add(1);
            return Some(u32::from_le_bytes(element[4..].try_into().unwrap()));
        }
        let at = areas.descriptors + 16 * u64::from(queue.used);
        let flags = ram.word(at + 14);
        let expected = if queue.used_wrap { 0x8080 } else { 0 };
        if flags & 0x8080 != expected {
            return None;
        }
        queue.used += descriptors;
        if queue.used >= queue.size {
            (queue.used, queue.used_wrap) = (queue.used - queue.size, !queue.used_wrap);
        }
        Some(u32::from_le_bytes(ram.copy(at + 8, 4).try_into().unwrap()))
    }

    /// One request: bytes for the device to read, and room for it to write. Returns how many bytes it says it
    /// has written, and what is in the room then.
    pub fn request(
        &mut self,
        queue: usize,
        readable: &[&[u8]],
        writable: &[usize],
    ) -> Option<(u32, Vec<u8>)> {
        let mut buffers = Vec::new();
        for bytes in readable {
            buffers.push((self.buffer(bytes), bytes.len() as u32, false));
        }
        for bytes in writable {
            buffers.push((self.buffer(&vec![0xee; *bytes]), *bytes as u32, true));
        }
        self.add(queue, &buffers);
        self.notify(queue);
        let descriptors = if self.format.indirect && buffers.len() > 1 { 1 } else { buffers.len() };
        let written = self.used(queue, descriptors as u16)?;
        let room = buffers.iter().filter(|b| b.2).flat_map(|b| self.ram.copy(b.0, b.1 as usize)).collect();
        Some((written, room))
    }
}

/// Repeatable pseudo-random bytes (xorshift64).
pub fn random(seed: u64) -> Box<dyn FnMut() -> u64> {
    let mut state = seed | 1;
    Box::new(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}

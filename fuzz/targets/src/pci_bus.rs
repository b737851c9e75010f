//! What targets of devices on the PCI bus have in common: memory, a disk, a board, and the input.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use devices::capability::{Platform, PowerEvent, Width};
use devices::disk::{Disk, DiskError};
use devices::guest_memory::{GuestMemory, NotMemory};
use devices::pci::PciPlatform;

const DISK_BYTES: usize = 4096;
/// All widths of an access.
pub const WIDTHS: [Width; 4] = [Width::Byte, Width::Word, Width::Dword, Width::Qword];

/// Memory, and whether it changes whenever it is read.
#[derive(Default)]
pub struct Bytes {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Whether it changes.
    pub changes: bool,
}

/// The guest's memory, from address 0.
#[derive(Clone)]
pub struct Ram(Arc<Mutex<Bytes>>);

impl Ram {
    /// So many bytes, all zero.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Bytes { bytes: vec![0; bytes], changes: false })))
    }

    /// What it is made of.
    pub fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn range(gpa: u64, bytes: usize) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(gpa).ok()?;
    Some(start..start.checked_add(bytes)?)
}

impl GuestMemory for Ram {
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), NotMemory> {
        let mut ram = self.lock();
        let changes = ram.changes;
        let place = range(gpa, bytes.len()).and_then(|range| ram.bytes.get_mut(range)).ok_or(NotMemory)?;
        bytes.copy_from_slice(place);
        if changes {
            // A second read of the same place finds something else, as with a driver on another processor:
            // what a device checks and what it uses must be one copy.
            place.iter_mut().for_each(|byte| *byte = byte.rotate_left(1) ^ 0x40);
        }
        Ok(())
    }

    fn write(&self, gpa: u64, bytes: &[u8]) -> Result<(), NotMemory> {
        let mut ram = self.lock();
        let place = range(gpa, bytes.len()).and_then(|range| ram.bytes.get_mut(range)).ok_or(NotMemory)?;
        place.copy_from_slice(bytes);
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

/// A disk that panics when what is asked of it is not on it.
pub struct Plate(Vec<u8>);

impl Default for Plate {
    fn default() -> Self {
        Self((0..DISK_BYTES).map(|at| (at >> 4) as u8).collect())
    }
}

impl Plate {
    fn range(&self, offset: u64, bytes: u64) -> std::ops::Range<usize> {
        let end = offset.checked_add(bytes).filter(|end| *end <= self.0.len() as u64);
        assert!(end.is_some() && offset.is_multiple_of(512), "{bytes} bytes at {offset:#x}");
        offset as usize..(offset + bytes) as usize
    }
}

impl Disk for Plate {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
        bytes.copy_from_slice(&self.0[self.range(offset, bytes.len() as u64)]);
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let range = self.range(offset, bytes.len() as u64);
        self.0[range].copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        Ok(())
    }

    fn discard(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        self.range(offset, bytes);
        Ok(())
    }

    fn write_zeroes(&mut self, offset: u64, bytes: u64) -> Result<(), DiskError> {
        let range = self.range(offset, bytes);
        self.0[range].fill(0);
        Ok(())
    }
}

/// Stands in for the board.
#[derive(Default)]
pub struct Desk {
    messages: u64,
}

impl Platform for Desk {
    fn now_ns(&self) -> u64 {
        0
    }

    fn set_line(&mut self, line: u8, _: bool) {
        panic!("line {line} by a PCI function");
    }

    fn power(&mut self, event: PowerEvent) {
        panic!("{event:?} by a PCI function");
    }
}

impl PciPlatform for Desk {
    fn send_msi(&mut self, _: u64, _: u32) {
        self.messages += 1;
    }

    fn set_intx(&mut self, _: bool) {}
}

/// The input, taken by pieces; zeros when it is used up.
pub struct Script<'a>(pub &'a [u8]);

impl Script<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    /// The next eight.
    pub fn word(&mut self) -> u64 {
        u64::from_le_bytes([(); 8].map(|()| self.byte()))
    }

    /// The next two.
    pub fn short(&mut self) -> u64 {
        u64::from(u16::from_le_bytes([(); 2].map(|()| self.byte())))
    }
}

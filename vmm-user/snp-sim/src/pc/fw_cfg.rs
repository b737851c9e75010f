//! QEMU's fw_cfg, by ports and by DMA (QEMU, `docs/specs/fw_cfg.rst`): items by number, some of them files
//! with names, which firmware reads.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::payload::Piece;

/// Selects an item.
pub const SELECTOR: u16 = 0x510;
/// Reads its bytes, one after the other.
pub const DATA: u16 = 0x511;
/// The upper half of the address of a DMA operation, big-endian.
pub const DMA_HIGH: u16 = 0x514;
/// The lower half, whose write starts the operation.
pub const DMA_LOW: u16 = 0x518;
/// The last port.
pub const LAST: u16 = 0x51b;

/// Items by number.
pub mod item {
    #![allow(missing_docs, reason = "the names are QEMU's")]
    pub const SIGNATURE: u16 = 0x00;
    pub const INTERFACE: u16 = 0x01;
    pub const PROCESSORS: u16 = 0x05;
    pub const KERNEL_SIZE: u16 = 0x08;
    pub const INITRD_SIZE: u16 = 0x0b;
    pub const PROCESSORS_MAX: u16 = 0x0f;
    pub const KERNEL_DATA: u16 = 0x11;
    pub const INITRD_DATA: u16 = 0x12;
    pub const CMDLINE_SIZE: u16 = 0x14;
    pub const CMDLINE_DATA: u16 = 0x15;
    pub const SETUP_SIZE: u16 = 0x17;
    pub const SETUP_DATA: u16 = 0x18;
    pub const FOLDER: u16 = 0x19;
    pub const FIRST_FILE: u16 = 0x20;
}

/// The interface: ports, and DMA.
const INTERFACE: u32 = 0b11;
/// What the DMA ports read, where there is DMA.
const DMA_SIGNATURE: [&[u8; 4]; 2] = [b"QEMU", b" CFG"];
/// The bytes of a name in the folder.
const NAME_BYTES: usize = 56;
/// The bytes of a DMA operation's description: control, length, address, all of them big-endian.
const OPERATION_BYTES: usize = 16;
/// Bits of its control.
const ERROR: u32 = 1 << 0;
const READ: u32 = 1 << 1;
const SKIP: u32 = 1 << 2;
const SELECT: u32 = 1 << 3;
const WRITE: u32 = 1 << 4;
/// How much is copied at a time.
const PIECE_BYTES: usize = 0x1_0000;

/// Memory that the guest shares with the host.
pub trait SharedMemory {
    /// Reads it; `None` if not all of it is.
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> Option<()>;
    /// Writes it.
    fn write(&self, gpa: u64, bytes: &[u8]) -> Option<()>;
}

/// What an item holds.
#[derive(Clone, Debug)]
pub enum Contents {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What is in a piece of Plinth's memory for guests.
    Piece(Piece),
}

impl Contents {
    fn bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Piece(piece) => piece.bytes(),
        }
    }

    /// Copies from an offset on. Behind the end are zeros.
    fn read(&self, offset: u64, to: &mut [u8]) {
        to.fill(0);
        match self {
            Self::Bytes(bytes) => {
                let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
                to.iter_mut().zip(from.unwrap_or_default()).for_each(|(place, byte)| *place = *byte);
            }
            Self::Piece(piece) => piece.read(offset, to),
        }
    }
}

/// The device.
#[derive(Debug, Default)]
pub struct FwCfg {
    items: BTreeMap<u16, Contents>,
    /// Names of files, in the order of their numbers.
    names: Vec<(&'static str, u64)>,
    selected: u16,
    offset: u64,
    dma_high: u32,
}

impl FwCfg {
    /// The device of a machine with so many processors.
    pub fn new(processors: u16) -> Self {
        let mut made = Self::default();
        made.set(item::SIGNATURE, b"QEMU".to_vec());
        made.set(item::INTERFACE, INTERFACE.to_le_bytes().to_vec());
        made.set(item::PROCESSORS, processors.to_le_bytes().to_vec());
        made.set(item::PROCESSORS_MAX, processors.to_le_bytes().to_vec());
        made.set(item::FOLDER, made.folder());
        made
    }

    /// Sets an item.
    pub fn set(&mut self, number: u16, bytes: Vec<u8>) {
        self.items.insert(number, Contents::Bytes(bytes));
    }

    /// Sets an item, and the one that says its size.
    pub fn set_with_size(&mut self, [size, data]: [u16; 2], contents: Contents) {
        self.set(size, (contents.bytes() as u32).to_le_bytes().to_vec());
        self.items.insert(data, contents);
    }

    /// Adds a file; its name has at most 55 bytes.
    pub fn add_file(&mut self, name: &'static str, bytes: Vec<u8>) {
        let number = item::FIRST_FILE + self.names.len() as u16;
        self.names.push((name, bytes.len() as u64));
        self.set(number, bytes);
        let folder = self.folder();
        self.set(item::FOLDER, folder);
    }

    /// The folder, whose numbers are big-endian.
    fn folder(&self) -> Vec<u8> {
        let mut folder = (self.names.len() as u32).to_be_bytes().to_vec();
        for ((name, bytes), number) in self.names.iter().zip(item::FIRST_FILE..) {
            let mut name = name.as_bytes().to_vec();
            name.resize(NAME_BYTES, 0);
            folder.extend((*bytes as u32).to_be_bytes());
            folder.extend(number.to_be_bytes());
            folder.extend([0; 2]);
            folder.extend(name);
        }
        folder
    }

    /// IN.
    pub fn read(&mut self, port: u16, bytes: u8) -> u32 {
        let [first, second] = DMA_SIGNATURE.map(|part| u32::from_le_bytes(*part));
        match (port, bytes) {
            (DATA, 1) => {
                let mut byte = [0];
                self.take(&mut byte);
                u32::from_le_bytes([byte[0], 0, 0, 0])
            }
            (DMA_HIGH, 4) => first,
            (DMA_LOW, 4) => second,
            _ => u32::MAX,
        }
    }

    /// OUT.
    pub fn write(&mut self, port: u16, bytes: u8, value: u32, memory: &dyn SharedMemory) {
        match (port, bytes) {
            (SELECTOR, 2) => self.select(value as u16),
            (DMA_HIGH, 4) => self.dma_high = value.swap_bytes(),
            (DMA_LOW, 4) => {
                let high = core::mem::take(&mut self.dma_high);
                self.operate(u64::from(high) << 32 | u64::from(value.swap_bytes()), memory);
            }
            _ => {}
        }
    }

    fn select(&mut self, number: u16) {
        (self.selected, self.offset) = (number, 0);
    }

    /// The next bytes of the item that is selected.
    fn take(&mut self, to: &mut [u8]) {
        match self.items.get(&self.selected) {
            Some(contents) => contents.read(self.offset, to),
            None => to.fill(0),
        }
        self.offset = self.offset.saturating_add(to.len() as u64);
    }

    /// A DMA operation, described at this address. One that is not in shared memory can't be told anything.
    fn operate(&mut self, at: u64, memory: &dyn SharedMemory) {
        let mut described = [0; OPERATION_BYTES];
        if memory.read(at, &mut described).is_none() {
            return;
        }
        let [control, length, high, low] = array_of_words(described);
        if control & SELECT != 0 {
            self.select((control >> 16) as u16);
        }
        let gpa = u64::from(high) << 32 | u64::from(low);
        let is_done = if control & READ != 0 {
            self.copy(gpa, length, memory).is_some()
        } else if control & WRITE != 0 {
            // No item can be written.
            false
        } else {
            if control & SKIP != 0 {
                self.offset = self.offset.saturating_add(length.into());
            }
            true
        };
        let result = if is_done { 0 } else { ERROR };
        // Of what was shared before and is no longer, nobody is told.
        let _ = memory.write(at, &result.to_be_bytes());
    }

    fn copy(&mut self, gpa: u64, length: u32, memory: &dyn SharedMemory) -> Option<()> {
        let mut piece = vec![0; PIECE_BYTES.min(length as usize)];
        let mut done = 0;
        while done < u64::from(length) {
            let bytes = (u64::from(length) - done).min(piece.len() as u64) as usize;
            let part = piece.get_mut(..bytes)?;
            self.take(part);
            // The guest chooses how much: the first page that is not shared ends it.
            memory.write(gpa.checked_add(done)?, part)?;
            done += bytes as u64;
        }
        Some(())
    }
}

fn array_of_words(bytes: [u8; OPERATION_BYTES]) -> [u32; 4] {
    let (words, _) = bytes.as_chunks();
    core::array::from_fn(|index| words.get(index).copied().map_or(0, u32::from_be_bytes))
}

#[cfg(test)]
mod tests;

//! Virtio devices under a driver that does what it likes: registers, rings, and memory that changes while it
//! is read.

use devices::capability::Width;
use devices::disk::AtOnce;
use devices::guest_memory::GuestMemory;
use devices::pci::PciFunction;
use virtio_devices::blk::{Block, BlockConfig};
use virtio_devices::pci::{Rings, VirtioPci};

use crate::pci_bus::{Desk, Plate, Ram, Script, WIDTHS};

const RAM_BYTES: usize = 0x4000;
/// The rings of the queue that is set up: descriptors, driver area, device area.
const AREAS: [u64; 3] = [0x0, 0x800, 0xc00];
const SIZE: u16 = 8;

struct Machine {
    function: VirtioPci<Block<AtOnce<Plate>>, Ram>,
    ram: Ram,
    desk: Desk,
    packed: bool,
}

impl Machine {
    fn new(packed: bool) -> Self {
        let (ram, disk) = (Ram::new(RAM_BYTES), Plate::default());
        let config = BlockConfig { serial: b"fuzz".to_vec(), queues: 1 };
        let rings = if packed { Rings::Packed } else { Rings::Split };
        let function = VirtioPci::new(Block::new(AtOnce::new(disk), config), ram.clone(), rings);
        Self { function, ram, desk: Desk::default(), packed }
    }

    fn write(&mut self, offset: u64, width: Width, value: u64) {
        self.function.bar_write(0, offset, width, value, &mut self.desk);
    }

    /// Resets the device and makes it ready, as a driver does (virtio 1.2, 3.1.1): with indirect descriptors,
    /// and event indices.
    fn start(&mut self) {
        self.function.config_write(4, Width::Word, 6, &mut self.desk);
        self.ram.lock().bytes.fill(0);
        let high = if self.packed { 5 } else { 1 };
        for (offset, width, value) in [
            (0x14, Width::Byte, 0),
            (0x14, Width::Byte, 3),
            (0x08, Width::Dword, 0),
            (0x0c, Width::Dword, 3 << 28),
            (0x08, Width::Dword, 1),
            (0x0c, Width::Dword, high),
            (0x14, Width::Byte, 0xb),
            (0x16, Width::Word, 0),
            (0x18, Width::Word, SIZE.into()),
            (0x20, Width::Qword, AREAS[0]),
            (0x28, Width::Qword, AREAS[1]),
            (0x30, Width::Qword, AREAS[2]),
            (0x1c, Width::Word, 1),
            (0x14, Width::Byte, 0xf),
        ] {
            self.write(offset, width, value);
        }
    }

    fn put(&self, gpa: u64, bytes: &[u8]) {
        assert_eq!(self.ram.write(gpa, bytes), Ok(()));
    }

    fn descriptor(&self, index: u64, gpa: u64, bytes: u32, words: [u16; 2]) {
        self.put(AREAS[0] + 16 * index, &gpa.to_le_bytes());
        self.put(AREAS[0] + 16 * index + 8, &bytes.to_le_bytes());
        self.put(AREAS[0] + 16 * index + 12, &words[0].to_le_bytes());
        self.put(AREAS[0] + 16 * index + 14, &words[1].to_le_bytes());
    }

    /// After a reset a sound request is carried out, whatever came before it.
    fn recovers(&mut self) {
        self.ram.lock().changes = false;
        self.start();
        self.put(0x2000, &[0; 16]);
        let words = |flags: u16, next: u16| if self.packed { [7, flags | 0x80] } else { [flags, next] };
        self.descriptor(0, 0x2000, 16, words(1, 1));
        self.descriptor(1, 0x2100, 512, words(3, 2));
        self.descriptor(2, 0x2400, 1, words(2, 0));
        self.put(0x2400, &[0xee]);
        self.put(AREAS[1] + 2, &1u16.to_le_bytes());
        self.write(0x3000, Width::Word, 0);
        assert_eq!(self.ram.lock().bytes[0x2400], 0, "the request was not carried out");
        let used = if self.packed { AREAS[0] + 8 } else { AREAS[2] + 8 };
        let mut written = [0; 4];
        assert_eq!(self.ram.read(used, &mut written), Ok(()));
        assert_eq!(u32::from_le_bytes(written), 513);
    }
}

/// A driver of a block device does what the input says. No access panics, none reads more bits than it has,
/// the disk is asked for nothing that is not on it, and after a reset the device works.
///
/// # Panics
/// If a property does not hold.
pub fn block(input: &[u8]) {
    let mut script = Script(input);
    let mut machine = Machine::new(script.byte() & 1 != 0);
    machine.start();
    while !script.0.is_empty() {
        step(&mut machine, &mut script);
    }
    machine.recovers();
}

fn step(machine: &mut Machine, script: &mut Script<'_>) {
    let what = script.byte();
    let width = WIDTHS[usize::from(what >> 4) % 4];
    let desk = &mut machine.desk;
    match what % 10 {
        0 | 1 => machine.write(0x3000, Width::Word, 0),
        2 | 3 => {
            let at = script.short() % (RAM_BYTES as u64 - 8);
            let value = script.word();
            machine.put(at, &value.to_le_bytes());
        }
        4 => {
            let offset = (script.short() % 0x8000) & !(width.bytes() - 1);
            let value = script.word() & width.mask();
            machine.write(offset, width, value);
        }
        5 => {
            let offset = (script.short() % 0x8000) & !(width.bytes() - 1);
            assert_eq!(machine.function.bar_read(0, offset, width, desk) & !width.mask(), 0);
        }
        6 => {
            let width = WIDTHS[usize::from(what >> 4) % 3];
            let offset = script.byte() as u16 & !(width.bytes() as u16 - 1);
            let value = script.word() & width.mask();
            machine.function.config_write(offset, width, value as u32, desk);
            let read = u64::from(machine.function.config_read(offset, width, desk));
            assert_eq!(read & !width.mask(), 0);
        }
        7 => machine.ram.lock().changes = what & 0x10 != 0,
        8 => machine.start(),
        _ => {
            // A descriptor, near what one should be.
            let (index, flags) = (u64::from(script.byte()) % 9, u16::from(script.byte()));
            let (gpa, bytes) = (script.short() << (what >> 6), script.short() as u32);
            let words = [flags & 7, flags >> 3];
            let words = if machine.packed { [flags, flags & 7 | (flags & 0x88) << 4 | 0x80] } else { words };
            machine.descriptor(index, gpa, bytes, words);
            let available = u16::from(script.byte()) % 10;
            if !machine.packed {
                machine.put(AREAS[1] + 2, &available.to_le_bytes());
            }
        }
    }
}

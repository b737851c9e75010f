//! An NVMe controller under a driver that does what it likes: registers, queues, commands, and memory that
//! changes while it is read.

use devices::capability::Width;
use devices::disk::AtOnce;
use devices::guest_memory::GuestMemory;
use devices::pci::PciFunction;
use nvme_device::{Nvme, NvmeConfig};

use crate::pci_bus::{Desk, Plate, Ram, Script, WIDTHS};

const RAM_BYTES: usize = 0x1_0000;
/// Submission queues: admin, and the I/O queue. Their completion queues are a page behind.
const QUEUES: [u64; 2] = [0x1000, 0x3000];
const ENTRIES: u16 = 8;
/// Where data are.
const DATA: u64 = 0x8000;

struct Machine {
    function: Nvme<AtOnce<Plate>, Ram>,
    ram: Ram,
    desk: Desk,
    /// The driver's tails.
    tails: [u16; 2],
}

impl Machine {
    fn new() -> Self {
        let ram = Ram::new(RAM_BYTES);
        let config = NvmeConfig { serial: b"fuzz".to_vec(), queues: 2 };
        let function = Nvme::new(AtOnce::new(Plate::default()), ram.clone(), config);
        Self { function, ram, desk: Desk::default(), tails: [0; 2] }
    }

    fn write(&mut self, offset: u64, width: Width, value: u64) {
        self.function.bar_write(0, offset, width, value, &mut self.desk);
    }

    /// Resets the controller and makes it ready, with a pair of I/O queues.
    fn start(&mut self) {
        self.function.config_write(4, Width::Word, 6, &mut self.desk);
        self.function.config_write(0x42, Width::Word, 0, &mut self.desk);
        self.ram.lock().bytes.fill(0);
        self.tails = [0; 2];
        let last = u64::from(ENTRIES) - 1;
        for (offset, width, value) in [
            (0x14, Width::Dword, 0),
            (0x24, Width::Dword, last << 16 | last),
            (0x28, Width::Qword, QUEUES[0]),
            (0x30, Width::Qword, QUEUES[0] + 0x1000),
            (0x14, Width::Dword, 0x46_0001),
        ] {
            self.write(offset, width, value);
        }
        let size = u32::from(ENTRIES - 1) << 16 | 1;
        self.submit(0, 5, 0, [QUEUES[1] + 0x1000, 0], [size, 3, 0]);
        self.submit(0, 1, 0, [QUEUES[1], 0], [size, 1 << 16 | 1, 0]);
        // Both are taken.
        self.write(0x1004, Width::Dword, 2);
    }

    fn put(&self, gpa: u64, bytes: &[u8]) {
        assert_eq!(self.ram.write(gpa, bytes), Ok(()));
    }

    /// Puts a command into a queue, and rings its doorbell.
    fn submit(&mut self, queue: usize, opcode: u16, namespace: u32, prps: [u64; 2], dwords: [u32; 3]) {
        let at = QUEUES[queue] + 64 * u64::from(self.tails[queue]);
        self.put(at, &[0; 64]);
        self.put(at, &opcode.to_le_bytes());
        self.put(at + 2, &self.tails[queue].to_le_bytes());
        self.put(at + 4, &namespace.to_le_bytes());
        self.put(at + 24, &[prps[0].to_le_bytes(), prps[1].to_le_bytes()].concat());
        self.put(at + 40, &dwords.map(u32::to_le_bytes).concat());
        self.tails[queue] = (self.tails[queue] + 1) % ENTRIES;
        self.write(0x1000 + 8 * queue as u64, Width::Dword, self.tails[queue].into());
    }

    /// After a reset a sound command is carried out, whatever came before it.
    fn recovers(&mut self) {
        self.ram.lock().changes = false;
        self.start();
        self.put(DATA, &[0xee; 512]);
        self.submit(1, 8, 1, [0; 2], [0; 3]);
        self.submit(1, 2, 1, [DATA, 0], [0; 3]);
        let entry = QUEUES[1] as usize + 0x1000 + 16;
        let ram = self.ram.lock();
        // The head behind it, the queue, the command, no error, the first phase.
        assert_eq!(ram.bytes[entry + 8..entry + 16], [2, 0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(ram.bytes[DATA as usize..][..512], [0; 512]);
    }
}

/// A driver of an NVMe controller does what the input says. No access panics, none reads more bits than it
/// has, the disk is asked for nothing that is not on it, and after a reset the controller works.
///
/// # Panics
/// If a property does not hold.
pub fn run(input: &[u8]) {
    let mut script = Script(input);
    let mut machine = Machine::new();
    machine.start();
    while !script.0.is_empty() {
        step(&mut machine, &mut script);
    }
    machine.recovers();
}

/// An address near what one should be.
fn address(script: &mut Script<'_>) -> u64 {
    let what = script.byte();
    match what % 4 {
        0 => DATA + 0x200 * u64::from(what >> 2),
        1 => script.short() & !3,
        2 => 0xffc + u64::from(what >> 4) * 0x1000,
        _ => script.word(),
    }
}

/// A dword near what one should be: most have a small number in one half or both.
fn dword(script: &mut Script<'_>) -> u32 {
    let what = script.short() as u32;
    match what & 3 {
        0 => what >> 2 & 0xff,
        1 => what << 14,
        2 => what >> 2 & 0xf | (what >> 6 & 0xff) << 16,
        _ => script.word() as u32,
    }
}

fn step(machine: &mut Machine, script: &mut Script<'_>) {
    let what = script.byte();
    let width = WIDTHS[usize::from(what >> 4) % 4];
    match what % 10 {
        0..4 => {
            let queue = usize::from(what & 1);
            let (opcode, flags) = (u16::from(script.byte() % 16), u16::from(script.byte()));
            // Hardly any is fused or has an SGL, which ends it at once.
            let flags = if flags < 0xf0 { 0 } else { flags << 8 };
            let namespace = if what & 0x80 == 0 { 1 } else { dword(script) };
            let prps = [address(script), address(script)];
            let dwords = [dword(script), dword(script), dword(script)];
            machine.submit(queue, opcode | flags, namespace, prps, dwords);
        }
        4 => {
            let offset = (script.short() % 0x4000) & !(width.bytes() - 1);
            let value = script.word() & width.mask();
            machine.write(offset, width, value);
        }
        5 => {
            let offset = (script.short() % 0x4000) & !(width.bytes() - 1);
            let value = machine.function.bar_read(0, offset, width, &mut machine.desk);
            assert_eq!(value & !width.mask(), 0);
        }
        6 => {
            let width = WIDTHS[usize::from(what >> 4) % 3];
            let offset = script.byte() as u16 & !(width.bytes() as u16 - 1);
            let value = script.word() & width.mask();
            machine.function.config_write(offset, width, value as u32, &mut machine.desk);
            let read = u64::from(machine.function.config_read(offset, width, &mut machine.desk));
            assert_eq!(read & !width.mask(), 0);
        }
        7 => machine.ram.lock().changes = what & 0x10 != 0,
        8 if what & 0xf0 == 0 => machine.start(),
        8 => {
            // A doorbell, of any queue.
            let offset = 0x1000 + 4 * u64::from(script.byte() % 8);
            machine.write(offset, Width::Dword, u64::from(script.byte()) % 9);
        }
        _ => {
            let at = script.short() % (RAM_BYTES as u64 - 8);
            let value = script.word();
            machine.put(at, &value.to_le_bytes());
        }
    }
}

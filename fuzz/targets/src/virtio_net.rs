//! A virtio network device under a driver that does what it likes: headers, frames, commands, registers,
//! rings, and memory that changes while it is read; and a network that sends it anything.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use devices::capability::Width;
use devices::guest_memory::GuestMemory;
use devices::network::{FRAME_MAX, Link};
use devices::pci::PciFunction;
use virtio_devices::net::Net;
use virtio_devices::pci::{Rings, VirtioPci};

use crate::pci_bus::{Desk, Ram, Script, WIDTHS};

const RAM_BYTES: usize = 0x2_0000;
/// Each queue's rings: descriptors, available ring, used ring.
const RING_BYTES: u64 = 0x1000;
const AVAILABLE: u64 = 0x400;
const USED: u64 = 0x800;
const SIZE: u16 = 8;
/// Two pairs, and the queue for commands.
const QUEUES: u64 = 5;
/// Where data are.
const DATA: u64 = 0x8000;
const ADDRESS: [u8; 6] = [2, 0x50, 0x4c, 0, 0, 1];
/// Features, all of them: those of the device, and those of split rings.
const FEATURES: [u64; 2] = [0x30ff_ffff, 1];

/// What goes over the cable.
#[derive(Default)]
struct Frames {
    /// How many the driver has sent, and the last one.
    sent: (u64, Vec<u8>),
    /// How many are on their way to it, and of how many bytes each.
    waiting: (u64, usize),
    /// How many there is room for.
    room: u64,
    /// What they begin with.
    first: Vec<u8>,
}

#[derive(Clone, Default)]
struct Cable(Arc<Mutex<Frames>>);

impl Cable {
    fn lock(&self) -> MutexGuard<'_, Frames> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for Cable {
    fn has_room(&mut self) -> bool {
        self.lock().room > 0
    }

    fn send(&mut self, frame: &[u8]) {
        assert!((1..=FRAME_MAX).contains(&frame.len()), "a frame of {} bytes", frame.len());
        let mut frames = self.lock();
        assert!(frames.room > 0, "a frame that there is no room for");
        frames.room -= 1;
        frames.sent = (frames.sent.0 + 1, frame.to_vec());
    }

    fn receive(&mut self, frame: &mut [u8; FRAME_MAX]) -> usize {
        let mut frames = self.lock();
        assert!(frames.waiting.0 > 0, "a frame is taken that is not there");
        frames.waiting.0 -= 1;
        frame.iter_mut().zip(&frames.first).for_each(|(to, from)| *to = *from);
        frames.waiting.1
    }

    fn has_frame(&mut self) -> bool {
        self.lock().waiting.0 > 0
    }
}

struct Machine {
    function: VirtioPci<Net<Cable>, Ram>,
    ram: Ram,
    cable: Cable,
    desk: Desk,
    /// How many chains each queue was given.
    given: [u16; QUEUES as usize],
    features: [u64; 2],
}

impl Machine {
    fn new(features: [u64; 2]) -> Self {
        let (ram, cable) = (Ram::new(RAM_BYTES), Cable::default());
        let function = VirtioPci::new(Net::new(cable.clone(), ADDRESS, 2), ram.clone(), Rings::Split);
        Self { function, ram, cable, desk: Desk::default(), given: [0; QUEUES as usize], features }
    }

    fn write(&mut self, offset: u64, width: Width, value: u64) {
        self.function.bar_write(0, offset, width, value, &mut self.desk);
    }

    /// Resets the device and makes it ready, as a driver does (virtio 1.2, 3.1.1).
    fn start(&mut self) {
        self.function.config_write(4, Width::Word, 6, &mut self.desk);
        self.write(0x14, Width::Byte, 0);
        self.ram.lock().bytes.fill(0);
        self.given = [0; QUEUES as usize];
        self.write(0x14, Width::Byte, 3);
        for (half, features) in self.features.into_iter().enumerate() {
            self.write(0x08, Width::Dword, half as u64);
            self.write(0x0c, Width::Dword, features);
        }
        self.write(0x14, Width::Byte, 0xb);
        for queue in 0..QUEUES {
            let at = queue * RING_BYTES;
            self.write(0x16, Width::Word, queue);
            self.write(0x18, Width::Word, SIZE.into());
            self.write(0x20, Width::Qword, at);
            self.write(0x28, Width::Qword, at + AVAILABLE);
            self.write(0x30, Width::Qword, at + USED);
            self.write(0x1c, Width::Word, 1);
        }
        self.write(0x14, Width::Byte, 0xf);
    }

    fn put(&self, gpa: u64, bytes: &[u8]) {
        assert_eq!(self.ram.write(gpa, bytes), Ok(()));
    }

    /// Gives a queue a chain: buffers of so many bytes, one behind the other, and whether the device writes
    /// them.
    fn give(&mut self, queue: u64, gpa: u64, buffers: &[(u32, bool)]) {
        let (rings, mut gpa) = (queue * RING_BYTES, gpa);
        let given = self.given[queue as usize];
        let head = given.wrapping_mul(3) % SIZE;
        for (number, (bytes, is_written)) in buffers.iter().enumerate() {
            let index = (head + number as u16) % SIZE;
            let is_last = number + 1 == buffers.len();
            let flags = if is_last { 0u16 } else { 1 } | if *is_written { 2 } else { 0 };
            let at = rings + 16 * u64::from(index);
            self.put(at, &gpa.to_le_bytes());
            self.put(at + 8, &bytes.to_le_bytes());
            self.put(at + 12, &flags.to_le_bytes());
            self.put(at + 14, &((index + 1) % SIZE).to_le_bytes());
            gpa += u64::from(*bytes);
        }
        self.put(rings + AVAILABLE + 4 + 2 * u64::from(given % SIZE), &head.to_le_bytes());
        self.given[queue as usize] = given.wrapping_add(1);
        self.put(rings + AVAILABLE + 2, &given.wrapping_add(1).to_le_bytes());
        self.write(0x3000 + 4 * queue, Width::Word, queue);
    }

    /// After a reset a frame is sent, and one received, whatever came before.
    fn recovers(&mut self) {
        self.ram.lock().changes = false;
        self.features = [1 << 5, 1];
        self.start();
        *self.cable.lock() = Frames { room: 1, ..Frames::default() };
        self.put(DATA + 12, &[7; 60]);
        self.give(1, DATA, &[(72, false)]);
        assert_eq!(self.cable.lock().sent, (1, vec![7; 60]));
        *self.cable.lock() = Frames { waiting: (1, 99), ..Frames::default() };
        self.give(0, DATA, &[(1530, true)]);
        let mut used = [0; 4];
        assert_eq!(self.ram.read(USED + 8, &mut used), Ok(()));
        assert_eq!(u32::from_le_bytes(used), 111);
    }
}

/// A driver of a network device does what the input says. No access panics, none reads more bits than it has,
/// no frame is longer than frames are, none is sent without room nor taken that is not there, and after a
/// reset the device works.
///
/// # Panics
/// If a property does not hold.
pub fn run(input: &[u8]) {
    let mut script = Script(input);
    // Any of the features, or all of them.
    let left_out = script.word();
    let left_out = if left_out & 1 << 32 == 0 { 0 } else { left_out & 0xff_ffff };
    let mut machine = Machine::new([FEATURES[0] & !left_out, FEATURES[1]]);
    machine.start();
    while !script.0.is_empty() {
        step(&mut machine, &mut script);
    }
    machine.recovers();
}

/// A frame of TCP, near what one should be, behind its header; how many bytes both have.
fn frame(machine: &Machine, script: &mut Script<'_>) -> u32 {
    let (what, length, segment) = (script.byte(), script.short() as u32, script.short() as u16);
    let is_v6 = what & 1 != 0;
    let tcp: u16 = if is_v6 { 54 } else { 34 };
    let mut bytes = [0; 12 + 14 + 40 + 20];
    bytes[0] = what >> 1 & 3 ^ 1;
    bytes[1] = if is_v6 { 4 } else { 1 } | what & 0x80;
    bytes[4..6].copy_from_slice(&(segment >> (what >> 3 & 15)).to_le_bytes());
    bytes[6..8].copy_from_slice(&tcp.to_le_bytes());
    bytes[8] = 16;
    let [high, low] = if is_v6 { [0x86, 0xdd] } else { [8, 0] };
    (bytes[24], bytes[25], bytes[26]) = (high, low, if is_v6 { 0x60 } else { 0x45 });
    bytes[12 + usize::from(tcp) + 12] = 0x50;
    // One of its bytes is another.
    if let Some(byte) = bytes.get_mut(usize::from(script.byte())) {
        *byte = script.byte();
    }
    machine.put(DATA, &bytes);
    length >> (what >> 6)
}

fn step(machine: &mut Machine, script: &mut Script<'_>) {
    let what = script.byte();
    let width = WIDTHS[usize::from(what >> 4) % 4];
    match what % 10 {
        0..3 => {
            let pair = u64::from(what >> 4 & 1);
            let bytes = frame(machine, script);
            let first = u32::from(script.byte()).min(bytes);
            machine.give(1 + 2 * pair, DATA, &[(first, false), (bytes - first, false)]);
        }
        3 => {
            // A command, or what is none.
            let (class, bytes) = (script.byte() & 7, script.byte());
            machine.put(DATA, &[class, script.byte() & 7, script.byte(), script.byte() >> 4]);
            machine.give(4, DATA, &[(bytes.into(), false), (u32::from(what >> 6), true)]);
        }
        4 => {
            // Buffers for frames.
            let (pair, count) = (u64::from(what >> 4 & 1), what >> 5);
            let bytes = script.short() as u32 >> (script.byte() % 16);
            for _ in 0..=count {
                machine.give(2 * pair, DATA + 0x4000, &[(bytes, true)]);
            }
        }
        5 => {
            let bytes = script.short() as usize % (FRAME_MAX + 1);
            let first = (0..script.byte() % 40).map(|_| script.byte()).collect();
            let (count, room) = (script.byte().into(), script.byte().into());
            *machine.cable.lock() = Frames { waiting: (count, bytes), room, first, ..Frames::default() };
            machine.function.input(&mut machine.desk);
        }
        6 => {
            let offset = (script.short() % 0x8000) & !(width.bytes() - 1);
            let value = script.word() & width.mask();
            machine.write(offset, width, value);
        }
        7 => {
            let offset = (script.short() % 0x8000) & !(width.bytes() - 1);
            let value = machine.function.bar_read(0, offset, width, &mut machine.desk);
            assert_eq!(value & !width.mask(), 0);
        }
        8 => {
            machine.ram.lock().changes = what & 0x10 != 0;
            let at = script.short() % (QUEUES * RING_BYTES - 8);
            let value = script.word();
            machine.put(at, &value.to_le_bytes());
        }
        _ => machine.start(),
    }
}

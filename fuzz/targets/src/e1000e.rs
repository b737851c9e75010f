//! An 82574L under a driver that does what it likes: registers, rings, descriptors, and memory that changes
//! while it is read; and a network that sends it anything.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use devices::capability::Width;
use devices::guest_memory::GuestMemory;
use devices::network::{FRAME_MAX, Link};
use devices::pci::PciFunction;
use e1000e_device::E1000e;
use e1000e_device::spec::{CTRL_RESET, register};

use crate::pci_bus::{Desk, Ram, Script, WIDTHS};

const RAM_BYTES: usize = 0x1_0000;
/// The rings: of frames to send, and of frames received.
const RINGS: [u64; 2] = [0x1000, 0x2000];
const ENTRIES: u64 = 8;
/// Where data are.
const DATA: u64 = 0x8000;
/// Ends and tails of a ring, behind its first register.
const HEAD: u64 = 0x10;
const TAIL: u64 = 0x18;
const ADDRESS: [u8; 6] = [2, 0x50, 0x4c, 0, 0, 1];

/// What goes over the cable.
#[derive(Default)]
struct Frames {
    /// How many the driver has sent, and the last one.
    sent: (u64, Vec<u8>),
    /// How many are on their way to it, and of how many bytes each.
    waiting: (u64, usize),
    first: u8,
}

#[derive(Clone, Default)]
struct Cable(Arc<Mutex<Frames>>);

impl Cable {
    fn lock(&self) -> MutexGuard<'_, Frames> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for Cable {
    fn send(&mut self, frame: &[u8]) {
        assert!((1..=FRAME_MAX).contains(&frame.len()), "a frame of {} bytes", frame.len());
        let mut frames = self.lock();
        frames.sent = (frames.sent.0 + 1, frame.to_vec());
    }

    fn receive(&mut self, frame: &mut [u8; FRAME_MAX]) -> usize {
        let mut frames = self.lock();
        assert!(frames.waiting.0 > 0, "a frame is taken that is not there");
        frames.waiting.0 -= 1;
        frame[..ADDRESS.len()].copy_from_slice(&ADDRESS);
        frame[0] = frames.first;
        frames.waiting.1
    }

    fn has_frame(&mut self) -> bool {
        self.lock().waiting.0 > 0
    }
}

struct Machine {
    function: E1000e<Cable, Ram>,
    ram: Ram,
    cable: Cable,
    desk: Desk,
    /// The driver's tail of what is to be sent.
    tail: u64,
}

impl Machine {
    fn new() -> Self {
        let (ram, cable) = (Ram::new(RAM_BYTES), Cable::default());
        let function = E1000e::new(cable.clone(), ram.clone(), ADDRESS);
        Self { function, ram, cable, desk: Desk::default(), tail: 0 }
    }

    fn write(&mut self, offset: u64, value: u64) {
        self.function.bar_write(0, offset, Width::Dword, value, &mut self.desk);
    }

    /// Resets the controller and gives it both rings.
    fn start(&mut self) {
        self.function.config_write(4, Width::Word, 6, &mut self.desk);
        self.write(register::CTRL, CTRL_RESET.into());
        self.ram.lock().bytes.fill(0);
        self.tail = 0;
        for (ring, at) in [(register::TRANSMIT, RINGS[0]), (register::RECEIVE, RINGS[1])] {
            self.write(ring, at);
            self.write(ring + 8, ENTRIES * 16);
        }
        for index in 0..ENTRIES {
            self.put(RINGS[1] + 16 * index, &(DATA + 0x800 * index).to_le_bytes());
        }
        self.write(register::TCTL, 2);
        self.write(register::RCTL, 2);
        self.write(register::RECEIVE + TAIL, ENTRIES - 1);
    }

    fn put(&self, gpa: u64, bytes: &[u8]) {
        assert_eq!(self.ram.write(gpa, bytes), Ok(()));
    }

    /// Gives it a descriptor to send.
    fn give(&mut self, low: u64, high: u64) {
        self.put(RINGS[0] + 16 * self.tail, &[low.to_le_bytes(), high.to_le_bytes()].concat());
        self.tail = (self.tail + 1) % ENTRIES;
        self.write(register::TRANSMIT + TAIL, self.tail);
    }

    /// After a reset a frame is sent, and one received, whatever came before.
    fn recovers(&mut self) {
        self.ram.lock().changes = false;
        *self.cable.lock() = Frames::default();
        self.start();
        // What was still in the rings has been sent in front of the reset.
        *self.cable.lock() = Frames::default();
        self.put(DATA, &[7; 60]);
        self.give(DATA, 0x0b << 24 | 60);
        assert_eq!(self.cable.lock().sent, (1, vec![7; 60]));
        *self.cable.lock() = Frames { waiting: (1, 99), first: ADDRESS[0], ..Frames::default() };
        self.function.input(&mut self.desk);
        let head = self.function.bar_read(0, register::RECEIVE + HEAD, Width::Dword, &mut self.desk);
        assert_eq!(head, 1);
    }
}

/// A driver of an 82574L does what the input says. No access panics, none reads more bits than it has, no
/// frame is longer than frames are, and after a reset the controller works.
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

/// A number, small in most cases.
fn number(script: &mut Script<'_>) -> u64 {
    match script.byte() {
        what @ 0..0xc0 => u64::from(what & 15),
        what @ 0xc0..0xe0 => 1 << (what & 31),
        _ => script.word(),
    }
}

/// A context, or a piece of a frame.
fn descriptor(script: &mut Script<'_>) -> (u64, u64) {
    let (what, at) = (script.byte(), script.short());
    let (command, bytes) = (u64::from(script.byte()) << 24, script.short());
    let extended = 1 << 29;
    match what % 4 {
        // Where sums begin and are put; headers and segments of any size.
        0 => (script.word(), command | extended | bytes | script.short() << 40 | script.short() << 48),
        1 => (DATA + at % 0x8800, command | extended | 1 << 20 | bytes | u64::from(what >> 4) << 40),
        2 => (DATA + at % 0x7000, command & !extended | bytes | script.short() << 40),
        _ => (script.word(), script.word()),
    }
}

fn step(machine: &mut Machine, script: &mut Script<'_>) {
    let what = script.byte();
    let width = WIDTHS[usize::from(what >> 4) % 4];
    match what % 10 {
        0..4 => {
            let (low, high) = descriptor(script);
            machine.give(low, high);
        }
        4 => {
            let bytes = script.short() as usize % (FRAME_MAX + 1);
            *machine.cable.lock() =
                Frames { waiting: (script.byte().into(), bytes), first: what, ..Frames::default() };
            machine.function.input(&mut machine.desk);
        }
        5 => {
            let (bar, offset) = (if what < 0xe0 { 0 } else { 3 }, script.short() & !(width.bytes() - 1));
            let value = script.word() & width.mask();
            machine.function.bar_write(bar, offset % 0x4000, width, value, &mut machine.desk);
        }
        6 => {
            let (bar, offset) = (if what < 0xe0 { 0 } else { 3 }, script.short() & !(width.bytes() - 1));
            let value = machine.function.bar_read(bar, offset % 0x4000, width, &mut machine.desk);
            assert_eq!(value & !width.mask(), 0);
        }
        7 => machine.ram.lock().changes = what & 0x10 != 0,
        8 => {
            let width = WIDTHS[usize::from(what >> 4) % 3];
            let offset = script.byte() as u16 & !(width.bytes() as u16 - 1);
            let value = script.word() & width.mask();
            machine.function.config_write(offset, width, value as u32, &mut machine.desk);
            let read = u64::from(machine.function.config_read(offset, width, &mut machine.desk));
            assert_eq!(read & !width.mask(), 0);
        }
        _ => {
            let ring = if what & 0x10 == 0 { register::TRANSMIT } else { register::RECEIVE };
            let value = number(script);
            machine.write(ring + 4 * u64::from(script.byte() % 8), value);
        }
    }
}

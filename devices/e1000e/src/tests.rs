//! A driver and a controller, from registers to frames.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::{Mutex, PoisonError};

use devices::capability::{Platform, PowerEvent, Width};
use devices::guest_memory::{GuestMemory, NotMemory};
use devices::network::{FRAME_MAX, Link};
use devices::pci::{PciFunction, PciPlatform};

use crate::E1000e;
use crate::phy::nvm_word;
use crate::spec::register;

const ADDRESS: [u8; 6] = [2, 0x50, 0x4c, 0, 0, 1];
const RAM_BYTES: usize = 1 << 20;

#[derive(Clone)]
struct Ram(Arc<Mutex<Vec<u8>>>);

impl GuestMemory for Ram {
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), NotMemory> {
        let ram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(gpa).map_err(|_| NotMemory)?;
        let end = start.checked_add(bytes.len()).ok_or(NotMemory)?;
        bytes.copy_from_slice(ram.get(start..end).ok_or(NotMemory)?);
        Ok(())
    }

    fn write(&self, gpa: u64, bytes: &[u8]) -> Result<(), NotMemory> {
        let mut ram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(gpa).map_err(|_| NotMemory)?;
        let end = start.checked_add(bytes.len()).ok_or(NotMemory)?;
        ram.get_mut(start..end).ok_or(NotMemory)?.copy_from_slice(bytes);
        Ok(())
    }

    fn load_u16(&self, _: u64) -> Result<u16, NotMemory> {
        Err(NotMemory)
    }

    fn store_u16(&self, _: u64, _: u16) -> Result<(), NotMemory> {
        Err(NotMemory)
    }
}

#[derive(Default)]
struct Cable {
    sent: Vec<Vec<u8>>,
    waiting: Vec<Vec<u8>>,
}

#[derive(Clone, Default)]
struct End(Arc<Mutex<Cable>>);

impl Link for End {
    fn send(&mut self, frame: &[u8]) {
        assert!(frame.len() <= FRAME_MAX);
        self.0.lock().unwrap().sent.push(frame.into());
    }

    fn receive(&mut self, frame: &mut [u8; FRAME_MAX]) -> usize {
        let next = self.0.lock().unwrap().waiting.remove(0);
        frame[..next.len()].copy_from_slice(&next);
        next.len()
    }

    fn has_frame(&mut self) -> bool {
        !self.0.lock().unwrap().waiting.is_empty()
    }
}

#[derive(Default)]
struct Bench {
    messages: Vec<u32>,
    intx: bool,
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

struct Machine {
    function: E1000e<End, Ram>,
    ram: Ram,
    cable: End,
    bench: Bench,
}

impl Machine {
    fn new() -> Self {
        let (ram, cable) = (Ram(Arc::new(Mutex::new(vec![0; RAM_BYTES]))), End::default());
        let mut function = E1000e::new(cable.clone(), ram.clone(), ADDRESS);
        let mut bench = Bench::default();
        function.config_write(4, Width::Word, 6, &mut bench);
        Self { function, ram, cable, bench }
    }

    /// Both rings, of 8 descriptors: transmit at 0x1000, receive at 0x2000 with buffers from 0x10000 on.
    fn ready() -> Self {
        let mut machine = Self::new();
        for (offset, value) in [
            (register::TRANSMIT, 0x1000),
            (register::TRANSMIT + 8, 128),
            (register::TCTL, 2),
            (register::RECEIVE, 0x2000),
            (register::RECEIVE + 8, 128),
            (register::RCTL, 2 | 1 << 15 | 1 << 26),
        ] {
            machine.write(offset, value);
        }
        for index in 0..8u64 {
            machine.put(0x2000 + 16 * index, &(0x1_0000 + 0x1000 * index).to_le_bytes());
        }
        machine.write(register::RECEIVE + 0x18, 7);
        machine
    }

    fn read(&mut self, offset: u64) -> u32 {
        self.function.bar_read(0, offset, Width::Dword, &mut self.bench) as u32
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.function.bar_write(0, offset, Width::Dword, value.into(), &mut self.bench);
    }

    fn put(&self, gpa: u64, bytes: &[u8]) {
        assert_eq!(self.ram.write(gpa, bytes), Ok(()));
    }

    fn copy(&self, gpa: u64, bytes: usize) -> Vec<u8> {
        let mut copy = vec![0; bytes];
        assert_eq!(self.ram.read(gpa, &mut copy), Ok(()));
        copy
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.cable.0.lock().unwrap().sent)
    }

    fn arrive(&mut self, frame: &[u8]) {
        self.cable.0.lock().unwrap().waiting.push(frame.into());
        self.function.input(&mut self.bench);
    }
}

#[test]
fn the_nvm_has_the_address_and_a_sum() {
    let sum = (0..64).fold(0u16, |sum, index| sum.wrapping_add(nvm_word(ADDRESS, index)));
    assert_eq!(sum, 0xbaba);
    let mut machine = Machine::new();
    machine.write(register::EERD, 2 << 2 | 1);
    assert_eq!(machine.read(register::EERD), 0x0100_000a);
    assert_eq!((machine.read(register::RAL), machine.read(register::RAL + 4)), (0x004c_5002, 0x8000_0100));
    machine.write(register::MDIC, 2 << 26 | 1 << 21 | 1 << 16);
    assert_eq!(machine.read(register::MDIC) & 0x1000_0024, 0x1000_0024);
}

#[test]
fn a_frame_is_sent_and_reported() {
    let mut machine = Machine::ready();
    machine.put(0x5000, &[7; 100]);
    machine.put(0x1000, &(0x5000u128 | 100 << 64 | 0x0b << 88).to_le_bytes());
    machine.write(register::IMS, 1);
    machine.write(register::TRANSMIT + 0x18, 1);
    assert_eq!(machine.sent(), [[7; 100]]);
    assert_eq!((machine.copy(0x100c, 1), machine.read(register::TRANSMIT + 0x10)), (vec![1], 1));
    assert!(machine.bench.intx);
    assert_eq!(machine.read(register::ICR) & 0x8000_0001, 0x8000_0001);
    assert!(!machine.bench.intx);
    assert_eq!((machine.read(register::GPTC), machine.read(register::GPTC)), (1, 0));
}

#[test]
fn segments_have_lengths_numbers_and_sums() {
    let mut machine = Machine::ready();
    let mut frame = vec![0u8; 14 + 20 + 20 + 2500];
    frame[14] = 0x45;
    frame[14 + 12 + 20] = 0x50;
    frame[34 + 13] = 0x19;
    machine.put(0x8000, &frame);
    let context: u128 =
        14 | 24 << 8 | 33 << 16 | 34 << 32 | 50 << 40 | 2500 << 64 | 0x27 << 88 | 54 << 104 | 1000 << 112;
    machine.put(0x1000, &context.to_le_bytes());
    let data: u128 = 0x8000 | (frame.len() as u128) << 64 | 1 << 84 | 0x2d << 88 | 3 << 104;
    machine.put(0x1010, &data.to_le_bytes());
    machine.write(register::TRANSMIT + 0x18, 2);
    let sent = machine.sent();
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [1054, 1054, 554]);
    for (number, frame) in sent.iter().enumerate() {
        let half = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        assert_eq!(usize::from(half(16)), frame.len() - 14);
        assert_eq!((half(18), half(40)), (number as u16, 1000 * number as u16));
        assert_eq!(frame[47], if number == 2 { 0x19 } else { 0x10 });
        let sum = |part: &[u8]| {
            let sum: u32 = part.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
            (sum & 0xffff) + (sum >> 16)
        };
        assert_eq!(sum(&frame[14..34]), 0xffff, "the IP header's");
        // The pseudo-header of this test has nothing but the length.
        assert_eq!(sum(&frame[34..]) + frame.len() as u32 - 34, 0xffff, "TCP's");
    }
}

#[test]
fn frames_for_the_guest_are_received() {
    let mut machine = Machine::ready();
    let frame = |to: [u8; 6]| [&to[..], &[9; 70]].concat();
    for (to, is_wanted) in
        [(ADDRESS, true), ([0xff; 6], true), ([2, 0, 0, 0, 0, 9], false), ([1, 0, 0x5e, 0, 0, 1], false)]
    {
        let before = machine.read(register::RECEIVE + 0x10);
        machine.arrive(&frame(to));
        assert_eq!(machine.read(register::RECEIVE + 0x10) - before, u32::from(is_wanted), "{to:x?}");
    }
    assert_eq!(machine.copy(0x1_0000, 76), frame(ADDRESS));
    assert_eq!(machine.copy(0x2008, 8), [76, 0, 0, 0, 3, 0, 0, 0]);
    // Extended descriptors, of a short frame.
    machine.write(register::RFCTL, 1 << 15);
    machine.arrive(&frame(ADDRESS)[..20]);
    assert_eq!(machine.copy(0x2020, 16), [0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 60, 0, 0, 0]);
}

#[test]
fn only_a_bus_master_between_head_and_tail() {
    let mut machine = Machine::ready();
    machine.put(0x1000, &(0x5000u128 | 100 << 64 | 0x0b << 88).to_le_bytes());
    machine.function.config_write(4, Width::Word, 2, &mut machine.bench);
    machine.write(register::TRANSMIT + 0x18, 1);
    machine.arrive(&[0xff; 60]);
    assert_eq!((machine.sent().len(), machine.read(register::RECEIVE + 0x10)), (0, 0));
    machine.function.config_write(4, Width::Word, 6, &mut machine.bench);
    assert_eq!((machine.sent().len(), machine.read(register::RECEIVE + 0x10)), (1, 1));
    // A head or a tail that the ring does not have; a queue that is not enabled.
    for (offset, value) in [(0x10, 8), (0x18, 8), (0x08, 0)] {
        let mut machine = Machine::ready();
        machine.put(0x1000, &(0x5000u128 | 100 << 64 | 0x0b << 88).to_le_bytes());
        machine.write(register::TRANSMIT + offset, value);
        machine.write(register::TRANSMIT + if offset == 0x18 { 0x10 } else { 0x18 }, 1);
        assert_eq!(machine.copy(0x100c, 1), [0], "{offset:x}");
        assert_eq!(machine.sent().len(), 0);
    }
    let mut machine = Machine::ready();
    machine.write(register::TCTL, 0);
    machine.write(register::RCTL, 1 << 15);
    machine.put(0x1000, &(0x5000u128 | 100 << 64 | 0x0b << 88).to_le_bytes());
    machine.write(register::TRANSMIT + 0x18, 1);
    machine.arrive(&[0xff; 60]);
    assert_eq!((machine.sent().len(), machine.read(register::RECEIVE + 0x10)), (0, 0));
}

#[test]
fn a_bad_frame_is_lost_alone() {
    let mut machine = Machine::ready();
    // Buffers of 1024 bytes.
    machine.write(register::RCTL, 2 | 1 << 15 | 1 << 26 | 1 << 16);
    machine.put(0x1_0400, &[0xee; 16]);
    machine.arrive(&[0xff; 1025]);
    machine.arrive(&[0xff; 1024]);
    assert_eq!(machine.read(register::RECEIVE + 0x10), 1);
    assert_eq!(machine.copy(0x1_03ff, 17), [&[0xff][..], &[0xee; 16]].concat());
    let descriptors = [(RAM_BYTES as u128, 64u128), (0x5000, 64), (0x5000, 1519), (0x5000, 1518)];
    for (index, (at, bytes)) in descriptors.into_iter().enumerate() {
        machine.put(0x1000 + 16 * index as u64, &(at | bytes << 64 | 0x0b << 88).to_le_bytes());
    }
    machine.write(register::TRANSMIT + 0x18, 4);
    assert_eq!(machine.sent().iter().map(Vec::len).collect::<Vec<_>>(), [64, 1518]);
    assert_eq!(machine.read(register::GPTC), 2);
}

#[test]
fn a_frame_without_an_end_is_lost() {
    let mut machine = Machine::ready();
    // To be cut into segments of 1000 bytes, but of more pieces of 16 KiB than a frame can have.
    machine.put(0x1000, &(2500u128 << 64 | 0x27 << 88 | 54 << 104 | 1000 << 112).to_le_bytes());
    for index in 1..6 {
        let command = if index == 5 { 0x2f } else { 0x2e };
        let piece = 0x8000u128 | 0x4000 << 64 | 1 << 84 | command << 88;
        machine.put(0x1000 + 16 * index, &piece.to_le_bytes());
    }
    machine.put(0x1060, &(0x5000u128 | 60 << 64 | 0x0b << 88).to_le_bytes());
    machine.write(register::TRANSMIT + 0x18, 7);
    assert_eq!(machine.sent().iter().map(Vec::len).collect::<Vec<_>>(), [60]);
}

#[test]
fn a_reset_forgets_what_was_collected_and_written() {
    let mut machine = Machine::ready();
    // Half a frame.
    machine.put(0x1000, &(0x5000u128 | 100 << 64 | 0x0a << 88).to_le_bytes());
    machine.write(register::TRANSMIT + 0x18, 1);
    machine.write(register::MTA, 7);
    machine.write(register::CTRL, 1 << 26);
    assert_eq!((machine.read(register::MTA), machine.read(register::TRANSMIT)), (0, 0));
    for (offset, value) in [(register::TRANSMIT, 0x1000), (register::TRANSMIT + 8, 128), (register::TCTL, 2)]
    {
        machine.write(offset, value);
    }
    machine.put(0x1000, &(0x5000u128 | 60 << 64 | 0x0b << 88).to_le_bytes());
    machine.write(register::TRANSMIT + 0x18, 1);
    assert_eq!(machine.sent().iter().map(Vec::len).collect::<Vec<_>>(), [60]);
}

#[test]
fn each_message_is_of_its_causes() {
    let mut machine = Machine::ready();
    // Vectors 0 to 2, unmasked; receive, transmit, others; causes are taken down by messages.
    for vector in 0..3u64 {
        machine.function.bar_write(3, 16 * vector, Width::Qword, 0xfee0_0000, &mut machine.bench);
        machine.function.bar_write(3, 16 * vector + 8, Width::Qword, 0x40 + vector, &mut machine.bench);
    }
    machine.function.config_write(0x42, Width::Word, 1 << 15, &mut machine.bench);
    machine.write(register::IVAR, 8 | 9 << 8 | 0xa << 16);
    machine.write(register::EIAC, 0x0150_0000);
    machine.write(register::IMS, 0x0150_0004);
    machine.arrive(&[0xff; 60]);
    assert_eq!(machine.bench.messages, [0x40]);
    machine.write(register::ICS, 1 << 24);
    assert_eq!(machine.bench.messages, [0x40, 0x42]);
    // Disabled with its message, until the driver enables it.
    machine.arrive(&[0xff; 60]);
    assert_eq!(machine.bench.messages, [0x40, 0x42]);
    machine.write(register::IMS, 1 << 20);
    assert_eq!(machine.bench.messages, [0x40, 0x42, 0x40]);
    assert!(!machine.bench.intx);
}

#[test]
fn any_sequence() {
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..50 {
        let mut machine = Machine::ready();
        for _ in 0..400 {
            let (what, offset, value) = (random() % 8, random() % 0x1800 * 4, random());
            match what {
                0..3 => machine.write(offset, value as u32 >> (random() % 32)),
                3 => drop(machine.read(offset)),
                4 => {
                    let words = u128::from(random()) << 64 | u128::from(random() % RAM_BYTES as u64);
                    machine.put(0x1000 + 16 * (random() % 8), &words.to_le_bytes());
                    machine.write(register::TRANSMIT + 0x18, value as u32 % 9);
                }
                5 => machine.arrive(&vec![0xff; 14 + (value % 1500) as usize]),
                6 => machine.function.config_write(0x40, Width::Dword, value as u32, &mut machine.bench),
                _ => machine.write(register::TRANSMIT + 0x10, value as u32 % 9),
            }
        }
        machine.write(register::CTRL, 1 << 26);
        assert_eq!(machine.read(register::RAL), 0x004c_5002);
    }
}

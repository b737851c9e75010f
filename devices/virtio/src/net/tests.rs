use super::*;
use crate::queue::Format;
use crate::testing::{Machine, formats};
use alloc::vec;
use alloc::vec::Vec;
use devices::capability::Width;
use devices::network::FRAME_MAX;
use devices::pci::PciFunction;
use spec::HEADER_BYTES;
use spec::config::LINK_UP;

mod commands;
mod offloads;

/// Frames come back as they are, unless there is no room for them.
#[derive(Default)]
struct Cable {
    frames: Vec<Vec<u8>>,
    /// How many there is room for, if not any number.
    room: Option<usize>,
    /// They do not come back.
    keeps: bool,
    is_down: bool,
    has_changed: bool,
    /// How many were sent, in all.
    sent: usize,
    /// Whether there was no more to do, each time.
    finished: Vec<bool>,
}

impl Link for Cable {
    fn is_up(&self) -> bool {
        !self.is_down
    }

    fn attend(&mut self) -> bool {
        core::mem::take(&mut self.has_changed)
    }

    fn has_room(&mut self) -> bool {
        self.room.is_none_or(|room| self.frames.len() < room)
    }

    fn finish(&mut self, is_all: bool) {
        self.finished.push(is_all);
    }

    fn send(&mut self, frame: &[u8]) {
        self.frames.push(frame.to_vec());
        self.sent += 1;
    }

    fn receive(&mut self, frame: &mut [u8; FRAME_MAX]) -> usize {
        if self.frames.is_empty() {
            return 0;
        }
        let next = self.frames.remove(0);
        frame[..next.len()].copy_from_slice(&next);
        next.len()
    }

    fn has_frame(&mut self) -> bool {
        !self.keeps && !self.frames.is_empty()
    }
}

const ADDRESS: [u8; 6] = [2, 1, 2, 3, 4, 5];
/// What a driver accepts that knows of no more.
const PLAIN: u64 = feature::MAC | feature::STATUS;

/// A device that is ready, with a driver that accepts these features.
fn machine<L: Link>(link: L, format: Format, pairs: u16, accepted: u64) -> Machine<Net<L>> {
    let mut machine = Machine::fresh(Net::new(link, ADDRESS, pairs), format);
    machine.accepted = accepted;
    machine.start(if pairs == 1 { 256 } else { 8 });
    machine
}

#[test]
fn frames_go_both_ways_behind_a_header() {
    for format in formats() {
        let cable = Cable { keeps: true, ..Cable::default() };
        let mut machine = Machine::ready(Net::new(cable, ADDRESS, 1), format, 8);
        let frame: Vec<u8> = (0..=255).cycle().take(FRAME_MAX).collect();
        assert_eq!(machine.request(1, &[&[0; 12], &frame], &[]), Some((0, Vec::new())));
        assert_eq!(machine.function.device().link().frames, core::slice::from_ref(&frame));
        machine.function.device_mut().link.keeps = false;
        let (written, bytes) = machine.request(0, &[], &[12, 2000]).unwrap();
        assert_eq!(written as usize, 12 + FRAME_MAX, "{format:?}");
        assert_eq!(bytes[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(bytes[12..written as usize], frame);
    }
}

#[test]
fn what_is_no_frame_goes_nowhere() {
    for format in formats() {
        let mut machine = machine(Cable::default(), format, 1, PLAIN);
        for bytes in [0, 11, 12, 12 + FRAME_MAX + 1] {
            assert_eq!(machine.request(1, &[&vec![1; bytes]], &[]), Some((0, Vec::new())));
        }
        assert!(machine.function.device().link().frames.is_empty());
        machine.request(1, &[&[1; 100]], &[]).unwrap();
        assert_eq!(machine.request(0, &[], &[99]), Some((0, vec![0xee; 99])), "too little room");
        assert!(machine.function.device().link().frames.is_empty());
    }
}

#[test]
fn the_configuration_has_address_and_status() {
    let mut machine = Machine::fresh(Net::new(Cable::default(), ADDRESS, 1), Default::default());
    let value = machine.function.bar_read(0, 0x2000, Width::Qword, &mut machine.bench);
    assert_eq!(value, 0x0001_0504_0302_0102);
    // The pairs of queues, and the longest packet.
    let value = machine.function.bar_read(0, 0x2008, Width::Dword, &mut machine.bench);
    assert_eq!(value, 1500 << 16 | 1);
}

#[test]
fn chains_wait_in_the_queue_until_there_is_room() {
    for format in formats() {
        let cable = Cable { room: Some(1), keeps: true, ..Cable::default() };
        let mut machine = Machine::ready(Net::new(cable, ADDRESS, 1), format, 8);
        let frames: [Vec<u8>; 2] =
            [1, 2].map(|number| [[0; HEADER_BYTES].as_slice(), &[number; 60]].concat());
        assert_eq!(machine.request(1, &[&frames[0]], &[]), Some((0, Vec::new())));
        assert_eq!(machine.request(1, &[&frames[1]], &[]), None, "no room: {format:?}");
        // The other end has room again, and says so, when the guest takes the first frame.
        machine.function.device_mut().link.keeps = false;
        let (_, bytes) = machine.request(0, &[], &[100]).unwrap();
        assert_eq!((bytes[12], machine.used(1, 1)), (1, None));
        machine.isr();
        machine.function.device_mut().link.keeps = true;
        machine.function.input(&mut machine.bench);
        assert_eq!(machine.used(1, 1), Some(0));
        // With an event index the driver says from when on it wants one, which this one does not.
        assert!(format.event_index || machine.isr() == 1, "no interrupt: {format:?}");
        assert_eq!(machine.function.device().link().frames.len(), 1);
        assert!(machine.function.device().link().finished.iter().all(|is_all| *is_all));
    }
}

#[test]
fn frames_that_come_by_themselves_are_received() {
    for format in formats() {
        let mut machine = Machine::ready(Net::new(Cable::default(), ADDRESS, 1), format, 8);
        assert_eq!(machine.request(0, &[], &[100]), None);
        machine.function.device_mut().link.frames.push(vec![7; 60]);
        machine.function.input(&mut machine.bench);
        assert_eq!((machine.used(0, 1), machine.isr()), (Some(72), 1), "{format:?}");
    }
}

#[test]
fn no_call_is_without_end() {
    /// A network that always has a frame.
    struct Flood(bool);

    impl Link for Flood {
        fn send(&mut self, _: &[u8]) {}

        fn receive(&mut self, frame: &mut [u8; FRAME_MAX]) -> usize {
            frame.len()
        }

        fn has_frame(&mut self) -> bool {
            true
        }

        fn finish(&mut self, is_all: bool) {
            self.0 |= !is_all;
        }
    }

    let mut machine = machine(Flood(false), Default::default(), 1, PLAIN);
    for _ in 0..255 {
        let gpa = machine.buffer(&[0; 16]);
        machine.add(0, &[(gpa, 16, true)]);
    }
    machine.notify(0);
    assert!(!machine.function.device().link().0, "all that there was");
    for _ in 0..256 {
        let gpa = machine.buffer(&[0; 16]);
        machine.add(0, &[(gpa, 16, true)]);
    }
    machine.notify(0);
    assert!(machine.function.device().link().0, "there may be more");
}

#[test]
fn the_link_goes_down_and_up() {
    for format in formats() {
        let mut machine = Machine::ready(Net::new(Cable::default(), ADDRESS, 1), format, 8);
        for (generation, is_down) in [(1, true), (2, false)] {
            let link = &mut machine.function.device_mut().link;
            (link.is_down, link.has_changed) = (is_down, true);
            machine.function.input(&mut machine.bench);
            assert_eq!(machine.isr(), 2, "a change of the configuration");
            assert_eq!(
                machine.function.bar_read(0, 0x2006, Width::Word, &mut machine.bench),
                !is_down as u64
            );
            assert_eq!(machine.common(0x15, Width::Byte), generation);
            machine.function.input(&mut machine.bench);
            assert_eq!((machine.isr(), machine.common(0x15, Width::Byte)), (0, generation));
        }
        // A driver that is not ready is not signalled, and finds it so.
        machine.set_common(0x14, Width::Byte, 0);
        machine.function.device_mut().link.has_changed = true;
        machine.function.input(&mut machine.bench);
        assert_eq!((machine.isr(), machine.common(0x15, Width::Byte)), (0, 3));
    }
}

/// Nothing but what a link has to have: always up and with room. It says that it has a frame, and has none.
#[derive(Default)]
struct Plain {
    sent: usize,
    promises: usize,
}

impl Link for Plain {
    fn send(&mut self, frame: &[u8]) {
        self.sent += frame.len();
    }

    fn receive(&mut self, _: &mut [u8; FRAME_MAX]) -> usize {
        0
    }

    fn has_frame(&mut self) -> bool {
        let promised = self.promises > 0;
        self.promises = self.promises.saturating_sub(1);
        promised
    }
}

#[test]
fn a_plain_link_is_up_and_has_room() {
    let mut machine = Machine::ready(Net::new(Plain::default(), ADDRESS, 1), formats().next().unwrap(), 8);
    assert_eq!(machine.function.device().features() & PLAIN, PLAIN);
    assert_eq!(machine.function.device().config(6), LINK_UP);
    let generation = machine.common(crate::pci::spec::common::GENERATION, Width::Byte);
    machine.function.input(&mut machine.bench);
    assert_eq!(machine.common(crate::pci::spec::common::GENERATION, Width::Byte), generation);
    machine.request(1, &[&[0; 12], &[7; 60]], &[]).unwrap();
    assert_eq!(machine.function.device().link().sent, 60);
    // No chain is taken for a frame that there is not.
    machine.function.device_mut().link.promises = 1;
    assert_eq!(machine.request(0, &[], &[12, 2000]), None);
}

//! Rings as a driver makes them, and as none may.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::device::{Queues, VirtioDevice};
use crate::pci::spec::status;
use crate::testing::{Machine, Ram, formats};

/// Gives every chain back at once, with the sum of what it reads written into all that it may write.
#[derive(Default)]
struct Sum {
    chain: Chain,
    sizes: Vec<(u32, u32)>,
}

impl VirtioDevice for Sum {
    const NAME: &'static str = "sum";
    const ID: u16 = 60;
    const CLASS: u32 = 0xff_0000;

    fn queues(&self) -> u16 {
        1
    }

    fn queue_size(&self) -> u16 {
        64
    }

    fn notified<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        while queues.pop(queue, &mut self.chain)? {
            let (readable, writable) = (self.chain.readable_bytes(), self.chain.writable_bytes());
            self.sizes.push((readable, writable));
            let mut bytes = vec![0; readable as usize];
            assert_eq!(self.chain.readable().read(queues.memory(), &mut bytes)?, bytes.len());
            let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
            let room = vec![sum; writable as usize];
            assert_eq!(self.chain.writable().write(queues.memory(), &room)?, room.len());
            queues.push(queue, &self.chain, writable)?;
        }
        Ok(())
    }
}

#[test]
fn requests_go_round_and_round_the_ring() {
    for format in formats() {
        // A split ring's size is a power of two.
        let sizes: &[u16] = if format.packed { &[3, 8, 64] } else { &[4, 8, 64] };
        for &size in sizes {
            let mut machine = Machine::ready(Sum::default(), format, size);
            for number in 0..200u8 {
                let (written, room) = machine.request(0, &[&[number], &[1]], &[5]).unwrap();
                assert_eq!((written, room), (5, vec![number + 1; 5]), "{format:?} {size} {number}");
            }
        }
    }
}

#[test]
fn many_chains_at_once_come_back_in_order() {
    for format in formats() {
        let mut machine = Machine::ready(Sum::default(), format, 8);
        for _ in 0..5 {
            let rooms = [1, 2, 3].map(|bytes| (machine.buffer(&vec![9; bytes]), bytes as u32, true));
            rooms.iter().for_each(|room| machine.add(0, &[*room]));
            machine.notify(0);
            assert_eq!([1, 2, 3].map(|_| machine.used(0, 1)), [Some(1), Some(2), Some(3)]);
            assert_eq!(machine.used(0, 1), None);
        }
    }
}

#[test]
fn an_interrupt_comes_when_it_is_wanted() {
    for format in formats() {
        let mut machine = Machine::ready(Sum::default(), format, 8);
        let areas = machine.queues[0].areas;
        // What the driver says, and whether it then hears of one more chain.
        let cases: Vec<(u64, u16, bool)> = match (format.packed, format.event_index) {
            (false, false) => vec![(areas.driver, 1, false), (areas.driver, 0, true)],
            // The used index that comes next is 0; the one after it is 1.
            (false, true) => vec![(areas.driver + 4 + 16, 5, false), (areas.driver + 4 + 16, 1, true)],
            (true, false) => vec![(areas.driver + 2, 1, false), (areas.driver + 2, 0, true)],
            (true, true) => vec![(areas.driver + 2, 1, false), (areas.driver + 2, 2, true)],
        };
        for (number, (at, value, expected)) in cases.into_iter().enumerate() {
            if format.packed && format.event_index && number == 1 {
                // Descriptor 1, in the first round.
                machine.ram.put(areas.driver, &0x8001u16.to_le_bytes());
            }
            machine.ram.put(at, &value.to_le_bytes());
            machine.request(0, &[&[1]], &[]).unwrap();
            assert_eq!(machine.isr() == 1, expected, "{format:?} {number}");
        }
    }
}

#[test]
fn a_packed_event_in_the_next_round_is_waited_for() {
    let format = Format { packed: true, indirect: false, event_index: true };
    let mut machine = Machine::ready(Sum::default(), format, 4);
    let areas = machine.queues[0].areas;
    // Descriptor 1 of the second round: the sixth.
    machine.ram.put(areas.driver, &1u16.to_le_bytes());
    machine.ram.put(areas.driver + 2, &2u16.to_le_bytes());
    let heard: Vec<u64> = (0..8)
        .map(|_| {
            machine.request(0, &[&[1]], &[]).unwrap();
            machine.isr()
        })
        .collect();
    assert_eq!(heard, [0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn the_driver_is_told_from_where_on_to_notify() {
    for format in formats().filter(|format| format.event_index) {
        let mut machine = Machine::ready(Sum::default(), format, 8);
        for number in 1..=10u16 {
            machine.request(0, &[&[1]], &[]).unwrap();
            let areas = machine.queues[0].areas;
            let (at, expected) = match format.packed {
                false => (areas.device + 4 + 8 * 8, number),
                true => (areas.device, (number % 8) | if number < 8 { 0x8000 } else { 0 }),
            };
            assert_eq!(machine.ram.word(at), expected, "{format:?}");
            assert_eq!(machine.ram.word(areas.device + 2), if format.packed { 2 } else { number });
        }
    }
}

/// What a driver does to a ring; the chain at its head is of one buffer that the device reads.
type Spoil = fn(&mut Machine<Sum>);

fn fails(format: Format, error: RingError, spoil: Spoil) {
    let mut machine = Machine::ready(Sum::default(), format, 8);
    let gpa = machine.buffer(&[1; 64]);
    machine.add_descriptors(0, &[(gpa, 64, 0)]);
    spoil(&mut machine);
    machine.notify(0);
    assert_eq!(machine.function.last_error(), Some(error), "{format:?}");
    assert_eq!(machine.status() & status::NEEDS_RESET, status::NEEDS_RESET);
    assert_eq!(machine.isr(), 2, "the configuration has changed");
    // It does nothing more until it is reset, and then all it did.
    machine.notify(0);
    assert_eq!(machine.isr(), 0);
    machine.start(8);
    assert_eq!(machine.request(0, &[&[3]], &[1]), Some((1, vec![3])));
}

/// Where the first descriptor of the next chain is.
fn first(machine: &Machine<Sum>) -> u64 {
    machine.queues[0].areas.descriptors
}

/// The first descriptor, with these flags.
fn set(machine: &mut Machine<Sum>, gpa: u64, bytes: u32, flags: u16) {
    let at = first(machine);
    let words = if machine.format.packed { [0, flags | 0x80] } else { [flags, 1] };
    machine.descriptor(at, gpa, bytes, words);
}

#[test]
fn buffers_that_are_not_memory() {
    for format in formats() {
        fails(format, RingError::NotMemory, |machine| set(machine, 1 << 40, 64, 0));
        fails(format, RingError::NotMemory, |machine| set(machine, 0xf_fff0, 64, 2));
        fails(format, RingError::Bytes, |machine| set(machine, u64::MAX, 64, 0));
    }
}

#[test]
fn indirect_tables_that_are_none() {
    for format in formats() {
        if !format.indirect {
            fails(format, RingError::Indirect, |machine| set(machine, 0x7_0000, 16, 4));
            continue;
        }
        fails(format, RingError::Indirect, |machine| set(machine, 0x7_0000, 0, 4));
        fails(format, RingError::Indirect, |machine| set(machine, 0x7_0000, 24, 4));
        fails(format, RingError::Indirect, |machine| set(machine, 0x7_0000, 16 * 1025, 4));
        fails(format, RingError::Indirect, |machine| set(machine, 0x7_0000, 16, 4 | 1));
        fails(format, RingError::NotMemory, |machine| set(machine, u64::MAX - 15, 32, 4));
        fails(format, RingError::NotMemory, |machine| set(machine, 1 << 40, 32, 4));
        // One in another.
        fails(format, RingError::Indirect, |machine| {
            set(machine, 0x7_0000, 16, 4);
            let words = if machine.format.packed { [0, 4] } else { [4, 0] };
            machine.descriptor(0x7_0000, 0x7_0000, 16, words);
        });
    }
}

#[test]
fn chains_without_end_or_order() {
    for format in formats().filter(|format| !format.packed) {
        fails(format, RingError::Chain, |machine| {
            let at = first(machine);
            machine.descriptor(at, 0x8_0000, 1, [1, 0]);
        });
        fails(format, RingError::Chain, |machine| {
            let at = first(machine);
            machine.descriptor(at, 0x8_0000, 1, [1, 8]);
        });
        // A head that there is not, and more available than there is room for.
        fails(format, RingError::Chain, |machine| {
            machine.ram.put(machine.queues[0].areas.driver + 4, &8u16.to_le_bytes());
        });
        fails(format, RingError::Index, |machine| {
            machine.ram.put(machine.queues[0].areas.driver + 2, &9u16.to_le_bytes());
        });
        fails(format, RingError::Order, |machine| {
            let at = first(machine);
            machine.descriptor(at, 0x8_0000, 1, [1 | 2, 1]);
            machine.descriptor(at + 16, 0x8_0000, 1, [0, 0]);
        });
        fails(format, RingError::Bytes, |machine| {
            let at = first(machine);
            machine.descriptor(at, 0, u32::MAX, [1, 1]);
            machine.descriptor(at + 16, 0, 1, [0, 0]);
        });
    }
    for format in formats().filter(|format| format.packed) {
        // All eight say that another follows.
        fails(format, RingError::Chain, |machine| {
            let at = first(machine);
            (0..8).for_each(|index| machine.descriptor(at + 16 * index, 0x8_0000, 1, [0, 0x81]));
        });
        fails(format, RingError::Order, |machine| {
            let at = first(machine);
            machine.descriptor(at, 0x8_0000, 1, [0, 0x83]);
            machine.descriptor(at + 16, 0x8_0000, 1, [0, 0x80]);
        });
        // A table behind another descriptor (2.8.7), agreed on or not.
        fails(format, RingError::Indirect, |machine| {
            let at = first(machine);
            machine.descriptor(at, 0x8_0000, 1, [0, 0x81]);
            machine.descriptor(at + 16, 0x8_1000, 16, [0, 0x84]);
        });
    }
}

#[test]
fn an_indirect_chain_may_be_long_but_not_endless() {
    for format in formats().filter(|format| format.indirect) {
        let mut machine = Machine::ready(Sum::default(), format, 8);
        let buffers: Vec<_> = (0..CHAIN_MAX).map(|_| (0x8_0000, 1, false)).collect();
        machine.add(0, &buffers);
        machine.notify(0);
        assert_eq!(machine.used(0, 1), Some(0));
        assert_eq!(machine.function.device().sizes, [(CHAIN_MAX as u32, 0)]);
    }
    let format = Format { packed: false, indirect: true, event_index: false };
    fails(format, RingError::Chain, |machine| {
        set(machine, 0x7_0000, 32, 4);
        machine.descriptor(0x7_0000, 0x8_0000, 1, [1, 1]);
        machine.descriptor(0x7_0010, 0x8_0000, 1, [1, 0]);
    });
}

#[test]
fn a_chain_has_a_limit() {
    let mut chain = Chain::default();
    (0..CHAIN_MAX).for_each(|_| assert_eq!(chain.add(0x1000, 1, 0), Ok(())));
    assert_eq!(chain.add(0x1000, 1, 2), Err(RingError::Chain));
    assert_eq!((chain.readable_bytes(), chain.writable_bytes()), (CHAIN_MAX as u32, 0));
}

#[test]
fn rings_that_none_can_be() {
    let areas = |descriptors, driver, device| Areas { descriptors, driver, device };
    let cases = [
        (false, 8, areas(0x1008, 0x2000, 0x3000), RingError::Alignment),
        (false, 8, areas(0x1000, 0x2001, 0x3000), RingError::Alignment),
        (false, 8, areas(0x1000, 0x2000, 0x3002), RingError::Alignment),
        (true, 8, areas(0x1000, 0x2002, 0x3000), RingError::Alignment),
        (false, 8, areas(1 << 63, 0x2000, 0x3000), RingError::NotMemory),
        (true, 8, areas(0x1000, 0x2000, 1 << 63), RingError::NotMemory),
        (false, 6, areas(0x1000, 0x2000, 0x3000), RingError::Index),
        (false, 0, areas(0x1000, 0x2000, 0x3000), RingError::Index),
        (true, 0, areas(0x1000, 0x2000, 0x3000), RingError::Index),
        (true, 65, areas(0x1000, 0x2000, 0x3000), RingError::Index),
    ];
    for (packed, size, areas, error) in cases {
        let mut queue = Queue::new(64);
        (queue.size, queue.areas) = (size, areas);
        let format = Format { packed, ..Format::default() };
        assert_eq!(queue.enable(format), Err(error), "{packed} {size} {areas:x?}");
        assert!(!queue.is_enabled());
    }
    let mut queue = Queue::new(64);
    assert_eq!(queue.pop(&Ram::default(), &mut Chain::default()), Ok(false), "it is not enabled");
}

#[test]
fn cursors_go_over_buffers() {
    let ram = Ram::default();
    ram.put(0x100, b"abcdefghij");
    let mut chain = Chain::default();
    for (gpa, bytes) in [(0x100, 3), (0x200, 0), (0x103, 4), (0x107, 3)] {
        chain.add(gpa, bytes, 0).unwrap();
    }
    let read = |mut cursor: Cursor<'_>, room: usize| {
        let mut bytes = vec![0; room];
        let count = cursor.read(&ram, &mut bytes).unwrap();
        bytes.truncate(count);
        (bytes, cursor.left())
    };
    for (cursor, room, bytes, left) in [
        (chain.readable(), 20, &b"abcdefghij"[..], 0),
        (chain.readable(), 4, b"abcd", 6),
        (chain.readable().skip(2), 4, b"cdef", 4),
        (chain.readable().skip(3).take(5), 20, b"defgh", 0),
        (chain.readable().take(5).skip(3), 20, b"de", 0),
        (chain.readable().skip(10), 20, b"", 0),
        (chain.readable().skip(99), 20, b"", 0),
        (chain.writable(), 20, b"", 0),
    ] {
        assert_eq!(read(cursor, room), (bytes.to_vec(), left));
    }
}

use super::spec::{capability, common};
use super::*;
use crate::queue::Chain;
use crate::rng::{Entropy, Rng};
use crate::testing::{Machine, formats, random};
use devices::pci::PciFunction;

mod registers;

/// Zeroes without end.
struct Zeroes;

impl Entropy for Zeroes {
    fn fill(&mut self, bytes: &mut [u8]) -> usize {
        bytes.fill(0);
        bytes.len()
    }
}

type Device = Machine<Rng<Zeroes>>;

fn fresh() -> Device {
    Machine::fresh(Rng::new(Zeroes), Format::default())
}

fn ready() -> Device {
    Machine::ready(Rng::new(Zeroes), Format::default(), 8)
}

impl Device {
    fn config(&mut self, offset: u16, width: Width) -> u32 {
        self.function.config_read(offset, width, &mut self.bench)
    }

    fn set_config(&mut self, offset: u16, width: Width, value: u32) {
        self.function.config_write(offset, width, value, &mut self.bench);
    }
}

/// Capabilities: ID, type, place.
fn capabilities(machine: &mut Device) -> Vec<(u32, u32, u16)> {
    let mut found = Vec::new();
    let mut at = machine.config(0x34, Width::Byte) as u16;
    while at != 0 {
        found.push((machine.config(at, Width::Byte), machine.config(at + 3, Width::Byte), at));
        at = machine.config(at + 1, Width::Byte) as u16;
    }
    found
}

#[test]
fn a_driver_finds_its_way() {
    let mut machine = fresh();
    assert_eq!(machine.config(0, Width::Dword), 0x1044_1af4);
    assert_eq!(machine.config(8, Width::Dword), 0xff00_0001);
    assert_eq!(machine.config(0x3d, Width::Byte), 1);
    let found = capabilities(&mut machine);
    let kinds: Vec<(u32, u32)> = found.iter().map(|(id, kind, _)| (*id, *kind)).collect();
    let virtio = u32::from(spec::CAPABILITY);
    assert_eq!(kinds[1..], [(virtio, 1), (virtio, 3), (virtio, 4), (virtio, 2), (virtio, 5)]);
    assert_eq!(kinds[0].0, 0x11);
    for (_, kind, at) in &found[1..5] {
        let offset = [0, 0x3000, 0x1000, 0x2000][*kind as usize - 1];
        assert_eq!(machine.config(at + 4, Width::Byte), 0);
        assert_eq!(machine.config(at + 8, Width::Dword), offset);
        assert_eq!(machine.config(at + 12, Width::Dword), 0x1000);
    }
    assert_eq!(machine.config(found[4].2 + 16, Width::Dword), 4, "between notification addresses");
    assert_eq!(machine.config(found[4].2 + 2, Width::Byte), 20);
}

#[test]
fn features_are_agreed_on_or_not() {
    let offered = feature::VERSION_1 | feature::INDIRECT | feature::EVENT_INDEX;
    for (accepted, is_agreed) in [
        (offered, true),
        (feature::VERSION_1, true),
        (feature::INDIRECT, false),
        (offered | feature::PACKED, false),
        (offered | 1, false),
        (offered | 1 << 63, false),
    ] {
        let mut machine = fresh();
        machine.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, 0);
        machine.set_common(common::DRIVER_FEATURE, Width::Dword, accepted & 0xffff_ffff);
        machine.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, 1);
        machine.set_common(common::DRIVER_FEATURE, Width::Dword, accepted >> 32);
        machine.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, 2);
        machine.set_common(common::DRIVER_FEATURE, Width::Dword, 0xffff_ffff);
        assert_eq!(machine.common(common::DRIVER_FEATURE, Width::Dword), 0);
        machine.set_common(common::STATUS, Width::Byte, 0xf);
        let status = if is_agreed { 0xf } else { 3 };
        assert_eq!(machine.status(), status, "{accepted:x}");
        // What is agreed on stays so until the reset.
        machine.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, 0);
        machine.set_common(common::DRIVER_FEATURE, Width::Dword, 0);
        let now = machine.common(common::DRIVER_FEATURE, Width::Dword);
        assert_eq!(now, if is_agreed { accepted & 0xffff_ffff } else { 0 });
        machine.set_common(common::STATUS, Width::Byte, 0x40);
        assert_eq!(machine.status(), status, "neither taken back, nor the device's bit set");
        machine.set_common(common::STATUS, Width::Byte, 0);
        assert_eq!((machine.status(), machine.common(common::DRIVER_FEATURE, Width::Dword)), (0, 0));
    }
}

#[test]
fn registers_of_a_queue() {
    let mut machine = fresh();
    assert_eq!(machine.common(common::QUEUES, Width::Word), 1);
    assert_eq!(machine.common(common::QUEUE_SIZE, Width::Word), 64);
    assert_eq!(machine.common(common::QUEUE_VECTOR, Width::Word), 0xffff);
    // Not before the features are agreed on.
    machine.set_common(common::QUEUE_ENABLE, Width::Word, 1);
    assert_eq!(machine.common(common::QUEUE_ENABLE, Width::Word), 0);
    let mut machine = ready();
    let areas = machine.queues[0].areas;
    // Once it is enabled nothing changes.
    machine.set_common(common::QUEUE_DESCRIPTORS, Width::Qword, 0);
    machine.set_common(common::QUEUE_SIZE, Width::Word, 4);
    machine.set_common(common::QUEUE_ENABLE, Width::Word, 0);
    for (offset, width, value) in [
        (common::QUEUE_DESCRIPTORS, Width::Qword, areas.descriptors),
        (common::QUEUE_DRIVER + 4, Width::Dword, 0),
        (common::QUEUE_DEVICE, Width::Dword, areas.device),
        (common::QUEUE_DEVICE + 1, Width::Byte, areas.device >> 8 & 0xff),
        (common::QUEUE_SIZE, Width::Word, 8),
        (common::QUEUE_ENABLE, Width::Word, 1),
        (common::QUEUE_NOTIFY, Width::Word, 0),
        (common::BYTES, Width::Qword, 0),
    ] {
        assert_eq!(machine.common(offset, width), value, "{offset:#x}");
    }
    // A queue that there is not.
    machine.set_common(common::QUEUE_SELECT, Width::Word, 1);
    assert_eq!(machine.common(common::QUEUE_SIZE, Width::Word), 0);
    machine.set_common(common::QUEUE_ENABLE, Width::Word, 1);
    assert_eq!(machine.common(common::QUEUE_ENABLE, Width::Word), 0);
    // All of it is gone with a reset.
    machine.set_common(common::STATUS, Width::Byte, 0);
    machine.set_common(common::QUEUE_SELECT, Width::Word, 0);
    assert_eq!(machine.common(common::QUEUE_SIZE, Width::Word), 64);
    assert_eq!(machine.common(common::QUEUE_DESCRIPTORS, Width::Qword), 0);
}

#[test]
fn a_ring_that_is_none_needs_a_reset_at_once() {
    let mut machine = fresh();
    machine.start(8);
    machine.set_common(common::STATUS, Width::Byte, 0);
    machine.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, 1);
    machine.set_common(common::DRIVER_FEATURE, Width::Dword, 1);
    machine.set_common(common::STATUS, Width::Byte, 0xb);
    machine.set_common(common::QUEUE_DEVICE, Width::Qword, 2);
    machine.set_common(common::QUEUE_ENABLE, Width::Word, 1);
    assert_eq!((machine.status(), machine.isr()), (0x4b, 0), "before DRIVER_OK it keeps silent");
}

#[test]
fn the_pin_is_held_until_the_status_is_read() {
    let mut machine = ready();
    machine.request(0, &[], &[4]).unwrap();
    assert!(machine.bench.intx);
    assert_eq!(machine.config(6, Width::Byte), 0x18);
    // The pin can be switched off; the reason stays.
    machine.set_config(4, Width::Word, 0x406);
    assert!(!machine.bench.intx);
    assert_eq!(machine.config(6, Width::Byte), 0x18);
    machine.set_config(4, Width::Word, 6);
    assert!(machine.bench.intx);
    assert_eq!((machine.isr(), machine.isr(), machine.bench.intx), (1, 0, false));
    assert_eq!(machine.config(6, Width::Byte), 0x10);
    machine.request(0, &[], &[4]).unwrap();
    machine.set_common(common::STATUS, Width::Byte, 0);
    assert_eq!((machine.bench.intx, machine.isr()), (false, 0));
}

#[test]
fn messages_go_to_the_queues_vector() {
    let mut machine = ready();
    for vector in 0..2u64 {
        let entry = spec::TABLE + 16 * vector;
        for (offset, value) in [(0, 0xfee0_0000), (8, 0x50 + vector), (12, 0)] {
            machine.function.bar_write(0, entry + offset, Width::Dword, value, &mut machine.bench);
        }
    }
    machine.set_config(0x42, Width::Word, 0x8000);
    machine.set_common(common::CONFIG_VECTOR, Width::Word, 0);
    // One that there is not.
    machine.set_common(common::QUEUE_VECTOR, Width::Word, 2);
    assert_eq!(machine.common(common::QUEUE_VECTOR, Width::Word), 0xffff);
    machine.request(0, &[], &[4]).unwrap();
    assert_eq!(machine.bench.messages, []);
    machine.set_common(common::QUEUE_VECTOR, Width::Word, 1);
    machine.request(0, &[], &[4]).unwrap();
    assert_eq!(machine.bench.messages, [0x51]);
    machine.add(0, &[(1 << 40, 4, true)]);
    machine.notify(0);
    assert_eq!((&machine.bench.messages[..], machine.bench.intx), (&[0x51, 0x50][..], false));
    assert_eq!(machine.isr(), 0, "messages need no status");
    let read =
        |offset, machine: &mut Device| machine.function.bar_read(0, offset, Width::Dword, &mut machine.bench);
    assert_eq!((read(spec::TABLE + 24, &mut machine), read(spec::PENDING, &mut machine)), (0x51, 0));
}

#[test]
fn a_device_that_may_not_reach_memory_does_nothing() {
    let mut machine = ready();
    machine.set_config(4, Width::Word, 2);
    assert_eq!(machine.request(0, &[], &[4]), None);
    machine.set_config(4, Width::Word, 6);
    machine.notify(0);
    assert_eq!(machine.used(0, 1), Some(4));
    // Queues that there are not, and addresses behind them.
    machine.notify(1);
    machine.notify(0x3ff);
}

#[test]
fn the_window_in_configuration_space_leads_to_the_bar() {
    let mut machine = fresh();
    let at = capabilities(&mut machine)[5].2;
    let set_window = |machine: &mut Device, bar, offset, length| {
        machine.set_config(at + capability::WINDOW_BAR, Width::Byte, bar);
        machine.set_config(at + capability::WINDOW_OFFSET, Width::Dword, offset);
        machine.set_config(at + capability::WINDOW_LENGTH, Width::Dword, length);
    };
    let data = at + capability::WINDOW_DATA;
    set_window(&mut machine, 0, common::STATUS as u32, 1);
    machine.set_config(data, Width::Byte, 3);
    assert_eq!((machine.status(), machine.config(data, Width::Byte)), (3, 3));
    assert_eq!(machine.config(data, Width::Dword), 3);
    set_window(&mut machine, 0, common::QUEUE_SIZE as u32, 2);
    assert_eq!(machine.config(data, Width::Word), 64);
    for (bar, offset, length) in [(1, 0x14, 1), (0, 0x15, 2), (0, 0x8000, 4), (0, 0x14, 3), (0, 0x14, 0)] {
        set_window(&mut machine, bar, offset, length);
        assert_eq!(machine.config(data, Width::Dword), 0, "{bar} {offset:#x} {length}");
        machine.set_config(data, Width::Dword, 0);
    }
    assert_eq!(machine.status(), 3);
}

/// Accesses of any kind, with rings that are sometimes good: nothing panics, and no read has more bits than
/// its width.
#[test]
fn any_accesses_in_any_order() {
    const WIDTHS: [Width; 4] = [Width::Byte, Width::Word, Width::Dword, Width::Qword];
    for (seed, format) in (1..).zip(formats().cycle().take(64)) {
        let mut next = random(seed * 0x1234_5678_9abc);
        let mut machine = Machine::ready(Rng::new(Zeroes), format, 8);
        for step in 0..3000 {
            let (what, value) = (next(), next());
            let width = WIDTHS[(what >> 8) as usize % 4];
            let offset = ((what >> 16) % spec::BAR_BYTES) & !(width.bytes() - 1);
            let function = &mut machine.function;
            match what % 7 {
                0 => assert_eq!(function.bar_read(0, offset, width, &mut machine.bench) & !width.mask(), 0),
                1 => function.bar_write(0, offset, width, value & width.mask(), &mut machine.bench),
                2 => function.bar_write(0, offset % 64, width, value & width.mask(), &mut machine.bench),
                3 => {
                    let width = WIDTHS[(what >> 8) as usize % 3];
                    let offset = (what >> 16) as u16 & 0xff & !(width.bytes() as u16 - 1);
                    function.config_write(offset, width, value as u32, &mut machine.bench);
                    function.config_read(offset, width, &mut machine.bench);
                }
                4 => machine.ram.put(0x1_0000 + value % 0x3ff8, &next().to_le_bytes()),
                5 => machine.notify(0),
                _ if step % 64 == 0 => {
                    machine.set_config(4, Width::Word, 6);
                    machine.start(8);
                    machine.request(0, &[], &[4]);
                }
                _ => {}
            }
        }
    }
}

/// A device that keeps what it is given until there is input.
#[derive(Default)]
struct Later {
    chains: Vec<Chain>,
    resets: u32,
}

impl VirtioDevice for Later {
    const NAME: &'static str = "later";
    const ID: u16 = 60;
    const CLASS: u32 = 0xff_0000;

    fn queues(&self) -> u16 {
        1
    }

    fn queue_size(&self) -> u16 {
        64
    }

    fn notified<M: GuestMemory>(&mut self, queue: u16, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        let mut chain = Chain::default();
        while queues.pop(queue, &mut chain)? {
            self.chains.push(core::mem::take(&mut chain));
        }
        Ok(())
    }

    fn input<M: GuestMemory>(&mut self, queues: &mut Queues<'_, M>) -> Result<(), RingError> {
        for chain in self.chains.drain(..) {
            queues.push(0, &chain, 1)?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.chains.clear();
        self.resets += 1;
    }
}

#[test]
fn what_is_done_later_comes_with_input() {
    for format in formats() {
        let mut machine = Machine::ready(Later::default(), format, 8);
        let resets = machine.function.device().resets;
        assert_eq!(machine.request(0, &[], &[4]), None);
        assert!(!machine.bench.intx);
        machine.function.input(&mut machine.bench);
        assert_eq!((machine.used(0, 1), machine.isr(), machine.isr()), (Some(1), 1, 0), "{format:?}");
        // Nothing came since: no interrupt.
        machine.function.input(&mut machine.bench);
        assert_eq!((machine.used(0, 1), machine.isr()), (None, 0));
        // What may not reach memory waits until it may.
        assert_eq!(machine.request(0, &[], &[4]), None);
        machine.function.config_write(4, Width::Word, 2, &mut machine.bench);
        machine.function.input(&mut machine.bench);
        assert_eq!(machine.used(0, 1), None);
        machine.function.config_write(4, Width::Word, 6, &mut machine.bench);
        assert_eq!(machine.used(0, 1), Some(1));
        // A reset is told to the device, and what it had is nobody's.
        assert_eq!(machine.request(0, &[], &[4]), None);
        machine.start(8);
        assert_eq!(machine.function.device().resets, resets + 1);
        machine.function.input(&mut machine.bench);
        assert_eq!(machine.used(0, 1), None);
    }
}

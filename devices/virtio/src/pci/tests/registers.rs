//! Registers by themselves (virtio 1.2, 4.1.4.3 to 4.1.4.9): halves, parts, and what is no register.

use super::*;

#[test]
fn features_are_read_by_halves() {
    let mut machine = fresh();
    for (select, offered) in [(0, 0x3000_0000), (1, 1), (2, 0), (0xffff_ffff, 0)] {
        machine.set_common(common::DEVICE_FEATURE_SELECT, Width::Dword, select);
        machine.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, select ^ 1);
        let read = [common::DEVICE_FEATURE_SELECT, common::DEVICE_FEATURE, common::DRIVER_FEATURE_SELECT]
            .map(|offset| machine.common(offset, Width::Dword));
        assert_eq!(read, [select, offered, select ^ 1]);
    }
    let accept = |machine: &mut Device, select, half| {
        machine.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, select);
        machine.set_common(common::DRIVER_FEATURE, Width::Dword, half);
    };
    // The other half stays.
    for (select, half) in [(0, 0x1234), (1, 0x5678), (0, 0x4321), (2, 0xffff)] {
        accept(&mut machine, select, half);
    }
    for (select, half) in [(0, 0x4321), (1, 0x5678), (2, 0)] {
        machine.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, select);
        assert_eq!(machine.common(common::DRIVER_FEATURE, Width::Dword), half);
    }
}

#[test]
fn areas_are_written_whole_or_by_halves() {
    let mut machine = fresh();
    let areas = [common::QUEUE_DESCRIPTORS, common::QUEUE_DRIVER, common::QUEUE_DEVICE];
    let values = [0x1111_2222_3333_4444, 0x5555_6666_7777_8888, 0x9999_aaaa_bbbb_cccc_u64];
    for by_halves in [false, true] {
        for (area, value) in areas.into_iter().zip(values) {
            if by_halves {
                machine.set_common(area + 4, Width::Dword, !value >> 32);
                machine.set_common(area, Width::Dword, !value & 0xffff_ffff);
            } else {
                machine.set_common(area, Width::Qword, value);
            }
        }
        // Neither parts of halves, nor across two.
        for (offset, width) in [(0, Width::Word), (1, Width::Byte), (4, Width::Qword), (2, Width::Dword)] {
            machine.set_common(common::QUEUE_DRIVER + offset, width, 0);
        }
        for (area, value) in areas.into_iter().zip(values) {
            let value = if by_halves { !value } else { value };
            for (offset, width) in
                [(0, Width::Qword), (0, Width::Dword), (4, Width::Dword), (2, Width::Dword), (7, Width::Byte)]
            {
                let expected = value >> (8 * offset) & width.mask();
                assert_eq!(machine.common(area + offset, width), expected, "{area:x} {offset} {width:?}");
            }
        }
    }
}

#[test]
fn one_alone_enables_a_queue() {
    let mut machine = ready();
    machine.set_common(common::STATUS, Width::Byte, 0);
    machine.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, 1);
    machine.set_common(common::DRIVER_FEATURE, Width::Dword, 1);
    machine.set_common(common::STATUS, Width::Byte, 0xb);
    let areas = machine.queues[0].areas;
    machine.set_common(common::QUEUE_DESCRIPTORS, Width::Qword, areas.descriptors);
    machine.set_common(common::QUEUE_DRIVER, Width::Qword, areas.driver);
    machine.set_common(common::QUEUE_DEVICE, Width::Qword, areas.device);
    for (value, is_enabled) in [(2, 0), (0, 0), (0xffff, 0), (1, 1)] {
        machine.set_common(common::QUEUE_ENABLE, Width::Word, value);
        assert_eq!(machine.common(common::QUEUE_ENABLE, Width::Word), is_enabled, "{value:x}");
    }
    // Nothing is taken from it before the driver is ready (2.1.2).
    assert_eq!(machine.request(0, &[], &[4]), None);
    machine.set_common(common::STATUS, Width::Byte, 0xf);
    machine.notify(0);
    assert_eq!(machine.used(0, 1), Some(4));
}

#[test]
fn the_rest_of_the_bar() {
    let mut machine = ready();
    assert_eq!(machine.function.name(), "virtio entropy");
    machine.request(0, &[], &[4]).unwrap();
    let read = |machine: &mut Device, at, width| machine.function.bar_read(0, at, width, &mut machine.bench);
    // Beside the status is nothing, and reading it acknowledges nothing.
    assert_eq!(read(&mut machine, spec::ISR + 1, Width::Byte), 0);
    assert_eq!((machine.isr(), machine.isr()), (1, 0));
    // This device has no configuration.
    assert_eq!(read(&mut machine, spec::DEVICE, Width::Qword), 0);
    // A message that waits: all vectors are masked.
    machine.set_config(0x42, Width::Word, 0xc000);
    machine.set_common(common::QUEUE_VECTOR, Width::Word, 1);
    machine.request(0, &[], &[4]).unwrap();
    assert_eq!(read(&mut machine, spec::PENDING, Width::Dword), 2);
}

#[test]
fn the_window_has_a_width_and_keeps_to_registers() {
    let mut machine = fresh();
    let at = capabilities(&mut machine)[5].2;
    assert_eq!(machine.config(at + capability::WINDOW_LENGTH, Width::Dword), 0);
    for (offset, length, value) in [
        (common::DEVICE_FEATURE, 4, 0x3000_0000),
        (common::QUEUE_SIZE, 2, 64),
        (common::QUEUE_SIZE - 1, 2, 0),
    ] {
        machine.set_config(at + capability::WINDOW_OFFSET, Width::Dword, offset as u32);
        machine.set_config(at + capability::WINDOW_LENGTH, Width::Dword, length);
        assert_eq!(machine.config(at + capability::WINDOW_DATA, Width::Dword), value, "{offset:x}");
    }
}

/// The area by which a driver says when it wants interrupts is not in memory: only a packed ring can be used
/// that far.
#[test]
fn an_area_that_is_no_memory_needs_a_reset() {
    let format = Format { packed: true, ..Format::default() };
    let mut machine = Machine::ready(Rng::new(Zeroes), format, 8);
    let areas = machine.queues[0].areas;
    machine.set_common(common::STATUS, Width::Byte, 0);
    for (select, half) in [(0, 0), (1, 5)] {
        machine.set_common(common::DRIVER_FEATURE_SELECT, Width::Dword, select);
        machine.set_common(common::DRIVER_FEATURE, Width::Dword, half);
    }
    machine.set_common(common::STATUS, Width::Byte, 0xb);
    machine.set_common(common::QUEUE_SIZE, Width::Word, 8);
    machine.set_common(common::QUEUE_DESCRIPTORS, Width::Qword, areas.descriptors);
    machine.set_common(common::QUEUE_DRIVER, Width::Qword, 1 << 40);
    machine.set_common(common::QUEUE_DEVICE, Width::Qword, areas.device);
    machine.set_common(common::QUEUE_ENABLE, Width::Word, 1);
    machine.set_common(common::STATUS, Width::Byte, 0xf);
    assert_eq!(machine.status(), 0xf);
    machine.request(0, &[], &[4]);
    assert_eq!(machine.status(), 0x4f);
    let error = machine.function.last_error().map(|error| alloc::format!("{error}"));
    assert_eq!(error.as_deref(), Some("a ring or a buffer is not in memory"));
}

/// Virtio 1.2, 2.8.6.3: by its flags, a driver of a packed ring sees whether the device has written.
#[test]
fn a_used_descriptor_says_whether_it_was_written() {
    let format = Format { packed: true, ..Format::default() };
    for (readable, writable, flags) in [(&[][..], &[4][..], 0x8082), (&[&b"x"[..]], &[], 0x8080)] {
        let mut machine = Machine::ready(Rng::new(Zeroes), format, 8);
        machine.request(0, readable, writable).unwrap();
        assert_eq!(machine.ram.word(machine.queues[0].areas.descriptors + 14), flags);
    }
}

/// Virtio 1.2, 2.8.6.1: the buffer's ID, which its last descriptor has, comes back in the first one's place.
#[test]
fn a_used_descriptor_has_the_buffers_id() {
    let format = Format { packed: true, ..Format::default() };
    let mut machine = Machine::ready(Rng::new(Zeroes), format, 8);
    machine.add(0, &[(0x8_0000, 2, true), (0x8_1000, 2, true)]);
    let at = machine.queues[0].areas.descriptors;
    let id = machine.ram.word(at + 16 + 12);
    machine.ram.put(at + 12, &(!id).to_le_bytes());
    machine.notify(0);
    assert_eq!((machine.ram.word(at + 12), machine.used(0, 2)), (id, Some(4)));
}

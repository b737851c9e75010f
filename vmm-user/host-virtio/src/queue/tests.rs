use alloc::boxed::Box;
use alloc::vec::Vec;

use runtime::window::Window;

use super::*;

const PHYSICAL: u64 = 0x1234_5000;

impl Queue {
    /// The memory that it is in, as the device has it.
    pub(crate) fn window(&self) -> Window {
        self.memory.window
    }
}

fn memory() -> DeviceMemory {
    DeviceMemory { window: Window::of(Box::leak(Box::new([0; 512]))), physical: PHYSICAL }
}

/// A queue, and the device's end of it.
fn queue(most: u16) -> (Queue, Window) {
    let memory = memory();
    (Queue::new(memory, most).unwrap(), memory.window)
}

fn buffer(bytes: u32, is_written: bool) -> Buffer {
    Buffer { physical: 0x1_0000, bytes, is_written }
}

/// The device says that it is done with a chain.
fn finish(device: &Window, index: u16, size: u16, id: u32, bytes: u32) {
    let at = USED + 4 + 8 * u64::from(index % size);
    device.write_u32(at, id);
    device.write_u32(at + 4, bytes);
    device.write_u16(USED + 2, index.wrapping_add(1));
}

#[test]
fn queues_are_as_large_as_the_device_takes() {
    for (most, expected) in [(4, Some(4)), (8, Some(8)), (64, Some(64)), (256, Some(64)), (32768, Some(64))] {
        assert_eq!(Queue::new(memory(), most).ok().map(|queue| queue.size()), expected);
    }
    for most in [0, 1, 2, 3, 100, u16::MAX] {
        assert!(Queue::new(memory(), most).is_err(), "{most}");
    }
    let short = DeviceMemory { window: Window::of(Box::leak(Box::new([0; 511]))), physical: 0 };
    assert!(Queue::new(short, 64).is_err());
}

#[test]
fn chains_as_the_device_finds_them() {
    let (mut queue, device) = queue(8);
    assert_eq!(queue.addresses(), [PHYSICAL, PHYSICAL + 1024, PHYSICAL + 2048]);
    assert_eq!(queue.submit(&[buffer(16, false), buffer(512, true), buffer(1, true)]), Some(0));
    assert_eq!(queue.submit(&[buffer(16, false)]), Some(1));
    assert_eq!(queue.submit(&[buffer(16, false)]), None, "there is room for two chains");
    let descriptor = |index: u64| {
        (device.read_u32(index * 16 + 8), device.read_u16(index * 16 + 12), device.read_u16(index * 16 + 14))
    };
    assert_eq!([0, 1, 2, 4].map(descriptor), [(16, 1, 1), (512, 3, 2), (1, 2, 0), (16, 0, 0)]);
    assert_eq!([2, 4, 6].map(|at| device.read_u16(AVAILABLE + at)), [2, 0, 4]);
    // In the other order.
    finish(&device, 0, 8, 4, 0);
    assert_eq!(queue.take(), Ok(Some((1, 0))));
    assert_eq!(queue.take(), Ok(None));
    finish(&device, 1, 8, 0, 513);
    assert_eq!(queue.take(), Ok(Some((0, 513))));
}

#[test]
fn chains_of_one_buffer() {
    let memory = memory();
    let (mut queue, device) = (Queue::of_single_buffers(memory, 256).unwrap(), memory.window);
    for chain in 0..64 {
        assert_eq!((queue.free(), queue.submit(&[buffer(8, true)])), (Some(chain), Some(chain)));
    }
    assert_eq!((queue.free(), queue.submit(&[buffer(8, true)])), (None, None));
    finish(&device, 0, 64, 63, 8);
    finish(&device, 1, 64, 7, 0);
    assert_eq!((queue.take(), queue.take(), queue.take()), (Ok(Some((63, 8))), Ok(Some((7, 0))), Ok(None)));
    assert_eq!((queue.free(), queue.submit(&[buffer(8, true); 2])), (Some(7), None), "two are no chain");
    assert_eq!(queue.submit(&[buffer(8, true)]), Some(7));
    assert!(Queue::of_single_buffers(memory, 1).is_ok());
}

#[test]
fn signals_of_either_side() {
    let (mut queue, device) = queue(8);
    assert!(queue.wants_notification());
    device.write_u16(USED, 1);
    assert!(!queue.wants_notification());
    for (wanted, flag) in [(false, 1), (true, 0)] {
        queue.want_signals(wanted);
        assert_eq!(device.read_u16(AVAILABLE), flag);
    }
}

#[test]
fn chains_that_are_none() {
    let (mut queue, _) = queue(64);
    assert_eq!(queue.submit(&[]), None);
    assert_eq!(queue.submit(&[buffer(1, false); 5]), None);
}

#[test]
fn nonsense_of_the_device_is_seen() {
    type Lie = fn(&Window);
    let lies: [(&str, Lie); 7] = [
        ("more than it has", |device| device.write_u16(USED + 2, 2)),
        ("backwards", |device| device.write_u16(USED + 2, u16::MAX)),
        ("no head", |device| finish(device, 0, 64, 1, 0)),
        ("a chain that it does not have", |device| finish(device, 0, 64, 4, 0)),
        ("a descriptor beyond", |device| finish(device, 0, 64, 64, 0)),
        ("far beyond", |device| finish(device, 0, 64, u32::MAX - 3, 0)),
        ("more bytes than it may write", |device| finish(device, 0, 64, 0, 514)),
    ];
    for (name, lie) in lies {
        let (mut queue, device) = queue(64);
        assert_eq!(queue.submit(&[buffer(513, true)]), Some(0));
        lie(&device);
        assert_eq!(queue.take(), Err(DriverError::Nonsense), "{name}");
    }
    // The same chain twice.
    let (mut queue, device) = queue(64);
    queue.submit(&[buffer(1, true)]).unwrap();
    queue.submit(&[buffer(1, true)]).unwrap();
    finish(&device, 0, 64, 0, 1);
    assert_eq!(queue.take(), Ok(Some((0, 1))));
    finish(&device, 1, 64, 0, 1);
    assert_eq!(queue.take(), Err(DriverError::Nonsense));
}

#[test]
fn indices_wrap() {
    let (mut queue, device) = queue(4);
    for index in 0..200_000u32 {
        assert_eq!(queue.submit(&[buffer(8, true)]), Some(0));
        finish(&device, index as u16, 4, 0, index % 9);
        assert_eq!(queue.take(), Ok(Some((0, index % 9))));
    }
}

/// A device that writes anything anywhere never makes the driver take back what it has not given.
#[test]
fn devices_that_write_by_chance() {
    let mut seed = 7u64;
    let mut random = move || {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (seed >> 33) as u32
    };
    let mut taken = 0;
    for _ in 0..3000 {
        let (mut queue, device) = queue(16);
        let mut given: Vec<u16> = Vec::new();
        for step in 0..40 {
            if random() % 2 == 0 {
                given.extend(queue.submit(&[buffer(random() % 64, random() % 2 == 0)]));
            }
            match random() % 4 {
                0 => device.write_u16(USED + 2, step),
                1 => device.write_u32(USED + 4 + u64::from(random() % 16) * 8, random() % 5 * 4),
                2 => finish(&device, queue.used, 16, random() % 4 * 4, random() % 32),
                _ => device.write_u64(u64::from(random() % 512) * 8, u64::from(random())),
            }
            match queue.take() {
                Ok(Some((chain, _))) => {
                    let place = given.iter().position(|known| *known == chain);
                    given.swap_remove(place.unwrap());
                    taken += 1;
                }
                Ok(None) => {}
                Err(_) => break,
            }
        }
    }
    assert!(taken > 500, "only {taken} were taken back");
}

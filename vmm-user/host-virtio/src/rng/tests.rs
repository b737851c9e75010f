use alloc::boxed::Box;
use alloc::vec;

use runtime::window::Window;

use super::*;
use crate::transport;

/// Where the used ring is in a queue's memory, as `queue` has it.
const USED: u64 = 2048;
const PHYSICAL: u64 = 0x10_0000;

fn memory(physical: u64) -> DeviceMemory {
    DeviceMemory { window: Window::of(Box::leak(vec![0; 512].into_boxed_slice())), physical }
}

/// A driver, the ring, and what the device writes to.
fn rng() -> (Rng, Window, Window) {
    let queue = Queue::of_single_buffers(memory(0), 4).unwrap();
    let (ring, data) = (queue.window(), memory(PHYSICAL));
    let window = data.window;
    let transport = transport::tests::device(1);
    (Rng { transport, queue, data, done: Event(0), request_ticks: 0 }, ring, window)
}

/// The device is done with a buffer.
fn finish(ring: &Window, index: u16, chain: u32, bytes: u32) {
    let at = USED + 4 + 8 * u64::from(index % 4);
    ring.write_u32(at, chain);
    ring.write_u32(at + 4, bytes);
    ring.write_u16(USED + 2, index + 1);
}

#[test]
fn a_request_is_a_buffer_for_the_device_to_write() {
    let (mut rng, ring, _) = rng();
    rng.submit(64).unwrap();
    assert_eq!((ring.read_u64(0), ring.read_u32(8), ring.read_u16(12)), (PHYSICAL, 64, 2));
}

#[test]
fn what_was_written_is_taken_once() {
    let (mut rng, ring, data) = rng();
    rng.submit(64).unwrap();
    data.write_u64(0, 0x0807_0605_0403_0201);
    finish(&ring, 0, 0, 5);
    let mut bytes = [0xee; 64];
    let written = rng.wait(0).unwrap();
    assert_eq!(rng.take(written, &mut bytes), Ok(5));
    assert_eq!(bytes[..7], [1, 2, 3, 4, 5, 0xee, 0xee]);
    assert_eq!(data.read_u64(0), 0x0807_0600_0000_0000, "and is not left there");
    // As many as there is room for, whatever was written.
    assert_eq!(rng.take(64, &mut bytes[..3]), Ok(3));
}

#[test]
fn devices_that_make_no_sense() {
    // None of the bytes; more than there is room for; a buffer that it does not have.
    for (chain, bytes) in [(0, 0), (0, 65), (0, u32::MAX), (1, 8), (4, 8)] {
        let (mut rng, ring, _) = rng();
        rng.submit(64).unwrap();
        finish(&ring, 0, chain, bytes);
        let taken = rng.wait(0).and_then(|written| rng.take(written, &mut [0; 64]));
        assert_eq!(taken, Err(DriverError::Nonsense), "{chain} {bytes}");
    }
}

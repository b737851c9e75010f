use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use runtime::window::Window;

use super::*;
use crate::transport;

/// Where the rings are in a queue's memory, as `queue` has them.
const USED: u64 = 2048;
const SIZE: u16 = 4;
/// Where a device finds the buffers of a side.
const PHYSICAL: u64 = 0x10_0000;

fn memory(words: usize, physical: u64) -> DeviceMemory {
    DeviceMemory { window: Window::of(Box::leak(vec![0; words].into_boxed_slice())), physical }
}

fn side(index: u16) -> Side {
    let queue = Queue::of_single_buffers(memory(512, 0), SIZE).unwrap();
    let pieces = [0, 1].map(|piece| memory(PIECE_BYTES as usize / 8, PHYSICAL + piece * PIECE_BYTES));
    Side { index, queue, pieces, is_news: false }
}

/// A driver, and the device's ends of its queues.
fn net() -> (Net, [Window; 2]) {
    let (receive, send) = (side(number::RECEIVE), side(number::SEND));
    let windows = [&receive, &send].map(|side| side.queue.window());
    let mut net = Net { transport: transport::tests::device(1), receive, send, address: [0; 6] };
    net.begin().unwrap();
    (net, windows)
}

/// The device is done with a buffer.
fn finish(ring: &Window, index: u16, chain: u32, bytes: u32) {
    let at = USED + 4 + 8 * u64::from(index % SIZE);
    ring.write_u32(at, chain);
    ring.write_u32(at + 4, bytes);
    ring.write_u16(USED + 2, index.wrapping_add(1));
}

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(u64::MAX)).collect()
}

#[test]
fn buffers_are_apart_and_have_room_for_a_header() {
    let (net, [ring, _]) = net();
    for chain in 0..u64::from(SIZE) {
        let descriptor = (ring.read_u64(16 * chain), ring.read_u32(16 * chain + 8));
        assert_eq!(descriptor, (PHYSICAL + chain * 2048 + 4, 12 + FRAME_MAX as u32));
        assert_eq!(ring.read_u16(16 * chain + 12), 2, "the device writes it");
    }
    let (last, at) = net.receive.place(63).unwrap();
    assert_eq!((last.physical, at), (PHYSICAL + PIECE_BYTES, PIECE_BYTES - 2048));
    assert!(net.receive.place(64).is_none());
}

#[test]
fn frames_that_are_received() {
    let (mut net, [ring, _]) = net();
    let room = words(FRAME_MAX / 8);
    assert_eq!(net.receive(&room), Ok(None));
    net.receive.pieces[0].window.write_u64(2 * 2048 + FRAME, 0x1234);
    finish(&ring, 0, 2, 12 + 61);
    assert_eq!(net.receive(&room), Ok(Some(61)));
    assert_eq!(room[0].load(Ordering::Relaxed), 0x1234);
    assert_eq!(room[8].load(Ordering::Relaxed), u64::MAX, "no more than the frame");
    assert_eq!(net.receive.queue.free(), None, "the device has the buffer again");
    // As long as can be.
    finish(&ring, 1, 0, 12 + FRAME_MAX as u32);
    assert_eq!(net.receive(&room), Ok(Some(FRAME_MAX)));
}

#[test]
fn frames_that_cannot_be() {
    for (chain, bytes) in [(0, 0), (0, 12), (0, 13 + FRAME_MAX as u32), (0, u32::MAX), (4, 60), (63, 60)] {
        let (mut net, [ring, _]) = net();
        finish(&ring, 0, chain, bytes);
        assert_eq!(net.receive(&words(256)), Err(DriverError::Nonsense), "{chain} {bytes}");
    }
    let (mut net, [ring, _]) = net();
    finish(&ring, 0, 0, 12 + 100);
    assert_eq!(net.receive(&words(12)), Err(DriverError::Lacks("room for a frame")));
}

#[test]
fn frames_that_are_sent() {
    let (mut net, [_, ring]) = net();
    let frame = words(FRAME_MAX / 8 + 1);
    for bytes in [0, FRAME_MAX + 1, usize::MAX] {
        assert_eq!((net.send(&frame, bytes), net.send(&frame[..2], 17)), (Ok(()), Ok(())));
    }
    assert_eq!(ring.read_u16(1024 + 2), 0, "none of them is a frame");
    net.send.pieces[0].window.write_u64(0, u64::MAX);
    for (chain, bytes) in [(0, 1), (1, 60), (2, FRAME_MAX), (3, 9)] {
        assert_eq!((net.has_room(), net.send(&frame, bytes)), (Ok(true), Ok(())));
        assert_eq!((ring.read_u32(16 * chain + 8), ring.read_u16(16 * chain + 12)), (12 + bytes as u32, 0));
    }
    let piece = net.send.pieces[0].window;
    assert_eq!([4, 8, 12].map(|at| piece.read_u32(at)), [0; 3], "the header");
    assert_eq!(piece.read_u64(FRAME), u64::MAX);
    // All are the device's: it is to say when one is done.
    assert_eq!(ring.read_u16(1024), 1);
    assert_eq!((net.has_room(), ring.read_u16(1024)), (Ok(false), 0));
    assert_eq!(net.send(&frame, 60), Err(DriverError::Nonsense));
    finish(&ring, 0, 1, 0);
    assert_eq!((net.has_room(), ring.read_u16(1024)), (Ok(true), 1));
    assert_eq!(net.send(&frame, 60), Ok(()));
    finish(&ring, 1, 1, 1);
    assert_eq!(net.has_room(), Err(DriverError::Nonsense), "it may not write");
}

#[test]
fn the_device_is_notified_once_and_only_if_it_wants_to_be() {
    let (mut net, [_, ring]) = net();
    let place = |net: &Net| net.transport.notified();
    net.notify();
    assert_eq!(place(&net), number::RECEIVE, "of the buffers to begin with");
    net.send(&words(8), 60).unwrap();
    net.notify();
    assert_eq!(place(&net), number::SEND);
    ring.write_u16(USED, 1);
    net.receive.is_news = true;
    net.send(&words(8), 60).unwrap();
    net.notify();
    assert_eq!(place(&net), number::RECEIVE);
}

/// A device that writes anything anywhere gets an error or a frame, and never more than there is.
#[test]
fn devices_that_write_by_chance() {
    let mut seed = 11u64;
    let mut random = move || {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (seed >> 33) as u32
    };
    let (mut received, room) = (0, words(FRAME_MAX / 8));
    for _ in 0..200 {
        let (mut net, rings) = net();
        let mut done = 0;
        for _ in 0..60 {
            match random() % 8 {
                0 => rings[0].write_u64(u64::from(random() % 512) * 8, u64::from(random())),
                1 => rings[1].write_u64(u64::from(random() % 512) * 8, u64::from(random())),
                2 => finish(&rings[1], 0, random() % 8, random() % 2),
                _ => {
                    finish(&rings[0], done, u32::from(done % SIZE), random() % 2100);
                    done = done.wrapping_add(1);
                }
            }
            let sent =
                net.has_room().and_then(|has_room| if has_room { net.send(&room, 64) } else { Ok(()) });
            match net.receive(&room) {
                Ok(Some(bytes)) => {
                    assert!(bytes <= FRAME_MAX);
                    received += 1;
                }
                Ok(None) => {}
                Err(_) => break,
            }
            net.notify();
            if sent.is_err() {
                break;
            }
        }
    }
    assert!(received > 300, "only {received} were received");
}

//! Devices of the host's: what they write into a virtqueue, and what configuration space says to the process
//! that knows the bus.

use std::cell::Cell;

use host_pci::places::{self, WINDOW};
use host_pci::scan::{self, Bus};
use host_virtio::queue::{BYTES, Buffer, Queue};
use runtime::host_function::DeviceMemory;
use runtime::window::Window;

/// The memory of a queue, the same one for all inputs.
fn memory() -> Window {
    thread_local! {
        static MEMORY: Window = Window::of(Box::leak(Box::new([0; BYTES as usize / 8])));
    }
    MEMORY.with(|window| *window)
}

/// A driver that submits chains, and a device that writes anywhere, by turns as the input says. The driver
/// takes back only what it has submitted, each once, with no more bytes than the device may write.
///
/// # Panics
/// If a property does not hold, like the other.
pub fn queue(input: &[u8]) {
    let window = memory();
    (0..BYTES).step_by(8).for_each(|at| window.write_u64(at, 0));
    let Some((size, steps)) = input.split_first() else { return };
    let physical = 0x1000;
    let Ok(mut queue) = Queue::new(DeviceMemory { window, physical }, u16::from(*size)) else { return };
    let mut given: Vec<(u16, u32)> = Vec::new();
    for step in steps.chunks_exact(4) {
        let (kind, place) = (step[0], u64::from(u16::from_le_bytes([step[1], step[2]])));
        match kind % 4 {
            0 => {
                let buffer = Buffer { physical, bytes: u32::from(step[1]), is_written: step[2] & 1 != 0 };
                let buffers = [buffer; 5];
                let count = usize::from(step[3] % 6);
                let most = if buffer.is_written { buffer.bytes * count as u32 } else { 0 };
                given.extend(queue.submit(&buffers[..count]).map(|chain| (chain, most)));
            }
            1 => window.write_u8(place % BYTES, step[3]),
            2 => window.write_u16(2050, u16::from(step[3])),
            _ => match queue.take() {
                Ok(Some((chain, bytes))) => {
                    let known = given.iter().position(|(known, _)| *known == chain);
                    let Some(known) = known else { panic!("chain {chain} was not submitted") };
                    assert!(bytes <= given.swap_remove(known).1, "{bytes} bytes are too many");
                }
                Ok(None) => {}
                // The driver ends.
                Err(_) => return,
            },
        }
    }
}

/// Configuration space that answers with one double word of the input after the other.
struct Answers<'a> {
    words: Cell<&'a [u8]>,
}

impl Answers<'_> {
    fn next(&self) -> u32 {
        let Some((word, rest)) = self.words.get().split_first_chunk() else { return u32::MAX };
        self.words.set(rest);
        u32::from_le_bytes(*word)
    }
}

impl Bus for Answers<'_> {
    fn read(&self, _: u32, _: u32) -> u32 {
        self.next()
    }

    fn sizes(&self, _: u32) -> Option<[u32; 6]> {
        (self.next() & 1 == 0).then(|| core::array::from_fn(|_| self.next()))
    }
}

/// A scan of the bus, and places for BARs beside all that is decoded. Functions are found once each, and
/// places are in the window, on nothing.
pub fn scan(input: &[u8]) {
    let bus = Answers { words: Cell::new(input) };
    let sizes: [u32; 6] = core::array::from_fn(|_| bus.next());
    let taken: Vec<_> = scan::decoded(&bus).collect();
    assert!(taken.iter().all(|(first, last)| first <= last), "{taken:x?}");
    let Some(places) = places::choose(WINDOW.start, sizes, &taken) else { return };
    for (place, bytes) in places.into_iter().zip(sizes).filter(|(_, bytes)| *bytes != 0) {
        let last = u64::from(place) + u64::from(bytes) - 1;
        assert!(WINDOW.contains(&place) && last < u64::from(WINDOW.end), "{place:#x}");
        assert!(place.is_multiple_of(bytes), "{place:#x}");
        let is_free = |(first, end): &(u32, u32)| u64::from(*first) > last || *end < place;
        assert!(taken.iter().all(is_free), "{place:#x} in {taken:x?}");
    }
}

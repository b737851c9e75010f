use alloc::vec;
use alloc::vec::Vec;

use super::*;

/// How often an event was signalled; each test has events of its own.
static SIGNALS: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];

const BELL: u32 = 0;
const FREED: u32 = 1;
const SERVER: u32 = 2;

fn count(event: Event) {
    SIGNALS[event.0 as usize].fetch_add(1, Ordering::Relaxed);
}

/// The device model's end, of a test that has three events from `first` on.
struct Bench {
    first: u32,
    net: HostNet,
    words: &'static [AtomicU64],
}

impl Bench {
    fn new(first: u32) -> Self {
        let words: Vec<AtomicU64> = (0..MEMORY_BYTES / 8).map(|_| AtomicU64::new(0)).collect();
        let words = Vec::leak(words);
        let shared = Shared::new(words, Event(first + BELL), Event(first + FREED), count);
        Self { first, net: HostNet::new(Box::leak(Box::new(shared))), words }
    }

    /// A server that connects.
    fn connect(&mut self) -> (Sender<'static>, Receiver<'static>) {
        self.net.shared.clear();
        self.net.shared.connected(Event(self.first + SERVER));
        Sender::of_server(self.words).unwrap()
    }

    /// How often an event was signalled since the last time.
    fn signals(&self, event: u32) -> u32 {
        SIGNALS[(self.first + event) as usize].swap(0, Ordering::Relaxed)
    }
}

fn frame_of(net: &mut HostNet) -> Option<Vec<u8>> {
    let mut frame = [0; FRAME_MAX];
    let bytes = if net.has_frame() { net.receive(&mut frame) } else { return None };
    Some(frame[..bytes].to_vec())
}

#[test]
fn frames_cross_both_ways() {
    let mut bench = Bench::new(0);
    let (mut sender, mut receiver) = bench.connect();
    assert!(bench.net.attend() && !bench.net.attend() && bench.net.is_up());
    assert_eq!(receiver.has_frame(), Ok(false));
    for length in [1, 60, FRAME_MAX] {
        let frame: Vec<u8> = (0..length).map(|at| at as u8).collect();
        assert!(bench.net.has_room());
        bench.net.send(&frame);
        assert_eq!(bench.signals(SERVER), 0);
        bench.net.finish(true);
        assert_eq!(bench.signals(SERVER), 1, "it waits for a frame");
        let taken = receiver.take().unwrap().unwrap();
        let mut bytes = vec![0; taken.bytes];
        read_bytes(taken.words, &mut bytes);
        assert_eq!(bytes, frame);
        assert!(!receiver.release());
        assert_eq!(receiver.has_frame(), Ok(false));

        assert_eq!(frame_of(&mut bench.net), None);
        write_bytes(sender.room().unwrap().unwrap(), &frame);
        sender.put(length).unwrap();
        assert!(sender.publish(), "the device model waits for a frame");
        assert_eq!(frame_of(&mut bench.net), Some(frame));
    }
    bench.signals(BELL);
    bench.net.finish(false);
    assert_eq!(bench.signals(BELL), 1, "there is more to do");
    // A frame that the guest has no room for is lost.
    sender.put(FRAME_MAX + 1).unwrap();
    let _ = sender.publish();
    assert_eq!(frame_of(&mut bench.net), Some(Vec::new()));
}

#[test]
fn a_ring_that_is_full_is_waited_for() {
    let mut bench = Bench::new(3);
    let (_, mut receiver) = bench.connect();
    bench.net.attend();
    let mut frames = 0;
    while bench.net.has_room() {
        bench.net.send(&[1; 60]);
        frames += 1;
    }
    assert_eq!(frames, net_link::FRAMES);
    bench.net.finish(true);
    assert!(receiver.take().unwrap().is_some() && receiver.release(), "the server is to signal");
    assert!(bench.net.has_room());
}

#[test]
fn the_link_goes_down_and_comes_back_with_the_next_server() {
    let mut bench = Bench::new(6);
    assert!(!bench.net.attend() && !bench.net.is_up());
    assert!(bench.net.has_room(), "what is sent to nobody is lost");
    bench.net.send(&[1; 60]);
    for _ in 0..3 {
        let (mut sender, _) = bench.connect();
        assert_eq!(bench.signals(BELL), 1);
        assert!(bench.net.attend() && bench.net.is_up());
        sender.put(60).unwrap();
        let _ = sender.publish();
        bench.net.send(&[2; 60]);
        bench.net.shared.ended();
        assert_eq!((bench.signals(BELL), bench.net.shared.is_free(), bench.signals(FREED)), (1, false, 0));
        assert!(bench.net.attend() && !bench.net.is_up());
        assert_eq!((bench.net.shared.is_free(), bench.signals(FREED)), (true, 1));
        assert!(!bench.net.has_frame() && frame_of(&mut bench.net).is_none());
    }
    // A server that comes and goes before the device model looks.
    bench.connect();
    bench.net.shared.ended();
    assert!(!bench.net.attend() && bench.net.shared.is_free());
}

#[test]
fn a_server_that_talks_nonsense_is_not_talked_to() {
    type Lie = fn(&[AtomicU64]);
    let lies: [Lie; 3] = [
        |words| words[8].store(1 << 40, Ordering::Relaxed),
        |words| words[net_link::WAY_BYTES / 8].store(u64::MAX, Ordering::Relaxed),
        |words| {
            words[net_link::WAY_BYTES / 8 + 32].store(1 << 20, Ordering::Relaxed);
            words[net_link::WAY_BYTES / 8].store(1, Ordering::Relaxed);
        },
    ];
    for lie in lies {
        let mut bench = Bench::new(9);
        bench.connect();
        bench.net.attend();
        bench.signals(BELL);
        lie(bench.words);
        while bench.net.is_up() && bench.net.has_room() {
            bench.net.send(&[1; 60]);
            frame_of(&mut bench.net);
        }
        assert_eq!((bench.net.is_up(), bench.signals(BELL)), (false, 1));
        assert!(bench.net.attend() && !bench.net.attend(), "the guest hears that it is down");
        assert!(bench.net.has_room() && frame_of(&mut bench.net).is_none());
        // The next one is.
        bench.net.shared.ended();
        assert!(!bench.net.attend());
        bench.connect();
        assert!(bench.net.attend() && bench.net.is_up());
    }
}

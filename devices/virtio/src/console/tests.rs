use super::*;
use crate::testing::{Machine, formats};

/// Sends back what it gets, with each letter made large.
#[derive(Default)]
struct Shout(Vec<u8>);

impl Terminal for Shout {
    fn take(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.to_ascii_uppercase());
    }

    fn has_input(&self) -> bool {
        !self.0.is_empty()
    }

    fn give(&mut self, bytes: &mut [u8]) -> usize {
        let count = self.0.len().min(bytes.len());
        bytes.iter_mut().zip(self.0.drain(..count)).for_each(|(to, from)| *to = from);
        count
    }
}

#[test]
fn bytes_go_both_ways() {
    for format in formats() {
        let mut machine = Machine::ready(Console::new(Shout::default()), format, 8);
        let room = machine.buffer(&[0; 4]);
        machine.add(0, &[(room, 4, true)]);
        machine.notify(0);
        assert_eq!(machine.used(0, 1), None, "nothing to receive yet");
        assert_eq!(machine.request(1, &[b"pli", b"nth"], &[]), Some((0, Vec::new())), "{format:?}");
        assert_eq!((machine.used(0, 1), machine.ram.copy(room, 4)), (Some(4), b"PLIN".to_vec()));
        // The rest as soon as there is room.
        assert_eq!(machine.request(0, &[], &[600]).map(|(n, bytes)| (n, bytes[..3].to_vec())), {
            Some((2, b"TH\xee".to_vec()))
        });
        let long = vec![b'x'; 1000];
        machine.request(1, &[&long], &[]).unwrap();
        assert_eq!(machine.request(0, &[], &[600, 400]), Some((1000, vec![b'X'; 1000])));
        assert!(!machine.function.device().terminal().has_input());
    }
}

/// Buffers that do not lie together, each longer or shorter than what is copied at once.
#[test]
fn what_is_sent_is_in_its_buffers() {
    for format in formats() {
        let mut machine = Machine::ready(Console::new(Shout::default()), format, 8);
        let first = machine.buffer(&[b'a'; 300]);
        machine.buffer(&[b'z'; 300]);
        let second = machine.buffer(&[b'b'; 10]);
        machine.add(1, &[(first, 300, false), (second, 10, false)]);
        machine.notify(1);
        let expected = [vec![b'A'; 300], vec![b'B'; 10]].concat();
        assert_eq!(machine.function.device().terminal().0, expected, "{format:?}");
    }
}

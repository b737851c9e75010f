use super::*;
use crate::testing::{Machine, formats};
use devices::capability::Width;
use devices::pci::PciFunction;

/// Frames come back as they are.
#[derive(Default)]
struct Cable(Vec<Vec<u8>>);

impl Link for Cable {
    fn send(&mut self, frame: &[u8]) {
        self.0.push(frame.to_vec());
    }

    fn receive(&mut self, frame: &mut [u8; FRAME_MAX]) -> usize {
        if self.0.is_empty() {
            return 0;
        }
        let next = self.0.remove(0);
        frame[..next.len()].copy_from_slice(&next);
        next.len()
    }

    fn has_frame(&self) -> bool {
        !self.0.is_empty()
    }
}

const ADDRESS: [u8; 6] = [2, 1, 2, 3, 4, 5];

#[test]
fn frames_go_both_ways_behind_a_header() {
    for format in formats() {
        let mut machine = Machine::ready(Net::new(Cable::default(), ADDRESS), format, 8);
        let frame: Vec<u8> = (0..=255).cycle().take(FRAME_MAX).collect();
        assert_eq!(machine.request(1, &[&[9; 12], &frame], &[]), Some((0, Vec::new())));
        assert_eq!(machine.function.device().link().0, core::slice::from_ref(&frame));
        let (written, bytes) = machine.request(0, &[], &[12, 2000]).unwrap();
        assert_eq!(written as usize, 12 + FRAME_MAX, "{format:?}");
        assert_eq!(bytes[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(bytes[12..written as usize], frame);
    }
}

#[test]
fn what_is_no_frame_goes_nowhere() {
    for format in formats() {
        let mut machine = Machine::ready(Net::new(Cable::default(), ADDRESS), format, 8);
        for bytes in [0, 11, 12, 12 + FRAME_MAX + 1] {
            assert_eq!(machine.request(1, &[&vec![1; bytes]], &[]), Some((0, Vec::new())));
        }
        assert!(!machine.function.device().link().has_frame());
        machine.request(1, &[&[1; 100]], &[]).unwrap();
        assert_eq!(machine.request(0, &[], &[99]), Some((0, vec![0xee; 99])), "too little room");
        assert!(!machine.function.device().link().has_frame());
    }
}

#[test]
fn the_configuration_has_address_and_status() {
    let mut machine = Machine::fresh(Net::new(Cable::default(), ADDRESS), Default::default());
    let value = machine.function.bar_read(0, 0x2000, Width::Qword, &mut machine.bench);
    assert_eq!(value, 0x0001_0504_0302_0102);
}

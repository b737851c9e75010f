use super::*;
use crate::network::packet::tests::{frame_v4, frame_v6};
use alloc::vec::Vec;

/// Word by word, as RFC 1071 says it.
fn slow(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[test]
fn sums_are_those_of_words() {
    let bytes: Vec<u8> = (0..2000u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 23) as u8).collect();
    for start in 0..9 {
        for end in start..bytes.len() {
            assert_eq!(sum(&bytes[start..end]), slow(&bytes[start..end]), "{start} {end}");
        }
    }
    assert_eq!((sum(&[]), sum(&[0xff; 2]), sum(&[0xff; 4]), sum(&[0xff; 9])), (0, 0xffff, 0xffff, 0xff00));
    // The example of RFC 1071, 3.
    assert_eq!(sum(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    assert_eq!((add(0xffff, 1), add(0x8000, 0x8001), add(3, 4)), (1, 2, 7));
}

/// With the checksum at this place of the TCP or UDP header.
fn with_sum(mut frame: Vec<u8>, at: usize) -> Vec<u8> {
    let segment = Segment::find(&frame).unwrap();
    let mut all = segment.addresses.to_vec();
    all.extend([0, segment.protocol]);
    all.extend((segment.bytes.len() as u16).to_be_bytes());
    all.extend(segment.bytes);
    let value = !slow(&all);
    let start = frame.len() - segment.bytes.len();
    frame[start + at..start + at + 2].copy_from_slice(&value.to_be_bytes());
    frame
}

#[test]
fn a_right_sum_is_seen_and_a_wrong_bit_too() {
    let data = [7; 33];
    let udp = |bytes: usize| [&[0, 1, 0, 2][..], &(bytes as u16).to_be_bytes(), &[0; 2], &data].concat();
    let tcp = [&[0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0][..], &data].concat();
    for frame in [
        with_sum(frame_v4(TCP, &tcp), 16),
        with_sum(frame_v6(TCP, &tcp), 16),
        with_sum(frame_v4(UDP, &udp(41)), 6),
        with_sum(frame_v6(UDP, &udp(41)), 6),
    ] {
        assert!(is_right(&frame));
        // What fills a short frame up counts for nothing.
        assert!(is_right(&[&frame[..], &[9; 5]].concat()));
        let segment = frame.len() - Segment::find(&frame).unwrap().bytes.len();
        for bit in 8 * segment..8 * frame.len() {
            let mut wrong = frame.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_right(&wrong), "bit {bit}");
        }
        assert!(!is_right(&frame[..frame.len() - 1]), "cut");
    }
}

#[test]
fn of_what_has_no_sum_nothing_is_said() {
    let udp = [0, 1, 0, 2, 0, 12, 0, 0, 1, 2, 3, 4];
    let mut frame = with_sum(frame_v4(UDP, &udp), 6);
    assert!(is_right(&frame));
    let at = frame.len() - udp.len();
    frame[at + 6..at + 8].fill(0);
    assert!(!is_right(&frame), "UDP without one");
    // A length of UDP's own that is not the packet's.
    for length in [8, 11, 13] {
        let mut udp = udp;
        udp[5] = length;
        assert!(!is_right(&with_sum(frame_v4(UDP, &udp), 6)), "{length}");
    }
    // Too short for a header.
    assert!(!is_right(&with_sum(frame_v4(TCP, &[0; 19]), 16)));
    assert!(is_right(&with_sum(frame_v4(TCP, &[0; 20]), 16)));
    assert!(!is_right(&with_sum(frame_v4(UDP, &[0, 0, 0, 0, 0, 7, 0]), 4)));
    // Another protocol.
    assert!(!is_right(&with_sum(frame_v4(1, &udp), 6)));
    assert!(!is_right(&[]));
}

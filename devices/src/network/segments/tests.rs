use super::*;
use crate::network::checksum::{is_right, sum};
use crate::network::packet::Segment;
use crate::network::packet::tests::{frame_v4, frame_v6};
use alloc::vec::Vec;

/// A frame as a driver hands it over, with so many bytes of data behind a TCP header with an option; and
/// where TCP begins in it.
fn whole(version: Version, data: usize) -> (Vec<u8>, usize) {
    let header = [0x12, 0x34, 0, 80, 0xff, 0xff, 0xff, 0x00, 0, 0, 0, 9, 0x60, 0x99, 1, 0, 0, 0, 0, 0];
    let data: Vec<u8> = (0..data).map(|n| (n / 7) as u8).collect();
    let body = [&header[..], &[1; 4], &data].concat();
    let (mut frame, tcp) = match version {
        Version::V4 => (frame_v4(6, &body), 34),
        Version::V6 => (frame_v6(6, &body), 54),
    };
    let addresses = if version == Version::V4 { 26..34 } else { 22..54 };
    let length = sum(&(body.len() as u32).to_be_bytes());
    let pseudo = checksum::add(checksum::add(sum(&frame[addresses]), 6), length);
    frame[tcp + SUM..tcp + SUM + 2].copy_from_slice(&pseudo.to_be_bytes());
    (frame, tcp)
}

#[test]
fn segments_together_are_the_whole() {
    for (version, bytes, segment) in [
        (Version::V4, 3000, 1000),
        (Version::V4, 2999, 1000),
        (Version::V4, 60_000, 1460),
        (Version::V6, 3001, 1000),
        (Version::V6, 60_000, 1400),
        (Version::V4, 5, 1),
        (Version::V4, 1, 1000),
        (Version::V6, 0, 1000),
    ] {
        let (frame, tcp) = whole(version, bytes);
        let cut = Cut::new(&frame, version, tcp, segment).unwrap();
        assert_eq!(cut.count(), bytes.div_ceil(segment.into()).max(1));
        let mut data: Vec<u8> = Vec::new();
        for number in 0..cut.count() {
            let mut to = [0xee; FRAME_MAX];
            let length = cut.write(&frame, number, &mut to).unwrap();
            let one = &to[..length];
            let is_last = number + 1 == cut.count();
            assert!(is_right(one), "{version:?} {bytes} {number}");
            assert_eq!(Segment::find(one).unwrap().bytes.len(), length - tcp, "no more than the packet");
            if version == Version::V4 {
                assert_eq!(sum(&one[14..34]), 0xffff, "the IP header's");
                assert_eq!(half(one, 18), Some(9u16.wrapping_add(number as u16)));
            }
            let sequence = u32::from_be_bytes(one[tcp + 4..tcp + 8].try_into().unwrap());
            assert_eq!(sequence, 0xffff_ff00u32.wrapping_add(number as u32 * u32::from(segment)));
            let flags = 0x10 | if number == 0 { 0x80 } else { 0 } | if is_last { 9 } else { 0 };
            assert_eq!(one[tcp + FLAGS], flags, "{number}");
            assert!(is_last || length == tcp + 24 + usize::from(segment));
            data.extend(&one[tcp + 24..]);
        }
        assert_eq!(data, frame[tcp + 24..]);
        assert_eq!(cut.write(&frame, usize::MAX, &mut [0; FRAME_MAX]), None);
    }
}

#[test]
fn what_cannot_be_cut() {
    use Version::{V4, V6};
    let (frame, tcp) = whole(V4, 2000);
    for (version, tcp, segment) in [
        // No bytes; more than a frame has room for; another version.
        (V4, tcp, 0),
        (V4, tcp, (FRAME_MAX - 58 + 1) as u16),
        (V6, tcp, 1000),
        // TCP in front of where IP ends, in the data, where its length would be, and nowhere.
        (V4, 33, 1000),
        (V4, 0, 1000),
        (V4, frame.len() - 12, 1000),
        (V4, frame.len(), 1000),
        (V4, usize::MAX, 1000),
    ] {
        assert_eq!(Cut::new(&frame, version, tcp, segment), None, "{version:?} {tcp} {segment}");
    }
    assert!(Cut::new(&frame, V4, tcp, (FRAME_MAX - 58) as u16).is_some());
    // Headers that are too short, or longer than the frame.
    for (at, value) in [(14, 0x44), (14, 0x46), (tcp + 12, 0x40), (13, 1)] {
        let mut frame = frame.clone();
        frame[at] = value;
        assert_eq!(Cut::new(&frame, V4, tcp, 1000), None, "{at}");
    }
    let (frame, _) = whole(V4, 0);
    assert!(Cut::new(&frame, V4, tcp, 1000).is_some());
    assert_eq!(Cut::new(&frame[..frame.len() - 1], V4, tcp, 1000), None);
    let (frame, tcp) = whole(V6, 10);
    assert_eq!(Cut::new(&frame, V6, tcp - 1, 1000), None);
}

/// No frame by chance leads out of it, and what is written of one that can be cut is no longer than a frame.
#[test]
fn frames_by_chance() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut cuts = 0;
    for _ in 0..20_000 {
        let version = if random() & 1 == 0 { Version::V4 } else { Version::V6 };
        let (mut frame, tcp) = whole(version, (random() % 3000) as usize);
        for _ in 0..random() % 3 {
            let at = (random() % 80) as usize;
            if let Some(byte) = frame.get_mut(at) {
                *byte = random() as u8;
            }
        }
        frame.truncate(frame.len() - (random() % 40) as usize);
        let segment = random() as u16 >> (random() % 16);
        let Some(cut) = Cut::new(&frame, version, tcp, segment) else { continue };
        cuts += 1;
        for number in [0, cut.count() / 2, cut.count() - 1] {
            let bytes = cut.write(&frame, number, &mut [0; FRAME_MAX]);
            assert!(bytes.is_some_and(|bytes| bytes <= FRAME_MAX));
        }
    }
    assert!(cuts > 5_000, "{cuts}");
}

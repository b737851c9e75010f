use super::*;
use alloc::vec::Vec;

/// An IPv4 packet in a frame.
pub(crate) fn frame_v4(protocol: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + body.len() as u16).to_be_bytes();
    let header = [0x45, 0, high, low, 0, 9, 0x40, 0, 64, protocol, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2];
    [&[2; 12][..], &[8, 0], &header, body].concat()
}

/// An IPv6 packet in a frame.
pub(crate) fn frame_v6(protocol: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = (body.len() as u16).to_be_bytes();
    [&[2; 12][..], &[0x86, 0xdd, 0x60, 0, 0, 0, high, low, protocol, 64], &[0xfe; 16], &[0xfd; 16], body]
        .concat()
}

fn tagged(frame: &[u8], tag: [u8; 4]) -> Vec<u8> {
    [&frame[..12], &tag, &frame[12..]].concat()
}

#[test]
fn segments_are_found_by_ip() {
    let body = [1, 2, 3, 4, 5];
    for (frame, addresses) in [(frame_v4(6, &body), 8), (frame_v6(6, &body), 32)] {
        let found = Segment::find(&frame).unwrap();
        assert_eq!((found.addresses.len(), found.protocol, found.bytes), (addresses, 6, &body[..]));
        assert_eq!((vlan(&frame), ip(&frame).unwrap().0), (None, 14));
        let tagged = tagged(&frame, [0x81, 0, 0xb1, 0x23]);
        assert_eq!(Segment::find(&tagged), Some(found));
        assert_eq!((vlan(&tagged), ip(&tagged).unwrap().0), (Some(0x123), 18));
        for end in 0..frame.len() {
            assert_eq!(Segment::find(&frame[..end]), None, "{end} bytes");
        }
        let padded = [&frame[..], &[0; 9]].concat();
        assert_eq!(Segment::find(&padded).unwrap().bytes, body);
    }
}

#[test]
fn what_is_no_segment() {
    let frame = frame_v4(6, &[0; 30]);
    // Another version, a header that is too short, fragments, a length below the header's, another type.
    for (at, value) in
        [(14, 0x65), (14, 0x44), (20, 0x20), (20, 0x1f), (21, 1), (17, 19), (12, 9), (13, 6), (14, 0x4f)]
    {
        let mut frame = frame.clone();
        frame[at] = value;
        assert_eq!(Segment::find(&frame), None, "{at} {value:#x}");
    }
    // Not to be fragmented; options.
    for (at, value, bytes) in [(20, 0x40, 30), (20, 0x80, 30), (14, 0x46, 26)] {
        let mut frame = frame.clone();
        frame[at] = value;
        assert_eq!(Segment::find(&frame).unwrap().bytes.len(), bytes, "{at} {value:#x}");
    }
    let mut frame = frame_v6(6, &[0; 30]);
    frame[14] = 0x40;
    assert_eq!(Segment::find(&frame), None);
}

#[test]
fn a_flow_is_the_same_both_ways() {
    let swap = |frame: &[u8]| {
        let mut frame = frame.to_vec();
        frame[26..34].rotate_left(4);
        frame[34..38].rotate_left(2);
        frame
    };
    let frame = frame_v4(6, &[1, 2, 3, 4, 0, 0, 0, 0]);
    let flow = |frame: &[u8]| Segment::find(frame).unwrap().flow();
    assert_eq!(flow(&frame), flow(&swap(&frame)));
    for at in [23, 29, 33, 35, 37] {
        let mut other = frame.clone();
        other[at] ^= 0x11;
        assert_ne!(flow(&frame), flow(&other), "{at}");
    }
}

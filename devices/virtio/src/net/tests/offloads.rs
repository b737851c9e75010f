//! Checksums, segments, and frames in several buffers.

use super::*;
use devices::network::checksum;
use spec::header;

/// Ethernet, IPv4 and TCP, with a sum of the pseudo-header in TCP's place; where TCP begins.
const TCP: usize = 34;

/// A frame with so many bytes of data.
fn frame(data: usize) -> Vec<u8> {
    let [high, low] = (40 + data as u16).to_be_bytes();
    let ip = [0x45, 0, high, low, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2];
    let mut tcp = [0, 9, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0];
    let pseudo = checksum::add(checksum::add(checksum::sum(&ip[12..]), 6), 20 + data as u16);
    tcp[16..18].copy_from_slice(&pseudo.to_be_bytes());
    [&[2; 12][..], &[8, 0], &ip, &tcp, &vec![0x5a; data]].concat()
}

/// A header: flags, kind, bytes of a segment, where the sum starts and is.
fn head(flags: u8, kind: u8, segment: u16, start: u16, offset: u16) -> [u8; HEADER_BYTES] {
    let mut head = [0; HEADER_BYTES];
    (head[0], head[header::KIND]) = (flags, kind);
    for (at, value) in [(header::SEGMENT, segment), (header::SUM_START, start), (header::SUM_OFFSET, offset)]
    {
        head[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    head
}

fn all() -> u64 {
    Net::new(Cable::default(), ADDRESS, 1).features()
}

/// What goes over the cable when the guest sends this.
fn sent(accepted: u64, head: &[u8], frame: &[u8]) -> Vec<Vec<u8>> {
    let cable = Cable { keeps: true, ..Cable::default() };
    let mut machine = machine(cable, Format::default(), 1, accepted);
    assert_eq!(machine.request(1, &[head, frame], &[]), Some((0, Vec::new())));
    core::mem::take(&mut machine.function.device_mut().link.frames)
}

#[test]
fn sums_are_put_in_where_the_header_says() {
    let start = TCP as u16;
    let whole = frame(100);
    let with_sum = sent(all(), &head(1, 0, 0, start, 16), &whole);
    assert!(checksum::is_right(&with_sum[0]));
    assert_eq!(with_sum[0][..50], whole[..50]);
    // A sum that would be zero is the other zero.
    let sent_zero = sent(all(), &head(1, 0, 0, 20, 2), &[[0xff; 20].as_slice(), &[0; 40]].concat());
    assert_eq!(sent_zero[0][20..26], [0, 0, 0xff, 0xff, 0, 0]);
    // Where there is no room for one, or nothing to be summed.
    let end = whole.len() as u16;
    for (start, offset) in [(start, end - start - 1), (end + 1, 0), (0, u16::MAX), (u16::MAX, u16::MAX)] {
        assert!(sent(all(), &head(1, 0, 0, start, offset), &whole).is_empty(), "{start} {offset}");
    }
    assert_eq!(sent(all(), &head(1, 0, 0, start, end - start - 2), &whole).len(), 1);
    // Without the flag, and by a driver that has not agreed on it, it goes as it is.
    assert_eq!(sent(all(), &head(0, 0, 0, start, 16), &whole), core::slice::from_ref(&whole));
    assert_eq!(sent(PLAIN, &head(1, 1, 100, start, 16), &whole), core::slice::from_ref(&whole));
}

#[test]
fn a_frame_is_cut_into_segments() {
    let frames = sent(all(), &head(1, header::TCP_V4 | header::ECN, 1000, TCP as u16, 16), &frame(2500));
    assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [1054, 1054, 554]);
    assert!(frames.iter().all(|frame| checksum::is_right(frame)));
    let many = sent(all(), &head(1, header::TCP_V4, 1460, TCP as u16, 16), &frame(64_000));
    assert_eq!(many.len(), 44);
    assert_eq!(many.iter().map(|frame| frame.len() - 54).sum::<usize>(), 64_000);
}

#[test]
fn what_cannot_be_cut_goes_nowhere() {
    let start = TCP as u16;
    let whole = frame(2500);
    for (why, head) in [
        ("no sum", head(0, header::TCP_V4, 1000, start, 16)),
        ("a sum elsewhere", head(1, header::TCP_V4, 1000, start, 14)),
        ("no bytes", head(1, header::TCP_V4, 0, start, 16)),
        ("longer than a frame", head(1, header::TCP_V4, 1465, start, 16)),
        ("another version", head(1, header::TCP_V6, 1000, start, 16)),
        ("UDP", head(1, 3, 1000, start, 16)),
        ("a kind that there is not", head(1, 2, 1000, start, 16)),
        ("no header", head(1, header::TCP_V4, 1000, whole.len() as u16, 16)),
        ("too long", head(1, 0, 0, start, 16)),
    ] {
        assert!(sent(all(), &head, &whole).is_empty(), "{why}");
    }
    let right = head(1, header::TCP_V4, 1464, start, 16);
    assert_eq!(sent(all(), &right, &whole).len(), 2);
    assert!(sent(all() & !feature::CUTS_V4, &right, &whole).is_empty(), "not agreed on");
    let version_6 = sent(all() & !feature::CUTS_V6, &head(1, header::TCP_V6, 1000, start, 16), &frame(9));
    assert!(version_6.is_empty(), "not agreed on");
}

/// The link has room for one frame at a time: the rest waits, and what comes behind it too.
#[test]
fn segments_wait_for_room() {
    let cable = Cable { room: Some(1), ..Cable::default() };
    let mut machine = machine(cable, Format::default(), 1, all() & !feature::MERGEABLE);
    let head = head(1, header::TCP_V4, 1000, TCP as u16, 16);
    assert!(machine.request(1, &[&head, &frame(2500)], &[]).is_some(), "the chain is the driver's again");
    assert_eq!(machine.function.device().link().sent, 1);
    assert_eq!(machine.request(1, &[&[0; 12], &[7; 60]], &[]), None);
    // The first one has come back and waits in the device for a buffer, so there is room for another.
    assert_eq!(machine.function.device().link().sent, 2);
    let mut lengths = Vec::new();
    for _ in 0..4 {
        let (written, _) = machine.request(0, &[], &[2000]).unwrap();
        lengths.push(written - 12);
        machine.function.input(&mut machine.bench);
    }
    assert_eq!(lengths, [1054, 1054, 554, 60]);
    // A reset forgets what waits.
    machine.request(1, &[&head, &frame(2500)], &[]).unwrap();
    machine.start(256);
    let link = &mut machine.function.device_mut().link;
    link.frames.clear();
    let sent = link.sent;
    machine.function.input(&mut machine.bench);
    assert_eq!(machine.function.device().link().sent, sent);
}

/// Segments of a byte take many turns, and no turn sends more than a queue has chains.
#[test]
fn a_turn_has_an_end() {
    let cable = Cable { keeps: true, ..Cable::default() };
    let mut machine = machine(cable, Format::default(), 1, all());
    let head = head(1, header::TCP_V4, 1, TCP as u16, 16);
    machine.request(1, &[&head, &frame(600)], &[]).unwrap();
    for count in [256, 512, 600, 600] {
        assert_eq!(machine.function.device().link().frames.len(), count);
        assert_eq!(*machine.function.device().link().finished.last().unwrap(), count == 600);
        machine.function.input(&mut machine.bench);
    }
}

#[test]
fn a_right_sum_is_told_and_a_wrong_one_is_not() {
    let good = sent(all(), &head(1, 0, 0, TCP as u16, 16), &frame(90)).remove(0);
    let mut bad = good.clone();
    bad[80] ^= 4;
    for (frame, accepted, flags) in [
        (&good, all(), header::SUM_IS_RIGHT),
        (&bad, all(), 0),
        (&good, all() & !feature::GUEST_SUM, 0),
        (&good, all(), header::SUM_IS_RIGHT),
    ] {
        let mut machine = machine(Cable::default(), Format::default(), 1, accepted);
        machine.function.device_mut().link.frames.push(frame.clone());
        let (written, bytes) = machine.request(0, &[], &[2000]).unwrap();
        assert_eq!(bytes[..12], [flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(bytes[12..written as usize], frame[..]);
    }
}

#[test]
fn a_frame_may_be_in_several_buffers() {
    for format in formats() {
        let mut machine = machine(Cable::default(), format, 1, all());
        let frame: Vec<u8> = (0..=255).cycle().take(1000).collect();
        machine.function.device_mut().link.frames.push(frame.clone());
        // Not enough for it: it waits, and so do the buffers.
        for _ in 0..2 {
            assert_eq!(machine.request(0, &[], &[400]), None);
        }
        let gpa = machine.buffer(&[0xee; 400]);
        machine.add(0, &[(gpa, 400, true)]);
        machine.notify(0);
        let written: Vec<_> = (0..4).map(|_| machine.used(0, 1)).collect();
        assert_eq!(written, [Some(400), Some(400), Some(212), None], "{format:?}");
        let bytes = machine.ram.copy(gpa - 800, 1012);
        assert_eq!(bytes[..12], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
        assert_eq!(bytes[12..], frame);
    }
}

#[test]
fn a_frame_that_needs_too_many_buffers_is_lost() {
    let mut machine = machine(Cable::default(), Format::default(), 1, all());
    machine.function.device_mut().link.frames = vec![vec![1; 16 * 10 - 11], vec![2; 16 * 10 - 12]];
    for _ in 0..32 {
        let gpa = machine.buffer(&[0; 10]);
        machine.add(0, &[(gpa, 10, true)]);
    }
    machine.notify(0);
    let written: Vec<_> = (0..33).map_while(|_| machine.used(0, 1)).collect();
    assert_eq!(written, [[0; 16], [10; 16]].concat());
}

#[test]
fn buffers_that_wait_are_forgotten_by_a_reset() {
    let mut machine = machine(Cable::default(), Format::default(), 1, all());
    machine.function.device_mut().link.frames.push(vec![1; 100]);
    assert_eq!(machine.request(0, &[], &[50]), None);
    machine.start(256);
    machine.function.device_mut().link.frames.push(vec![2; 30]);
    assert_eq!(machine.request(0, &[], &[100]).unwrap().1[12], 2, "the frame of before is gone");
    assert_eq!(machine.used(0, 1), None);
}

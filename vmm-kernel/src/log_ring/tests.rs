use super::*;

fn ring_of(bytes: usize) -> Ring {
    let ring = Ring { bytes: [const { AtomicU8::new(0) }; RING_BYTES], written: AtomicUsize::new(bytes) };
    for at in bytes.saturating_sub(RING_BYTES)..bytes {
        ring.bytes[at % RING_BYTES].store(letter(at), Ordering::Relaxed);
    }
    ring
}

/// What stands at a place: of a period that the ring's size is no multiple of.
fn letter(at: usize) -> u8 {
    (at % 251) as u8
}

#[test]
fn what_is_there_is_read_and_no_more() {
    const WHOLE: usize = RING_BYTES;
    for (written, from, room, first, bytes) in [
        (0, 0, 10, 0, 0),
        (0, 5, 10, 0, 0),
        (100, 0, 10, 0, 10),
        (100, 95, 10, 95, 5),
        (100, 100, 10, 100, 0),
        (100, 101, 10, 100, 0),
        (100, u64::MAX, 10, 100, 0),
        (100, 3, 0, 3, 0),
        (WHOLE, 0, 10, 0, 10),
        (WHOLE + 1, 0, 10, 1, 10),
        (3 * WHOLE + 7, 0, 300, 2 * WHOLE as u64 + 7, 300),
        (3 * WHOLE + 7, 3 * WHOLE as u64 - 3, 300, 3 * WHOLE as u64 - 3, 10),
        (3 * WHOLE + 7, 0, 2 * WHOLE, 2 * WHOLE as u64 + 7, WHOLE),
    ] {
        let mut to = vec![0xff; room];
        let part = ring_of(written).read(from, &mut to);
        assert_eq!(part, Part { first, bytes, end: written as u64 }, "{written}, {from}, {room}");
        let expected = (0..room).map(|i| if i < bytes { letter(first as usize + i) } else { 0xff });
        assert!(to.iter().copied().eq(expected), "{written}, {from}, {room}");
    }
}

/// Whoever is about to stop the machine, and so all others from then on, waits for a line of another's, but
/// not for ever: that processor may have stopped already.
#[test]
fn in_distress_nobody_waits_for_ever() {
    assert!(is_patient(0) && is_patient(u64::MAX));
    in_distress();
    assert!(is_patient(LOOKS_IN_DISTRESS - 1) && !is_patient(LOOKS_IN_DISTRESS));
}

use super::event_log::EventLog;
use super::*;

#[test]
fn a_part_is_read_piece_by_piece() {
    let contents: Vec<u8> = (0..200_000u32).map(|index| (index % 251) as u8).collect();
    let copy = |offset: u64, piece: &mut [u8]| {
        let start = offset as usize;
        contents.get(start..start + piece.len()).map(|from| piece.copy_from_slice(from)).is_some()
    };
    let part = Part::new("initrd", 200_000, copy).unwrap();
    assert_eq!(part.digest, <[u8; 32]>::from(Sha256::digest(&contents)));
    assert!(Part::new("initrd", 200_001, copy).is_none(), "there is no more of it");
    let event = part.event();
    assert_eq!(&event[..4], b"HTLP");
    assert_eq!(event[4..8], (event.len() as u32 - 8).to_le_bytes());
    let text = core::str::from_utf8(&event[8..]).unwrap();
    assert!(text.starts_with("initrd 200000 sha256 ") && text.len() == 21 + 64, "{text}");
    assert_eq!((part.pcr(), Part { name: "linux", ..part }.pcr()), (9, 4));
}

#[test]
fn the_log_begins_with_its_algorithms() {
    let mut log = EventLog::default();
    log.add(4, EV_EVENT_TAG, &[(0xb, [7; 32].into()), (4, [8; 20].into())], &[1, 2, 3]);
    let bytes = log.bytes();
    // PCR 0, EV_NO_ACTION, no digest, 37 bytes.
    assert_eq!(bytes[..8], [0, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(bytes[8..28], [0; 20]);
    assert_eq!(bytes[28..32], [37, 0, 0, 0]);
    assert_eq!(&bytes[32..48], b"Spec ID Event03\0");
    // Client, 2.0 errata 0, 64-bit numbers; two algorithms with their sizes; no vendor's information.
    assert_eq!(bytes[48..69], [0, 0, 0, 0, 0, 2, 0, 2, 2, 0, 0, 0, 0xb, 0, 32, 0, 4, 0, 20, 0, 0]);
    assert_eq!(bytes[69..81], [4, 0, 0, 0, 6, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(
        (&bytes[81..83], &bytes[83..115], &bytes[115..117]),
        (&[0xb, 0][..], &[7; 32][..], &[4, 0][..])
    );
    assert_eq!(bytes[117..137], [8; 20]);
    assert_eq!(bytes[137..], [3, 0, 0, 0, 1, 2, 3]);
}

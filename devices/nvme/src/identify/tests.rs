use super::*;

const ABOUT: About<'_> = About { serial: b"serial-1", sectors: 0x1_2345_6789, is_read_only: false };

#[test]
fn structures_and_whose_they_are() {
    let (invalid, none) = (Status::INVALID_FIELD, Status::INVALID_NAMESPACE);
    for (which, namespace, status) in [
        (0, 1, None),
        (0, 0, Some(none)),
        (0, 2, Some(none)),
        (0, u32::MAX, Some(none)),
        (1, 0, None),
        (1, u32::MAX, None),
        (2, 0, None),
        (2, 0xffff_fffd, None),
        (2, 0xffff_fffe, Some(none)),
        (2, u32::MAX, Some(none)),
        (3, 1, None),
        (3, 2, Some(none)),
        (4, 1, Some(invalid)),
        (5, 1, Some(invalid)),
        (6, 0, Some(invalid)),
        (0x10, 0, Some(invalid)),
        (0xff, 1, Some(invalid)),
    ] {
        assert_eq!(identify(which, namespace, ABOUT).err(), status, "{which:#x} {namespace:#x}");
    }
}

#[test]
fn the_controller() {
    let page = identify(1, 0, ABOUT).unwrap();
    let fields: [(usize, &[u8]); 15] = [
        (0, &[0x36, 0x1b, 0xf4, 0x1a]),
        (4, b"serial-1            Plinth NVMe disk                        1.0     "),
        (77, &[4]),
        (80, &[0, 4, 1, 0]),
        (111, &[1]),
        (256, &[0, 0]),
        (258, &[3, 3, 3, 5, 0]),
        (266, &[0x57, 1, 0x75, 1]),
        (512, &[0x66, 0x44, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 0, 7]),
        (526, &[0; 10]),
        (536, &[0; 4]),
        (768, b"nqn.2014-08.org.nvmexpress:uuid:"),
        (768 + 32 + 36, &[0]),
        (768 + 32 + 14, b"8"),
        (2048, &[0; 32]),
    ];
    for (at, expected) in fields {
        assert_eq!(&page[at..][..expected.len()], expected, "{at}");
    }
}

#[test]
fn the_namespace() {
    for is_read_only in [false, true] {
        let page = identify(0, 1, About { is_read_only, ..ABOUT }).unwrap();
        let size = 0x1_2345_6789_u64.to_le_bytes();
        assert_eq!([&page[..8], &page[8..16], &page[16..24]], [&size; 3]);
        assert_eq!((page[25], page[26], page[99]), (0, 0, is_read_only.into()));
        assert_eq!(page[128..136], [0, 0, 9, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn active_namespaces_are_those_behind_one() {
    let listed = |after| identify(2, after, ABOUT).unwrap()[..8].to_vec();
    assert_eq!(listed(0), [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(listed(1), [0; 8]);
}

#[test]
fn names_differ_by_serial_number() {
    let page = |serial| identify(3, 1, About { serial, ..ABOUT }).unwrap();
    let (first, second) = (page(b"a"), page(b"b"));
    assert_eq!((&first[..4], &first[20..]), (&[3, 16, 0, 0][..], &[0; BYTES - 20][..]));
    assert_ne!(first, second);
    // Version 8 and variant 2 of a UUID.
    assert_eq!((first[4 + 6] >> 4, first[4 + 8] >> 6), (8, 2));
    assert_eq!(page(b"a"), first);
}

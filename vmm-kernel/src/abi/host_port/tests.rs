use super::*;

#[test]
fn all_of_an_access_lies_in_the_window() {
    let serial = HostPorts { first: 0x3f8, count: 8 };
    let bad = Err(Status::BadArgument);
    for (window, offset, width, expected) in [
        (serial, 0, 1, Ok(0x3f8)),
        (serial, 7, 1, Ok(0x3ff)),
        (serial, 8, 1, bad),
        (serial, 6, 2, Ok(0x3fe)),
        (serial, 7, 2, bad),
        (serial, 4, 4, Ok(0x3fc)),
        (serial, 5, 4, bad),
        (serial, 0, 0, bad),
        (serial, 0, 3, bad),
        (serial, 0, 8, bad),
        (serial, u32::MAX, 1, bad),
        (serial, u32::MAX, 2, bad),
        (serial, 0x1_0000, 1, bad),
        (HostPorts { first: 0xffff, count: 1 }, 0, 1, Ok(0xffff)),
        (HostPorts { first: 0xffff, count: 4 }, 1, 1, bad),
        (HostPorts { first: 0, count: 0 }, 0, 1, bad),
        (HostPorts { first: 0, count: 8 }, u32::MAX, 1, bad),
        (HostPorts { first: 0, count: 8 }, u32::MAX - 1, 4, bad),
    ] {
        assert_eq!(port(window, offset, width), expected, "{window:?} {offset} {width}");
    }
}

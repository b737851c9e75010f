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

#[test]
fn what_the_kernel_keeps_is_in_no_window() {
    for (first, count, expected) in [
        (0xf4, 4, Ok(())),
        (0x3f8, 8, Ok(())),
        (0x70, 2, Ok(())),
        (0x80, 1, Ok(())),
        (0xffff, 1, Ok(())),
        (0xd00, 0xf300, Ok(())),
        (0xf4, 0, Err(Status::BadArgument)),
        (0xffff, 2, Err(Status::BadArgument)),
        (0x1_0000, 1, Err(Status::BadArgument)),
        (0, u32::MAX, Err(Status::BadArgument)),
        (u32::MAX, 1, Err(Status::BadArgument)),
        (u32::MAX, 2, Err(Status::BadArgument)),
        (0, 0x1_0000, Err(Status::NoRight)),
        (0xcf7, 2, Err(Status::NoRight)),
        (0xcff, 1, Err(Status::NoRight)),
        (0xcf9, 1, Err(Status::NoRight)),
        (0xcf0, 0x100, Err(Status::NoRight)),
        (0x21, 1, Err(Status::NoRight)),
        (0xa0, 1, Err(Status::NoRight)),
        (0x43, 1, Err(Status::NoRight)),
        (0x61, 1, Err(Status::NoRight)),
        (0x402, 1, Err(Status::NoRight)),
        (0x514, 1, Err(Status::NoRight)),
        (0x87, 1, Err(Status::NoRight)),
        (0xdf, 1, Err(Status::NoRight)),
        (0x0f, 1, Err(Status::NoRight)),
    ] {
        assert_eq!(window(first, count).map(|_| ()), expected, "{first:#x} {count:#x}");
    }
    let made = window(0xf4, 4).unwrap();
    assert_eq!((made.first, made.count), (0xf4, 4));
}

use super::*;

#[test]
fn only_strings_are_requests_and_every_bit_counts() {
    let string =
        |port, width, flags| string_request(PortAccess::new(port, width, flags | PortAccess::STRING));
    let request = |port, size, is_in, is_repeated| Some(PortRequest { port, size, is_in, is_repeated });
    for (found, expected) in [
        (string(0x1f0, 1, PortAccess::IN), request(0x1f0, Size::B1, true, false)),
        (string(0xffff, 2, 0), request(0xffff, Size::B2, false, false)),
        (string(0, 4, PortAccess::REP), request(0, Size::B4, false, true)),
        (string(0, 4, PortAccess::REP | PortAccess::IN), request(0, Size::B4, true, true)),
        (string(0, 0, PortAccess::IN), None),
        (string(0, 3, PortAccess::IN), None),
        (string_request(PortAccess::new(0x1f0, 1, PortAccess::IN)), None),
        (string_request(PortAccess::new(0x1f0, 1, PortAccess::REP)), None),
    ] {
        assert_eq!(found, expected);
    }
}

use super::super::fake::FakeFunction;
use super::*;

/// A command register, and BARs as (register, low bits, address bits that may be written).
fn function(command: u32, bars: &[(u8, u32, u32)]) -> FakeFunction {
    let words: Vec<_> = bars.iter().map(|(bar, low, mask)| (BAR0 + 4 * bar, *low, *mask)).collect();
    FakeFunction::new(&[&[(COMMAND, command | 0x10 << 16, 0x0407)][..], &words].concat())
}

fn bytes(function: &FakeFunction) -> [u32; COUNT] {
    sizes(function).map(|size| size.bytes)
}

const WIDE: u32 = 0b100;

#[test]
fn sizes_of_each_kind() {
    // As QEMU's virtio devices: ports, a page of messages, 16 KiB of registers in two BARs.
    let virtio =
        function(7, &[(0, 1, !0x7f), (1, 0, !0xfff), (4, 0xc | 0xfe00_0000, !0x3fff), (5, 0, u32::MAX)]);
    assert_eq!(bytes(&virtio), [0, 0x1000, 0, 0, 0x4000, 0]);
    assert!(sizes(&virtio)[4].is_wide && !sizes(&virtio)[1].is_wide);
    // All is as it was before.
    assert_eq!(virtio.read(BAR0 + 16), 0xfe00_000c);
    assert_eq!(virtio.read(COMMAND) & 0xffff, 7);
    // Nothing was decoded while it was not, and no bit of the status was written.
    assert_eq!(virtio.writes.borrow()[0], (COMMAND, 0));
    assert!(virtio.writes.borrow().iter().all(|(at, value)| *at != COMMAND || value >> 16 == 0));
}

#[test]
fn what_cannot_be_placed_is_said_so() {
    for (bar, low, mask, high) in [
        (0, 0b010, !0xfff, None),             // below 1 MiB
        (0, 0b110, !0xfff, None),             // reserved
        (5, WIDE, !0xfff, None),              // the other half would be behind the last
        (0, 0, !0x10fff, None),               // a hole in the mask
        (0, 0, 0xffff_f000, Some(0)),         // 4 GiB are not in the mask, below
        (0, WIDE, !0xfff, Some(0xffff_0000)), // a hole in the upper half
        (0, WIDE, 0, Some(u32::MAX)),         // 4 GiB
        (0, WIDE, 0, Some(0)),                // no address bit at all
    ] {
        let mut bars = vec![(bar, low, mask)];
        bars.extend(high.map(|high| (bar + 1, 0, high)));
        let expected = if low == 0 && mask == 0xffff_f000 { 0x1000 } else { UNPLACEABLE };
        assert_eq!(bytes(&function(0, &bars))[usize::from(bar)], expected, "{bars:x?}");
    }
    assert_eq!(bytes(&function(0, &[])), [0; COUNT]);
}

fn sized(bytes: &[u32]) -> [Sized; COUNT] {
    let mut sizes = [Sized::default(); COUNT];
    sizes.iter_mut().zip(bytes).for_each(|(size, bytes)| size.bytes = *bytes);
    sizes
}

fn at(addresses: &[u32]) -> [u32; COUNT] {
    let mut all = [0; COUNT];
    all.iter_mut().zip(addresses).for_each(|(to, from)| *to = *from);
    all
}

#[test]
fn places_are_in_the_window_and_nobody_elses() {
    let start = WINDOW.start;
    let taken = [check(&sized(&[0x4000]), at(&[start + 0x8000]), [].iter()).unwrap()];
    let try_at =
        |sizes: &[u32], addresses: &[u32]| check(&sized(sizes), at(addresses), taken.iter()).map(|_| ());
    for (sizes, addresses, expected) in [
        (&[0x1000, 0x20][..], &[start, start + 0x1000][..], Ok(())),
        (&[0x4000], &[start + 0xc000], Ok(())),
        (&[0x1000], &[WINDOW.end - 0x1000], Ok(())),
        (&[0x2000], &[WINDOW.end - 0x1000], Err(Status::BadArgument)),
        (&[0x1000], &[WINDOW.end], Err(Status::BadArgument)),
        (&[0x1000], &[start - 0x1000], Err(Status::BadArgument)),
        (&[0x1000], &[0xfee0_0000], Err(Status::BadArgument)),
        (&[0x1000], &[0x10_0000], Err(Status::BadArgument)),
        (&[0x1000], &[0], Err(Status::BadArgument)),
        (&[0x4000], &[start + 0x1000], Err(Status::BadArgument)),
        (&[0x20], &[start + 0x20], Err(Status::BadArgument)),
        (&[0], &[start], Err(Status::BadArgument)),
        (&[UNPLACEABLE], &[start], Err(Status::BadArgument)),
        (&[0x1000], &[start + 0xb000], Err(Status::Overlap)),
        (&[0x10000], &[start], Err(Status::Overlap)),
        (&[0x20, 0x20], &[start, start], Err(Status::Overlap)),
    ] {
        assert_eq!(try_at(sizes, addresses), expected, "{sizes:x?} at {addresses:x?}");
    }
}

#[test]
fn addresses_are_written_and_read_back() {
    let start = WINDOW.start;
    let good = function(0, &[(0, 0, !0xfff), (2, WIDE, !0xfff), (3, 5, u32::MAX)]);
    let sizes_of = sizes(&good);
    let places = check(&sizes_of, at(&[start, 0, start + 0x1000]), [].iter()).unwrap();
    assert_eq!(write(&good, &sizes_of, &places), Ok(()));
    assert_eq!([good.read(0x10), good.read(0x18), good.read(0x1c)], [start, (start + 0x1000) | WIDE, 0]);
    for stubborn in [
        function(0, &[(0, 0, 0x0fff_f000), (2, WIDE, !0xfff), (3, 0, 0)]),
        function(0, &[(0, 0, !0xfff), (2, WIDE, !0xfff), (3, 5, 0)]),
    ] {
        assert_eq!(write(&stubborn, &sizes_of, &places), Err(Status::HostFault));
    }
}

#[test]
fn parts_are_whole_pages_within() {
    let placed = Placed { address: 0xf000_0000, bytes: 0x2020 };
    for (offset, bytes, expected) in [
        (0, 0x3000, Ok(0xf000_0000)),
        (0x2000, 0x1000, Ok(0xf000_2000)),
        (0x2000, 0x2000, Err(Status::NotFound)),
        (0x3000, 0x1000, Err(Status::NotFound)),
        (0x800, 0x1000, Err(Status::BadArgument)),
        (0, 0x800, Err(Status::BadArgument)),
        (0, 0, Err(Status::BadArgument)),
        (!0xfff, 0x1000, Err(Status::BadArgument)),
    ] {
        assert_eq!(placed.part(offset, bytes), expected, "{bytes:x} at {offset:x}");
    }
    assert_eq!(Placed::default().part(0, 0x1000), Err(Status::NotFound));
}

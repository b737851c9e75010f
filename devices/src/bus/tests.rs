use super::*;
use crate::{capability::Width, pci, pm, testing::Random};
use alloc::{vec, vec::Vec};

const A: DeviceId = DeviceId(0);
const B: DeviceId = DeviceId(1);

fn port(device: DeviceId, first: u16, count: u16) -> PortClaim {
    PortClaim { device, first, count }
}

fn mmio(device: DeviceId, gpa: u64, bytes: u64) -> MmioClaim {
    MmioClaim { device, gpa, bytes }
}

#[test]
fn port_claims_that_make_no_map() {
    let overlap = |at| ClaimError::Overlap { first: A, second: B, at };
    let cases: [(&[PortClaim], ClaimError); 6] = [
        (&[port(A, 0x70, 0)], ClaimError::Empty { device: A }),
        (&[port(A, 0xffff, 2)], ClaimError::OutOfRange { device: A }),
        (&[port(A, 0x70, 4), port(B, 0x73, 1)], overlap(0x73)),
        (&[port(A, 0x73, 1), port(B, 0x70, 4)], overlap(0x73)),
        (&[port(A, 0xffff, 1), port(B, 0, 0xffff), port(B, 0xffff, 1)], overlap(0xffff)),
        (&[port(DeviceId(u16::MAX), 0, 1)], ClaimError::ReservedId),
    ];
    for (claims, error) in cases {
        assert_eq!(PortMap::new(claims).err(), Some(error), "{claims:?}");
    }
}

#[test]
fn port_accesses_go_whole_or_byte_by_byte() {
    let map = PortMap::new(&[port(A, 0x10, 4), port(B, 0x14, 1), port(B, 0xffff, 1)]).unwrap();
    type Part = (u16, u16, Width);
    // Port, width, parts.
    let cases: [(u16, Width, &[Part]); 8] = [
        (0x10, Width::Dword, &[(0, 0x10, Width::Dword)]),
        (
            0x11,
            Width::Dword,
            &[(0, 0x11, Width::Byte), (0, 0x12, Width::Byte), (0, 0x13, Width::Byte), (1, 0x14, Width::Byte)],
        ),
        (0x14, Width::Word, &[(1, 0x14, Width::Byte)]),
        (0x0f, Width::Word, &[(0, 0x10, Width::Byte)]),
        (0x20, Width::Dword, &[]),
        (0xffff, Width::Byte, &[(1, 0xffff, Width::Byte)]),
        // The port number wraps, as the 80386 has it.
        (0xffff, Width::Word, &[(1, 0xffff, Width::Byte)]),
        (0x12, Width::Word, &[(0, 0x12, Width::Word)]),
    ];
    for (at, width, parts) in cases {
        let (mut read, mut written) = (Vec::new(), Vec::new());
        let value = map.read(at, width, |id, port, width| {
            read.push((id.0, port, width));
            0
        });
        map.write(at, width, 0, |id, port, width, _| written.push((id.0, port, width)));
        assert_eq!((read.as_slice(), written.as_slice()), (parts, parts), "{at:#x} {width:?}");
        let touched: u64 = parts.iter().map(|(_, p, w)| w.mask() << (8 * p.wrapping_sub(at))).sum();
        assert_eq!(u64::from(value), width.mask() & !touched, "absent bytes read all-ones");
    }
}

#[test]
fn config_address_is_whole_around_the_reset_register() {
    let claims: Vec<PortClaim> =
        PortClaim::each(A, pci::spec::PORTS).chain(PortClaim::each(B, pm::spec::PORTS)).collect();
    let map = PortMap::new(&claims).unwrap();
    assert_eq!(map.sole_owner(0xcf8, Width::Dword), Some(A));
    assert_eq!(map.sole_owner(0xcf9, Width::Byte), Some(B));
    assert_eq!(map.sole_owner(0xcf8, Width::Word), None);
    assert_eq!(map.sole_owner(0xcfe, Width::Word), Some(A));
}

#[test]
fn mmio_claims_that_make_no_map() {
    let cases: [(&[MmioClaim], ClaimError); 4] = [
        (&[mmio(A, 0x1000, 0)], ClaimError::Empty { device: A }),
        (&[mmio(A, u64::MAX, 2)], ClaimError::OutOfRange { device: A }),
        (
            &[mmio(A, 0x1000, 0x1001), mmio(B, 0x2000, 1)],
            ClaimError::Overlap { first: A, second: B, at: 0x2000 },
        ),
        (
            &[mmio(B, 0x2000, 1), mmio(A, 0x1000, 1 << 40)],
            ClaimError::Overlap { first: A, second: B, at: 0x2000 },
        ),
    ];
    for (claims, error) in cases {
        assert_eq!(MmioMap::new(claims).err(), Some(error), "{claims:?}");
    }
    assert!(MmioMap::new(&[mmio(A, u64::MAX, 1)]).unwrap().find(u64::MAX).is_some());
    assert_eq!(MmioMap::new(&[]).unwrap().find(0), None);
}

/// Random claims of all sizes, in runs of the same page and across pages, against a search through the list.
#[test]
fn mmio_lookup_agrees_with_a_linear_search() {
    let mut random = Random(1);
    let mut claims =
        vec![mmio(DeviceId(5000), 0xe000_0000, 256 << 20), mmio(DeviceId(5001), 1 << 40, 1 << 38)];
    let mut gpa = 0x1000;
    for id in 0..3000 {
        gpa += random.below(3) * random.below(0x3000);
        let bytes = 1 + if random.below(50) == 0 { random.below(1 << 20) } else { random.below(0x1800) };
        claims.push(mmio(DeviceId(id), gpa, bytes));
        gpa += bytes;
    }
    assert!(gpa < 0xe000_0000);
    let map = MmioMap::new(&claims).unwrap();
    let look = |gpa: u64| {
        let claim = claims.iter().find(|c| c.gpa <= gpa && gpa - c.gpa < c.bytes)?;
        let offset = gpa - claim.gpa;
        Some(Hit { device: claim.device, offset, remaining: claim.bytes - offset })
    };
    for claim in &claims {
        for at in [claim.gpa - 1, claim.gpa, claim.gpa + claim.bytes / 2, claim.gpa + claim.bytes] {
            assert_eq!(map.find(at), look(at), "{at:#x}");
        }
    }
    for _ in 0..3000 {
        let at = random.below(gpa + 0x10000);
        assert_eq!(map.find(at), look(at), "{at:#x}");
    }
}

#[test]
fn mmio_accesses_that_leave_a_range_are_split() {
    let map = MmioMap::new(&[mmio(A, 0x1000, 4), mmio(B, 0x1004, 2), mmio(A, u64::MAX - 1, 2)]).unwrap();
    let mut parts = Vec::new();
    let value = map.read(0x1002, Width::Qword, |id, offset, width| {
        parts.push((id, offset, width));
        0x1100 | offset
    });
    let byte = |id, offset| (id, offset, Width::Byte);
    assert_eq!(parts, [byte(A, 2), byte(A, 3), byte(B, 0), byte(B, 1)]);
    assert_eq!(value, 0xffff_ffff_0100_0302);
    let mut written = Vec::new();
    map.write(0x1003, Width::Dword, 0x4433_2211, |id, offset, _, value| written.push((id, offset, value)));
    assert_eq!(written, [(A, 3, 0x11), (B, 0, 0x22), (B, 1, 0x33)]);
    // Past the end of the address space there is nothing.
    assert_eq!(map.read(u64::MAX, Width::Word, |_, offset, _| offset), 0xff01);
    // What does not leave one is one access.
    let (mut read, mut written) = (Vec::new(), Vec::new());
    map.read(0x1000, Width::Dword, |id, offset, width| {
        read.push((id, offset, width));
        0
    });
    map.write(0x1002, Width::Word, 0x2211, |id, offset, width, value| {
        written.push((id, offset, width, value))
    });
    assert_eq!(read, [(A, 0, Width::Dword)]);
    assert_eq!(written, [(A, 2, Width::Word, 0x2211)]);
}

//! Ports, devices' registers, page states.

use plinth_snp_abi::ghcb::Field::{ExitCode, ExitInfo1, ExitInfo2, Rax, Scratch};
use plinth_snp_abi::ghcb::{PageOperation, PageStateBuffer, PageStateEntry};
use plinth_snp_abi::rmp::PageSize;
use zerocopy::{FromBytes, IntoBytes};

use super::{BUFFER, Fake, GHCB, call, machine};

#[test]
fn ports() {
    for (info, rax, asked, result, status) in [
        (0x3f8_0010, Some(0x1_2345), "out 3f8 1 45", None, [0, 0]),
        (0x3f8_0020, Some(0x1_2345), "out 3f8 2 2345", None, [0, 0]),
        (0xcfc_0040, Some(0xf_1234_5678), "out cfc 4 12345678", None, [0, 0]),
        (0x3f8_0010, None, "", None, [2, 4]),
        (0x3f8_0030, Some(0), "", None, [2, 5]),
        (0x3fd_0011, None, "in 3fd 1", Some(0x11), [0, 0]),
        (0x3fd_0021, None, "in 3fd 2", Some(0x2211), [0, 0]),
        (0x3fd_0041, None, "in 3fd 4", Some(0x4433_2211), [0, 0]),
    ] {
        let (mut vcpu, mut host) = machine();
        let mut fields = std::vec![(ExitCode, 0x7b), (ExitInfo1, info)];
        fields.extend(rax.map(|rax| (Rax, rax)));
        let (_, ghcb) = call(&mut vcpu, &mut host, &fields);
        assert_eq!(host.asked.join(", "), asked, "{info:#x}");
        assert_eq!([ghcb.get(ExitInfo1), ghcb.get(ExitInfo2)], status.map(Some), "{info:#x}");
        assert_eq!(ghcb.get(Rax), result, "{info:#x}");
    }
}

#[test]
fn strings() {
    let string =
        |info, count, scratch| [(ExitCode, 0x7b), (ExitInfo1, info), (ExitInfo2, count), (Scratch, scratch)];
    for scratch in [BUFFER, BUFFER + 0x7f0 - 4, 0x1000] {
        let (mut vcpu, mut host) = machine();
        host.put(scratch, &[1, 2, 3, 4]);
        call(&mut vcpu, &mut host, &string(0x3f8_0024, 2, scratch));
        assert_eq!(host.asked.join(", "), "out 3f8 2 201, out 3f8 2 403", "{scratch:#x}");
        call(&mut vcpu, &mut host, &string(0x3f8_001d, 4, scratch));
        assert_eq!(host.memory[scratch as usize..][..4], [0x11; 4], "{scratch:#x}");
    }
    for (scratch, count, status) in [
        // In the GHCB, but not in its part for data.
        (GHCB, 4, [2, 3]),
        (GHCB + 0x400, 4, [2, 3]),
        (BUFFER + 0x7f0 - 3, 4, [2, 3]),
        (GHCB - 2, 4, [2, 3]),
        // No memory, or more than a page.
        (0x7ffe, 4, [2, 3]),
        (u64::MAX - 1, 4, [2, 3]),
        (0x1000, 4097, [2, 5]),
        (0x1000, u64::MAX, [2, 5]),
    ] {
        let (mut vcpu, mut host) = machine();
        let (_, ghcb) = call(&mut vcpu, &mut host, &string(0x3f8_0014, count, scratch));
        assert_eq!([ghcb.get(ExitInfo1), ghcb.get(ExitInfo2)], status.map(Some), "{scratch:#x} {count}");
        assert!(host.asked.is_empty());
    }
}

#[test]
fn devices() {
    let mmio = |code, length, scratch| {
        [(ExitCode, code), (ExitInfo1, 0xfee0_0000), (ExitInfo2, length), (Scratch, scratch)]
    };
    for (code, length, scratch, asked, status) in [
        (0x8000_0001, 4, BUFFER, "read fee00000 4", [0, 0]),
        (0x8000_0001, 8, 0x1000, "read fee00000 8", [0, 0]),
        (0x8000_0002, 2, BUFFER, "write fee00000 [1, 2]", [0, 0]),
        (0x8000_0002, 9, BUFFER, "", [2, 5]),
        (0x8000_0001, 0, BUFFER, "", [2, 5]),
        (0x8000_0002, u64::MAX, BUFFER, "", [2, 5]),
        (0x8000_0002, 4, GHCB, "", [2, 3]),
        (0x8000_0002, 4, 0x10_0000, "", [2, 3]),
    ] {
        let (mut vcpu, mut host) = machine();
        host.put(BUFFER, &[1, 2]);
        let (_, ghcb) = call(&mut vcpu, &mut host, &mmio(code, length, scratch));
        assert_eq!(host.asked.join(", "), asked, "{code:#x} {length}");
        assert_eq!([ghcb.get(ExitInfo1), ghcb.get(ExitInfo2)], status.map(Some), "{code:#x} {length}");
        if asked.starts_with("read") {
            let bytes = &host.memory[scratch as usize..][..length as usize + 1];
            assert!(
                bytes[..length as usize].iter().all(|byte| *byte == 0xaa) && bytes[length as usize] != 0xaa
            );
        }
    }
}

fn entries(host: &Fake) -> PageStateBuffer {
    PageStateBuffer::read_from_bytes(&host.memory[BUFFER as usize..][..0x7f0]).unwrap()
}

const CHANGE: [(plinth_snp_abi::ghcb::Field, u64); 2] = [(ExitCode, 0x8000_0010), (Scratch, BUFFER)];

#[test]
fn page_states() {
    let private = PageStateEntry::new(0x809, PageOperation::Private, PageSize::Small);
    let shared = PageStateEntry::new(0x400, PageOperation::Shared, PageSize::Large);
    let (mut vcpu, mut host) = machine();
    host.put(BUFFER, PageStateBuffer::new(&[private, shared, private]).unwrap().as_bytes());
    let (_, ghcb) = call(&mut vcpu, &mut host, &CHANGE);
    assert_eq!(host.asked.join(", "), "Private Small 809, Shared Large 400, Private Small 809");
    assert_eq!((ghcb.get(ExitInfo1), ghcb.get(ExitInfo2)), (Some(0), Some(0)));
    let after = entries(&host);
    assert_eq!((after.header.current_entry, after.header.end_entry), (3, 2));
    assert_eq!([0, 1, 2].map(|number: usize| after.entries[number].current_page()), [1, 512, 1]);

    // A host that can't: nothing after that entry is done, and the guest sees which it was.
    let (mut vcpu, mut host) = machine();
    host.agrees = false;
    host.put(
        BUFFER,
        PageStateBuffer::new(&[private.with_current_page(1), shared, private]).unwrap().as_bytes(),
    );
    let (_, ghcb) = call(&mut vcpu, &mut host, &CHANGE);
    assert_eq!(host.asked.join(", "), "Shared Large 400");
    assert_eq!((ghcb.get(ExitInfo2), entries(&host).header.current_entry), (Some(1 << 40), 1));
}

#[test]
fn page_states_that_are_refused() {
    let good = PageStateEntry::new(0x200, PageOperation::Private, PageSize::Small);
    const HEADER: u64 = 1 << 32 | 1;
    const ENTRY: u64 = 1 << 32 | 2;
    type Break = fn(&mut PageStateBuffer);
    let table: [(Break, u64); 7] = [
        (|buffer| buffer.header.end_entry = 253, HEADER),
        (|buffer| buffer.header.current_entry = 1, HEADER),
        (|buffer| buffer.entries[0].0 |= 1 << 57, ENTRY),
        (|buffer| buffer.entries[0].0 &= !(0xf << 52), ENTRY),
        (|buffer| buffer.entries[0].0 |= 7 << 52, ENTRY),
        (|buffer| buffer.entries[0].0 |= 1 << 56 | 1 << 12, ENTRY),
        (|buffer| buffer.entries[0].0 |= 2, ENTRY),
    ];
    for (number, (damage, error)) in table.into_iter().enumerate() {
        let (mut vcpu, mut host) = machine();
        let mut buffer = PageStateBuffer::new(&[good]).unwrap();
        damage(&mut buffer);
        host.put(BUFFER, buffer.as_bytes());
        let (_, ghcb) = call(&mut vcpu, &mut host, &CHANGE);
        assert_eq!((ghcb.get(ExitInfo1), ghcb.get(ExitInfo2)), (Some(0), Some(error)), "{number}");
        assert!(host.asked.is_empty(), "{number}");
    }
    let (mut vcpu, mut host) = machine();
    let (_, ghcb) = call(&mut vcpu, &mut host, &[(ExitCode, 0x8000_0010), (Scratch, BUFFER + 8)]);
    assert_eq!((ghcb.get(ExitInfo1), ghcb.get(ExitInfo2)), (Some(2), Some(3)));
}

/// OVMF does not clear it.
#[test]
fn the_reserved_part_of_the_header_of_page_states_is_not_looked_at() {
    let (mut vcpu, mut host) = machine();
    let entry = PageStateEntry::new(0x200, PageOperation::Private, PageSize::Small);
    let mut buffer = PageStateBuffer::new(&[entry]).unwrap();
    buffer.header.reserved = 0x6c62_6174;
    host.put(BUFFER, buffer.as_bytes());
    let (_, ghcb) = call(&mut vcpu, &mut host, &CHANGE);
    assert_eq!((ghcb.get(ExitInfo2), host.asked.len()), (Some(0), 1));
}

//! Guest messages, SVSM calls, the doorbell page.

use zerocopy::{FromZeros, IntoBytes};

use crate::doorbell::Pending;
use crate::report::{AUTHENTICATED, AttestationReport, MessageHeader, SIGNED};
use crate::rmp::PageSize;
use crate::svsm::{CallId, PVALIDATE_MAX_ENTRIES, PvalidateEntry, PvalidateHeader};

#[test]
fn message_headers() {
    let header = MessageHeader {
        sequence_number: 0x0102_0304_0506_0708,
        algorithm: 1,
        vmpck: 2,
        ..MessageHeader::new_zeroed()
    };
    assert_eq!(header.initialization_vector(), [8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0]);
    let authenticated = &header.as_bytes()[AUTHENTICATED];
    assert_eq!((authenticated.len(), authenticated[0], authenticated[0xc]), (48, 1, 2));
}

#[test]
fn reports() {
    let mut report = AttestationReport::new_zeroed();
    report.current_mitigation_vector = 7;
    report.signature.r[0] = 9;
    let signed = report.signed_bytes();
    assert_eq!((signed.len(), signed[0x200]), (0x2a0, 7));
    assert_eq!(report.as_bytes()[SIGNED.end], 9);
}

#[test]
fn calls() {
    let call = CallId { protocol: 2, call: 1 };
    assert_eq!((call.encode(), CallId::decode(0x2_0000_0001)), (0x2_0000_0001, call));
    for (entry, raw) in [
        (PvalidateEntry::new(0x809, PageSize::Small, true, false), 0x80_9004),
        (PvalidateEntry::new(0x800, PageSize::Large, false, true), 0x80_0009),
    ] {
        assert_eq!(entry.0, raw);
        assert_eq!(entry.gfn(), raw >> 12);
    }
    let entry = PvalidateEntry(0x80_0009);
    assert_eq!(
        (entry.size(), entry.validates(), entry.ignores_carry()),
        (Some(PageSize::Large), false, true)
    );
    assert_eq!((PvalidateEntry(2).size(), PvalidateEntry(3).size()), (None, None));
    assert!(PvalidateEntry(0x10).has_reserved() && PvalidateEntry(0x800).has_reserved());
    assert!(!PvalidateEntry(0x100f).has_reserved());
    // Header and entries fill less than a page by one entry.
    assert_eq!(size_of::<PvalidateHeader>() + 8 * PVALIDATE_MAX_ENTRIES, 4096 - 8);
}

#[test]
fn doorbells() {
    let pending = Pending::from_bits_retain(0x8131);
    assert_eq!(pending.vector(), 0x31);
    assert!(pending.contains(Pending::NMI | Pending::NO_FURTHER_SIGNAL));
    assert!(!pending.contains(Pending::MACHINE_CHECK));
}

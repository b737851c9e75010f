//! The GHCB and its protocols.

use zerocopy::IntoBytes;

use crate::ghcb::event::{ApCreation, ApOperation};
use crate::ghcb::{
    CpuidRegister, Field, Ghcb, HvFeatures, MAX_ENTRIES, MalformedInput, Outcome, PageOperation,
    PageStateBuffer, PageStateEntry, ProtocolError, Request, Response,
};
use crate::rmp::PageSize;
use crate::vmsa::{EventInfo, EventType};

#[test]
fn requests() {
    use CpuidRegister::{Eax, Edx};
    for (request, word) in [
        (Request::Ghcb { gpa: 0x80_9000 }, 0x80_9000),
        (Request::SevInformation, 0x002),
        (Request::Cpuid { function: 0x8000_001f, register: Eax }, 0x8000_001f_0000_0004),
        (Request::Cpuid { function: 1, register: Edx }, 0x1_c000_0004),
        (Request::ApResetHold, 0x006),
        (Request::PreferredGhcb, 0x010),
        (Request::RegisterGhcb { gfn: 0x809 }, 0x80_9012),
        (Request::PageStateChange { gfn: 0x809, operation: PageOperation::Shared }, 0x0020_0000_0080_9014),
        (Request::RunVmpl { vmpl: 2 }, 0x2_0000_0016),
        (Request::HvFeatures, 0x080),
        (Request::Terminate { set: 1, reason: 2 }, 0x2_1100),
    ] {
        assert_eq!(request.encode(), word, "{request:?}");
        assert_eq!(Request::decode(word), Ok(request));
    }
    for word in [0x001, 0x003, 0x005, 0x013, 0x101, 0xfff] {
        assert_eq!(Request::decode(word), Err(ProtocolError::UnknownCode(word)));
    }
    // Neither 0 nor a large page's operations.
    for word in [0x014, 0x0030_0000_0000_0014, 0x0040_0000_0000_0014] {
        assert_eq!(Request::decode(word), Err(ProtocolError::InvalidField(word)));
    }
}

#[test]
fn responses() {
    for (response, word) in [
        (Response::SevInformation { max: 2, min: 1, c_bit: 51 }, 0x0002_0001_3300_0001),
        (Response::Cpuid { value: 0x1234_5678, register: CpuidRegister::Ebx }, 0x1234_5678_4000_0005),
        (Response::ApResetHold { woken: 1 }, 0x1007),
        (Response::PreferredGhcb { gfn: 0xf_ffff_ffff_ffff }, 0xffff_ffff_ffff_f011),
        (Response::RegisterGhcb { gfn: 0x809 }, 0x80_9013),
        (Response::PageStateChange { error: 0 }, 0x015),
        (Response::RunVmpl { error: 1 }, 0x1_0000_0017),
        (Response::HvFeatures(HvFeatures::SNP | HvFeatures::APIC_ID_LIST), 0x1_1081),
    ] {
        assert_eq!(response.encode(), word, "{response:?}");
        assert_eq!(Response::decode(word), Ok(response));
    }
    for word in [0, 0x002, 0x012, 0x014, 0x100] {
        assert_eq!(Response::decode(word), Err(ProtocolError::UnknownCode(word)));
    }
}

#[test]
fn fields() {
    let mut ghcb = Ghcb::zeroed();
    for (field, value, word, bit) in [
        (Field::Cpl, 3, 0xcb, 25),
        (Field::Xss, 8, 0x140, 40),
        (Field::Rax, 0x1122_3344_5566_7788, 0x1f8, 63),
        (Field::Rcx, 9, 0x308, 97),
        (Field::Rdi, 12, 0x338, 103),
        (Field::R15, 13, 0x378, 111),
        (Field::ExitCode, 0x72, 0x390, 114),
        (Field::Scratch, 10, 0x3a8, 117),
        (Field::Xcr0, 7, 0x3e8, 125),
    ] {
        assert_eq!(ghcb.get(field), None, "{field:?}");
        ghcb.set(field, value);
        assert_eq!(ghcb.get(field), Some(value), "{field:?}");
        let page = ghcb.as_bytes();
        assert_eq!(page[word], value.to_le_bytes()[0], "{field:?}");
        assert_ne!(page[0x3f0 + bit / 8] & 1 << (bit % 8), 0, "{field:?}");
    }
    assert_eq!((ghcb.rax, ghcb.cpl, ghcb.r8_to_r15[7]), (0x1122_3344_5566_7788, 3, 13));
    // The CPL's bytes beside it are nobody's.
    ghcb.set(Field::Cpl, !0);
    assert_eq!((ghcb.cpl, ghcb.reserved_0cc[0], ghcb.reserved_000[0xca]), (0xff, 0, 0));
    ghcb.invalidate();
    assert_eq!((ghcb.get(Field::Rax), ghcb.rax), (None, 0x1122_3344_5566_7788));
}

#[test]
fn outcomes() {
    let fault = EventInfo::new(EventType::Exception, 13, Some(0));
    for (outcome, encoded) in [
        (Outcome::Done(5), (0, 5)),
        (Outcome::Exception(fault), (1, 0x8000_0b0d)),
        (Outcome::Malformed(MalformedInput::NotRegistered), (2, 1)),
        (Outcome::Malformed(MalformedInput::InvalidEvent), (2, 6)),
        (Outcome::Undefined(2, 7), (2, 7)),
        (Outcome::Undefined(3, 0), (3, 0)),
    ] {
        assert_eq!(outcome.encode(), encoded);
        assert_eq!(Outcome::decode(encoded.0, encoded.1), outcome);
    }
    // The lower half alone says what it is.
    assert_eq!(Outcome::decode(1 << 32, 3), Outcome::Done(3));
}

#[test]
fn page_states() {
    let entry = PageStateEntry::new(0x12_3400, PageOperation::Private, PageSize::Large);
    assert_eq!(entry.0, 0x0110_0001_2340_0000);
    let (gfn, operation) = (entry.gfn(), entry.operation());
    assert_eq!((gfn, operation, entry.size()), (0x12_3400, Some(PageOperation::Private), PageSize::Large));
    let partly = entry.with_current_page(511);
    assert_eq!((partly.current_page(), partly.gfn(), partly.0), (511, gfn, entry.0 | 511));
    assert_eq!(partly.with_current_page(1).current_page(), 1);
    for (raw, operation) in
        [(0, None), (2, Some(PageOperation::Shared)), (4, Some(PageOperation::Unsmash)), (5, None)]
    {
        assert_eq!(PageStateEntry(raw << 52).operation(), operation);
    }
    assert!(PageStateEntry(1 << 57).has_reserved() && !entry.has_reserved());

    let buffer = PageStateBuffer::new(&[entry; MAX_ENTRIES]).unwrap();
    assert_eq!((buffer.header.current_entry, buffer.header.end_entry), (0, 252));
    assert_eq!(PageStateBuffer::new(&[entry; MAX_ENTRIES + 1]), None);
    assert_eq!(PageStateBuffer::new(&[]), None);
}

#[test]
fn processors() {
    let creation = ApCreation { operation: ApOperation::Create, vmpl: 2, apic_id: 5 };
    assert_eq!(creation.encode(), 0x5_0002_0001);
    assert_eq!(ApCreation::decode(0x5_0002_0001), Some(creation));
    for wrong in [3, 0x10_0001, 0xffff] {
        assert_eq!(ApCreation::decode(wrong), None, "{wrong:#x}");
    }
}

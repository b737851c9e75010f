//! VMSA, RMP operands.

use crate::exit::IoInfo;
use crate::rmp::{PageSize, Permissions, ResultCode, RmpAttributes};
use crate::vmsa::{
    EFER_SVME, EventInfo, EventType, Segment, SevFeatures, VintrCtrl, Vmsa, pack_attributes,
    unpack_attributes,
};

#[test]
fn attributes() {
    for (rights, packed) in [
        (0x009b, 0x09b), // 16-bit code
        (0xa09b, 0xa9b), // 64-bit code
        (0xc093, 0xc93), // 32-bit data
        (0x0082, 0x082),
        (0x008b, 0x08b),
        (0xf0ff, 0xfff),
    ] {
        assert_eq!(pack_attributes(rights), packed, "{rights:#x}");
        assert_eq!(unpack_attributes(packed), rights, "{rights:#x}");
        // The bits between, the upper part of a limit in the descriptor, don't go in.
        assert_eq!(pack_attributes(rights | 0xf00), packed, "{rights:#x}");
    }
}

#[test]
fn features() {
    for (features, status) in [
        (SevFeatures::SNP_ACTIVE, 0b111),
        (SevFeatures::SNP_ACTIVE | SevFeatures::VTOM, 0b1111),
        (SevFeatures::SNP_ACTIVE | SevFeatures::REFLECT_VC, 0b10111),
        (SevFeatures::empty(), 0b11),
        (SevFeatures::SNP_ACTIVE | SevFeatures::SECURE_AVIC, 0x4_0007),
    ] {
        assert_eq!(features.sev_status(), status);
        assert_eq!(SevFeatures::from_sev_status(status), Some(features));
    }
    for status in [0, 1, 2, 4, !3] {
        assert_eq!(SevFeatures::from_sev_status(status), None, "{status:#x}");
    }
    assert_eq!(SevFeatures::VMSA_REGISTER_PROTECTION.bits(), 0x4000);
    assert_eq!(SevFeatures::IBPB_ON_ENTRY.bits(), 0x20_0000);
}

#[test]
fn reset() {
    let vmsa = Vmsa::reset(0xffff_fff0).for_vmpl(2, SevFeatures::SNP_ACTIVE);
    assert_eq!((vmsa.cs.selector, vmsa.cs.base, vmsa.rip), (0xf000, 0xffff_0000, 0xfff0));
    assert_eq!((vmsa.cs.attributes, vmsa.cs.limit), (0x9b, 0xffff));
    assert_eq!((vmsa.vmpl, vmsa.sev_features, vmsa.efer), (2, 1, EFER_SVME));
    assert_eq!((vmsa.cr0, vmsa.cr4, vmsa.rflags), (0x6000_0010, 0, 2));
    let elsewhere = Vmsa::reset(0x0080_b004);
    assert_eq!((elsewhere.cs.base, elsewhere.rip), (0x0080_0000, 0xb004));
    let started = Vmsa::sipi(0x9a);
    assert_eq!((started.cs.selector, started.cs.base, started.rip), (0x9a00, 0x9_a000, 0));

    // The places, by their offsets.
    let page = vmsa.to_page();
    let word = |at: usize| u64::from_le_bytes(*page[at..].first_chunk().unwrap());
    for (at, value) in [
        (0x010, 0x0000_ffff_009b_f000),
        (0x018, 0xffff_0000),
        (0x020, 0x0000_ffff_0093_0000),
        (0x070, 0x0000_ffff_0082_0000),
        (0x090, 0x0000_ffff_008b_0000),
        (0x160, 0x400),
        (0x168, 0xffff_0ff0),
        (0x268, 0x0007_0406_0007_0406),
        (0x3e8, 1),
        (0x408, 0x5555_0000_1f80),
        (0x410, 0x40),
        (0x670, 0),
    ] {
        assert_eq!(word(at), value, "{at:#x}");
    }
    assert_eq!(Vmsa::from_page(&page), vmsa);
}

#[test]
fn general_registers() {
    let mut vmsa = Vmsa::zeroed();
    for number in 0..16 {
        *vmsa.gpr_mut(number).unwrap() = u64::from(number) + 1;
    }
    assert_eq!((vmsa.rax, vmsa.rcx, vmsa.rdx, vmsa.rbx), (1, 2, 3, 4));
    assert_eq!((vmsa.rsp, vmsa.rbp, vmsa.rsi, vmsa.rdi), (5, 6, 7, 8));
    assert_eq!(vmsa.r8_to_r15, [9, 10, 11, 12, 13, 14, 15, 16]);
    assert_eq!((vmsa.gpr(15), vmsa.gpr(16), vmsa.gpr(255)), (Some(16), None, None));
}

#[test]
fn interrupts() {
    let control = VintrCtrl::from_bits_retain(0x8000_0012_0103_0205);
    assert_eq!((control.tpr(), control.priority(), control.vector()), (5, 3, 0x12));
    assert!(control.contains(VintrCtrl::BUSY | VintrCtrl::GIF) && !control.contains(VintrCtrl::IRQ));
    let waiting = control.with_interrupt(0xe1).with_tpr(0xd0);
    assert_eq!(waiting.bits(), 0x8000_00e1_010e_03d0);
    for (event, raw) in [
        (EventInfo::new(EventType::Interrupt, 0x31, None), 0x8000_0031),
        (EventInfo::new(EventType::Nmi, 2, None), 0x8000_0202),
        (EventInfo::new(EventType::Exception, 13, Some(0x18)), 0x18_8000_0b0d),
        (EventInfo::new(EventType::Software, 0x80, None), 0x8000_0480),
    ] {
        assert_eq!(event.0, raw);
        assert!(event.is_valid() && event.kind().is_some());
    }
    let fault = EventInfo(0x18_8000_0b0d);
    assert_eq!(
        (fault.vector(), fault.kind(), fault.error_code()),
        (13, Some(EventType::Exception), Some(0x18))
    );
    assert!(!EventInfo(0x18_0000_0b0d).is_valid());
    assert_eq!((EventInfo(0x8000_0100).kind(), EventInfo(0x8000_0700).kind()), (None, None));
    assert_eq!(EventInfo(0x18_8000_030d).error_code(), None);
}

#[test]
fn rmp_operands() {
    let attributes = RmpAttributes { vmpl: 2, permissions: Permissions::READ, is_vmsa: true };
    assert_eq!(attributes.encode(), 0x1_0102);
    assert_eq!(RmpAttributes::decode(0x1_0102), Some(attributes));
    let all = RmpAttributes { vmpl: 1, permissions: Permissions::FULL, is_vmsa: false };
    assert_eq!((all.encode(), RmpAttributes::decode(0xf01)), (0xf01, Some(all)));
    for reserved in [0x2_0101, 0x2001, 1 << 63] {
        assert_eq!(RmpAttributes::decode(reserved), None, "{reserved:#x}");
    }
    for (code, result) in [(0, Some(ResultCode::Success)), (6, Some(ResultCode::FailSizeMismatch)), (4, None)]
    {
        assert_eq!(ResultCode::from_code(code), result);
    }
    assert_eq!(ResultCode::FailInUse.code(), 3);
    assert_eq!((PageSize::from_bit(2), PageSize::from_bit(3)), (PageSize::Small, PageSize::Large));
    assert_eq!((PageSize::Small.bytes(), PageSize::Large.bytes()), (0x1000, 0x20_0000));
}

#[test]
fn ports() {
    let write = IoInfo::new(0x3f8, 1, false);
    assert_eq!(write.0, 0x03f8_0010);
    assert_eq!((write.port(), write.bytes(), write.is_in()), (0x3f8, Some(1), false));
    let string = IoInfo(0x0511_0c1d);
    assert!(string.is_in() && string.is_string() && string.is_repeated());
    assert_eq!((string.port(), string.bytes(), string.segment()), (0x511, Some(1), 3));
    for raw in [0, 0x30, 0x70] {
        assert_eq!(IoInfo(raw).bytes(), None, "{raw:#x}");
    }
    assert_eq!(Segment::real_mode(0x1234, 0).base, 0x1_2340);
}

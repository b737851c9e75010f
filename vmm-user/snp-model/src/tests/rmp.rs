//! The RMP's instructions, result by result.

use plinth_snp_abi::exit::NpfInfo;
use plinth_snp_abi::rmp::{PageSize, Permissions, ResultCode, RmpAttributes};

use crate::rmp::guest::{Completion, Executor, Page, Query};
use crate::rmp::{Entry, HostError, Rmp, Update};

pub(super) const KERNEL: Executor = Executor { asid: 1, vmpl: 0, cpl: 0 };
const LARGE: u64 = 0x20_0000;

pub(super) fn update(gpa: u64, size: PageSize) -> Update {
    Update { assigned: true, size, asid: 1, gpa, immutable: false }
}

pub(super) fn page(gpa: u64, spa: u64) -> Page {
    Page { gva: gpa, gpa, spa, mapped: PageSize::Small }
}

fn done(code: ResultCode) -> Completion {
    Completion::Result { code, carry: false }
}

/// Three regions: a small page of the guest's in the first, a large one in the second.
fn machine() -> Rmp {
    let mut rmp = Rmp::new(1536);
    rmp.update(0x5000, update(0x1_5000, PageSize::Small)).unwrap();
    rmp.update(LARGE, update(8 * LARGE, PageSize::Large)).unwrap();
    rmp
}

#[test]
fn host_updates() {
    let small = |spa| update(spa, PageSize::Small);
    let large = |spa| update(spa, PageSize::Large);
    let table = [
        (0x6000, small(0), Ok(())),
        (0x5000, small(0), Ok(())),
        (0x6001, small(0), Err(HostError::Input)),
        (0x6000, small(0x123), Err(HostError::Input)),
        (3 * LARGE, small(0), Err(HostError::Input)),
        (!0xfff, small(0), Err(HostError::Input)),
        (0x6000, large(0), Err(HostError::Input)),
        (2 * LARGE, large(0x1000), Err(HostError::Input)),
        (2 * LARGE, large(0), Ok(())),
        (LARGE, large(0), Ok(())),
        (3 * LARGE, large(0), Err(HostError::Input)),
        (0, large(0), Err(HostError::Overlap)),
        (LARGE, small(0), Err(HostError::Overlap)),
        (LARGE + 0x3000, small(0), Err(HostError::Overlap)),
    ];
    for (spa, update, result) in table {
        assert_eq!(machine().update(spa, update), result, "{spa:#x} {update:?}");
    }
}

#[test]
fn an_update_takes_all_back() {
    let mut rmp = machine();
    assert_eq!(
        rmp.pvalidate(KERNEL, page(0x1_5000, 0x5000), PageSize::Small, true),
        done(ResultCode::Success)
    );
    rmp.rmpadjust(KERNEL, page(0x1_5000, 0x5000), PageSize::Small, 0x1_0101);
    assert!(rmp.lookup(0x5000).unwrap().vmsa);
    rmp.set_in_use(0x5000, true);
    assert_eq!(rmp.update(0x5000, update(0x1_5000, PageSize::Small)), Err(HostError::InUse));
    rmp.set_in_use(0x5000, false);
    rmp.update(0x5000, update(0x1_5000, PageSize::Small)).unwrap();
    let Entry { validated, vmsa, permissions, .. } = rmp.lookup(0x5000).unwrap();
    assert!(!validated && !vmsa && permissions[1].is_empty());
    let fixed = Update { immutable: true, ..update(0, PageSize::Small) };
    rmp.update(0x7000, fixed).unwrap();
    assert_eq!(rmp.update(0x7000, update(0, PageSize::Small)), Err(HostError::Permission));
    // A large page can't be put over one that can't be changed, whosever it is.
    rmp.update(2 * LARGE + 0x1000, Update { assigned: false, ..fixed }).unwrap();
    assert_eq!(rmp.update(2 * LARGE, update(0, PageSize::Large)), Err(HostError::Overlap));
    assert_eq!(Rmp::new(4).lookup(0x4000), None);
}

#[test]
fn smashing() {
    let mut rmp = machine();
    let large = Page { mapped: PageSize::Large, ..page(8 * LARGE, LARGE) };
    assert_eq!(rmp.pvalidate(KERNEL, large, PageSize::Large, true), done(ResultCode::Success));
    let table = [(0, HostError::Input), (LARGE + 0x1000, HostError::Input), (3 * LARGE, HostError::Input)];
    for (spa, error) in table {
        assert_eq!(rmp.smash(spa), Err(error), "{spa:#x}");
    }
    let before = rmp.lookup(LARGE + 0x5678).unwrap();
    assert_eq!((before.size, before.gpa), (PageSize::Large, 8 * LARGE + 0x5000));
    rmp.smash(LARGE).unwrap();
    let after = rmp.lookup(LARGE + 0x5678).unwrap();
    assert_eq!(after, Entry { size: PageSize::Small, ..before });
    assert_eq!(rmp.smash(LARGE), Err(HostError::Input));
    // Now each can be taken back by itself.
    rmp.update(LARGE + 0x5000, update(0x9000, PageSize::Small)).unwrap();
    assert!(!rmp.lookup(LARGE + 0x5000).unwrap().validated && rmp.lookup(LARGE + 0x6000).unwrap().validated);

    let mut fixed = Rmp::new(512);
    fixed.update(0, Update { immutable: true, ..update(0, PageSize::Large) }).unwrap();
    assert_eq!(fixed.smash(0), Err(HostError::Permission));
}

const NPF: NpfInfo = NpfInfo::from_bits_truncate(0x5_8000_0003);

#[test]
fn validation() {
    let (small, large) = (PageSize::Small, PageSize::Large);
    let here = page(0x1_5000, 0x5000);
    let in_large = page(8 * LARGE + 0x3000, LARGE + 0x3000);
    let whole = Page { mapped: large, ..page(8 * LARGE, LARGE) };
    let lower = Executor { vmpl: 1, ..KERNEL };
    let user = Executor { cpl: 3, ..KERNEL };
    let other = Executor { asid: 2, ..KERNEL };
    let nested = |more| Completion::NestedPageFault(NPF | more);
    let (none, mismatch) = (NpfInfo::empty(), NpfInfo::SIZE_MISMATCH);
    let table = [
        (KERNEL, here, small, done(ResultCode::Success)),
        (KERNEL, whole, large, done(ResultCode::Success)),
        (lower, here, small, Completion::GeneralProtection),
        (user, here, small, Completion::GeneralProtection),
        (other, here, small, nested(none)),
        (KERNEL, page(0x1_6000, 0x5000), small, nested(none)),
        (KERNEL, page(0x1_6000, 0x6000), small, nested(none)),
        (KERNEL, page(0x1_6000, 9 * LARGE), small, nested(none)),
        (KERNEL, in_large, small, nested(mismatch)),
        (KERNEL, page(8 * LARGE, LARGE), large, done(ResultCode::FailSizeMismatch)),
        (KERNEL, in_large, large, done(ResultCode::FailInput)),
        (KERNEL, Page { gva: 0, ..here }, large, done(ResultCode::FailSizeMismatch)),
    ];
    for (by, page, size, result) in table {
        let mut rmp = machine();
        assert_eq!(rmp.pvalidate(by, page, size, true), result, "{by:?} {page:x?} {size:?}");
        // Only one that succeeded leaves a page validated.
        let is_validated = rmp.lookup(page.spa).is_some_and(|entry| entry.validated);
        assert_eq!(is_validated, result == done(ResultCode::Success));
    }
    let mut rmp = machine();
    for (validate, carry) in [(false, true), (true, false), (true, true), (false, false), (false, true)] {
        let result = Completion::Result { code: ResultCode::Success, carry };
        assert_eq!(rmp.pvalidate(KERNEL, here, small, validate), result, "{validate}");
    }
}

/// A page that is validated again is as one that never was.
#[test]
fn validation_takes_permissions_back() {
    let (mut rmp, here) = (machine(), page(0x1_5000, 0x5000));
    rmp.pvalidate(KERNEL, here, PageSize::Small, true);
    assert_eq!(rmp.rmpadjust(KERNEL, here, PageSize::Small, 0xf02), done(ResultCode::Success));
    // What changes nothing takes nothing.
    rmp.pvalidate(KERNEL, here, PageSize::Small, true);
    assert_eq!(rmp.lookup(0x5000).unwrap().permissions[2], Permissions::FULL);
    rmp.pvalidate(KERNEL, here, PageSize::Small, false);
    rmp.pvalidate(KERNEL, here, PageSize::Small, true);
    assert_eq!(rmp.lookup(0x5000).unwrap().permissions[2], Permissions::empty());
}

#[test]
fn adjustment() {
    let small = PageSize::Small;
    let here = page(0x1_5000, 0x5000);
    let whole = Page { mapped: PageSize::Large, ..page(8 * LARGE, LARGE) };
    let one = Executor { vmpl: 1, ..KERNEL };
    let user = Executor { cpl: 3, ..KERNEL };
    let table = [
        (KERNEL, here, small, 0xf02, done(ResultCode::Success)),
        (KERNEL, here, small, 0x1_0101, done(ResultCode::Success)),
        (KERNEL, whole, PageSize::Large, 0xf02, done(ResultCode::Success)),
        (KERNEL, whole, PageSize::Large, 0x1_0102, done(ResultCode::FailInput)),
        (KERNEL, here, small, 0xf00, done(ResultCode::FailPermission)),
        (KERNEL, here, small, 0xf04, done(ResultCode::FailPermission)),
        (one, here, small, 0x301, done(ResultCode::FailPermission)),
        // VMPL1 has read and write.
        (one, here, small, 0x302, done(ResultCode::Success)),
        (one, here, small, 0x702, done(ResultCode::FailPermission)),
        (one, here, small, 0x1_0102, done(ResultCode::FailPermission)),
        (KERNEL, here, small, 0x2_0f02, done(ResultCode::FailInput)),
        (KERNEL, here, small, 0x2002, done(ResultCode::FailInput)),
        (KERNEL, here, PageSize::Large, 0xf02, done(ResultCode::FailInput)),
        (KERNEL, Page { gva: 0, ..here }, PageSize::Large, 0xf02, done(ResultCode::FailSizeMismatch)),
        (KERNEL, whole, small, 0xf02, Completion::NestedPageFault(NPF | NpfInfo::SIZE_MISMATCH)),
        (KERNEL, page(0x1_6000, 0x6000), small, 0xf02, Completion::NestedPageFault(NPF)),
        (KERNEL, page(0x7000, 0x7000), small, 0xf02, Completion::NotValidated),
        (user, here, small, 0xf02, Completion::GeneralProtection),
    ];
    for (by, page_, size, rdx, result) in table {
        let mut rmp = machine();
        rmp.update(0x7000, update(0x7000, small)).unwrap();
        rmp.pvalidate(KERNEL, here, small, true);
        rmp.pvalidate(KERNEL, whole, PageSize::Large, true);
        rmp.rmpadjust(KERNEL, here, small, 0x301);
        let before = rmp.lookup(page_.spa);
        assert_eq!(rmp.rmpadjust(by, page_, size, rdx), result, "{by:?} {page_:x?} {rdx:#x}");
        let is_changed = rmp.lookup(page_.spa) != before;
        assert_eq!(is_changed, result == done(ResultCode::Success), "{by:?} {page_:x?} {rdx:#x}");
    }
}

#[test]
fn a_vmsa_in_use_stays() {
    let (mut rmp, here) = (machine(), page(0x1_5000, 0x5000));
    rmp.pvalidate(KERNEL, here, PageSize::Small, true);
    rmp.rmpadjust(KERNEL, here, PageSize::Small, 0x1_0102);
    rmp.set_in_use(0x5000, true);
    assert_eq!(rmp.rmpadjust(KERNEL, here, PageSize::Small, 0x2), done(ResultCode::FailInUse));
    rmp.set_in_use(0x5000, false);
    assert_eq!(rmp.rmpadjust(KERNEL, here, PageSize::Small, 0x2), done(ResultCode::Success));
    assert!(!rmp.lookup(0x5000).unwrap().vmsa);
}

#[test]
fn queries() {
    let (mut rmp, here) = (machine(), page(0x1_5000, 0x5000));
    assert_eq!(rmp.rmpquery(KERNEL, here, 1), Err(Completion::NotValidated));
    rmp.pvalidate(KERNEL, here, PageSize::Small, true);
    rmp.rmpadjust(KERNEL, here, PageSize::Small, 0x302);
    let one = Executor { vmpl: 1, ..KERNEL };
    let found = |vmpl, permissions| {
        Ok(Query { attributes: RmpAttributes { vmpl, permissions, is_vmsa: false }, size: PageSize::Small })
    };
    let writable = Permissions::READ | Permissions::WRITE;
    let denied = Err(done(ResultCode::FailPermission));
    let nested = Err(Completion::NestedPageFault(NPF));
    for (by, page, vmpl, result) in [
        (KERNEL, here, 0, found(0, Permissions::FULL)),
        (KERNEL, here, 2, found(2, writable)),
        (one, here, 2, found(2, writable)),
        (one, here, 0, denied),
        (KERNEL, here, 4, denied),
        (Executor { cpl: 1, ..KERNEL }, here, 2, Err(Completion::GeneralProtection)),
        (KERNEL, page(0, 0x5000), 2, nested),
    ] {
        assert_eq!(rmp.rmpquery(by, page, vmpl), result, "{by:?} {vmpl}");
    }
}

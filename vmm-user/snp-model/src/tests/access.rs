//! The checks of accesses, cell by cell.

use plinth_snp_abi::exit::NpfInfo;
use plinth_snp_abi::rmp::PageSize;

use super::rmp::{KERNEL, page, update};
use crate::access::{Access, Denied, HostFault, Kind, Target};
use crate::rmp::{Rmp, Update};

const READ: Access = Access { asid: 1, vmpl: 0, is_user: false, kind: Kind::Read, is_private: true };
const WRITE: Access = Access { kind: Kind::Write, ..READ };
const FETCH: Access = Access { kind: Kind::Fetch, ..READ };
const WALK: Access = Access { kind: Kind::TableWalk, ..READ };
const LARGE: u64 = 0x20_0000;

/// 4: not validated; 5: VMPL1 reads it; 6: VMPL1 executes it at CPL 0; 7: at CPL 3; 8: the host's; 9: the
/// firmware's. The second region is a large page.
fn machine() -> Rmp {
    let mut rmp = Rmp::new(1024);
    for gpa in (0x4000..0x8000).step_by(0x1000) {
        rmp.update(gpa, update(gpa, PageSize::Small)).unwrap();
    }
    for (gpa, permissions) in [(0x5000, 0x101), (0x6000, 0x801), (0x7000, 0x401)] {
        rmp.pvalidate(KERNEL, page(gpa, gpa), PageSize::Small, true);
        rmp.rmpadjust(KERNEL, page(gpa, gpa), PageSize::Small, permissions);
    }
    rmp.update(0x9000, Update { immutable: true, asid: 1, ..update(0x9000, PageSize::Small) }).unwrap();
    rmp.update(LARGE, update(LARGE, PageSize::Large)).unwrap();
    let whole = crate::rmp::guest::Page { mapped: PageSize::Large, ..page(LARGE, LARGE) };
    rmp.pvalidate(KERNEL, whole, PageSize::Large, true);
    rmp
}

fn at(address: u64) -> Target {
    Target { gpa: address, spa: address, mapped: PageSize::Small }
}

fn npf(bits: u64) -> Result<(), Denied> {
    Err(Denied::NestedPageFault(NpfInfo::from_bits_retain(bits)))
}

#[test]
fn private_accesses() {
    let one = |access| Access { vmpl: 1, ..access };
    let user = |access| Access { is_user: true, ..access };
    let large = |address| Target { mapped: PageSize::Large, ..at(address) };
    let shared = |access| Access { is_private: false, ..access };
    let table = [
        (READ, at(0x5123), Ok(())),
        (WRITE, at(0x5000), Ok(())),
        (FETCH, at(0x5000), Ok(())),
        (WALK, at(0x5000), Ok(())),
        (READ, large(LARGE + 0x1_2345), Ok(())),
        // Not assigned, another guest's, elsewhere, the firmware's, beyond the table.
        (READ, at(0x8000), npf(0x5_8000_0001)),
        (WRITE, at(0x8000), npf(0x5_8000_0003)),
        (user(FETCH), at(0x8000), npf(0x5_8000_0015)),
        (WALK, at(0x8000), npf(0x6_8000_0007)),
        (Access { asid: 2, ..READ }, at(0x5000), npf(0x5_8000_0001)),
        (READ, Target { gpa: 0x6000, ..at(0x5000) }, npf(0x5_8000_0001)),
        (READ, at(0x9000), npf(0x5_8000_0001)),
        (READ, at(2 * LARGE), npf(0x5_8000_0001)),
        // Sizes.
        (READ, large(0x5000), npf(0xd_8000_0001)),
        (READ, at(LARGE), npf(0xd_8000_0001)),
        // Not validated, which is looked at before permissions, and behind sizes.
        (READ, at(0x4000), Err(Denied::NotValidated)),
        (one(READ), at(0x4000), Err(Denied::NotValidated)),
        (READ, large(0x4000), npf(0xd_8000_0001)),
        // Permissions.
        (one(READ), at(0x5000), Ok(())),
        (one(WRITE), at(0x5000), npf(0x15_8000_0003)),
        (one(WALK), at(0x5000), npf(0x16_8000_0007)),
        (one(FETCH), at(0x5000), npf(0x15_8000_0011)),
        (one(FETCH), at(0x6000), Ok(())),
        (one(READ), at(0x6000), npf(0x15_8000_0001)),
        (one(user(FETCH)), at(0x6000), npf(0x15_8000_0015)),
        (one(user(FETCH)), at(0x7000), Ok(())),
        (one(FETCH), at(0x7000), npf(0x15_8000_0011)),
        (Access { vmpl: 4, ..READ }, at(0x5000), npf(0x15_8000_0001)),
        // Fetches and walks are private whatever the C-bit says.
        (shared(FETCH), at(0x8000), npf(0x5_8000_0011)),
        (shared(WALK), at(0x4000), Err(Denied::NotValidated)),
    ];
    for (access, target, result) in table {
        assert_eq!(machine().check(&access, &target), result, "{access:?} {target:x?}");
    }
}

#[test]
fn shared_accesses() {
    let shared = |access| Access { is_private: false, ..access };
    for (access, address, result) in [
        (READ, 0x8000, Ok(())),
        (WRITE, 0x8000, Ok(())),
        (READ, 0x5000, Ok(())),
        (WRITE, 0x5000, npf(0x1_8000_0003)),
        (WRITE, 0x4000, npf(0x1_8000_0003)),
        (WRITE, LARGE + 0x5000, npf(0x1_8000_0003)),
        (WRITE, 2 * LARGE, Ok(())),
    ] {
        assert_eq!(machine().check(&shared(access), &at(address)), result, "{access:?} {address:#x}");
    }
}

#[test]
fn host_writes() {
    let rmp = machine();
    for (address, size, result) in [
        (0x8000, PageSize::Small, Ok(())),
        (0x5000, PageSize::Small, Err(HostFault)),
        (0x4000, PageSize::Small, Err(HostFault)),
        (0x9000, PageSize::Small, Err(HostFault)),
        (0x8000, PageSize::Large, Err(HostFault)),
        (LARGE + 0x8000, PageSize::Small, Err(HostFault)),
        (2 * LARGE, PageSize::Large, Ok(())),
    ] {
        assert_eq!(rmp.check_host_write(address, size), result, "{address:#x} {size:?}");
    }
}

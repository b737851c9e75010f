//! The firmware: launches that are taken and refused, messages that are believed and not.

mod certificate;
mod launch;
mod messages;

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::id_block::GuestPolicy;
use plinth_snp_abi::launch::PageType;
use plinth_snp_abi::rmp::PageSize;

use super::rmp::update;
use crate::access::Target;
use crate::rmp::{Rmp, Update};
use crate::sp::{Guest, Launch, LaunchParameters, Platform, Status};

const PARAMETERS: LaunchParameters =
    LaunchParameters { asid: 1, policy: GuestPolicy::DEFAULT, number: 7, gosvw: [3; 16] };

fn platform() -> Platform {
    Platform::new([5; 32])
}

/// What the processor's CPUID says.
fn cpuid(function: u32, subfunction: u32) -> [u32; 4] {
    match (function, subfunction) {
        (0, _) => [0x10, 0x6874_7541, 0x444d_4163, 0x6974_6e65],
        (1, _) => [0xa0_0f11, 0, 0x0000_000f, 0x0000_00ff],
        (7, 0) => [0, 0xff, 0, 0],
        (0x8000_001f, _) => [0x1_78bf, 51, 0, 0],
        _ => [0; 4],
    }
}

/// A machine whose pages from 1000h on wait to be taken into guest 1.
fn machine() -> (Rmp, Launch) {
    let mut rmp = Rmp::new(16);
    for gpa in (0x1000..0x8000).step_by(0x1000) {
        rmp.update(gpa, Update { immutable: true, ..update(gpa, PageSize::Small) }).unwrap();
    }
    (rmp, Launch::start(&platform(), PARAMETERS).unwrap())
}

fn at(gpa: u64) -> Target {
    Target { gpa, spa: gpa, mapped: PageSize::Small }
}

fn place(
    launch: &mut Launch,
    rmp: &mut Rmp,
    page_type: PageType,
    gpa: u64,
    page: &mut [u8; PAGE_BYTES],
) -> Result<(), Status> {
    launch.update(rmp, page_type, &at(gpa), page, &cpuid)
}

fn guest() -> Guest {
    let (mut rmp, mut launch) = machine();
    place(&mut launch, &mut rmp, PageType::Normal, 0x1000, &mut [7; PAGE_BYTES]).unwrap();
    launch.finish(None, [9; 32]).unwrap()
}

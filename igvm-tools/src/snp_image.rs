//! A layout of Plinth's own as an image for SEV-SNP.

use plinth_snp_abi::id_block::GuestPolicy;
use pvh_loader::file::ParameterKind;
use vcpu_abi::boot::BOOT_PAGE_VIRTUAL;

use crate::guest_image::start::{Mode, Start};
use crate::guest_image::{GuestImage, Page, ParameterPlace, SnpPart};
use crate::inspect::Range;
use crate::layout::{Layout, SnpPages};
use crate::recipe::Amount;
use crate::snp::reader::PageKind;

/// The guest policy: any version of the ABI, with multithreading.
const POLICY: GuestPolicy = GuestPolicy::SMT.union(GuestPolicy::RESERVED_ONE);

/// The image. Its first processor starts as `vcpu_abi::boot` promises, with no feature but SEV-SNP, as QEMU
/// and KVM accept no other.
pub fn of_layout(layout: Layout, snp: SnpPages) -> GuestImage {
    let start = Start {
        mode: Mode::Long,
        rip: Some(Amount(layout.entry)),
        rsp: Some(Amount(layout.stack_top)),
        cr3: Some(Amount(layout.page_table_root | snp.private_mark)),
        rax: Some(Amount(layout.page_table_root)),
        rdi: Some(Amount(BOOT_PAGE_VIRTUAL)),
        ..Start::default()
    };
    let parameters = [
        (layout.memory_map, ParameterKind::MemoryMap),
        (layout.vp_count, ParameterKind::VpCount),
        (layout.environment_info, ParameterKind::EnvironmentInfo),
    ];
    let of_firmware = [(snp.cpuid, PageKind::Cpuid), (snp.secrets, PageKind::Secrets)];
    let of_firmware = of_firmware.map(|(gpa, kind)| Page { gpa, kind, data: Vec::new() });
    let measured = layout.pages.into_iter_ascending();
    let measured = measured.map(|(gpa, data)| Page { gpa, kind: PageKind::Measured, data });
    let mut pages: Vec<Page> = measured.chain(of_firmware).collect();
    // By address, so that the same parts always make the same file.
    pages.sort_by_key(|page| page.gpa);
    GuestImage {
        required: vec![Range { gpa: layout.window.gpa, bytes: layout.window.bytes }],
        parameters: parameters
            .map(|(place, kind)| ParameterPlace { gpa: place.gpa, bytes: place.bytes, kind })
            .to_vec(),
        pages,
        native: None,
        snp: Some(SnpPart { policy: POLICY, contexts: vec![start.vmsa()], id_block: None }),
    }
}

#[cfg(test)]
mod tests;

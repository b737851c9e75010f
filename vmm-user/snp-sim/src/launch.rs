//! What the guest starts with: its image, its CPUID page, and the state of its first vCPU.

use alloc::vec::Vec;

use plinth_snp_abi::cpuid_page::{CpuidEntry, CpuidPage};
use plinth_snp_abi::id_block::GuestPolicy;
use plinth_snp_abi::launch::PageType;
use plinth_snp_abi::vmsa::{EFER_SVME, PAT_RESET, Segment, SevFeatures, Vmsa};
use plinth_snp_abi::{PAGE_BYTES, cpuid as bits};
use plinth_snp_model::sp::{Guest, Launch, LaunchParameters, Platform, Status};
use runtime::abi::operation::{Handle, SystemCpuid};
use runtime::{abi, call};
use zerocopy::IntoBytes;

use crate::machine::{ASID, Machine};
use crate::memory::{C_BIT, C_BIT_POSITION};

/// Where the guest's image begins, and is entered.
const IMAGE_GPA: u64 = 0x1_0000;
/// Where its CPUID page is.
const CPUID_GPA: u64 = 0x8000;
/// Where its secrets page is.
const SECRETS_GPA: u64 = 0x9000;
/// Where the first vCPU's state is: a page that the guest's image does not use.
const VMSA_GPA: u64 = 0x7000;
/// The guest's policy: any version of the ABI, with multithreading.
const POLICY: GuestPolicy = GuestPolicy::SMT.union(GuestPolicy::RESERVED_ONE);
/// Where its page tables are, within the image.
const TABLES_GPA: u64 = 0x2_0000;

/// CR0: PE, ET, NE, WP, PG.
const CR0: u64 = 0x8001_0031;
/// CR4: PAE.
const CR4: u64 = 0x20;
/// EFER: LME, LMA, and what a VMSA has.
const EFER: u64 = 0x500 | EFER_SVME;

/// The leaves that the guest finds in its CPUID page, besides that of memory encryption.
const LEAVES: [u32; 6] = [0, 1, 7, 0x8000_0000, 0x8000_0001, 0x8000_0008];

/// What CPUID says to the guest.
///
/// # Errors
/// The kernel's, where the host's CPUID can't be had.
pub fn cpuid_entries(system: Handle) -> Result<Vec<CpuidEntry>, abi::status::Status> {
    let mut entries = Vec::new();
    for eax_in in LEAVES {
        let leaf = call(system, SystemCpuid { eax: eax_in, ebx: 0, ecx: 0, edx: 0 })?;
        let entry =
            CpuidEntry { eax_in, eax: leaf.eax, ebx: leaf.ebx, ecx: leaf.ecx, edx: leaf.edx, ..entry() };
        entries.push(entry);
    }
    if let Some(highest) = entries.iter_mut().find(|entry| entry.eax_in == 0x8000_0000) {
        highest.eax = highest.eax.max(bits::ENCRYPTION_LEAF);
    }
    // One bit of an address less: the C-bit.
    let (eax, ebx) = (bits::SEV | bits::SEV_ES | bits::SEV_SNP | bits::VMPL, C_BIT_POSITION | 1 << 6);
    entries.push(CpuidEntry { eax_in: bits::ENCRYPTION_LEAF, eax, ebx, ..entry() });
    Ok(entries)
}

fn entry() -> CpuidEntry {
    CpuidEntry::default()
}

/// What CPUID returns of a function and subfunction: zeros for what is not there.
pub fn cpuid(entries: &[CpuidEntry], function: u32, subfunction: u32) -> [u32; 4] {
    let found = entries.iter().find(|entry| (entry.eax_in, entry.ecx_in) == (function, subfunction));
    found.map_or([0; 4], |entry| [entry.eax, entry.ebx, entry.ecx, entry.edx])
}

/// How many bits a guest physical address of the processor below has.
pub fn physical_bits(entries: &[CpuidEntry]) -> u32 {
    entries.iter().find(|entry| entry.eax_in == 0x8000_0008).map_or(0, |entry| entry.eax & 0xff)
}

/// The first vCPU: 64-bit mode at the image's first byte, at VMPL0 with SNP and no other feature.
pub fn first_vmsa() -> Vmsa {
    let code = Segment { selector: 8, attributes: 0x29b, limit: 0xffff_ffff, base: 0 };
    let data = Segment { selector: 16, attributes: 0xc93, limit: 0xffff_ffff, base: 0 };
    let mut vmsa = Vmsa::zeroed();
    (vmsa.cs, vmsa.ss, vmsa.ds, vmsa.es, vmsa.fs, vmsa.gs) = (code, data, data, data, data, data);
    (vmsa.cr0, vmsa.cr3, vmsa.cr4, vmsa.efer) = (CR0, TABLES_GPA | C_BIT, CR4, EFER);
    (vmsa.dr6, vmsa.dr7) = (0xffff_0ff0, 0x400);
    (vmsa.rip, vmsa.rflags) = (IMAGE_GPA, 2);
    (vmsa.g_pat, vmsa.xcr0) = (PAT_RESET, 1);
    vmsa.for_vmpl(0, SevFeatures::SNP_ACTIVE)
}

/// Has the firmware launch the guest: the pages of its image, measured, then CPUID page, secrets page and the
/// first vCPU's state, which KVM adds at the end. Returns the firmware's side of it.
///
/// # Errors
/// The firmware's.
pub fn launch(
    machine: &mut Machine,
    image: &[u8],
    entries: &[CpuidEntry],
    vmsa: &Vmsa,
) -> Result<Guest, Status> {
    let platform = Platform::new([0; 32]);
    let parameters = LaunchParameters { asid: ASID, policy: POLICY, number: 1, gosvw: [0; 16] };
    let mut launch = Launch::start(&platform, parameters)?;
    let processor = |function, subfunction| cpuid(entries, function, subfunction);
    for (gpa, bytes) in (IMAGE_GPA..).step_by(PAGE_BYTES).zip(image.chunks(PAGE_BYTES)) {
        let mut page = [0; PAGE_BYTES];
        page.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        machine.launch(&mut launch, PageType::Normal, gpa, page, &processor)?;
    }
    let cpuid_page = CpuidPage::new(entries).ok_or(Status::InvalidParam)?;
    let mut page = [0; PAGE_BYTES];
    page.iter_mut().zip(cpuid_page.as_bytes()).for_each(|(place, byte)| *place = *byte);
    machine.launch(&mut launch, PageType::Cpuid, CPUID_GPA, page, &processor)?;
    machine.launch(&mut launch, PageType::Secrets, SECRETS_GPA, [0; PAGE_BYTES], &processor)?;
    machine.launch(&mut launch, PageType::Vmsa, VMSA_GPA, vmsa.to_page(), &processor)?;
    launch.finish(None, [0; 32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_vcpu_is_one_that_an_image_may_have() {
        let vmsa = first_vmsa();
        assert_eq!((vmsa.vmpl, vmsa.features()), (0, SevFeatures::SNP_ACTIVE));
        assert!(vmsa.efer & EFER_SVME != 0 && vmsa.cr3 & C_BIT != 0);
    }
}

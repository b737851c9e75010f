//! The state in which KVM starts vCPUs of SEV-SNP, and measures them.

use plinth_snp_abi::vmsa::{SevFeatures, Vmsa};
pub use plinth_snp_file::launch::{CR4_MCE, as_started};

use super::processor::Signature;

/// Where the first processor starts, and each of an image that says nothing of others.
pub const RESET_VECTOR: u32 = 0xffff_fff0;

/// CR0.ET, which can't be cleared.
const CR0_ET: u64 = 1 << 4;
/// The x87 control word as QEMU resets it.
const X87_CONTROL: u16 = 0x037f;

/// A vCPU that was reset by QEMU and starts in real mode at `entry`, as KVM puts it into its VMSA: what KVM
/// has no place for, such as the x87 tag word, is zero there; bits that it needs itself are set.
///
/// Source: Linux, `arch/x86/kvm/svm/sev.c` (`sev_es_sync_vmsa`); the values are what PyPI's
/// `sev-snp-measure` has for QEMU.
pub fn reset(entry: u32, signature: Signature, features: SevFeatures) -> Vmsa {
    let mut vmsa = Vmsa::reset(entry).for_vmpl(0, features);
    vmsa.cr0 = CR0_ET;
    vmsa.cr4 = CR4_MCE;
    vmsa.x87_ftw = 0;
    vmsa.x87_fcw = X87_CONTROL;
    vmsa.rdx = signature.0.into();
    vmsa
}

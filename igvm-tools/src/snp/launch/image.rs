//! The launch digest of an IGVM file, in the order in which QEMU's loader launches what is in it.

use plinth_snp_abi::launch::{LaunchDigest, PageType};
use plinth_snp_abi::vmsa::KVM_VMSA_GPA;
use plinth_snp_file::launch::{Step, order};

use super::{LaunchError, Vcpus, finish};
use crate::PAGE_BYTES;
use crate::snp::reader::{PageBytes, SnpFile};
use crate::snp::vcpu;

/// The launch digest of a file that QEMU's IGVM loader loads. Contexts in the file are those of their vCPUs;
/// the others are as after reset.
///
/// # Errors
/// [`LaunchError`]: what QEMU would not launch, or not as the file says.
pub fn image_digest(file: &SnpFile<'_>, vcpus: &Vcpus) -> Result<[u8; 48], LaunchError> {
    let mut digest = LaunchDigest::new();
    for step in order(file).map_err(|error| LaunchError::Shared(error.0))? {
        match step {
            Step::Page { gpa, page_type, data } => digest.measure(page_type, gpa, data.unwrap_or(&ZEROS)),
            Step::Area { place, .. } => {
                for gpa in (place.start..place.end).step_by(PAGE_BYTES as usize) {
                    digest.extend(PageType::Unmeasured, gpa, [0; 48]);
                }
            }
        }
    }
    let contexts: Vec<_> = file.contexts().map(|context| (context.vcpu, context.vmsa())).collect();
    for context in file.contexts() {
        if context.gpa != KVM_VMSA_GPA {
            return Err(LaunchError::ContextPlace { vcpu: context.vcpu, gpa: context.gpa });
        }
        // QEMU refuses a context of a processor that is not there.
        if u32::from(context.vcpu) >= vcpus.count {
            return Err(LaunchError::ContextOfNone { vcpu: context.vcpu, count: vcpus.count });
        }
    }
    finish(digest, vcpus, vcpu::RESET_VECTOR, &contexts)
}

static ZEROS: PageBytes = [0; PAGE_BYTES as usize];

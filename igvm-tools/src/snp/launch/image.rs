//! The launch digest of an IGVM file, in the order in which QEMU's loader launches what is in it.

use plinth_snp_abi::launch::{LaunchDigest, PageType};
use plinth_snp_abi::vmsa::KVM_VMSA_GPA;
use pvh_loader::file::{Directive, ParameterAreas};

use super::{LaunchError, Vcpus, finish};
use crate::PAGE_BYTES;
use crate::snp::reader::{PageBytes, PageKind, Placed, SnpDirective, SnpFile};
use crate::snp::vcpu;

/// The launch digest of a file that QEMU's IGVM loader loads. Contexts in the file are those of their vCPUs;
/// the others are as after reset.
///
/// # Errors
/// [`LaunchError`]: what QEMU would not launch, or not as the file says.
pub fn image_digest(file: &SnpFile<'_>, vcpus: &Vcpus) -> Result<[u8; 48], LaunchError> {
    let mut launch = Launch::default();
    for placed in file.directives() {
        launch.follow(placed)?;
    }
    launch.launch_group();
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
    finish(launch.digest, vcpus, vcpu::RESET_VECTOR, &contexts)
}

/// What QEMU's loader (`backends/igvm.c`) holds while it goes through a file: adjacent pages that look the
/// same are a group, which is launched when a page comes that does not belong to it, or at the end. So what
/// comes between, the insertion of a parameter area, is launched before the group that it follows.
#[derive(Default)]
struct Launch<'a> {
    digest: LaunchDigest,
    areas: ParameterAreas,
    group: Vec<&'a Placed<'a>>,
}

impl<'a> Launch<'a> {
    fn follow(&mut self, placed: &'a Placed<'a>) -> Result<(), LaunchError> {
        match &placed.directive {
            SnpDirective::Page { gpa, kind: PageKind::Shared, .. } => Err(LaunchError::Shared(*gpa)),
            SnpDirective::Page { .. } => {
                if !self.group.last().is_none_or(|last| continues(last, placed)) {
                    self.launch_group();
                }
                self.group.push(placed);
                Ok(())
            }
            SnpDirective::Common(common) => {
                // The reader has followed them without an error.
                let inserted = self.areas.follow(common).ok().flatten();
                if let (Directive::ParameterInsert { .. }, Some((_, place))) = (common, inserted) {
                    for gpa in (place.start..place.end).step_by(PAGE_BYTES as usize) {
                        self.digest.extend(PageType::Unmeasured, gpa, [0; 48]);
                    }
                }
                Ok(())
            }
            SnpDirective::Context(_) | SnpDirective::IdBlock(_) => Ok(()),
        }
    }

    fn launch_group(&mut self) {
        for placed in std::mem::take(&mut self.group) {
            let SnpDirective::Page { gpa, kind, data, .. } = placed.directive else { continue };
            match kind {
                // One without contents has zeros, which are measured as such: QEMU does not use the type of
                // page that the AMD-SP has for zeros.
                PageKind::Measured => self.digest.measure(PageType::Normal, gpa, data.unwrap_or(&ZEROS)),
                PageKind::Unmeasured => self.digest.extend(PageType::Unmeasured, gpa, [0; 48]),
                PageKind::Secrets => self.digest.extend(PageType::Secrets, gpa, [0; 48]),
                PageKind::Cpuid => self.digest.extend(PageType::Cpuid, gpa, [0; 48]),
                // `follow` lets none in.
                PageKind::Shared => {}
            }
        }
    }
}

static ZEROS: PageBytes = [0; PAGE_BYTES as usize];

/// Whether a page belongs to the group that ends with another one.
fn continues(last: &Placed<'_>, next: &Placed<'_>) -> bool {
    let (
        SnpDirective::Page { gpa: last_gpa, data: last_data, attributes: last_attributes, .. },
        SnpDirective::Page { gpa, data, attributes, .. },
    ) = (&last.directive, &next.directive)
    else {
        return false;
    };
    last.number + 1 == next.number
        && last_gpa.checked_add(PAGE_BYTES) == Some(*gpa)
        && last_attributes == attributes
        && last_data.is_some() == data.is_some()
}

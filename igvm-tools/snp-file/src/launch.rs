//! The order in which QEMU's loader (`backends/igvm.c`) launches what is in a file, which the launch digest
//! depends on.

use alloc::vec::Vec;

use plinth_snp_abi::launch::PageType;
use plinth_snp_abi::vmsa::{EFER_SVME, Vmsa};
use pvh_loader::extents::Extent;
use pvh_loader::file::{Directive, Parameter, ParameterAreas};

use crate::{PAGE_BYTES, PageBytes, PageKind, Placed, SnpDirective, SnpFile};

/// CR4.MCE, which KVM sets, as the host needs it.
pub const CR4_MCE: u64 = 1 << 6;

/// The VMSA that KVM makes of a context in an IGVM file: two bits are set whatever the file says.
#[must_use]
pub fn as_started(context: &Vmsa) -> Vmsa {
    Vmsa { efer: context.efer | EFER_SVME, cr4: context.cr4 | CR4_MCE, ..*context }
}

/// What is launched at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A page.
    Page {
        /// Where.
        gpa: u64,
        /// How: one without contents in the file is of zeros, which are measured as such. QEMU does not use
        /// the type of page that the AMD-SP has for zeros.
        page_type: PageType,
        /// Its contents; `None` is a page of zeros.
        data: Option<&'a PageBytes>,
    },
    /// A parameter area, which the host has written: all its pages are unmeasured.
    Area {
        /// Where.
        place: Extent,
        /// What the host writes into it.
        parameters: Vec<Parameter>,
    },
}

/// What QEMU's loader would launch otherwise than the file says: a page that is to be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page at {0:#x} is to be shared: QEMU's loader has no such pages")]
pub struct SharedPage(pub u64);

/// All pages of a file in the order in which they are launched. Contexts and the ID block come behind them.
///
/// # Errors
/// [`SharedPage`].
pub fn order<'a>(file: &SnpFile<'a>) -> Result<Vec<Step<'a>>, SharedPage> {
    let mut order = Order::default();
    for placed in file.directives() {
        order.follow(placed)?;
    }
    order.launch_group();
    Ok(order.steps)
}

/// What QEMU's loader holds while it goes through a file: adjacent pages that look the same are a group,
/// which is launched when a page comes that does not belong to it, or at the end. So what comes between, the
/// insertion of a parameter area, is launched before the group that it follows.
#[derive(Default)]
struct Order<'a> {
    steps: Vec<Step<'a>>,
    areas: ParameterAreas,
    group: Vec<Placed<'a>>,
}

impl<'a> Order<'a> {
    fn follow(&mut self, placed: &Placed<'a>) -> Result<(), SharedPage> {
        match &placed.directive {
            SnpDirective::Page { gpa, kind: PageKind::Shared, .. } => Err(SharedPage(*gpa)),
            SnpDirective::Page { .. } => {
                if !self.group.last().is_none_or(|last| continues(last, placed)) {
                    self.launch_group();
                }
                self.group.push(*placed);
                Ok(())
            }
            SnpDirective::Common(common) => {
                // The reader has followed them without an error.
                let inserted = self.areas.follow(common).ok().flatten();
                if let (Directive::ParameterInsert { area, .. }, Some((_, place))) = (common, inserted) {
                    let parameters = self.areas.parameters(*area).collect();
                    self.steps.push(Step::Area { place, parameters });
                }
                Ok(())
            }
            SnpDirective::Context(_) | SnpDirective::IdBlock(_) => Ok(()),
        }
    }

    fn launch_group(&mut self) {
        for placed in core::mem::take(&mut self.group) {
            let SnpDirective::Page { gpa, kind, data, .. } = placed.directive else { continue };
            let page_type = match kind {
                PageKind::Measured => PageType::Normal,
                PageKind::Unmeasured => PageType::Unmeasured,
                PageKind::Secrets => PageType::Secrets,
                PageKind::Cpuid => PageType::Cpuid,
                // `follow` lets none in.
                PageKind::Shared => continue,
            };
            self.steps.push(Step::Page { gpa, page_type, data });
        }
    }
}

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

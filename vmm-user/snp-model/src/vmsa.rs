//! How a VMSA is entered and left: the checks of VMRUN, and the bits that keep a vCPU from running while its
//! state is not whole (APM 2, 15.36.12 and 15.36.16; the order of the checks is not confirmed by a public
//! source).

use plinth_snp_abi::exit::{self, VC_VECTOR};
use plinth_snp_abi::rmp::PageSize;
use plinth_snp_abi::vmsa::{EFER_SVME, EventInfo, SevFeatures, VintrCtrl, Vmsa};

use crate::access::Target;
use crate::rmp::Rmp;

/// Features that exclude each other: both want the guest's interrupts.
const INJECTION: [SevFeatures; 3] =
    [SevFeatures::RESTRICTED_INJECTION, SevFeatures::ALTERNATE_INJECTION, SevFeatures::SECURE_AVIC];

/// What a host lets a guest have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The guest.
    pub asid: u32,
    /// Features that a VMSA may have (the VMCB's ALLOWED_SEV_FEATURES, or all that the processor knows).
    pub features: SevFeatures,
}

/// Why a VMSA is not entered: EXITCODE of the VMRUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// VMEXIT_INVALID.
    Invalid,
    /// VMEXIT_BUSY.
    Busy,
}

impl Refused {
    /// The exit code.
    #[must_use]
    pub const fn exit_code(self) -> u64 {
        match self {
            Self::Invalid => exit::INVALID,
            Self::Busy => exit::BUSY,
        }
    }
}

/// Whether an entry makes the processor forget the guest's translations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// PCPU_ID was 0.
    pub flushes: bool,
    /// What EVENTINJ says is to be delivered, with alternate injection: it is taken out of the VMSA.
    pub event: Option<EventInfo>,
}

/// Checks the page of a VMSA: it must be this guest's, at this address, validated, small, and a VMSA.
///
/// # Errors
/// It is refused.
fn check_page(rmp: &Rmp, asid: u32, at: &Target) -> Result<(), Refused> {
    let entry = rmp.lookup(at.spa).ok_or(Refused::Invalid)?;
    let is_ours = entry.assigned && entry.asid == asid && entry.gpa == at.gpa;
    let is_vmsa = entry.vmsa && entry.validated && !entry.immutable && entry.size == PageSize::Small;
    if is_ours && is_vmsa { Ok(()) } else { Err(Refused::Invalid) }
}

fn check_features(features: SevFeatures, allowed: SevFeatures, vmpl: u8) -> Result<(), Refused> {
    let is_known = features.contains(SevFeatures::SNP_ACTIVE) && allowed.contains(features);
    let interrupts = INJECTION.into_iter().filter(|feature| features.contains(*feature)).count();
    // Nobody is above VMPL0 to inject, or to handle what is reflected.
    let above = SevFeatures::ALTERNATE_INJECTION | SevFeatures::REFLECT_VC;
    if !is_known || interrupts > 1 || vmpl == 0 && features.intersects(above) {
        return Err(Refused::Invalid);
    }
    Ok(())
}

/// VMRUN of a VMSA: checks it and marks its page as in use. `vmsa` is the page's content and is what is to
/// be stored in it, since an event that is taken leaves it.
///
/// # Errors
/// VMRUN ends at once; nothing has changed.
pub fn enter(rmp: &mut Rmp, allowed: &Allowed, at: &Target, vmsa: &mut Vmsa) -> Result<Entered, Refused> {
    check_page(rmp, allowed.asid, at)?;
    let control = VintrCtrl::from_bits_retain(vmsa.vintr_ctrl);
    if rmp.is_in_use(at.spa) || control.contains(VintrCtrl::BUSY) {
        return Err(Refused::Busy);
    }
    check_features(vmsa.features(), allowed.features, vmsa.vmpl)?;
    let is_runnable = vmsa.efer & EFER_SVME != 0 && vmsa.vmpl < 4 && vmsa.cpl < 4;
    // CR0.NW without CD, and paging without protection, are no states (APM 2, 15.5.1).
    let (cd, nw) = (vmsa.cr0 & 1 << 30 != 0, vmsa.cr0 & 1 << 29 != 0);
    let (pg, pe) = (vmsa.cr0 & 1 << 31 != 0, vmsa.cr0 & 1 != 0);
    if !is_runnable || nw && !cd || pg && !pe {
        return Err(Refused::Invalid);
    }
    rmp.set_in_use(at.spa, true);
    let mut event = None;
    if vmsa.features().contains(SevFeatures::ALTERNATE_INJECTION) {
        event = Some(EventInfo(vmsa.event_inj)).filter(|event| event.is_valid());
        vmsa.event_inj = 0;
    }
    Ok(Entered { flushes: vmsa.pcpu_id == 0, event })
}

/// Why a guest stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: u64,
    /// EXITINFO1.
    pub info_1: u64,
    /// EXITINFO2.
    pub info_2: u64,
    /// RIP behind the instruction, where there is one.
    pub nrip: u64,
    /// The event whose delivery was interrupted.
    pub interrupted: Option<EventInfo>,
}

/// What the host sees of an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visible {
    /// EXITCODE of the VMCB.
    pub code: u64,
    /// EXITINFO1 of the VMCB.
    pub info_1: u64,
    /// EXITINFO2 of the VMCB.
    pub info_2: u64,
}

/// An exit: writes down in the VMSA why, and lets its page go. `is_reflected` is what [`vc`](crate::vc) said.
///
/// With an event interrupted, an unenlightened guest's VMSA is busy: its paravisor looks first
/// (APM 2, 15.36.16).
pub fn leave(rmp: &mut Rmp, at: &Target, vmsa: &mut Vmsa, exit: &Exit, is_reflected: bool) -> Visible {
    vmsa.exit_code = exit.code;
    vmsa.exit_info_1 = exit.info_1;
    vmsa.exit_info_2 = exit.info_2;
    vmsa.nrip = exit.nrip;
    vmsa.exit_int_info = exit.interrupted.map_or(0, |event| event.0);
    let is_alternate = vmsa.features().contains(SevFeatures::ALTERNATE_INJECTION);
    if is_alternate && exit.interrupted.is_some() {
        vmsa.vintr_ctrl |= VintrCtrl::BUSY.bits();
    }
    rmp.set_in_use(at.spa, false);
    if is_reflected {
        return Visible { code: exit::EXCEPTION + u64::from(VC_VECTOR), info_1: 0, info_2: 0 };
    }
    // Of registers and instructions the host learns nothing but the exit (APM 2, 15.35.6).
    Visible { code: exit.code, info_1: exit.info_1, info_2: exit.info_2 }
}

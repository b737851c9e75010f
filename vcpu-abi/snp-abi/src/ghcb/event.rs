//! Events that are not automatic exits and that a guest asks the host for (GHCB, 4; as Linux and Coconut
//! SVSM have them). An intercept that a #VC handler passes on has its [exit code](crate::exit).

/// MMIO_READ: SW_EXITINFO1 is the address, SW_EXITINFO2 the bytes (at most 8), SW_SCRATCH where they go.
pub const MMIO_READ: u64 = 0x8000_0001;
/// MMIO_WRITE, with the same operands.
pub const MMIO_WRITE: u64 = 0x8000_0002;
/// NMI_COMPLETE: NMIs may be injected again.
pub const NMI_COMPLETE: u64 = 0x8000_0003;
/// AP_RESET_HOLD: waits for INIT and SIPI; SW_EXITINFO2 is not 0 when a SIPI came.
pub const AP_RESET_HOLD: u64 = 0x8000_0004;
/// AP_JUMP_TABLE: SW_EXITINFO1 0 sets its address (SW_EXITINFO2), 1 asks for it.
pub const AP_JUMP_TABLE: u64 = 0x8000_0005;
/// SNP page state change: a [`PageStateBuffer`](super::PageStateBuffer) at SW_SCRATCH.
pub const PAGE_STATE_CHANGE: u64 = 0x8000_0010;
/// SNP guest request: SW_EXITINFO1 is the request's page, SW_EXITINFO2 the response's; SW_EXITINFO2 of the
/// host has the firmware's error in its lower half and its own in the upper.
pub const GUEST_REQUEST: u64 = 0x8000_0011;
/// SNP extended guest request: the same, with RAX the address and RBX the number of pages for certificates.
pub const EXTENDED_GUEST_REQUEST: u64 = 0x8000_0012;
/// SNP AP creation: see [`ApCreation`].
pub const AP_CREATION: u64 = 0x8000_0013;
/// #HV doorbell page: SW_EXITINFO1 is one of [`doorbell_operation`], SW_EXITINFO2 the page.
pub const HV_DOORBELL: u64 = 0x8000_0014;
/// #HV IPI.
pub const HV_IPI: u64 = 0x8000_0015;
/// #HV timer.
pub const HV_TIMER: u64 = 0x8000_0016;
/// APIC ids: RAX is the pages at SW_EXITINFO1, and in the end the pages needed; there is a count and that
/// many ids, 4 bytes each.
pub const APIC_ID_LIST: u64 = 0x8000_0017;
/// SNP run VMPL: SW_EXITINFO1 is the VMPL.
pub const RUN_VMPL: u64 = 0x8000_0018;
/// Secure AVIC: RAX the processor or all-ones, RBX the backing page, SW_EXITINFO1 0 registers, 1 does not any
/// longer.
pub const SECURE_AVIC: u64 = 0x8000_001a;
/// Configures an interrupt of a lower VMPL. As Coconut SVSM has it.
pub const CONFIGURE_INTERRUPT: u64 = 0x8000_001b;
/// Ends alternate injection of this vCPU. As Coconut SVSM has it.
pub const DISABLE_ALTERNATE_INJECTION: u64 = 0x8000_001c;
/// An EOI of a level-triggered interrupt. As Coconut SVSM has it.
pub const SPECIFIC_EOI: u64 = 0x8000_001d;
/// Hypervisor features: SW_EXITINFO2 of the host is [`HvFeatures`](super::HvFeatures).
pub const HV_FEATURES: u64 = 0x8000_fffd;
/// Termination request: bits 3:0 of SW_EXITINFO1 are the set of reasons, bits 11:4 the reason.
pub const TERMINATION: u64 = 0x8000_fffe;
/// An exit code that a #VC handler does not know, in SW_EXITINFO1.
pub const UNSUPPORTED: u64 = 0x8000_ffff;

/// SW_EXITINFO1 of [`HV_DOORBELL`].
pub mod doorbell_operation {
    /// Returns the address that the host would like, or all-ones.
    pub const GET_PREFERRED: u64 = 0;
    /// Sets the page.
    pub const SET: u64 = 1;
    /// Returns the page.
    pub const QUERY: u64 = 2;
    /// Ends the use of the page.
    pub const CLEAR: u64 = 3;
}

/// The host's errors in the upper half of SW_EXITINFO2, for [`GUEST_REQUEST`] and
/// [`EXTENDED_GUEST_REQUEST`].
pub mod guest_request_error {
    /// Too few pages for certificates: RBX is how many are needed.
    pub const INVALID_LENGTH: u32 = 1;
    /// To be tried again.
    pub const BUSY: u32 = 2;
}

/// What [`AP_CREATION`] is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApOperation {
    /// The VMSA is used when INIT comes.
    CreateOnInit = 0,
    /// The VMSA is used at once.
    Create = 1,
    /// No VMSA is used any longer.
    Destroy = 2,
}

/// SW_EXITINFO1 of [`AP_CREATION`]; SW_EXITINFO2 is the VMSA's address, RAX its SEV_FEATURES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApCreation {
    /// Bits 15:0, what to do.
    pub operation: ApOperation,
    /// Bits 19:16, the VMPL.
    pub vmpl: u8,
    /// Bits 63:32, the vCPU.
    pub apic_id: u32,
}

impl ApCreation {
    /// Takes SW_EXITINFO1 apart; None if the operation is not known or a reserved bit is set.
    #[must_use]
    pub const fn decode(info_1: u64) -> Option<Self> {
        let operation = match info_1 & 0xffff {
            0 => ApOperation::CreateOnInit,
            1 => ApOperation::Create,
            2 => ApOperation::Destroy,
            _ => return None,
        };
        if info_1 >> 20 & 0xfff != 0 {
            return None;
        }
        Some(Self { operation, vmpl: (info_1 >> 16 & 0xf) as u8, apic_id: (info_1 >> 32) as u32 })
    }

    /// Puts SW_EXITINFO1 together.
    #[must_use]
    pub const fn encode(self) -> u64 {
        (self.apic_id as u64) << 32 | (self.vmpl as u64 & 0xf) << 16 | self.operation as u64
    }
}

//! SEV_FEATURES.

use bitflags::bitflags;

bitflags! {
    /// SEV_FEATURES of a VMSA (APM 2, appendix B, table B-4, offset 3B0h; the later bits as Linux and OpenVMM
    /// have them).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SevFeatures: u64 {
        /// SNP is active.
        const SNP_ACTIVE = 1 << 0;
        /// VIRTUAL_TOM, not the C-bit, divides private memory from shared.
        const VTOM = 1 << 1;
        /// An exit that would be #VC ends the run instead, for a higher VMPL to handle.
        const REFLECT_VC = 1 << 2;
        /// The host may inject #HV alone.
        const RESTRICTED_INJECTION = 1 << 3;
        /// VINTR_CTRL and EVENTINJ of the VMSA are used, those of the VMCB are not.
        const ALTERNATE_INJECTION = 1 << 4;
        /// All debug registers are exchanged, and accesses of DR7 do not exit.
        const DEBUG_VIRTUALIZATION = 1 << 5;
        /// The host's instruction-based sampling is off while the guest runs.
        const PREVENT_HOST_IBS = 1 << 6;
        /// The host's branch targets do not affect the guest's.
        const BTB_ISOLATION = 1 << 7;
        /// Supervisor shadow stacks are among the permissions of VMPLs.
        const VMPL_SSS = 1 << 8;
        /// The guest's TSC is not the host's to set.
        const SECURE_TSC = 1 << 9;
        /// VMGEXIT takes a parameter.
        const VMGEXIT_PARAMETER = 1 << 10;
        /// Instruction-based sampling is virtualized.
        const IBS_VIRTUALIZATION = 1 << 12;
        /// The guest controls some intercepts.
        const GUEST_INTERCEPT_CONTROL = 1 << 13;
        /// Words of the VMSA are stored XORed with a nonce.
        const VMSA_REGISTER_PROTECTION = 1 << 14;
        /// A sibling thread that runs something else is kept idle.
        const SMT_PROTECTION = 1 << 15;
        /// Secure AVIC.
        const SECURE_AVIC = 1 << 16;
        /// IBPB at each entry.
        const IBPB_ON_ENTRY = 1 << 21;
    }
}

impl SevFeatures {
    /// What the guest reads of SEV_STATUS, with SEV and SEV-ES active (APM 2, 15.34.10).
    #[must_use]
    pub const fn sev_status(self) -> u64 {
        self.bits() << 2 | 0b11
    }

    /// The features that SEV_STATUS shows; None if SEV or SEV-ES is not active.
    #[must_use]
    pub const fn from_sev_status(status: u64) -> Option<Self> {
        if status & 0b11 == 0b11 { Some(Self::from_bits_retain(status >> 2)) } else { None }
    }
}

//! The secrets page, which the firmware writes at launch (SNP ABI, 8.17.2.5; as Linux' `struct
//! snp_secrets_page` has it; the SVSM's fields: SVSM, 4).

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::rmp::VMPLS;

/// A VM platform communication key, for messages to the firmware.
pub type Vmpck = [u8; 32];

/// What the guest's operating system keeps in the page for itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct OsArea {
    /// The last sequence number used with each VMPCK.
    pub sequence_numbers: [u32; VMPLS],
    /// The address of the jump table of application processors.
    pub ap_jump_table: u64,
    /// Reserved.
    pub reserved: [u8; 0x28],
    /// Whatever the guest wants.
    pub guest_area: [u8; 0x20],
}

assert_layout!(OsArea, 0x60, 0: sequence_numbers, 0x10: ap_jump_table, 0x40: guest_area);

/// The page.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SecretsPage {
    /// The version of this layout.
    pub version: u32,
    /// Bit 0: the guest was started with an initial migration image.
    pub imi_enabled: u32,
    /// Family, model and stepping of the processor.
    pub family_model_stepping: u32,
    /// Reserved.
    pub reserved_0c: u32,
    /// What the guest is told of errata, by OSVW.
    pub gosvw: [u8; 16],
    /// The keys, by VMPL.
    pub vmpck: [Vmpck; VMPLS],
    /// The guest's operating system's.
    pub os_area: OsArea,
    /// Which words of a VMSA are protected: bit `n` is word `n`.
    pub vmsa_tweak_bitmap: [u8; 0x40],
    /// Where the SVSM's memory is.
    pub svsm_base: u64,
    /// How many bytes it has; 0 says that there is no SVSM.
    pub svsm_size: u64,
    /// The calling area of the first vCPU.
    pub svsm_caa: u64,
    /// The newest version of the core protocol.
    pub svsm_max_version: u32,
    /// The VMPL that the guest runs at.
    pub svsm_guest_vmpl: u8,
    /// Reserved.
    pub reserved_15d: [u8; 3],
    /// TSC_FACTOR: by how many hundred-thousandths the mean TSC frequency is lower, with Secure TSC.
    pub tsc_factor: u32,
    /// Reserved.
    pub reserved_164: u32,
    /// The mitigation vector at launch, from version 4 on. As the crate `sev` and Oak have it.
    pub launch_mitigation_vector: u64,
    /// Reserved.
    pub reserved_170: [u8; 0xe90],
}

assert_layout!(
    SecretsPage, 0x1000, 0: version, 0x04: imi_enabled, 0x08: family_model_stepping, 0x10: gosvw,
    0x20: vmpck, 0xa0: os_area, 0x100: vmsa_tweak_bitmap, 0x140: svsm_base, 0x148: svsm_size,
    0x150: svsm_caa, 0x158: svsm_max_version, 0x15c: svsm_guest_vmpl, 0x160: tsc_factor,
    0x168: launch_mitigation_vector,
);

impl SecretsPage {
    /// All zero.
    #[must_use]
    pub fn zeroed() -> Self {
        Self::new_zeroed()
    }

    /// A copy for a lower VMPL: without the keys of the VMPLs above it.
    #[must_use]
    pub fn for_vmpl(&self, vmpl: u8) -> Self {
        let mut copy = *self;
        for key in copy.vmpck.iter_mut().take(usize::from(vmpl)) {
            *key = [0; 32];
        }
        copy
    }
}

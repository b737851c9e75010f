//! The AMD secure processor (AMD-SP) and its firmware: launch, guest messages, attestation (SNP ABI).
//!
//! Everything secret is derived from a seed, so that a run can be repeated: a simulator's firmware protects
//! nothing, and its chain of keys ends nowhere that anybody trusts.

mod certificate;
mod cpuid;
mod guest;
mod keys;
mod launch;
mod pages;
mod report;

pub use certificate::Chain;
pub use cpuid::{PlatformCpuid, correct};
pub use guest::{Guest, open, seal};
pub use keys::verify;
pub use launch::{Launch, LaunchParameters, Signed};

use alloc::vec::Vec;

use plinth_snp_abi::report::{FirmwareVersion, TcbVersion};

/// Why the firmware refuses a command (SNP ABI, 5.3; as Linux' `psp-sev.h` has the codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// INVALID_GUEST_STATE: the launch has ended, or has not.
    InvalidGuestState = 0x02,
    /// POLICY_FAILURE: the guest's policy does not fit.
    PolicyFailure = 0x07,
    /// INVALID_ADDRESS.
    InvalidAddress = 0x09,
    /// BAD_SIGNATURE.
    BadSignature = 0x0a,
    /// BAD_MEASUREMENT: a digest or an authentication tag is another.
    BadMeasurement = 0x0b,
    /// INVALID_PARAM.
    InvalidParam = 0x16,
    /// INVALID_PAGE_STATE: the RMP's entry is not as it must be.
    InvalidPageState = 0x1a,
    /// AEAD_OFLOW: a sequence number has come to its end.
    AeadOverflow = 0x1d,
}

impl Status {
    /// The code.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }
}

/// The chip with its firmware.
#[derive(Clone, Debug)]
pub struct Platform {
    seed: [u8; 32],
    /// What the chip is called in reports.
    pub chip_id: [u8; 64],
    /// The TCB: the current, the committed, the reported one, and that at launch.
    pub tcb: TcbVersion,
    /// The firmware's version, which is that of its ABI.
    pub version: FirmwareVersion,
    /// Family, model and stepping.
    pub cpuid: [u8; 3],
    /// PLATFORM_INFO of reports.
    pub platform_info: u64,
}

impl Platform {
    /// A chip of the Milan kind whose secrets are derived from a seed. Multithreading is on, power readings
    /// are on, memory aliases have been looked for.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let mut chip_id = [0; 64];
        for (place, part) in chip_id.chunks_exact_mut(32).zip([b"chip-0", b"chip-1"]) {
            place.copy_from_slice(&keys::derive(&seed, &[part]));
        }
        let tcb = TcbVersion { boot_loader: 4, tee: 0, reserved: [0; 4], snp: 24, microcode: 219 };
        let version = FirmwareVersion { build: 37, minor: 55, major: 1, reserved: 0 };
        Self { seed, chip_id, tcb, version, cpuid: [0x19, 1, 1], platform_info: 0x21 }
    }

    /// The public key of the versioned chip endorsement key (VCEK), which signs reports: x and y, big-endian.
    #[must_use]
    pub fn vcek(&self) -> ([u8; 48], [u8; 48]) {
        keys::public(&self.signing_key())
    }

    fn signing_key(&self) -> keys::SigningKey {
        keys::signing_key(&self.seed, &[b"vcek", &self.chip_id, zerocopy::IntoBytes::as_bytes(&self.tcb)])
    }

    /// A secret of this chip's for a purpose.
    fn secret(&self, parts: &[&[u8]]) -> [u8; 32] {
        let all: Vec<&[u8]> = core::iter::once(&b"secret"[..]).chain(parts.iter().copied()).collect();
        keys::derive(&self.seed, &all)
    }
}

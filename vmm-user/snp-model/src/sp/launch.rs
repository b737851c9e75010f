//! SNP_LAUNCH_START, SNP_LAUNCH_UPDATE and SNP_LAUNCH_FINISH (SNP ABI, 8.16 to 8.18).

use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::cpuid_page::CpuidPage;
use plinth_snp_abi::id_block::{
    ECDSA_P384_SHA384, EcdsaPublicKey, GuestPolicy, ID_BLOCK_VERSION, IdAuth, IdBlock,
};
use plinth_snp_abi::launch::{LaunchDigest, PageType};
use plinth_snp_abi::report::PlatformInfo;
use plinth_snp_abi::secrets::SecretsPage;
use sha2::{Digest, Sha384};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{Guest, Platform, PlatformCpuid, Status, correct};
use crate::access::Target;
use crate::rmp::Rmp;

/// What SNP_LAUNCH_START says of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchParameters {
    /// Which guest, for the RMP.
    pub asid: u32,
    /// The policy.
    pub policy: GuestPolicy,
    /// What makes this guest's secrets others than those of another.
    pub number: u64,
    /// What the guest is told of errata.
    pub gosvw: [u8; 16],
}

/// An ID block, and who signed it.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The block.
    pub block: &'a IdBlock,
    /// The signatures and keys.
    pub auth: &'a IdAuth,
    /// Whether the author's key counts: AUTH_KEY_EN.
    pub has_author: bool,
}

/// A guest that is being put together.
#[derive(Clone, Debug)]
pub struct Launch {
    platform: Platform,
    parameters: LaunchParameters,
    digest: LaunchDigest,
}

fn check_policy(platform: &Platform, policy: GuestPolicy) -> Result<(), Status> {
    if !policy.is_well_formed() {
        return Err(Status::InvalidParam);
    }
    let has = PlatformInfo::from_bits_retain(platform.platform_info);
    let version = (platform.version.major, platform.version.minor);
    // The platform has no migration agent, and no more than it says.
    let is_refused = (policy.abi_major(), policy.abi_minor()) > version
        || policy.contains(GuestPolicy::MIGRATE_MA)
        || has.contains(PlatformInfo::SMT) && !policy.contains(GuestPolicy::SMT)
        || policy.contains(GuestPolicy::RAPL_DISABLED) && !has.contains(PlatformInfo::RAPL_DISABLED)
        || policy.contains(GuestPolicy::CIPHERTEXT_HIDING) && !has.contains(PlatformInfo::CIPHERTEXT_HIDING);
    if is_refused { Err(Status::PolicyFailure) } else { Ok(()) }
}

impl Launch {
    /// SNP_LAUNCH_START.
    ///
    /// # Errors
    /// The policy is none, or does not fit the platform.
    pub fn start(platform: &Platform, parameters: LaunchParameters) -> Result<Self, Status> {
        check_policy(platform, parameters.policy)?;
        Ok(Self { platform: platform.clone(), parameters, digest: LaunchDigest::new() })
    }

    /// The digest as it is now.
    #[must_use]
    pub const fn digest(&self) -> [u8; 48] {
        self.digest.value()
    }

    /// SNP_LAUNCH_UPDATE of a small page: takes it over from the host, who has assigned it and made it
    /// immutable, and measures it. `page` becomes what the guest finds there; of a CPUID page that is refused
    /// it becomes what would be accepted.
    ///
    /// # Errors
    /// Why it was not taken; nothing was measured then.
    pub fn update(
        &mut self,
        rmp: &mut Rmp,
        page_type: PageType,
        at: &Target,
        page: &mut [u8; PAGE_BYTES],
        platform: &impl PlatformCpuid,
    ) -> Result<(), Status> {
        if !at.gpa.is_multiple_of(PAGE_BYTES as u64) || !at.spa.is_multiple_of(PAGE_BYTES as u64) {
            return Err(Status::InvalidAddress);
        }
        rmp.check_launch(self.parameters.asid, at)?;
        match page_type {
            PageType::Zero => page.fill(0),
            PageType::Secrets => *page = self.secrets_page(),
            PageType::Cpuid => check_cpuid(page, platform)?,
            PageType::Normal | PageType::Vmsa | PageType::Unmeasured => {}
        }
        self.digest.measure(page_type, at.gpa, page);
        rmp.launch(at.spa, page_type == PageType::Vmsa);
        Ok(())
    }

    fn vmpck(&self, number: u8) -> [u8; 32] {
        self.platform.secret(&[b"vmpck", &self.parameters.number.to_le_bytes(), &[number]])
    }

    fn secrets_page(&self) -> [u8; PAGE_BYTES] {
        let [family, model, stepping] = self.platform.cpuid;
        let mut page = SecretsPage::zeroed();
        page.version = 3;
        page.family_model_stepping = family_model_stepping(family, model, stepping);
        page.gosvw = self.parameters.gosvw;
        page.vmpck = [0, 1, 2, 3].map(|number| self.vmpck(number));
        let mut bytes = [0; PAGE_BYTES];
        bytes.copy_from_slice(page.as_bytes());
        bytes
    }

    /// SNP_LAUNCH_FINISH. `host_data` is for reports.
    ///
    /// # Errors
    /// The ID block says another digest or policy, or is not signed by whom it says.
    pub fn finish(self, id: Option<Signed>, host_data: [u8; 32]) -> Result<Guest, Status> {
        let measurement = self.digest.value();
        if let Some(signed) = &id {
            check_id(signed, &measurement, self.parameters.policy)?;
        }
        let digest = |key: &EcdsaPublicKey| Sha384::digest(key.as_bytes()).into();
        let author = id.filter(|signed| signed.has_author);
        Ok(Guest {
            measurement,
            host_data,
            policy: self.parameters.policy,
            number: self.parameters.number,
            id_block: id.map_or_else(IdBlock::new_zeroed, |signed| *signed.block),
            id_key_digest: id.map_or([0; 48], |signed| digest(&signed.auth.id_key)),
            author_key_digest: author.map_or([0; 48], |signed| digest(&signed.auth.author_key)),
            has_author: author.is_some(),
            vmpck: [0, 1, 2, 3].map(|number| self.vmpck(number)),
            message_count: [0; 4],
            platform: self.platform,
        })
    }
}

/// As CPUID function 1 has them in EAX.
const fn family_model_stepping(family: u8, model: u8, stepping: u8) -> u32 {
    let (base, extended) = if family < 0xf { (family, 0) } else { (0xf, family - 0xf) };
    let (low, high) = (model & 0xf, model >> 4);
    (extended as u32) << 20 | (high as u32) << 16 | (base as u32) << 8 | (low as u32) << 4 | stepping as u32
}

fn check_cpuid(page: &mut [u8; PAGE_BYTES], platform: &impl PlatformCpuid) -> Result<(), Status> {
    let mut cpuid = CpuidPage::read_from_bytes(page.as_slice()).map_err(|_| Status::InvalidParam)?;
    let accepted = correct(&mut cpuid, platform);
    page.copy_from_slice(cpuid.as_bytes());
    accepted
}

fn check_id(signed: &Signed, measurement: &[u8; 48], policy: GuestPolicy) -> Result<(), Status> {
    let Signed { block, auth, has_author } = signed;
    let algorithms = [auth.id_key_algorithm, auth.author_key_algorithm];
    let is_known =
        algorithms.into_iter().take(if *has_author { 2 } else { 1 }).all(|one| one == ECDSA_P384_SHA384);
    if block.version != ID_BLOCK_VERSION || !is_known {
        return Err(Status::InvalidParam);
    }
    let is_signed = super::verify(&auth.id_key, block.as_bytes(), &auth.id_block_signature);
    let is_authored =
        !has_author || super::verify(&auth.author_key, auth.id_key.as_bytes(), &auth.id_key_signature);
    if !is_signed || !is_authored {
        return Err(Status::BadSignature);
    }
    if block.launch_digest != *measurement {
        return Err(Status::BadMeasurement);
    }
    if block.policy != policy.bits() { Err(Status::PolicyFailure) } else { Ok(()) }
}

//! A launch, as QEMU, KVM and the firmware do it: what an IGVM file has for SEV-SNP becomes a guest.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use igvm_defs::{IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY, IGVM_VHS_SNP_ID_BLOCK_SIGNATURE};
use plinth_snp_abi::PAGE_BYTES;
use plinth_snp_abi::cpuid_page::{CpuidEntry, CpuidPage};
use plinth_snp_abi::id_block::{EcdsaPublicKey, EcdsaSignature, GuestPolicy, IdAuth, IdBlock};
use plinth_snp_abi::launch::PageType;
use plinth_snp_abi::vmsa::{KVM_VMSA_GPA, SevFeatures, Vmsa};
use plinth_snp_file::launch::{SharedPage, Step, as_started, order};
use plinth_snp_file::{SnpFile, SnpFileError};
use plinth_snp_model::sp::{Guest, Launch, LaunchParameters, Platform, Signed, Status};
use pvh_loader::extents::{Extent, Extents};
use pvh_loader::file::{Directive, Parameter};
use pvh_loader::memory_map::{MapError, MemoryMap};
use pvh_loader::parameters::{self, AreaTooSmall, HostFacts};
use zerocopy::{FromZeros, IntoBytes};

use crate::cpuid;
use crate::machine::{ASID, Machine};

const PAGE: u64 = PAGE_BYTES as u64;
/// The type of RAM in a memory map of E820's kind.
const RAM: u32 = 1;
/// The most separate runs of pages that an image may have outside of RAM.
const RUNS_MAX: usize = 16;
/// The most bytes of these.
const OUTSIDE_MAX: u64 = 64 << 20;

/// Why there is no guest. To blame: the image, but for what the firmware refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The file is none.
    #[error(transparent)]
    File(#[from] SnpFileError),
    /// It has pages that QEMU would launch otherwise.
    #[error(transparent)]
    Shared(#[from] SharedPage),
    /// Memory that it requires is not there.
    #[error("the image requires {bytes:#x} bytes of memory at {start:#x}: the guest has no such memory")]
    Required {
        /// The first byte.
        start: u64,
        /// How many.
        bytes: u64,
    },
    /// Pages outside of RAM are too many, or at addresses that no guest has.
    #[error("the image has too much outside of the guest's {0:#x} bytes of memory")]
    Outside(u64),
    /// A state of a vCPU that this machine does not have, or not where KVM has it.
    #[error("the image has a state of vCPU {0}, which is not there, or not where KVM has it")]
    Context(u16),
    /// No state of the first vCPU.
    #[error("the image has no state of the first vCPU")]
    NoContext,
    /// SEV_FEATURES that QEMU and KVM do not accept.
    #[error("SEV_FEATURES is {0:#x}: QEMU and KVM accept SNP alone")]
    Features(u64),
    /// The host's memory map is none.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A parameter has no room.
    #[error(transparent)]
    Area(#[from] AreaTooSmall),
    /// The firmware refuses it.
    #[error("the firmware refuses to launch the guest: {0:?}")]
    Firmware(Status),
}

impl From<Status> for LaunchError {
    fn from(status: Status) -> Self {
        Self::Firmware(status)
    }
}

/// The memory of a guest with so much RAM: that, and what its image has elsewhere, as its ROM.
///
/// # Errors
/// [`LaunchError::Required`], [`LaunchError::Outside`], [`LaunchError::Shared`].
pub fn parts(file: &SnpFile<'_>, ram: u64) -> Result<Vec<Extent>, LaunchError> {
    let ram = Extent { start: 0, end: ram };
    let mut outside = Extents::<RUNS_MAX>::default();
    let too_much = LaunchError::Outside(ram.end);
    for step in order(file)? {
        let place = match step {
            Step::Page { gpa, .. } => Extent { start: gpa, end: gpa.saturating_add(PAGE) },
            Step::Area { place, .. } => place,
        };
        if place.end > 1 << crate::memory::C_BIT_POSITION || place.overlaps(ram) && !ram.contains(place) {
            return Err(too_much);
        }
        if !ram.contains(place) {
            outside.insert(place).map_err(|_| too_much)?;
        }
    }
    for placed in file.directives() {
        let plinth_snp_file::SnpDirective::Common(Directive::RequiredMemory { extent }) = placed.directive
        else {
            continue;
        };
        if !ram.contains(extent) && !outside.contains(extent) {
            return Err(LaunchError::Required { start: extent.start, bytes: extent.bytes() });
        }
    }
    if outside.as_slice().iter().map(|run| run.bytes()).sum::<u64>() > OUTSIDE_MAX {
        return Err(too_much);
    }
    let mut parts = vec![ram];
    parts.extend_from_slice(outside.as_slice());
    Ok(parts)
}

/// The states that the image has of vCPUs, as KVM starts them, by number.
///
/// # Errors
/// [`LaunchError::Context`], [`LaunchError::NoContext`], [`LaunchError::Features`].
pub fn contexts(file: &SnpFile<'_>, count: u16) -> Result<Vec<Vmsa>, LaunchError> {
    let mut states = Vec::new();
    for context in file.contexts() {
        if context.vcpu >= count || context.gpa != KVM_VMSA_GPA {
            return Err(LaunchError::Context(context.vcpu));
        }
        let vmsa = as_started(&context.vmsa());
        if vmsa.features() != SevFeatures::SNP_ACTIVE {
            return Err(LaunchError::Features(vmsa.sev_features));
        }
        states.push((context.vcpu, vmsa));
    }
    states.sort_by_key(|(number, _)| *number);
    match states.first() {
        Some((0, _)) => Ok(states.into_iter().map(|(_, vmsa)| vmsa).collect()),
        _ => Err(LaunchError::NoContext),
    }
}

/// What the host tells the guest in parameter areas.
fn facts(ram: u64, vcpus: u16) -> Result<HostFacts, LaunchError> {
    let mut memory_map = MemoryMap::default();
    memory_map.add(0, ram, RAM)?;
    Ok(HostFacts { memory_map: memory_map.finish()?, vp_count: vcpus.into() })
}

/// A parameter area, written by the host.
fn area(place: Extent, parameters: &[Parameter], facts: &HostFacts) -> Result<Vec<u8>, LaunchError> {
    let mut bytes = vec![0; place.bytes() as usize];
    for parameter in parameters {
        parameters::write(&mut bytes, *parameter, facts)?;
    }
    Ok(bytes)
}

/// A page that begins with these bytes.
fn page(bytes: &[u8]) -> Box<[u8; PAGE_BYTES]> {
    let mut page = Box::new([0; PAGE_BYTES]);
    page.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    page
}

/// Has the firmware launch the guest: the image's pages in QEMU's order, then the states of vCPUs, which KVM
/// adds. Returns the firmware's side of it.
///
/// # Errors
/// [`LaunchError`].
pub fn launch(
    machine: &mut Machine,
    file: &SnpFile<'_>,
    entries: &[CpuidEntry],
    vcpus: &[Vmsa],
    ram: u64,
) -> Result<Guest, LaunchError> {
    let platform = Platform::new([0; 32]);
    let policy = file.policy().unwrap_or(GuestPolicy::DEFAULT);
    let parameters = LaunchParameters { asid: ASID, policy, number: 1, gosvw: [0; 16] };
    let mut launch = Launch::start(&platform, parameters)?;
    let processor = |function, subfunction| cpuid::lookup(entries, function, subfunction);
    let facts = facts(ram, vcpus.len() as u16)?;
    for step in order(file)? {
        match step {
            Step::Page { gpa, page_type, data } => {
                let contents = match page_type {
                    // QEMU puts what KVM's processor has in the place of what the file would like.
                    PageType::Cpuid => page(CpuidPage::new(entries).ok_or(Status::InvalidParam)?.as_bytes()),
                    _ => page(data.map_or(&[], |data| data.as_slice())),
                };
                machine.launch(&mut launch, page_type, gpa, &contents, &processor)?;
            }
            Step::Area { place, parameters } => {
                let bytes = area(place, &parameters, &facts)?;
                for (gpa, piece) in (place.start..).step_by(PAGE_BYTES).zip(bytes.chunks(PAGE_BYTES)) {
                    machine.launch(&mut launch, PageType::Unmeasured, gpa, &page(piece), &processor)?;
                }
            }
        }
    }
    for (number, vmsa) in (0..).zip(vcpus) {
        machine.launch_vmsa(&mut launch, number, vmsa, &processor)?;
    }
    let block = file.id_block().and_then(|block| block.fields());
    let id = block.map(|block| (id_block(&block, policy), id_auth(&block), block.author_key_enabled != 0));
    let signed = id.as_ref().map(|(block, auth, has_author)| Signed { block, auth, has_author: *has_author });
    Ok(launch.finish(signed, [0; 32])?)
}

fn id_block(header: &IGVM_VHS_SNP_ID_BLOCK, policy: GuestPolicy) -> IdBlock {
    IdBlock {
        launch_digest: header.ld,
        family_id: header.family_id,
        image_id: header.image_id,
        version: header.version,
        guest_svn: header.guest_svn,
        policy: policy.bits(),
    }
}

fn id_auth(header: &IGVM_VHS_SNP_ID_BLOCK) -> Box<IdAuth> {
    let mut auth = Box::new(IdAuth::new_zeroed());
    auth.id_key_algorithm = header.id_key_algorithm;
    auth.author_key_algorithm = header.author_key_algorithm;
    auth.id_block_signature = signature(&header.id_key_signature);
    auth.id_key = key(&header.id_public_key);
    auth.id_key_signature = signature(&header.author_key_signature);
    auth.author_key = key(&header.author_public_key);
    auth
}

/// IGVM has four bytes behind the curve, which the firmware's keys have not.
fn key(key: &IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY) -> EcdsaPublicKey {
    EcdsaPublicKey { curve: key.curve, qx: key.qx, qy: key.qy, ..EcdsaPublicKey::new_zeroed() }
}

fn signature(signature: &IGVM_VHS_SNP_ID_BLOCK_SIGNATURE) -> EcdsaSignature {
    EcdsaSignature { r: signature.r_comp, s: signature.s_comp, ..EcdsaSignature::new_zeroed() }
}

#[cfg(test)]
mod tests;

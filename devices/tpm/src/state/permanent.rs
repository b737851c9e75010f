//! What survives a loss of power.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::crypto::drbg::Drbg;
use crate::crypto::{Crypto, Hash};
use crate::hierarchy::{Hierarchy, SEED};
use crate::lockout::Lockout;
use crate::nv::NvIndex;
use crate::object::Object;
use crate::secret::Secret;
use crate::structures::pcr_selection::Selection;

/// How the TPM was shut down, which decides what TPM2_Startup may do.
#[derive(Clone, Debug)]
pub(crate) enum Orderly {
    /// Not at all.
    No,
    Clear,
    /// By TPM2_Shutdown(STATE), with what that kept.
    State(Kept),
}

/// What TPM2_Shutdown(STATE) keeps.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The PCRs that are kept: algorithm, number, value.
    pub(crate) pcrs: Vec<(Hash, u8, Vec<u8>)>,
    pub(crate) pcr_counter: u32,
    pub(crate) enables: [bool; 4],
    pub(crate) null_seed: Secret,
    pub(crate) null_proof: Secret,
    pub(crate) context_counter: u64,
    pub(crate) clear_count: u32,
    pub(crate) audit_digest: Vec<u8>,
    /// Saved sessions: handle and number of the context.
    pub(crate) sessions: Vec<(u32, u64)>,
    pub(crate) startup_locality: u8,
}

/// The state that is kept for good.
#[cfg_attr(feature = "fork", derive(Clone))]
pub(crate) struct Permanent {
    pub(crate) owner: Hierarchy,
    pub(crate) endorsement: Hierarchy,
    pub(crate) platform: Hierarchy,
    pub(crate) lockout: Hierarchy,
    pub(crate) is_clear_disabled: bool,
    pub(crate) lockout_state: Lockout,
    /// The PCRs of each bank from the next TPM Reset on.
    pub(crate) banks: Vec<Selection>,
    pub(crate) total_reset_count: u64,
    pub(crate) reset_count: u32,
    pub(crate) restart_count: u32,
    /// Milliseconds.
    pub(crate) clock: u64,
    pub(crate) is_clock_safe: bool,
    pub(crate) orderly: Orderly,
    pub(crate) nv: BTreeMap<u32, NvIndex>,
    /// The highest value of any counter that was ever removed: a new one starts beyond it.
    pub(crate) max_counter: u64,
    pub(crate) persistent: BTreeMap<u32, Object>,
    /// Commands of the platform that need physical presence.
    pub(crate) presence: BTreeSet<u32>,
    pub(crate) audit_hash: Hash,
    pub(crate) audited: BTreeSet<u32>,
    pub(crate) audit_counter: u64,
    /// What the platform keeps beside the TPM; nothing here knows what it means.
    pub(crate) platform_data: Vec<u8>,
}

impl Permanent {
    /// The state of a new TPM.
    pub(crate) fn manufacture(crypto: &dyn Crypto, drbg: &mut Drbg) -> Permanent {
        let mut hierarchy = || Hierarchy {
            seed: drbg.bytes(crypto, SEED).into(),
            proof: drbg.bytes(crypto, SEED).into(),
            ..Hierarchy::default()
        };
        Permanent {
            owner: hierarchy(),
            endorsement: hierarchy(),
            platform: hierarchy(),
            // Nothing is made in this hierarchy: an authorization and a policy are all that it needs.
            lockout: Hierarchy::default(),
            is_clear_disabled: false,
            lockout_state: Lockout::DEFAULT,
            banks: crate::pcr::all_banks(),
            total_reset_count: 0,
            reset_count: 0,
            restart_count: 0,
            clock: 0,
            is_clock_safe: true,
            // As after a shutdown, so that the first start finds nothing lost.
            orderly: Orderly::Clear,
            nv: BTreeMap::new(),
            max_counter: 0,
            persistent: BTreeMap::new(),
            // The list itself must not be changed by software alone, whatever else may be.
            presence: [crate::table::PP_COMMANDS].into(),
            audit_hash: Hash::Sha256,
            audited: crate::audit::ALWAYS.into(),
            audit_counter: 0,
            platform_data: Vec::new(),
        }
    }
}

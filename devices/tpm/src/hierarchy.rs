//! Hierarchies: their seeds, proofs, authorizations and policies (part 1, 13 and 14).

use alloc::vec::Vec;

use crate::constants::handle;
use crate::crypto::Hash;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::secret::Secret;

/// Bytes of a primary seed and of a proof value.
pub(crate) const SEED: usize = 64;

/// A policy that a hierarchy can be authorized by; none without an algorithm.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthPolicy {
    pub(crate) hash: Option<Hash>,
    pub(crate) digest: Vec<u8>,
}

/// One hierarchy. The lockout hierarchy has neither seed nor proof.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hierarchy {
    pub(crate) seed: Secret,
    pub(crate) proof: Secret,
    pub(crate) auth: Secret,
    pub(crate) policy: AuthPolicy,
}

impl Tpm {
    pub(crate) fn hierarchy(&self, which: u32) -> Result<&Hierarchy> {
        match which {
            handle::OWNER => Ok(&self.permanent.owner),
            handle::ENDORSEMENT => Ok(&self.permanent.endorsement),
            handle::PLATFORM => Ok(&self.permanent.platform),
            handle::LOCKOUT => Ok(&self.permanent.lockout),
            handle::NULL => Ok(&self.volatile.null),
            _ => Err(Rc::VALUE),
        }
    }

    pub(crate) fn hierarchy_mut(&mut self, which: u32) -> Result<&mut Hierarchy> {
        // Who asks for it changes it, and all of a hierarchy is kept for good.
        self.touch();
        match which {
            handle::OWNER => Ok(&mut self.permanent.owner),
            handle::ENDORSEMENT => Ok(&mut self.permanent.endorsement),
            handle::PLATFORM => Ok(&mut self.permanent.platform),
            handle::LOCKOUT => Ok(&mut self.permanent.lockout),
            // The null hierarchy is missing: its value is empty and its policy none, always.
            _ => Err(Rc::VALUE),
        }
    }

    pub(crate) fn is_enabled(&self, which: u32) -> bool {
        match which {
            handle::OWNER => self.volatile.enables.owner,
            handle::ENDORSEMENT => self.volatile.enables.endorsement,
            handle::PLATFORM => self.volatile.enables.platform,
            // The null hierarchy and lockout can't be turned off.
            _ => true,
        }
    }

    /// A hierarchy's proof value.
    pub(crate) fn proof(&self, which: u32) -> Result<&Secret> {
        Ok(&self.hierarchy(which)?.proof)
    }

    /// A new random seed or proof.
    pub(crate) fn new_seed(&mut self) -> Secret {
        self.random(SEED).into()
    }
}

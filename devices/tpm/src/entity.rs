//! Entities: whatever a handle stands for, with its authorization, policy and name (part 1, 15 and 16).

use alloc::vec::Vec;

use crate::constants::{handle, limit, nv, object};
use crate::crypto::Hash;
use crate::engine::Tpm;
use crate::object::Slot;
use crate::pcr;
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::session::SessionSlot;

impl Tpm {
    /// The authorization value of an entity.
    pub(crate) fn entity_auth(&self, entity: u32) -> Result<Secret> {
        match handle::kind(entity) {
            handle::PERMANENT => Ok(self.hierarchy(entity)?.auth.clone()),
            handle::NV => Ok(self.nv(entity)?.auth.clone()),
            handle::TRANSIENT | handle::PERSISTENT => {
                // A sequence is no object: its value came with the command that started it.
                if let Some(Slot::Sequence(sequence)) = self.slot(entity) {
                    return Ok(sequence.auth.clone());
                }
                Ok(self.object(entity)?.secret()?.auth.clone())
            }
            // A PCR's value is empty: TPM2_PCR_SetAuthValue is not there.
            _ => Ok(Secret::default()),
        }
    }

    /// The policy of an entity; an empty one authorizes nothing.
    pub(crate) fn entity_policy(&self, entity: u32) -> (Option<Hash>, Vec<u8>) {
        match handle::kind(entity) {
            handle::PERMANENT => self
                .hierarchy(entity)
                .map_or((None, Vec::new()), |found| (found.policy.hash, found.policy.digest.clone())),
            handle::NV => self.nv(entity).map_or((None, Vec::new()), |index| {
                (Some(index.public.name_alg), index.public.policy.clone())
            }),
            handle::TRANSIENT | handle::PERSISTENT => self
                .object(entity)
                .map_or((None, Vec::new()), |found| (found.public.name_alg, found.public.policy.clone())),
            _ => (None, Vec::new()),
        }
    }

    /// The name of an entity; a sequence has none.
    pub(crate) fn entity_name(&self, entity: u32) -> Vec<u8> {
        match handle::kind(entity) {
            handle::NV => self.nv(entity).map(|index| index.public.name(&*self.crypto)).unwrap_or_default(),
            handle::TRANSIENT | handle::PERSISTENT => {
                self.object(entity).map(|object| object.name.clone()).unwrap_or_default()
            }
            // What has no public area is its own name: hierarchies, PCRs, sessions (part 1, 16).
            _ => entity.to_be_bytes().to_vec(),
        }
    }

    /// Whether failed tries at an entity's authorization value are counted.
    pub(crate) fn is_protected(&self, entity: u32) -> bool {
        match handle::kind(entity) {
            // The values of the other hierarchies can be used even in lockout (part 1, 19.8).
            handle::PERMANENT => entity == handle::LOCKOUT,
            handle::NV => self.nv(entity).is_ok_and(|index| !index.public.has(nv::NO_DA)),
            handle::TRANSIENT | handle::PERSISTENT => {
                self.object(entity).is_ok_and(|found| !found.has(object::NO_DA))
            }
            _ => false,
        }
    }

    /// Checks that a handle of a command stands for something that is there. The error has no number yet,
    /// but for warnings that something is not loaded.
    pub(crate) fn check_handle(&self, value: u32, number: usize) -> Result<()> {
        match handle::kind(value) {
            handle::PERMANENT if !self.is_enabled(value) => Err(Rc::HIERARCHY),
            handle::PERMANENT if value == handle::PLATFORM_NV && !self.volatile.enables.platform_nv => {
                Err(Rc::HIERARCHY)
            }
            handle::NV => self.check_index(value),
            // Not loaded is a warning, no error: a resource manager loads the context and sends the command
            // again.
            handle::TRANSIENT => {
                if self.slot(value).is_some() {
                    Ok(())
                } else {
                    Err(Rc::reference_handle(number))
                }
            }
            handle::PERSISTENT => self.check_persistent(value),
            handle::HMAC_SESSION | handle::POLICY_SESSION => {
                let reference = Rc::reference_handle(number);
                self.session(value).map(drop).map_err(|_| self.no_session(value, reference))
            }
            _ => Ok(()),
        }
    }

    /// An index of a hierarchy that is off can't be seen.
    fn check_index(&self, value: u32) -> Result<()> {
        let index = self.nv(value)?;
        // An index belongs to who defined it, and can't be seen while that hierarchy is off.
        let is_platforms = index.public.has(nv::PLATFORMCREATE);
        let is_on =
            if is_platforms { self.volatile.enables.platform_nv } else { self.volatile.enables.owner };
        if is_on { Ok(()) } else { Err(Rc::HANDLE) }
    }

    fn check_persistent(&self, value: u32) -> Result<()> {
        let object = self.permanent.persistent.get(&value).ok_or(Rc::HANDLE)?;
        if !self.is_enabled(object.hierarchy) {
            return Err(Rc::HANDLE);
        }
        Ok(())
    }

    /// All handles of a kind, in order.
    pub(crate) fn handles(&self, kind: u8) -> Vec<u32> {
        let base = handle::first(kind);
        match kind {
            0 => (0..pcr::COUNT as u32).collect(),
            handle::NV => {
                self.permanent.nv.keys().copied().filter(|at| self.check_index(*at).is_ok()).collect()
            }
            handle::PERSISTENT => {
                let all = self.permanent.persistent.keys().copied();
                all.filter(|at| self.check_persistent(*at).is_ok()).collect()
            }
            handle::TRANSIENT => {
                let all = (base..).zip(&self.volatile.objects);
                all.filter(|(_, slot)| slot.is_some()).map(|(handle, _)| handle).collect()
            }
            handle::HMAC_SESSION | handle::POLICY_SESSION => {
                // As ranges of a capability these are loaded and saved sessions, not HMAC and policy ones
                // (part 2, 7.2).
                self.session_handles(kind == handle::HMAC_SESSION)
            }
            handle::PERMANENT => PERMANENT.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Loaded sessions have the handles that they are used with; saved ones that of a HMAC session.
    fn session_handles(&self, are_loaded: bool) -> Vec<u32> {
        let all = self.volatile.sessions.iter().filter_map(|(index, slot)| match slot {
            SessionSlot::Loaded(session) if are_loaded => Some(handle::first(session.handle_kind()) | index),
            // Of what kind a saved one is only its context says.
            SessionSlot::Saved(_) if !are_loaded => Some(handle::first(handle::HMAC_SESSION) | index),
            _ => None,
        });
        all.take(limit::ACTIVE_SESSIONS).collect()
    }
}

/// The permanent handles that there are.
const PERMANENT: [u32; 7] = [
    handle::OWNER,
    handle::NULL,
    handle::PASSWORD,
    handle::LOCKOUT,
    handle::ENDORSEMENT,
    handle::PLATFORM,
    handle::PLATFORM_NV,
];

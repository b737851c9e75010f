//! Sessions (part 1, 19): HMAC, policy and trial sessions, loaded or saved.

pub(crate) mod authorize;
pub(crate) mod policy;
pub(crate) mod respond;
pub(crate) mod save;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::constants::{handle, limit, session};
use crate::crypto::Hash;
use crate::crypto::kdf::{kdfa, obfuscate};
use crate::engine::Tpm;
use crate::object::protect::encrypt;
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::structures::scheme::Symmetric;
use policy::Policy;

/// TPM_SE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hmac = 0,
    Policy = 1,
    Trial = 3,
}

/// The entity that a session was bound to when it started.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) name: Vec<u8>,
    pub(crate) auth: Secret,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) kind: Kind,
    pub(crate) hash: Hash,
    pub(crate) symmetric: Symmetric,
    /// nonceTPM.
    pub(crate) nonce: Vec<u8>,
    pub(crate) key: Secret,
    pub(crate) bound: Option<Bound>,
    /// Whether a wrong HMAC is a try at a value that is protected against dictionary attacks.
    pub(crate) is_bound_to_protected: bool,
    pub(crate) is_bound_to_lockout: bool,
    /// Empty until the session audits.
    pub(crate) audit: Vec<u8>,
    pub(crate) policy: Policy,
}

/// A session in memory, or one that was saved, with the number of its context.
#[derive(Clone)]
pub(crate) enum SessionSlot {
    Loaded(Box<Session>),
    Saved(u64),
}

/// The index of a session's handle, which HMAC and policy sessions share.
pub(crate) const fn index(handle: u32) -> u32 {
    handle & 0x00ff_ffff
}

impl Session {
    pub(crate) const fn handle_kind(&self) -> u8 {
        match self.kind {
            Kind::Hmac => handle::HMAC_SESSION,
            Kind::Policy | Kind::Trial => handle::POLICY_SESSION,
        }
    }
}

impl Tpm {
    /// A loaded session.
    pub(crate) fn session(&self, handle: u32) -> Result<&Session> {
        match self.volatile.sessions.get(&index(handle)) {
            // HMAC and policy sessions share indices: with the other type a handle names nothing, though its
            // index is in use.
            Some(SessionSlot::Loaded(session)) if session.handle_kind() == handle::kind(handle) => {
                Ok(session)
            }
            _ => Err(Rc::HANDLE),
        }
    }

    /// The error for a session that is not loaded: `reference` where it may be saved, and TPM_RC_HANDLE where
    /// its index is another type's, so that it can't be.
    pub(crate) fn no_session(&self, handle: u32, reference: Rc) -> Rc {
        let is_others = matches!(self.volatile.sessions.get(&index(handle)), Some(SessionSlot::Loaded(_)));
        if is_others { Rc::HANDLE } else { reference }
    }

    pub(crate) fn session_mut(&mut self, handle: u32) -> Result<&mut Session> {
        match self.volatile.sessions.get_mut(&index(handle)) {
            Some(SessionSlot::Loaded(session)) if session.handle_kind() == handle::kind(handle) => {
                Ok(session)
            }
            _ => Err(Rc::HANDLE),
        }
    }

    pub(crate) fn loaded_sessions(&self) -> usize {
        self.volatile.sessions.values().filter(|slot| matches!(slot, SessionSlot::Loaded(_))).count()
    }

    /// Whether one more session can be started.
    pub(crate) fn check_free_session(&self) -> Result<()> {
        // Codes of their own: against the first it helps to save a session, against the second only to end
        // one.
        if self.loaded_sessions() >= limit::LOADED_SESSIONS {
            return Err(Rc::SESSION_MEMORY);
        }
        if self.volatile.sessions.len() >= limit::ACTIVE_SESSIONS {
            return Err(Rc::SESSION_HANDLES);
        }
        Ok(())
    }

    /// Adds a session and returns its handle.
    pub(crate) fn add_session(&mut self, session: Session) -> Result<u32> {
        let free = (0..limit::ACTIVE_SESSIONS as u32).find(|at| !self.volatile.sessions.contains_key(at));
        let index = free.ok_or(Rc::SESSION_HANDLES)?;
        let handle = handle::first(session.handle_kind()) | index;
        self.volatile.sessions.insert(index, SessionSlot::Loaded(Box::new(session)));
        Ok(handle)
    }

    /// Ends a session, loaded or saved.
    pub(crate) fn flush_session(&mut self, handle: u32) -> Result<()> {
        let index = index(handle);
        if self.volatile.exclusive_audit == Some(index) {
            // The index is given out again, and the session that gets it has audited nothing.
            self.volatile.exclusive_audit = None;
        }
        self.volatile.sessions.remove(&index).map(drop).ok_or(Rc::HANDLE)
    }

    /// En- or decrypts a parameter (part 1, 21). The nonces are the newer and the older one.
    pub(crate) fn crypt_parameter(
        &self,
        session: &Session,
        auth: &[u8],
        nonces: [&[u8]; 2],
        data: &mut [u8],
        is_decryption: bool,
    ) -> Result<()> {
        // The entity's value is in this key even where the session is bound to the entity, unlike in the
        // HMAC's key (part 1, 21).
        let key = Secret::joined(&[&session.key, auth]);
        match session.symmetric {
            Symmetric::Null => Err(Rc::SYMMETRIC),
            // By the session's own algorithm: the one that stands beside XOR is not used (part 1, 21.2).
            Symmetric::Xor(_) => {
                obfuscate(&*self.crypto, session.hash, &key, nonces, data);
                Ok(())
            }
            Symmetric::Aes { bits, .. } => {
                // The IV, one block of 128 bits, comes from the nonces together with the key: both are new in
                // each command and response.
                let bits = usize::from(bits);
                let both = kdfa(&*self.crypto, session.hash, &key, "CFB", nonces, bits + 128);
                let (key, iv) = both.split_at_checked(bits / 8).ok_or(Rc::FAILURE)?;
                encrypt(&*self.crypto, key, iv, data, is_decryption)
            }
        }
    }

    /// The HMAC over a command or a response (part 1, 19.6.5).
    pub(crate) fn session_hmac(
        &self,
        session: &Session,
        auth: &[u8],
        digest: &[u8],
        nonces: [&[u8]; 4],
        attributes: u8,
    ) -> Vec<u8> {
        // `auth` is empty where the session is bound to the entity: see `includes_auth`.
        let key = Secret::joined(&[&session.key, auth]);
        let [newer, older, decrypt, encrypt] = nonces;
        let parts: [&[u8]; 6] = [digest, newer, older, decrypt, encrypt, &[attributes]];
        self.crypto.hmac(session.hash, &key, &parts)
    }

    /// Whether a session was bound to an entity as it is now.
    pub(crate) fn is_bound_to(&self, session: &Session, entity: u32) -> bool {
        let Some(bound) = &session.bound else { return false };
        let name = self.entity_name(entity);
        // The value as it is now: one that was changed after the session's start is not in the session's key.
        let auth = self.entity_auth(entity).unwrap_or_default();
        name == bound.name && bound.auth.is(&auth)
    }
}

/// Whether an attribute of a session's use is set.
pub(crate) const fn has(attributes: u8, attribute: u8) -> bool {
    attributes & attribute != 0
}

/// What of a session's attributes is returned as it came.
pub(crate) const ECHOED: u8 = session::CONTINUE | session::DECRYPT | session::ENCRYPT | session::AUDIT;

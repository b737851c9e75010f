//! What a policy session has been told, and whether that authorizes a command (part 1, 19.7).

use alloc::vec::Vec;

use super::Session;
use crate::clock::Moment;
use crate::constants::{handle, nv};
use crate::crypto::{Crypto, Hash};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::table::{POLICY_SECRET, Role};

/// What of a command a policy is tied to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tied {
    #[default]
    Nothing,
    Parameters(Vec<u8>),
    Names(Vec<u8>),
    Template(Vec<u8>),
}

/// What a policy asks for beside itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Needed {
    #[default]
    Nothing,
    /// A HMAC with the entity's authorization value.
    Value,
    /// The value itself.
    Password,
}

/// The state of a policy session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) digest: Vec<u8>,
    /// The command that is authorized, if only one.
    pub(crate) command: Option<u32>,
    pub(crate) tied: Tied,
    pub(crate) needed: Needed,
    /// A bit a locality, or the locality itself from 32 on; zero is all.
    pub(crate) locality: u8,
    /// Milliseconds of time in the epoch of `start`, when it ends; zero is never.
    pub(crate) timeout: u64,
    /// When the session was started, or got its present nonce.
    pub(crate) start: Moment,
    pub(crate) needs_presence: bool,
    pub(crate) nv_written: Option<bool>,
    /// The PCRs' update counter when they were looked at.
    pub(crate) pcr_counter: Option<u32>,
}

impl Policy {
    pub(crate) fn new(hash: Hash, start: Moment) -> Policy {
        Policy { digest: hash.zero(), start, ..Policy::default() }
    }

    /// Extends the digest by some bytes.
    pub(crate) fn extend(&mut self, crypto: &dyn Crypto, hash: Hash, parts: &[&[u8]]) {
        let mut all: Vec<&[u8]> = alloc::vec![&self.digest];
        all.extend(parts);
        self.digest = crypto.digest(hash, &all);
    }

    /// PolicyUpdate (part 3, 23.2.3): extends by a command, a name and a reference.
    pub(crate) fn update(
        &mut self,
        crypto: &dyn Crypto,
        hash: Hash,
        command: u32,
        name: &[u8],
        reference: &[u8],
    ) {
        self.extend(crypto, hash, &[&command.to_be_bytes(), name]);
        // By itself, so that bytes can't move between the name and the reference.
        self.extend(crypto, hash, &[reference]);
    }

    /// Ties the policy to parameters, names or a template. It can be tied once only.
    pub(crate) fn tie(&mut self, tied: Tied) -> Result<()> {
        // One command can't fulfil two different ones; the specification has one place for all kinds (part 3,
        // 23.13).
        if self.tied != Tied::Nothing && self.tied != tied {
            return Err(Rc::CPHASH);
        }
        self.tied = tied;
        Ok(())
    }

    /// Whether a time when an authorization ends is past, in a session of this policy's.
    pub(crate) fn is_past(&self, timeout: u64, now: Moment) -> bool {
        // A session that was saved outlives TPM Restart and TPM Resume; the time that it was to end at does
        // not, as nobody knows how long the TPM was off.
        timeout != 0 && (timeout < now.time || self.start.epoch != now.epoch)
    }

    /// Ends the policy no later than at a time.
    pub(crate) fn limit(&mut self, timeout: u64) {
        // The earliest wins: nothing that is shown later may prolong what was shown before.
        if timeout != 0 && (self.timeout == 0 || timeout < self.timeout) {
            self.timeout = timeout;
        }
    }
}

/// Whether a locality is among those that a policy names.
pub(crate) const fn is_among(locality: u8, allowed: u8) -> bool {
    match allowed {
        0 => true,
        // TPMA_LOCALITY: below 32 a bit a locality, from there on the locality itself (part 2, 8.5).
        32.. => locality == allowed,
        _ => locality < 5 && allowed & (1 << locality) != 0,
    }
}

impl Tpm {
    /// Checks that a policy session authorizes a command for an entity.
    pub(crate) fn check_policy(
        &self,
        session: &Session,
        entity: u32,
        role: Role,
        call: &Call,
        parameters: &[u8],
    ) -> Result<()> {
        let policy = &session.policy;
        // The command is there to show that somebody knows a value, so the policy must have asked for one
        // (part 3, 23.4).
        if call.code == POLICY_SECRET && policy.needed == Needed::Nothing {
            return Err(Rc::MODE);
        }
        let (hash, digest) = self.entity_policy(entity);
        // The PCRs were right when TPM2_PolicyPCR looked; that they still are is known only if none has
        // changed.
        if policy.pcr_counter.is_some_and(|counter| counter != self.volatile.pcrs.counter) {
            return Err(Rc::PCR_CHANGED);
        }
        // The algorithm as well: a digest says nothing without it.
        if hash != Some(session.hash) || policy.digest != digest {
            return Err(Rc::POLICY_FAIL);
        }
        if policy.is_past(policy.timeout, self.now()) {
            return Err(Rc::EXPIRED);
        }
        match policy.command {
            Some(command) if command != call.code => return Err(Rc::POLICY_CC),
            // What only an administrator may do, a policy must name.
            None if matches!(role, Role::Admin | Role::Duplicate) => return Err(Rc::POLICY_FAIL),
            _ => {}
        }
        let is_tied = match &policy.tied {
            Tied::Nothing => true,
            Tied::Parameters(digest) => *digest == self.cp_hash(session.hash, call, parameters),
            Tied::Names(digest) => *digest == self.name_hash(session.hash, call),
            Tied::Template(digest) => *digest == self.template_hash(session.hash, call, parameters),
        };
        if !is_tied {
            return Err(Rc::POLICY_FAIL);
        }
        if !is_among(call.locality, policy.locality) {
            return Err(Rc::LOCALITY);
        }
        if let Some(written) = policy.nv_written {
            let is_index = handle::kind(entity) == handle::NV;
            if !is_index || self.nv(entity)?.public.has(nv::WRITTEN) != written {
                return Err(Rc::POLICY_FAIL);
            }
        }
        Ok(())
    }

    /// The digest of a command's code, names and parameters.
    pub(crate) fn cp_hash(&self, hash: Hash, call: &Call, parameters: &[u8]) -> Vec<u8> {
        let code = call.code.to_be_bytes();
        let mut parts: Vec<&[u8]> = alloc::vec![&code];
        // Names, not handles: whoever is between caller and TPM could load another object under the same
        // handle.
        parts.extend(call.names.iter().map(Vec::as_slice));
        parts.push(parameters);
        self.digest(hash, &parts)
    }

    fn name_hash(&self, hash: Hash, call: &Call) -> Vec<u8> {
        let parts: Vec<&[u8]> = call.names.iter().map(Vec::as_slice).collect();
        self.digest(hash, &parts)
    }

    /// The digest of the template that a command creates from: the content of its second parameter.
    fn template_hash(&self, hash: Hash, call: &Call, parameters: &[u8]) -> Vec<u8> {
        // CreatePrimary, Create and CreateLoaded.
        const CREATES: [u32; 3] = [0x131, 0x153, 0x191];
        let mut r = crate::wire::Reader::new(parameters);
        let template = r.sized(usize::from(u16::MAX)).and_then(|_| r.sized(usize::from(u16::MAX)));
        match template {
            Ok(template) if CREATES.contains(&call.code) => self.digest(hash, &[template]),
            // No digest is empty: a command that creates nothing never fits.
            _ => Vec::new(),
        }
    }
}

//! The authorization area of a response.

use alloc::vec::Vec;

use super::authorize::Use;
use super::policy::Policy;
use super::{ECHOED, Kind, has, index};
use crate::constants::{handle, session};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::wire::Writer;

impl Tpm {
    /// Makes new nonces, encrypts the first parameter of the response where a session is for that, and
    /// appends the authorization area.
    pub(crate) fn respond(&mut self, call: &Call, parameters: &mut [u8], w: &mut Writer) -> Result<()> {
        // All nonces first: the encryption and the first session's HMAC below are made with the new ones.
        for one in call.uses.iter().filter(|one| !one.is_password()) {
            if let Ok(session) = self.session(one.handle) {
                let size = session.nonce.len();
                let nonce = self.random(size);
                self.session_mut(one.handle)?.nonce = nonce;
            }
        }
        // Before audit and HMACs, which are over what the caller gets to see on the wire (part 1, 21).
        self.encrypt_response(call, parameters)?;
        w.u32(u32::try_from(parameters.len()).map_err(|_| Rc::SIZE)?).raw(parameters);
        self.update_audit(call, parameters);
        for one in &call.uses {
            self.respond_to(call, one, parameters, w)?;
        }
        Ok(())
    }

    /// The value that an entity has after the command.
    fn present_auth(&self, one: &Use) -> Secret {
        let Some((entity, _)) = one.entity else { return Secret::default() };
        match self.entity_auth(entity) {
            Ok(auth) => auth,
            // An index that is gone has no value; a sequence that is complete still had.
            Err(_) if handle::kind(entity) == handle::NV => Secret::default(),
            Err(_) => one.auth.clone(),
        }
    }

    fn encrypt_response(&self, call: &Call, parameters: &mut [u8]) -> Result<()> {
        let Some(one) = call.uses.iter().find(|one| has(one.attributes, session::ENCRYPT)) else {
            return Ok(());
        };
        let session = self.session(one.handle)?;
        let size = parameters.first_chunk().map_or(0, |size| usize::from(u16::from_be_bytes(*size)));
        let data = parameters.get_mut(2..2 + size).ok_or(Rc::SIZE)?;
        // After the command: one that changes the value responds with the new one.
        let auth = self.present_auth(one);
        self.crypt_parameter(session, &auth, [&session.nonce, &one.nonce], data, false)
    }

    /// Extends the digest of a session that audits.
    fn update_audit(&mut self, call: &Call, parameters: &[u8]) {
        let auditing = call.uses.iter().find(|one| has(one.attributes, session::AUDIT));
        // A command that no session audits ends the state of the one that had seen all.
        let Some(one) = auditing else {
            self.volatile.exclusive_audit = None;
            return;
        };
        let Ok(found) = self.session(one.handle) else { return };
        let hash = found.hash;
        let is_first = found.audit.is_empty() || has(one.attributes, session::AUDIT_RESET);
        let before = if is_first { hash.zero() } else { found.audit.clone() };
        let cp_hash = self.cp_hash(hash, call, &call.parameters);
        // Only a success has sessions, so the response code in the digest is always zero.
        let rp_hash = self.digest(hash, &[&[0; 4], &call.code.to_be_bytes(), parameters]);
        let digest = self.digest(hash, &[&before, &cp_hash, &rp_hash]);
        let index = index(one.handle);
        if is_first {
            self.volatile.exclusive_audit = Some(index);
        // Another session has audited in between, so that neither has seen all commands.
        } else if self.volatile.exclusive_audit != Some(index) {
            self.volatile.exclusive_audit = None;
        }
        if let Ok(found) = self.session_mut(one.handle) {
            found.audit = digest;
        }
    }

    fn respond_to(&mut self, call: &Call, one: &Use, parameters: &[u8], w: &mut Writer) -> Result<()> {
        if one.is_password() {
            // A password can't end, so it always continues.
            w.u16(0).u8(session::CONTINUE).u16(0);
            return Ok(());
        }
        // A command that flushes its own session has nothing to respond with.
        let Ok(found) = self.session(one.handle).cloned() else {
            w.u16(0).u8(0).u16(0);
            return Ok(());
        };
        let mut attributes = one.attributes & ECHOED;
        if has(attributes, session::AUDIT) && self.volatile.exclusive_audit == Some(index(one.handle)) {
            attributes |= session::AUDIT_EXCLUSIVE;
        }
        let includes = self.includes_auth(&found, one.entity.map(|(entity, _)| entity));
        let auth = if includes { self.present_auth(one) } else { Secret::default() };
        let mut hmac = Vec::new();
        // After TPM2_PolicyPassword the command had the value instead of a HMAC, and the response has neither
        // (part 3, 23.18).
        let is_plain = found.kind != Kind::Hmac
            && found.policy.needed == super::policy::Needed::Password
            && one.entity.is_some();
        if !(found.key.is_empty() && auth.is_empty() && one.hmac.is_empty() || is_plain) {
            let digest = self.digest(found.hash, &[&[0; 4], &call.code.to_be_bytes(), parameters]);
            let nonces: [&[u8]; 4] = [&found.nonce, &one.nonce, &[], &[]];
            hmac = self.session_hmac(&found, &auth, &digest, nonces, attributes);
        }
        w.sized(&found.nonce).u8(attributes).sized(&hmac);
        // Last: a session that ends still has its nonce and HMAC in this response.
        self.end_use(one)
    }

    /// Ends a session that is not continued; a policy session that is starts from the beginning.
    fn end_use(&mut self, one: &Use) -> Result<()> {
        if !has(one.attributes, session::CONTINUE) {
            return self.flush_session(one.handle);
        }
        let now = self.now();
        let found = self.session_mut(one.handle)?;
        // What was fulfilled for one command must not authorize the next. With a new nonce the session starts
        // anew, also where it only encrypted.
        if found.kind == Kind::Policy {
            found.policy = Policy::new(found.hash, now);
        }
        Ok(())
    }
}

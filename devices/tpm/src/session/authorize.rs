//! The authorization area of a command: which sessions it uses for what, and whether they authorize it.

use alloc::vec::Vec;

use super::policy::Needed;
use super::{Kind, Session, has, index};
use crate::constants::{handle, limit, nv, object, session};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::secret::{Secret, same};
use crate::table::{Command, Role};
use crate::wire::Reader;

/// Sessions of a command, at most.
const MOST: usize = 3;

/// One use of a session.
pub(crate) struct Use {
    pub(crate) handle: u32,
    pub(crate) nonce: Vec<u8>,
    pub(crate) attributes: u8,
    pub(crate) hmac: Secret,
    /// The entity that is authorized by it, with its role.
    pub(crate) entity: Option<(u32, Role)>,
    /// The entity's authorization value.
    pub(crate) auth: Secret,
}

impl Use {
    pub(crate) const fn is_password(&self) -> bool {
        self.handle == handle::PASSWORD
    }
}

fn ensure(is_good: bool, error: Rc) -> Result<()> {
    if is_good { Ok(()) } else { Err(error) }
}

/// Reads the authorization area.
pub(crate) fn read(area: &[u8]) -> Result<Vec<Use>> {
    let mut r = Reader::new(area);
    let mut uses = Vec::new();
    while !r.is_empty() {
        let number = uses.len() + 1;
        // Before it is read, so that an area of any length costs no more than three.
        ensure(number <= MOST, Rc::AUTHSIZE)?;
        let mut one = || {
            let handle = r.u32()?;
            ensure(handle::is_session(handle) || handle == handle::PASSWORD, Rc::VALUE)?;
            let nonce = r.bytes(limit::NONCE)?;
            let attributes = r.u8()?;
            ensure(attributes & session::RESERVED == 0, Rc::RESERVED_BITS)?;
            // Secret, as with TPM_RS_PW it is the authorization value itself.
            let hmac = Secret::copy(r.sized(limit::DIGEST)?);
            Ok(Use { handle, nonce, attributes, hmac, entity: None, auth: Secret::default() })
        };
        uses.push(one().map_err(|rc: Rc| rc.session(number))?);
    }
    // The command's tag has promised at least one (part 3, 5.5).
    ensure(!uses.is_empty(), Rc::AUTHSIZE)?;
    Ok(uses)
}

impl Tpm {
    /// Checks all uses of sessions, and gives each entity that needs it its session.
    pub(crate) fn authorize(&mut self, command: &Command, call: &mut Call, parameters: &[u8]) -> Result<()> {
        for at in 0..call.uses.len() {
            // The form of all before the first value: what is wrong with the third session must not cost the
            // first one a counted try, nor tell whether its value was right.
            self.check_form(command, call, at).map_err(|rc| rc.session(at + 1))?;
        }
        // The first sessions belong to the handles that need one, in the order of the handles (part 3, 5.5).
        let entities: Vec<_> =
            call.handles.iter().zip(command.handles).filter(|(_, spec)| spec.role != Role::None).collect();
        if call.uses.len() < entities.len() {
            return Err(Rc::AUTH_MISSING);
        }
        for (one, (entity, spec)) in call.uses.iter_mut().zip(entities) {
            one.entity = Some((*entity, spec.role));
        }
        // A session that neither authorizes nor has another purpose is a mistake of the caller (part 3, 5.5).
        let purposes = session::DECRYPT | session::ENCRYPT | session::AUDIT;
        let is_idle = |one: &Use| one.entity.is_none() && !has(one.attributes, purposes);
        if let Some(at) = call.uses.iter().position(|one| is_idle(one) && !one.is_password()) {
            return Err(Rc::ATTRIBUTES.session(at + 1));
        }
        for at in 0..call.uses.len() {
            self.check_use(call, at).map_err(|rc| rc.session(at + 1))?;
            self.check_authorization(call, at, parameters).map_err(|rc| rc.session(at + 1))?;
        }
        Ok(())
    }

    /// Checks that a use of a session is one, and that the session is there.
    fn check_form(&self, command: &Command, call: &Call, at: usize) -> Result<()> {
        let one = call.uses.get(at).ok_or(Rc::FAILURE)?;
        let attributes = one.attributes;
        if one.is_password() {
            // A password has no key, so that nothing can be encrypted or audited by it.
            ensure(attributes & !session::CONTINUE == 0, Rc::ATTRIBUTES)?;
            return ensure(one.nonce.is_empty(), Rc::NONCE);
        }
        let session = self
            .session(one.handle)
            .map_err(|_| self.no_session(one.handle, Rc::reference_session(at + 1)))?;
        // Only those in front: each pair is then looked at once.
        let others = || call.uses.iter().take(at);
        ensure(
            // One session twice would need two nonces at a time, and has one.
            others().all(|other| index(other.handle) != index(one.handle) || other.is_password()),
            Rc::HANDLE,
        )?;
        for purpose in [session::DECRYPT, session::ENCRYPT, session::AUDIT] {
            let is_second = || others().any(|other| has(other.attributes, purpose));
            ensure(!has(attributes, purpose) || !is_second(), Rc::ATTRIBUTES)?;
        }
        let ciphers = [(session::DECRYPT, command.decrypts()), (session::ENCRYPT, command.encrypts())];
        for (_, is_possible) in ciphers.into_iter().filter(|(purpose, _)| has(attributes, *purpose)) {
            ensure(is_possible, Rc::ATTRIBUTES)?;
            ensure(session.symmetric != crate::structures::scheme::Symmetric::Null, Rc::SYMMETRIC)?;
        }
        ensure(!has(attributes, session::AUDIT) || session.kind == Kind::Hmac, Rc::ATTRIBUTES)
    }

    /// Checks what a session is used for.
    fn check_use(&self, call: &Call, at: usize) -> Result<()> {
        let one = call.uses.get(at).ok_or(Rc::FAILURE)?;
        let attributes = one.attributes;
        if one.is_password() {
            return ensure(one.entity.is_some(), Rc::HANDLE);
        }
        let session = self.session(one.handle).map_err(|_| Rc::reference_session(at + 1))?;
        // A trial session has a policy's digest without having been shown anything, and is for nothing else
        // (part 1, 19.3).
        ensure(session.kind != Kind::Trial, Rc::ATTRIBUTES)?;
        // Whatever the session is for: each of its HMACs is a try at the value that it was bound to (part 1,
        // 19.8).
        if session.is_bound_to_protected {
            self.check_lockout(if session.is_bound_to_lockout { handle::LOCKOUT } else { handle::NULL })?;
        }
        if has(attributes, session::AUDIT) {
            // The first use makes a session exclusive, so that it may ask to be.
            let is_first = session.audit.is_empty() || has(attributes, session::AUDIT_RESET);
            let is_exclusive = self.volatile.exclusive_audit == Some(index(one.handle));
            let wants_exclusive = has(attributes, session::AUDIT_EXCLUSIVE);
            return ensure(!wants_exclusive || is_first || is_exclusive, Rc::EXCLUSIVE);
        }
        ensure(!has(attributes, session::AUDIT_EXCLUSIVE | session::AUDIT_RESET), Rc::ATTRIBUTES)
    }

    fn check_authorization(&mut self, call: &mut Call, at: usize, parameters: &[u8]) -> Result<()> {
        let one = call.uses.get(at).ok_or(Rc::FAILURE)?;
        // A copy, since the checks change the TPM: tries and PINs are counted.
        let session = if one.is_password() { None } else { Some(self.session(one.handle)?.clone()) };
        let Some((entity, role)) = one.entity else {
            return self.check_hmac(call, at, session.as_ref(), parameters, None);
        };
        // Presence is asked for beside the platform's authorization, never in place of it.
        let needs_presence = entity == handle::PLATFORM && self.permanent.presence.contains(&call.code);
        ensure(!needs_presence || self.platform.is_present(), Rc::PP)?;
        let policy = session.as_ref().filter(|session| session.kind != Kind::Hmac);
        // A policy without a value lets nothing be guessed, so lockout does not stop it; everything else is
        // refused in lockout before it is compared, or guessing would go on (part 1, 19.8).
        let needs_value = policy.is_none_or(|session| session.policy.needed != Needed::Nothing);
        if needs_value && self.is_protected(entity) {
            self.check_lockout(entity)?;
        }
        match policy {
            Some(session) => {
                // The policy before the value: who does not fulfil it gets no try at the value.
                self.check_policy_available(entity, role, call)?;
                self.check_policy(session, entity, role, call, parameters)?;
                if session.policy.needs_presence && !self.platform.is_present() {
                    return Err(Rc::PP);
                }
            }
            None => self.check_value_available(entity, role, call)?,
        }
        let auth = self.entity_auth(entity).unwrap_or_default();
        // As it is before the command, which may change it: parameters are decrypted with this one.
        if let Some(one) = call.uses.get_mut(at) {
            one.auth = auth;
        }
        let plain =
            session.is_none() || policy.is_some_and(|session| session.policy.needed == Needed::Password);
        if plain {
            return self.check_password(call, at, entity);
        }
        self.check_hmac(call, at, session.as_ref(), parameters, Some(entity))
    }

    fn check_password(&mut self, call: &Call, at: usize, entity: u32) -> Result<()> {
        let one = call.uses.get(at).ok_or(Rc::FAILURE)?;
        // Trailing zeros are cut from what was sent, as they were when the value was set.
        if one.auth.is(&Secret::auth(&one.hmac)) {
            return self.count_good_pin(entity);
        }
        Err(self.wrong(entity))
    }

    /// Counts a wrong value and returns the error for it.
    fn wrong(&mut self, entity: u32) -> Rc {
        // A PIN index counts its own tries, beside what the protection counts.
        self.count_bad_pin(entity);
        if !self.is_protected(entity) {
            // Not AUTH_FAIL: the code tells the caller whether the try was counted (part 1, 19.8).
            return Rc::BAD_AUTH;
        }
        self.count_failed_try(entity);
        Rc::AUTH_FAIL
    }

    fn check_hmac(
        &mut self,
        call: &Call,
        at: usize,
        session: Option<&Session>,
        parameters: &[u8],
        entity: Option<u32>,
    ) -> Result<()> {
        let (one, session) = (call.uses.get(at).ok_or(Rc::FAILURE)?, session.ok_or(Rc::FAILURE)?);
        let auth = if self.includes_auth(session, entity) { one.auth.clone() } else { Secret::default() };
        // A HMAC without any key proves nothing, so it may be left out.
        if session.key.is_empty() && auth.is_empty() && one.hmac.is_empty() {
            return Ok(());
        }
        let digest = self.cp_hash(session.hash, call, parameters);
        // The first HMAC covers the nonces of the sessions that en- and decrypt, so that nobody on the way
        // can take these off the command (part 1, 19.6.5).
        let extra = if at == 0 { self.extra_nonces(call) } else { [Vec::new(), Vec::new()] };
        let nonces: [&[u8]; 4] = [&one.nonce, &session.nonce, &extra[0], &extra[1]];
        let good = self.session_hmac(session, &auth, &digest, nonces, one.attributes);
        if same(&good, &one.hmac) {
            return entity.map_or(Ok(()), |entity| self.count_good_pin(entity));
        }
        // A bound session's key comes from the value that it is bound to: a wrong HMAC is a guess at that
        // value, whatever entity the command is about. Without this, binding would be a way to guess
        // uncounted.
        if session.is_bound_to_lockout {
            return Err(self.wrong(handle::LOCKOUT));
        }
        if session.is_bound_to_protected && !entity.is_some_and(|entity| self.is_protected(entity)) {
            // For no entity in particular: the one that the session was bound to need not be there any more.
            self.count_failed_try(handle::NULL);
            return Err(Rc::AUTH_FAIL);
        }
        // Without an entity no value is in the HMAC's key, so nothing was guessed at.
        Err(entity.map_or(Rc::BAD_AUTH, |entity| self.wrong(entity)))
    }

    /// The nonces of the sessions for parameters that the first session's HMAC covers.
    fn extra_nonces(&self, call: &Call) -> [Vec<u8>; 2] {
        let with = |purpose| call.uses.iter().position(|one| has(one.attributes, purpose));
        let (decrypt, encrypt) = (with(session::DECRYPT), with(session::ENCRYPT));
        let nonce = |at: Option<usize>| {
            // The first session's own nonce is in its HMAC already.
            let one = at.filter(|at| *at != 0).and_then(|at| call.uses.get(at));
            one.and_then(|one| self.session(one.handle).ok()).map_or(Vec::new(), |found| found.nonce.clone())
        };
        [nonce(decrypt), nonce(encrypt.filter(|_| encrypt != decrypt))]
    }

    /// Whether the key of a session's HMAC includes the value of the entity that it authorizes.
    pub(crate) fn includes_auth(&self, session: &Session, entity: Option<u32>) -> bool {
        entity.is_some_and(|entity| match session.kind {
            // A bound session's key has the value in it already.
            Kind::Hmac => !self.is_bound_to(session, entity),
            _ => session.policy.needed == Needed::Value,
        })
    }

    /// Whether only a policy authorizes an entity for this role (part 1, 19.2).
    fn needs_policy(&self, entity: u32, role: Role) -> bool {
        match role {
            Role::Duplicate => true,
            Role::Admin => {
                // For an administrator's role an index has a policy only: NV_ChangeAuth and
                // NV_UndefineSpaceSpecial.
                handle::kind(entity) == handle::NV
                    || self.object(entity).is_ok_and(|found| found.has(object::ADMIN_WITH_POLICY))
            }
            _ => false,
        }
    }

    /// Whether an entity can be authorized by its value, for this role.
    fn check_value_available(&self, entity: u32, role: Role, call: &Call) -> Result<()> {
        ensure(!self.needs_policy(entity, role), Rc::AUTH_TYPE)?;
        let is_available = match handle::kind(entity) {
            handle::NV => {
                let public = &self.nv(entity)?.public;
                let needed = if call.writes_nv() { nv::AUTHWRITE } else { nv::AUTHREAD };
                public.has(needed) && self.is_pin_usable(entity)
            }
            handle::TRANSIENT | handle::PERSISTENT => {
                if matches!(self.slot(entity), Some(crate::object::Slot::Sequence(_))) {
                    return Ok(());
                }
                let object = self.object(entity)?;
                let by_role = role != Role::User || object.has(object::USER_WITH_AUTH);
                // Without a secret part there is no value to compare with, and the empty one would let
                // everybody in.
                by_role && object.sensitive.is_some()
            }
            _ => true,
        };
        ensure(is_available, Rc::AUTH_UNAVAILABLE)
    }

    /// Whether an entity can be authorized by a policy: an object always, by one that is empty never
    /// (`check_policy`).
    fn check_policy_available(&self, entity: u32, role: Role, call: &Call) -> Result<()> {
        let is_available = match handle::kind(entity) {
            handle::NV => {
                let public = &self.nv(entity)?.public;
                let needed = if call.writes_nv() { nv::POLICYWRITE } else { nv::POLICYREAD };
                // These attributes are about reading and writing, not about what an administrator does.
                (role != Role::User || public.has(needed)) && !public.policy.is_empty()
            }
            handle::TRANSIENT | handle::PERSISTENT => {
                // A sequence is no object, and has no policy.
                self.object(entity).is_ok_and(|object| object.sensitive.is_some())
            }
            _ => self.entity_policy(entity).0.is_some(),
        };
        ensure(is_available, Rc::AUTH_UNAVAILABLE)
    }

    /// Whether a PIN index still accepts its value.
    fn is_pin_usable(&self, entity: u32) -> bool {
        self.nv(entity).is_ok_and(|index| {
            let (count, most) = index.pin();
            // One that was never written has no limit yet, and lets nobody in.
            !index.public.is_pin() || (index.public.has(nv::WRITTEN) && count < most)
        })
    }

    /// A good try at a PIN index: a failure index forgets, a pass index counts.
    fn count_good_pin(&mut self, entity: u32) -> Result<()> {
        self.count_pin(entity, |kind, count| match kind {
            nv::PIN_FAIL => 0,
            nv::PIN_PASS => count.saturating_add(1),
            _ => count,
        });
        Ok(())
    }

    fn count_bad_pin(&mut self, entity: u32) {
        self.count_pin(
            entity,
            |kind, count| if kind == nv::PIN_FAIL { count.saturating_add(1) } else { count },
        );
    }

    fn count_pin(&mut self, entity: u32, next: impl Fn(u32, u32) -> u32) {
        let Some(index) = self.permanent.nv.get_mut(&entity).filter(|index| index.public.is_pin()) else {
            return;
        };
        let (count, most) = index.pin();
        let new = next(index.public.kind(), count);
        if new != count {
            index.set_number((u64::from(new) << 32) | u64::from(most));
            // Saved at once even if the index is orderly: what a loss of power took back would be free tries.
            self.touch();
        }
    }
}

//! Starting sessions (part 3, chapter 11).

use crate::constants::{alg, handle, limit, object};
use crate::crypto::Hash;
use crate::crypto::kdf::kdfa;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::session::policy::Policy;
use crate::session::{Bound, Kind, Session};
use crate::structures::scheme::Symmetric;

/// Bytes of a caller's nonce, at least.
const LEAST_NONCE: usize = 16;

/// The salt that was encrypted for a key.
fn salt(tpm: &mut Tpm, key: u32, encrypted: &[u8]) -> Result<Secret> {
    if key == handle::NULL {
        let is_empty = encrypted.is_empty();
        return if is_empty { Ok(Secret::default()) } else { Err(Rc::VALUE.parameter(2)) };
    }
    let found = tpm.object(key).map_err(|_| Rc::HANDLE.handle(1))?;
    if !found.public.is_asymmetric() {
        return Err(Rc::KEY.handle(1));
    }
    if found.sensitive.is_none() {
        return Err(Rc::HANDLE.handle(1));
    }
    // A signing key must not be made to decrypt what a caller chose.
    if !found.has(object::DECRYPT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    if encrypted.is_empty() {
        return Err(Rc::VALUE.parameter(2));
    }
    tpm.recover_secret(key, encrypted, "SECRET").map_err(|rc| rc.parameter(2))
}

/// TPM2_StartAuthSession.
pub(crate) fn start(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let caller = call.read(|r| r.bytes(limit::NONCE))?;
    let encrypted = call.read(|r| r.bytes(limit::RSA_BYTES))?;
    let kind = call.read(|r| match r.u8()? {
        0 => Ok(Kind::Hmac),
        1 => Ok(Kind::Policy),
        3 => Ok(Kind::Trial),
        _ => Err(Rc::VALUE),
    })?;
    let symmetric = call.read(Symmetric::read_session)?;
    let hash = call.read(Hash::read)?;
    call.end()?;
    // A short nonce would come again before long.
    if caller.len() < LEAST_NONCE || caller.len() > hash.size() {
        return Err(Rc::SIZE.parameter(1));
    }
    // Parameters have any length, and are encrypted by CFB alone (part 1, 21).
    if matches!(symmetric, Symmetric::Aes { mode, .. } if mode != alg::CFB) {
        return Err(Rc::MODE.parameter(4));
    }
    // Before the salt, whose decryption takes long.
    tpm.check_free_session()?;
    let (key, bind) = (call.handle(0), call.handle(1));
    let salt = salt(tpm, key, &encrypted)?;
    // Not authorized here: the caller shows by its HMACs that it knows the value (`check_hmac`).
    let bound_auth = match bind {
        handle::NULL => Secret::default(),
        bind => tpm.entity_auth(bind).map_err(|_| Rc::HANDLE.handle(2))?,
    };
    let nonce = tpm.random(caller.len());
    let mut session_key = Secret::default();
    // Otherwise the key is empty, and HMACs rest on the entity's value alone.
    if key != handle::NULL || bind != handle::NULL {
        let secret = Secret::joined(&[&bound_auth, &salt]);
        session_key = kdfa(&*tpm.crypto, hash, &secret, "ATH", [&nonce, &caller], hash.size() * 8);
    }
    // In a policy session the value stays a part of the HMAC's key wherever TPM2_PolicyAuthValue asks for it.
    let is_bound = bind != handle::NULL && kind == Kind::Hmac;
    let session = Session {
        kind,
        hash,
        symmetric,
        nonce: nonce.clone(),
        key: session_key,
        bound: is_bound.then(|| Bound { name: tpm.entity_name(bind), auth: bound_auth }),
        is_bound_to_protected: bind != handle::NULL && tpm.is_protected(bind),
        is_bound_to_lockout: bind == handle::LOCKOUT,
        audit: alloc::vec::Vec::new(),
        policy: Policy::new(hash, tpm.now()),
    };
    call.out_handle = Some(tpm.add_session(session)?);
    call.out.sized(&nonce);
    Ok(())
}

//! Duplication (part 3, chapter 13).

use alloc::vec::Vec;

use crate::constants::{handle, limit, object};
use crate::crypto::{Crypto, Hash};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::object::protect::{Wrapping, encrypt};
use crate::object::{Object, check};
use crate::rc::{Rc, Result};
use crate::secret::{Secret, same};
use crate::structures::public::Public;
use crate::structures::scheme::Symmetric;
use crate::structures::sensitive::Sensitive;
use crate::wire::{Reader, Writer};

const ZERO_IV: [u8; 16] = [0; 16];

/// The inner wrapping: a digest that ties the sensitive area to its name, encrypted with a key of the
/// caller's.
struct Inner<'a> {
    hash: Hash,
    key: &'a [u8],
    name: &'a [u8],
}

impl Inner<'_> {
    fn seal(&self, crypto: &dyn Crypto, plain: &[u8]) -> Result<Secret> {
        // With the name, so that it can't be passed off as another object's.
        let digest = crypto.digest(self.hash, &[plain, self.name]);
        let mut w = Writer::new();
        w.sized(&digest).raw(plain);
        let mut data = w.into_vec();
        // The specification has no IV here; the digest in front makes what follows differ.
        encrypt(crypto, self.key, &ZERO_IV, &mut data, false)?;
        Ok(data.into())
    }

    fn open(&self, crypto: &dyn Crypto, sealed: &[u8]) -> Result<Secret> {
        let mut data = sealed.to_vec();
        encrypt(crypto, self.key, &ZERO_IV, &mut data, true)?;
        let data = Secret::from(data);
        let mut r = Reader::new(&data);
        let digest = r.sized(limit::DIGEST).map_err(|_| Rc::INTEGRITY)?;
        let good = crypto.digest(self.hash, &[r.rest(), self.name]);
        if same(&good, digest) { Ok(Secret::copy(r.rest())) } else { Err(Rc::INTEGRITY) }
    }
}

/// A parent for duplicates at a place of the handles: its public part is enough.
fn new_parent(tpm: &Tpm, call: &Call, place: usize) -> Result<Option<Object>> {
    if call.handle(place) == handle::NULL {
        return Ok(None);
    }
    let wrong = Rc::TYPE.handle(place + 1);
    let parent = tpm.object(call.handle(place)).map_err(|_| wrong)?;
    // It may be another TPM's: to encrypt for it takes its public key alone.
    if parent.public.is_parent() && parent.public.is_asymmetric() {
        Ok(Some(parent.clone()))
    } else {
        Err(wrong)
    }
}

/// The outer wrapping for a new parent, and the secret for it.
fn wrap_outer(
    tpm: &mut Tpm,
    handle: u32,
    parent: Option<&Object>,
    name: &[u8],
    plain: Secret,
) -> Result<(Vec<u8>, Vec<u8>)> {
    let Some(parent) = parent else { return Ok((plain.to_vec(), Vec::new())) };
    let (seed, secret) = tpm.share_secret(handle, "DUPLICATE")?;
    let symmetric = parent.public.parameters.symmetric();
    let wrapping = Wrapping { hash: parent.hash()?, symmetric, seed: &seed, name };
    Ok((wrapping.seal(&*tpm.crypto, None, &plain)?, secret))
}

/// TPM2_Duplicate.
pub(crate) fn duplicate(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let key = Secret::copy(call.read(|r| r.sized(32))?);
    let symmetric = call.read(Symmetric::read_object)?;
    call.end()?;
    let found = tpm.object(call.handle(0)).map_err(|_| Rc::TYPE.handle(1))?.clone();
    if found.has(object::FIXED_PARENT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    let hash = found.public.name_alg.ok_or(Rc::TYPE.handle(1))?;
    let parent = new_parent(tpm, call, 1)?;
    // Its maker wants both wrappings: with one alone, either the new parent or who has the key could read it.
    if found.has(object::ENCRYPTED_DUPLICATION) {
        if symmetric == Symmetric::Null {
            return Err(Rc::SYMMETRIC.parameter(2));
        }
        if parent.is_none() {
            return Err(Rc::HIERARCHY.handle(2));
        }
    }
    let size = symmetric.key_size();
    if symmetric != Symmetric::Null && !symmetric.is_cfb() {
        return Err(Rc::SYMMETRIC.parameter(2));
    }
    if key.len() != size && !key.is_empty() {
        return Err(Rc::SIZE.parameter(1));
    }
    // Who gives no key lets the TPM draw one, and is told it.
    let is_own = key.is_empty() && size != 0;
    let key = if is_own { Secret::from(tpm.random(size)) } else { key };
    let mut plain = found.secret()?.marshal(hash.size());
    if size != 0 {
        plain = Inner { hash, key: &key, name: &found.name }.seal(&*tpm.crypto, &plain)?;
    }
    let (wrapped, secret) = wrap_outer(tpm, call.handle(1), parent.as_ref(), &found.name, plain)?;
    // A key of the caller's is not sent back over the wire.
    call.out.sized(if is_own { &key } else { &[] }).sized(&wrapped).sized(&secret);
    Ok(())
}

/// TPM2_Rewrap.
pub(crate) fn rewrap(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let duplicate = call.read(|r| r.bytes(limit::COMMAND))?;
    let name = call.read(|r| r.bytes(limit::DIGEST + 2))?;
    let secret = call.read(|r| r.bytes(limit::RSA_BYTES))?;
    call.end()?;
    let old = call.handle(0);
    let is_wrapped = old != handle::NULL;
    // The secret is the old parent's: with one there is no wrapping without it, and without one none with it.
    if is_wrapped == secret.is_empty() {
        return Err(Rc::HANDLE.handle(1));
    }
    // An inner wrapping stays: its key is not for a TPM in between.
    let mut plain = Secret::from(duplicate);
    if is_wrapped {
        let parent = tpm.object(old).map_err(|_| Rc::TYPE.handle(1))?.clone();
        if !parent.is_parent() {
            return Err(Rc::TYPE.handle(1));
        }
        plain = unwrap_outer(tpm, old, &parent, &name, &secret, &plain, [3, 1])?;
    }
    let parent = new_parent(tpm, call, 1)?;
    let (wrapped, secret) = wrap_outer(tpm, call.handle(1), parent.as_ref(), &name, plain)?;
    call.out.sized(&wrapped).sized(&secret);
    Ok(())
}

/// Opens the outer wrapping. `numbers` are the parameters of the secret and of what is wrapped.
fn unwrap_outer(
    tpm: &mut Tpm,
    handle: u32,
    parent: &Object,
    name: &[u8],
    secret: &[u8],
    wrapped: &[u8],
    numbers: [usize; 2],
) -> Result<Secret> {
    let [secret_number, wrapped_number] = numbers;
    let seed = tpm.recover_secret(handle, secret, "DUPLICATE").map_err(|rc| rc.parameter(secret_number))?;
    let symmetric = parent.public.parameters.symmetric();
    let wrapping = Wrapping { hash: parent.hash()?, symmetric, seed: &seed, name };
    wrapping.open(&*tpm.crypto, false, wrapped).map_err(|rc| rc.parameter(wrapped_number))
}

/// TPM2_Import.
pub(crate) fn import(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let key = Secret::copy(call.read(|r| r.sized(32))?);
    let public = call.read(|r| r.inside(|r| Public::read(r, false)))?;
    let duplicate = call.read(|r| r.bytes(limit::COMMAND))?;
    let secret = call.read(|r| r.bytes(limit::RSA_BYTES))?;
    let symmetric = call.read(Symmetric::read_object)?;
    call.end()?;
    // What comes from outside can't promise that it never was there.
    if public.attributes & (object::FIXED_TPM | object::FIXED_PARENT) != 0 {
        return Err(Rc::ATTRIBUTES.parameter(2));
    }
    let parent = tpm.object(call.handle(0)).map_err(|_| Rc::TYPE.handle(1))?.clone();
    if !parent.is_parent() {
        return Err(Rc::TYPE.handle(1));
    }
    // Without an algorithm the size is 0: there is no inner wrapping, and no key for it.
    if key.len() != symmetric.key_size() {
        return Err(Rc::SIZE.parameter(1));
    }
    if public.has(object::ENCRYPTED_DUPLICATION) && (symmetric == Symmetric::Null || secret.is_empty()) {
        return Err(Rc::ATTRIBUTES.parameter(2));
    }
    check::attributes(&public, None, false).map_err(|rc| rc.parameter(2))?;
    let name = public.name(&*tpm.crypto);
    let mut plain = Secret::from(duplicate);
    if !secret.is_empty() {
        plain = unwrap_outer(tpm, call.handle(0), &parent, &name, &secret, &plain, [4, 3])?;
    }
    if !key.is_empty() {
        let hash = public.name_alg.ok_or(Rc::HASH.parameter(2))?;
        let inner = Inner { hash, key: &key, name: &name };
        plain = inner.open(&*tpm.crypto, &plain).map_err(|rc| rc.parameter(3))?;
    }
    let sensitive = Reader::new(&plain).inside(Sensitive::read).map_err(|rc| rc.parameter(3))?;
    // Although the wrapping was authentic: anybody can make one who knows the parent's public key.
    tpm.check_public(&public).map_err(|rc| rc.parameter(2))?;
    tpm.check_pair(&public, &sensitive).map_err(|rc| rc.parameter(3))?;
    // From here on it is an ordinary child, for TPM2_Load.
    let private = tpm.wrap(call.handle(0), &public, &sensitive)?;
    call.out.sized(&private);
    Ok(())
}

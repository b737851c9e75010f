//! External objects, public areas and credentials (part 3, chapter 12).

use crate::constants::{handle, limit, object};
use crate::crypto::Hash;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::object::protect::Wrapping;
use crate::object::{Object, Slot, check};
use crate::rc::{Rc, Result};
use crate::structures::public::Public;
use crate::structures::sensitive::Sensitive;
use crate::wire::{Reader, Writer};

/// TPM2_LoadExternal.
pub(crate) fn load_external(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let sensitive = call.read(|r| {
        // Not by `inside`, which refuses what is empty: here that is an object without a secret part.
        let mut inner = Reader::new(r.sized(limit::COMMAND)?);
        if inner.is_empty() {
            return Ok(None);
        }
        let sensitive = Sensitive::read(&mut inner)?;
        if inner.is_empty() { Ok(Some(sensitive)) } else { Err(Rc::SIZE) }
    })?;
    let public = call.read(|r| r.inside(|r| Public::read(r, true)))?;
    let hierarchies = [handle::OWNER, handle::ENDORSEMENT, handle::PLATFORM, handle::NULL];
    let hierarchy = call.read(|r| Some(r.u32()?).filter(|at| hierarchies.contains(at)).ok_or(Rc::VALUE))?;
    call.end()?;
    if !tpm.is_enabled(hierarchy) {
        return Err(Rc::HIERARCHY.parameter(3));
    }
    // First, since checking a key takes long, and is in vain if there is no room.
    tpm.check_free_slot()?;
    check::schemes(&public).map_err(|rc| rc.parameter(2))?;
    tpm.check_public(&public).map_err(|rc| rc.parameter(2))?;
    if let Some(sensitive) = &sensitive {
        // A secret that is known outside gets no tickets of a hierarchy.
        if hierarchy != handle::NULL {
            return Err(Rc::HIERARCHY.parameter(3));
        }
        // What these promise of a secret can't be kept by one that is known outside (part 3, 12.3).
        let forbidden = object::FIXED_TPM | object::FIXED_PARENT | object::RESTRICTED;
        if public.attributes & forbidden != 0 {
            return Err(Rc::ATTRIBUTES.parameter(2));
        }
        check::attributes(&public, None, false).map_err(|rc| rc.parameter(2))?;
        tpm.check_pair(&public, sensitive).map_err(|rc| rc.parameter(1))?;
    }
    let mut loaded = Object::new(&*tpm.crypto, public, sensitive, &hierarchy.to_be_bytes(), hierarchy);
    loaded.is_external = true;
    // It has no ancestors.
    loaded.qualified_name = loaded.name.clone();
    call.out.sized(&loaded.name);
    call.out_handle = Some(tpm.load(Slot::Object(loaded))?);
    Ok(())
}

/// TPM2_ReadPublic.
pub(crate) fn read_public(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    // The handle has been looked at: what is no object there is a sequence, which has no public area.
    let found = tpm.object(call.handle(0)).map_err(|_| Rc::SEQUENCE)?;
    call.out.sized(&found.public.marshal()).sized(&found.name).sized(&found.qualified_name);
    Ok(())
}

/// The key that a credential is made for: a restricted decryption key with a public part.
fn credential_key(tpm: &Tpm, handle: u32, number: usize) -> Result<&Object> {
    let wrong = Rc::TYPE.handle(number);
    let key = tpm.object(handle).map_err(|_| wrong)?;
    if key.public.is_asymmetric() && key.public.is_storage() { Ok(key) } else { Err(wrong) }
}

/// TPM2_MakeCredential.
pub(crate) fn make_credential(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let credential = call.read(|r| r.bytes(limit::DIGEST))?;
    let name = call.read(|r| r.bytes(limit::DIGEST + 2))?;
    call.end()?;
    let key = credential_key(tpm, call.handle(0), 1)?;
    let (hash, symmetric) = (key.hash()?, key.public.parameters.symmetric());
    if credential.len() > hash.size() {
        return Err(Rc::SIZE.parameter(1));
    }
    // Only the key's TPM recovers the seed; the name in the wrapping says for which of its objects.
    let (seed, secret) = tpm.share_secret(call.handle(0), "IDENTITY")?;
    let mut w = Writer::new();
    w.sized(&credential);
    let wrapping = Wrapping { hash, symmetric, seed: &seed, name: &name };
    let blob = wrapping.seal(&*tpm.crypto, None, w.as_slice())?;
    call.out.sized(&blob).sized(&secret);
    Ok(())
}

/// TPM2_ActivateCredential.
pub(crate) fn activate_credential(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let blob = call.read(|r| r.bytes(limit::COMMAND))?;
    let secret = call.read(|r| r.bytes(limit::RSA_BYTES))?;
    call.end()?;
    let name = tpm.object(call.handle(0)).map_err(|_| Rc::TYPE.handle(1))?.name.clone();
    let key = credential_key(tpm, call.handle(1), 2)?;
    let (hash, symmetric): (Hash, _) = (key.hash()?, key.public.parameters.symmetric());
    let seed = tpm.recover_secret(call.handle(1), &secret, "IDENTITY").map_err(|rc| rc.parameter(2))?;
    // Only the object with the name that the credential was made for opens it (part 1, 24).
    let wrapping = Wrapping { hash, symmetric, seed: &seed, name: &name };
    let plain = wrapping.open(&*tpm.crypto, false, &blob).map_err(|rc| rc.parameter(1))?;
    let mut r = Reader::new(&plain);
    let credential = r.sized(limit::DIGEST).map_err(|rc| rc.parameter(1))?;
    call.out.sized(credential);
    Ok(())
}

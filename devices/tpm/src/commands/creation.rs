//! Creation and loading of objects (part 3, chapters 12 and 24.1).

use alloc::vec::Vec;

use crate::constants::{alg, handle, limit, object, st};
use crate::crypto::Hash;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::object::{Object, Slot, check, qualified};
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::structures::pcr_selection::{self, Selection};
use crate::structures::public::{Public, Unique};
use crate::structures::sensitive::{Sensitive, SensitiveCreate};
use crate::wire::{Reader, Writer};

/// What TPM2_Create and TPM2_CreatePrimary have in common.
struct Request {
    given: SensitiveCreate,
    public: Public,
    outside: Vec<u8>,
    pcrs: Vec<Selection>,
}

impl Request {
    fn read(call: &mut Call) -> Result<Request> {
        let request = Request {
            given: call.read(SensitiveCreate::read)?,
            public: call.read(|r| r.inside(|r| Public::read(r, false)))?,
            outside: call.read(|r| r.bytes(limit::DIGEST + 2))?,
            pcrs: call.read(pcr_selection::read)?,
        };
        call.end()?;
        Ok(request)
    }
}

/// An error of a template is about the second parameter, one of the caller's data about the first.
fn blame(rc: Rc) -> Rc {
    if rc == Rc::KEY_SIZE { rc.parameter(1) } else { rc.parameter(2) }
}

/// Writes what tells of the creation: the data, their digest, and a ticket of both.
fn write_creation(
    tpm: &Tpm,
    call: &mut Call,
    request: &Request,
    parent: u32,
    created: &Object,
) -> Result<()> {
    let hash = created.hash()?;
    let mut w = Writer::new();
    pcr_selection::write(&mut w, &request.pcrs);
    w.sized(&tpm.volatile.pcrs.digest(&*tpm.crypto, hash, &request.pcrs));
    // TPMA_LOCALITY: a bit a locality, or its number from 32 on.
    w.u8(if call.locality < 5 { 1 << call.locality } else { call.locality });
    match tpm.object(parent) {
        Ok(object) => w.u16(object.hash()?.id()).sized(&object.name).sized(&object.qualified_name),
        // A hierarchy has no name algorithm, and its handle is its name.
        Err(_) => w.u16(alg::NULL).sized(&parent.to_be_bytes()).sized(&parent.to_be_bytes()),
    };
    w.sized(&request.outside);
    let digest = tpm.digest(hash, &[w.as_slice()]);
    // By it TPM2_CertifyCreation knows that the object was made here.
    let ticket = tpm.ticket(st::CREATION, created.hierarchy, &[&created.name, &digest])?;
    call.out.sized(w.as_slice()).sized(&digest);
    ticket.write(&mut call.out);
    Ok(())
}

/// TPM2_CreatePrimary.
pub(crate) fn create_primary(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let mut request = Request::read(call)?;
    let hierarchy = call.handle(0);
    // Before the key is made: a search for primes takes long, and its result would be thrown away.
    tpm.check_free_slot()?;
    tpm.check_template(&request.public, None, &request.given).map_err(blame)?;
    check_auth(&request.given, &request.public)?;
    // What is not there is not to stand in the creation data as if it had been looked at.
    tpm.volatile.pcrs.filter(&mut request.pcrs);
    let sensitive = tpm.create_primary(hierarchy, &mut request.public, &request.given).map_err(blame)?;
    let created = primary(tpm, hierarchy, request.public.clone(), sensitive);
    call.out.sized(&created.public.marshal());
    write_creation(tpm, call, &request, hierarchy, &created)?;
    call.out.sized(&created.name);
    call.out_handle = Some(tpm.load(Slot::Object(created))?);
    Ok(())
}

fn primary(tpm: &Tpm, hierarchy: u32, public: Public, sensitive: Sensitive) -> Object {
    let mut created = Object::new(&*tpm.crypto, public, Some(sensitive), &hierarchy.to_be_bytes(), hierarchy);
    created.is_primary = true;
    created
}

/// The parent of a command's first handle, which must be one.
fn parent(tpm: &Tpm, call: &Call) -> Result<Object> {
    let parent = tpm.object(call.handle(0)).map_err(|_| Rc::TYPE.handle(1))?;
    if parent.is_parent() { Ok(parent.clone()) } else { Err(Rc::TYPE.handle(1)) }
}

/// An object below a parent.
fn child(tpm: &Tpm, parent: &Object, public: Public, sensitive: Sensitive) -> Object {
    let names = (&parent.qualified_name, parent.hierarchy);
    let mut child = Object::new(&*tpm.crypto, public, Some(sensitive), names.0, names.1);
    child.is_external = parent.is_external;
    // What is below an object that a restart removes can't be loaded after it, so it must not stay itself.
    child.is_st_clear |= parent.is_st_clear;
    child
}

/// TPM2_Create.
pub(crate) fn create(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let mut request = Request::read(call)?;
    let parent = parent(tpm, call)?;
    tpm.check_template(&request.public, Some(&parent), &request.given).map_err(blame)?;
    check_auth(&request.given, &request.public)?;
    tpm.volatile.pcrs.filter(&mut request.pcrs);
    let sensitive = tpm.create_ordinary(&mut request.public, &request.given).map_err(blame)?;
    // Wrapped with the public area as it is now: `create_ordinary` has filled in what follows from the
    // secret.
    let private = tpm.wrap(call.handle(0), &request.public, &sensitive)?;
    let created = child(tpm, &parent, request.public.clone(), sensitive);
    call.out.sized(&private).sized(&created.public.marshal());
    write_creation(tpm, call, &request, call.handle(0), &created)
}

/// TPM2_Load.
pub(crate) fn load(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let private = call.read(|r| r.bytes(limit::COMMAND))?;
    let public = call.read(|r| r.inside(|r| Public::read(r, false)))?;
    call.end()?;
    // First, since opening a private area is in vain if there is no room.
    tpm.check_free_slot()?;
    // An object without a secret comes by TPM2_LoadExternal.
    if private.is_empty() {
        return Err(Rc::SIZE.parameter(1));
    }
    let parent = parent(tpm, call)?;
    let name = public.name(&*tpm.crypto);
    // The name is in the HMAC: with another's public part the private one is refused.
    let sensitive = tpm.unwrap(&parent, &name, &private).map_err(|rc| rc.parameter(1))?;
    check::attributes(&public, Some(&parent), true).map_err(|rc| rc.parameter(2))?;
    // Although it is wrapped for the parent: a parent that was imported has a seed that others may know.
    tpm.check_public(&public).map_err(|rc| rc.parameter(2))?;
    tpm.check_pair(&public, &sensitive).map_err(|rc| rc.parameter(2))?;
    let loaded = child(tpm, &parent, public, sensitive);
    call.out.sized(&loaded.name);
    call.out_handle = Some(tpm.load(Slot::Object(loaded))?);
    Ok(())
}

/// TPM2_CreateLoaded: a primary, ordinary or derived object, by its parent.
pub(crate) fn create_loaded(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let given = call.read(SensitiveCreate::read)?;
    let template = call.read(|r| r.bytes(limit::COMMAND))?;
    call.end()?;
    tpm.check_free_slot()?;
    let by = call.handle(0);
    let (created, private) = if handle::kind(by) == handle::PERMANENT {
        let mut public = whole(&template).map_err(|rc| rc.parameter(2))?;
        check_auth(&given, &public)?;
        tpm.check_template(&public, None, &given).map_err(blame)?;
        let sensitive = tpm.create_primary(by, &mut public, &given).map_err(blame)?;
        (primary(tpm, by, public, sensitive), Vec::new())
    } else {
        create_below(tpm, by, &template, given)?
    };
    call.out.sized(&private).sized(&created.public.marshal()).sized(&created.name);
    call.out_handle = Some(tpm.load(Slot::Object(created))?);
    Ok(())
}

/// In the private area the value is padded to this size, which hides its length (`Sensitive::marshal`).
fn check_auth(given: &SensitiveCreate, public: &Public) -> Result<()> {
    let most = public.name_alg.map_or(0, Hash::size);
    if given.auth.len() > most { Err(Rc::SIZE.parameter(1)) } else { Ok(()) }
}

fn whole(template: &[u8]) -> Result<Public> {
    let mut r = Reader::new(template);
    let public = Public::read(&mut r, false)?;
    if r.is_empty() { Ok(public) } else { Err(Rc::SIZE) }
}

fn create_below(
    tpm: &mut Tpm,
    by: u32,
    template: &[u8],
    given: SensitiveCreate,
) -> Result<(Object, Vec<u8>)> {
    let parent = tpm.object(by).map_err(|_| Rc::TYPE.handle(1))?.clone();
    let is_derivation = parent.public.is_derivation_parent() && parent.sensitive.is_some();
    if !parent.is_parent() && !is_derivation {
        return Err(Rc::TYPE.handle(1));
    }
    if !is_derivation {
        let mut public = whole(template).map_err(|rc| rc.parameter(2))?;
        check_auth(&given, &public)?;
        tpm.check_template(&public, Some(&parent), &given).map_err(blame)?;
        let sensitive = tpm.create_ordinary(&mut public, &given).map_err(blame)?;
        let private = tpm.wrap(by, &public, &sensitive)?;
        return Ok((child(tpm, &parent, public, sensitive), private));
    }
    let (mut public, label, context) = derivation(template).map_err(|rc| rc.parameter(2))?;
    check_auth(&given, &public)?;
    if public.kind() == alg::RSA {
        return Err(Rc::TYPE.parameter(2));
    }
    // What is derived is made of the parent's secret, not by chance (part 3, 12.9).
    if public.has(object::SENSITIVE_DATA_ORIGIN) {
        return Err(Rc::ATTRIBUTES.parameter(2));
    }
    check::attributes(&public, Some(&parent), true).map_err(|rc| rc.parameter(2))?;
    // Given there, they are hidden from who sees the template.
    let (label, context) = match given.data.is_empty() {
        true => (label, context),
        false => read_derive(&mut Reader::new(&given.data)).map_err(|rc| rc.parameter(1))?,
    };
    // Label and context stood in the place of the data, and are no secret of the new object.
    let auth = SensitiveCreate { auth: given.auth, data: Secret::default() };
    let sensitive = tpm.create_derived(&parent, &mut public, &auth, [&label, &context]).map_err(blame)?;
    Ok((child(tpm, &parent, public, sensitive), Vec::new()))
}

/// TPMS_DERIVE: a label and a context.
fn read_derive(r: &mut Reader) -> Result<(Vec<u8>, Vec<u8>)> {
    Ok((r.bytes(limit::LABEL)?, r.bytes(limit::LABEL)?))
}

/// A template for a derived object: label and context are in the place of `unique`.
fn derivation(template: &[u8]) -> Result<(Public, Vec<u8>, Vec<u8>)> {
    let mut r = Reader::new(template);
    let kind = Reader::new(template).u16()?;
    // Two sized fields are a point on the wire, for all kinds.
    let (public, (label, context)) = if kind == alg::ECC {
        let public = Public::read(&mut r, false)?;
        let (label, context) = match &public.unique {
            Unique::Point(point) => (point.x.clone(), point.y.clone()),
            Unique::Bytes(_) => (Vec::new(), Vec::new()),
        };
        (public, (label, context))
    } else {
        let public = Public::read(&mut r, false)?;
        let label = public.bytes().to_vec();
        (public, (label, r.bytes(limit::LABEL)?))
    };
    if r.is_empty() { Ok((public, label, context)) } else { Err(Rc::SIZE) }
}

/// TPM2_ObjectChangeAuth.
pub(crate) fn object_change_auth(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let auth = Secret::auth(call.read(|r| r.sized(limit::DIGEST))?);
    call.end()?;
    let object = tpm.object(call.handle(0)).map_err(|_| Rc::TYPE.handle(1))?.clone();
    let parent = tpm.object(call.handle(1)).map_err(|_| Rc::TYPE.handle(2))?;
    if auth.len() > object.hash()?.size() {
        return Err(Rc::SIZE.parameter(1));
    }
    // Parent and child are matched by the qualified name, a digest over all ancestors: wrapped for any other
    // parent, it could never be loaded again.
    let found = qualified(&*tpm.crypto, object.public.name_alg, &parent.qualified_name, &object.name);
    if !parent.is_parent() || found != object.qualified_name {
        return Err(Rc::TYPE.handle(2));
    }
    // The seed stays, and with it the public area and the name.
    let sensitive = Sensitive { auth, ..object.secret()?.clone() };
    let private = tpm.wrap(call.handle(1), &object.public, &sensitive)?;
    call.out.sized(&private);
    Ok(())
}

/// TPM2_Unseal.
pub(crate) fn unseal(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    let found = tpm.object(call.handle(0)).map_err(|_| Rc::TYPE.handle(1))?;
    if found.public.kind() != alg::KEYEDHASH {
        return Err(Rc::TYPE.handle(1));
    }
    // These make it a key, whose secret never leaves the TPM.
    if found.public.attributes & (object::SIGN | object::DECRYPT | object::RESTRICTED) != 0 {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    call.out.sized(&found.secret()?.data);
    Ok(())
}

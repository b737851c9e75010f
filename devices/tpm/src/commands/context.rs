//! Contexts, and persistent objects (part 3, chapter 28).

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::constants::{handle, limit};
use crate::crypto::kdf::kdfa;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::object::protect::encrypt;
use crate::object::sequence::Sequence;
use crate::object::{Object, Slot};
use crate::proof::HASH;
use crate::rc::{Rc, Result};
use crate::secret::{Secret, same};
use crate::session::{Session, SessionSlot, index};
use crate::table::Kind;
use crate::wire::{Reader, Writer};

/// The handles of saved transient objects (part 2, 14.5).
const OBJECT: u32 = 0x8000_0000;
const SEQUENCE: u32 = 0x8000_0001;
const ST_CLEAR: u32 = 0x8000_0002;

/// What identifies a saved context.
#[derive(Clone, Copy)]
struct Identity {
    sequence: u64,
    handle: u32,
    hierarchy: u32,
}

impl Identity {
    /// Encrypts or decrypts the content.
    fn crypt(&self, tpm: &Tpm, data: &mut [u8], undo: bool) -> Result<()> {
        let proof = tpm.proof(self.hierarchy)?;
        let (sequence, handle) = (self.sequence.to_be_bytes(), self.handle.to_be_bytes());
        let both = kdfa(&*tpm.crypto, HASH, proof, "CONTEXT", [&sequence, &handle], 384);
        let (key, iv) = both.split_at_checked(32).ok_or(Rc::FAILURE)?;
        encrypt(&*tpm.crypto, key, iv, data, undo)
    }

    /// The integrity value: good until the next TPM Reset, or TPM Restart for what has stClear.
    fn mac(&self, tpm: &Tpm, encrypted: &[u8]) -> Result<Vec<u8>> {
        // Only what has stClear ends with a restart.
        let clears = if self.handle == ST_CLEAR { tpm.volatile.clear_count } else { 0 };
        let mut w = Writer::new();
        // A reset ends every context.
        w.u64(tpm.permanent.total_reset_count).u32(clears).u64(self.sequence).u32(self.handle);
        let proof = tpm.proof(self.hierarchy)?;
        Ok(tpm.crypto.hmac(HASH, proof, &[b"CONTEXT", w.as_slice(), encrypted]))
    }
}

/// TPM2_ContextSave.
pub(crate) fn save(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    let saved = call.handle(0);
    let mut w = Writer::new();
    let (handle, hierarchy) = match tpm.slot(saved) {
        Some(Slot::Object(object)) => {
            object.save(&mut w);
            (if object.is_st_clear { ST_CLEAR } else { OBJECT }, object.hierarchy)
        }
        Some(Slot::Sequence(sequence)) => {
            sequence.save(&mut w);
            (SEQUENCE, handle::NULL)
        }
        None => {
            tpm.session(saved).map_err(|rc| rc.handle(1))?.save(&mut w);
            // A session is no hierarchy's. The null proof is a new one after each reset, which ends it.
            (saved, handle::NULL)
        }
    };
    // Never the same twice: key and IV of the context are derived from it.
    let sequence = tpm.volatile.context_counter.checked_add(1).ok_or(Rc::TOO_MANY_CONTEXTS)?;
    tpm.volatile.context_counter = sequence;
    let identity = Identity { sequence, handle, hierarchy };
    let mut data = w.as_slice().to_vec();
    identity.crypt(tpm, &mut data, false)?;
    let mac = identity.mac(tpm, &data)?;
    call.out.u64(sequence).u32(handle).u32(hierarchy);
    call.out.inside(|w| {
        w.sized(&mac).raw(&data);
    });
    if handle::kind(saved) != handle::TRANSIENT {
        // The session leaves the memory: with two copies, one of them could be used again after its nonce was
        // spent.
        tpm.volatile.sessions.insert(index(saved), SessionSlot::Saved(sequence));
    }
    Ok(())
}

/// TPM2_ContextLoad.
pub(crate) fn load(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let (identity, blob) = call.read(|r| {
        let sequence = r.u64()?;
        // TPMI_DH_SAVED and TPMI_RH_HIERARCHY.
        let saved = |at: &u32| handle::is_session(*at) || [OBJECT, SEQUENCE, ST_CLEAR].contains(at);
        let handle = Some(r.u32()?).filter(saved).ok_or(Rc::VALUE)?;
        let hierarchy = Some(r.u32()?).filter(|at| Kind::Hierarchy.allows(*at)).ok_or(Rc::VALUE)?;
        Ok((Identity { sequence, handle, hierarchy }, r.bytes(limit::COMMAND)?))
    })?;
    call.end()?;
    let about = |rc: Rc| rc.parameter(1);
    // What was saved before the hierarchy was turned off must not come back.
    if !tpm.is_enabled(identity.hierarchy) {
        return Err(about(Rc::HIERARCHY));
    }
    let mut r = Reader::new(&blob);
    let mac = r.sized(limit::DIGEST).map_err(about)?;
    if !same(&identity.mac(tpm, r.rest())?, mac) {
        return Err(about(Rc::INTEGRITY));
    }
    // Only now decrypted: a context comes back from a place that is not the TPM's.
    let mut plain = r.rest().to_vec();
    identity.crypt(tpm, &mut plain, true)?;
    let plain = Secret::from(plain);
    let mut r = Reader::new(&plain);
    let slot = match identity.handle {
        OBJECT | ST_CLEAR => Slot::Object(Object::read(&*tpm.crypto, &mut r).map_err(about)?),
        SEQUENCE => Slot::Sequence(Sequence::read(&*tpm.crypto, &mut r).map_err(about)?),
        handle => {
            call.out_handle = Some(load_session(tpm, handle, identity.sequence, &mut r).map_err(about)?);
            return Ok(());
        }
    };
    call.out_handle = Some(tpm.load(slot)?);
    Ok(())
}

/// A saved session can be loaded once, and only its last context.
fn load_session(tpm: &mut Tpm, handle: u32, sequence: u64, r: &mut Reader) -> Result<u32> {
    // Of a session only the newest context: an older one would bring back nonces that were used.
    let is_last = matches!(tpm.volatile.sessions.get(&index(handle)),
        Some(SessionSlot::Saved(last)) if *last == sequence);
    if !is_last {
        return Err(Rc::HANDLE);
    }
    if tpm.loaded_sessions() >= limit::LOADED_SESSIONS {
        return Err(Rc::SESSION_MEMORY);
    }
    let session = Session::read(r)?;
    tpm.volatile.sessions.insert(index(handle), SessionSlot::Loaded(Box::new(session)));
    Ok(handle)
}

/// TPM2_FlushContext.
pub(crate) fn flush(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let flushed = call.read(|r| Some(r.u32()?).filter(|at| Kind::Context.allows(*at)).ok_or(Rc::VALUE))?;
    call.end()?;
    let about = |rc: Rc| rc.parameter(1);
    match handle::kind(flushed) {
        handle::TRANSIENT => match tpm.slot_mut(flushed) {
            Some(slot @ Some(_)) => *slot = None,
            _ => return Err(about(Rc::HANDLE)),
        },
        // A session, loaded or saved.
        _ => tpm.flush_session(flushed).map_err(about)?,
    }
    Ok(())
}

/// TPM2_EvictControl.
pub(crate) fn evict_control(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let is_persistent = |at: &u32| handle::kind(*at) == handle::PERSISTENT;
    let place = call.read(|r| Some(r.u32()?).filter(is_persistent).ok_or(Rc::VALUE))?;
    call.end()?;
    let (by, source) = (call.handle(0), call.handle(1));
    let object = tpm.object(source).map_err(|_| Rc::ATTRIBUTES.handle(2))?.clone();
    // One from outside has no ancestors here; one with stClear is to be gone after a restart; and the null
    // hierarchy has a new seed after each reset, so that nothing of it may stay.
    let is_temporary = object.is_external || object.is_st_clear || object.hierarchy == handle::NULL;
    if is_temporary || object.sensitive.is_none() {
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    let is_removal = handle::kind(source) == handle::PERSISTENT;
    // A persistent object is removed by naming it twice.
    if is_removal && source != place {
        return Err(Rc::HANDLE.handle(2));
    }
    // The platform may remove what is the owner's, too (part 3, 28.5).
    let is_platform = by == handle::PLATFORM;
    if is_platform != (object.hierarchy == handle::PLATFORM) && !(is_platform && is_removal) {
        return Err(Rc::HIERARCHY.handle(2));
    }
    // Owner and platform have handles of their own, so that neither can take up the other's.
    if is_platform != (place >= handle::PLATFORM_PERSISTENT) && !is_removal {
        return Err(Rc::RANGE.parameter(1));
    }
    if is_removal {
        tpm.permanent.persistent.remove(&source);
    } else {
        if tpm.permanent.persistent.contains_key(&place) {
            return Err(Rc::NV_DEFINED);
        }
        if tpm.permanent.persistent.len() >= limit::PERSISTENT {
            return Err(Rc::NV_SPACE);
        }
        tpm.permanent.persistent.insert(place, object);
    }
    tpm.touch();
    Ok(())
}

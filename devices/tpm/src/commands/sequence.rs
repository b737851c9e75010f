//! Sequences of hashing and of HMAC (part 3, chapter 17).

use alloc::vec::Vec;

use super::pcr::{check_extend, record};
use super::symmetric::{hmac_key, read_hierarchy};
use crate::constants::{handle, limit, st};
use crate::crypto::{Crypto, Hash};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::object::Slot;
use crate::object::sequence::{Running, Sequence};
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::structures::ticket::Ticket;

fn add(tpm: &mut Tpm, call: &mut Call, auth: Secret, running: Running) -> Result<()> {
    call.out_handle = Some(tpm.load(Slot::Sequence(Sequence { auth, running }))?);
    Ok(())
}

/// TPM2_HMAC_Start.
pub(crate) fn hmac_start(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let auth = Secret::auth(call.read(|r| r.sized(limit::DIGEST))?);
    let given = call.read(Hash::read_or_null)?;
    call.end()?;
    let (key, hash) = hmac_key(tpm, call, given, 2)?;
    // Never restricted: `hmac_key` refuses such keys.
    let running = Running::hmac(&*tpm.crypto, hash, &key.secret()?.data, false);
    add(tpm, call, auth, running)
}

/// TPM2_HashSequenceStart: without an algorithm, an event sequence.
pub(crate) fn hash_start(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let auth = Secret::auth(call.read(|r| r.sized(limit::DIGEST))?);
    let hash = call.read(Hash::read_or_null)?;
    call.end()?;
    let crypto: &dyn Crypto = &*tpm.crypto;
    let running = hash.map_or_else(|| Running::event(crypto), |hash| Running::hash(crypto, hash));
    add(tpm, call, auth, running)
}

fn sequence(tpm: &mut Tpm, handle: u32, number: usize) -> Result<&mut Sequence> {
    match tpm.slot_mut(handle) {
        Some(Some(Slot::Sequence(sequence))) => Ok(sequence),
        _ => Err(Rc::MODE.handle(number)),
    }
}

/// TPM2_SequenceUpdate.
pub(crate) fn update(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let data = call.read(|r| r.sized(limit::BUFFER))?;
    call.end()?;
    sequence(tpm, call.handle(0), 1)?.running.update(data);
    Ok(())
}

fn take(tpm: &mut Tpm, handle: u32) -> Result<Sequence> {
    match tpm.slot_mut(handle).and_then(Option::take) {
        Some(Slot::Sequence(sequence)) => Ok(sequence),
        _ => Err(Rc::MODE),
    }
}

/// TPM2_SequenceComplete.
pub(crate) fn complete(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let data = call.read(|r| r.sized(limit::BUFFER))?;
    let hierarchy = call.read(read_hierarchy)?;
    call.end()?;
    // Looked at before it is taken out, so that an error leaves the sequence where it was.
    let is_hmac = match &sequence(tpm, call.handle(0), 1)?.running {
        Running::Event(_) => return Err(Rc::MODE.handle(1)),
        Running::Hmac { .. } => true,
        Running::Hash { .. } => false,
    };
    // From here on nothing fails: a sequence is never gone without a response that has its digest.
    let mut found = take(tpm, call.handle(0))?;
    found.running.update(data);
    let (hash, digest, is_foreign) = found.finish(&*tpm.crypto).ok_or(Rc::MODE.handle(1))?;
    let ticket = match is_hmac {
        // Whoever has the key has made it, so there is nothing for the TPM to prove.
        true => Ticket::null(st::HASHCHECK),
        false => tpm.hash_ticket(hierarchy, hash, &digest, is_foreign)?,
    };
    call.out.sized(&digest);
    ticket.write(&mut call.out);
    Ok(())
}

/// TPM2_EventSequenceComplete.
pub(crate) fn event_complete(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let data = call.read(|r| r.sized(limit::BUFFER))?;
    call.end()?;
    let pcr = call.handle(0);
    if !matches!(sequence(tpm, call.handle(1), 2)?.running, Running::Event(_)) {
        return Err(Rc::MODE.handle(2));
    }
    // Before the sequence is taken out, which stays if this is the wrong locality.
    if pcr != handle::NULL {
        check_extend(call.locality, pcr)?;
    }
    let Running::Event(hashers) = take(tpm, call.handle(1))?.running else { return Err(Rc::MODE.handle(2)) };
    let mut digests: Vec<(Hash, Vec<u8>)> = Vec::new();
    for (hash, mut hasher) in hashers {
        hasher.update(data);
        digests.push((hash, hasher.finish()));
    }
    // Last, when nothing can fail any more: an extended PCR is not taken back.
    record(tpm, call, pcr, &digests);
    Ok(())
}

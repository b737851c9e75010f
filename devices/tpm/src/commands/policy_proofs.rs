//! Policies that somebody else fulfils: by a signature, a secret, a ticket, an index (part 3, chapter 23).

use alloc::vec::Vec;

use super::policy::{kind, session};
use super::policy_checks::{arguments, holds, read_operation};
use crate::clock::Moment;
use crate::constants::{handle, limit, st};
use crate::crypto::Hash;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::session::policy::Tied;
use crate::structures::signature::Signature;
use crate::structures::ticket::Ticket;
use crate::wire::{Reader, Writer};

const SIGNED: u32 = 0x160;
const SECRET: u32 = crate::table::POLICY_SECRET;

/// The bit of a ticket's timeout that says that it ends with a TPM Reset too.
const UNTIL_RESET: u64 = 1 << 63;

/// What TPM2_PolicySigned and TPM2_PolicySecret are given.
struct Authorization {
    nonce: Vec<u8>,
    cp_hash: Vec<u8>,
    reference: Vec<u8>,
    /// Seconds; negative if a ticket is wanted.
    expiration: i32,
}

impl Authorization {
    fn read(call: &mut Call) -> Result<Authorization> {
        Ok(Authorization {
            nonce: call.read(|r| r.bytes(limit::NONCE))?,
            cp_hash: call.read(|r| r.bytes(limit::DIGEST))?,
            reference: call.read(|r| r.bytes(limit::NONCE))?,
            expiration: call.read(|r| Ok(r.u32()? as i32))?,
        })
    }

    /// When it ends, in milliseconds of time; zero is never.
    fn timeout(&self, start: Moment, now: Moment) -> u64 {
        let length = u64::from(self.expiration.unsigned_abs()) * 1000;
        match length {
            0 => 0,
            // Without the nonce it is a time of the TPM's, not a length from the session's start on. It is in
            // seconds: the part of one that has passed is granted, so that none ends too early.
            length if self.nonce.is_empty() => length + now.time % 1000,
            length => start.time.saturating_add(length),
        }
    }

    /// Checks it against the session, and returns when it ends.
    fn check(&self, tpm: &mut Tpm, call: &Call) -> Result<u64> {
        let now = tpm.now();
        let (_, session) = session(tpm, call)?;
        // With the nonce the authorization is good for this session only; without it, for any until it runs
        // out.
        if !self.nonce.is_empty() && self.nonce != session.nonce {
            return Err(Rc::NONCE.parameter(1));
        }
        let timeout = self.timeout(session.policy.start, now);
        if session.policy.is_past(timeout, now) {
            return Err(Rc::EXPIRED.parameter(4));
        }
        // Checked here and set only at the end, so that a command that fails leaves the session as it was.
        check_cp_hash(tpm, call, &self.cp_hash, 2)?;
        Ok(timeout)
    }

    /// Extends the policy, and returns timeout and ticket where they are wanted.
    fn finish(&self, tpm: &mut Tpm, call: &mut Call, name: &[u8], timeout: u64, tag: u16) -> Result<()> {
        let (_, is_trial) = kind(tpm, call)?;
        update(tpm, call, call.code, name, &self.reference)?;
        restrict(tpm, call, &self.cp_hash, timeout)?;
        // By a trial's ticket somebody could prove what was never shown.
        if self.expiration >= 0 || is_trial {
            call.out.u16(0);
            Ticket::null(tag).write(&mut call.out);
            return Ok(());
        }
        let hierarchy = hierarchy_of(tpm, call.handle(0));
        // One that is good for any session ends with a TPM Reset as well (part 3, 23.2.5).
        let timeout = if self.nonce.is_empty() { timeout | UNTIL_RESET } else { timeout };
        let timeout = timeout.to_be_bytes();
        let epoch = ticket_epoch(tpm, &timeout);
        let parts: [&[u8]; 5] = [&timeout, &self.cp_hash, &self.reference, name, &epoch];
        let ticket = tpm.ticket(tag, hierarchy, &parts)?;
        call.out.sized(&timeout);
        ticket.write(&mut call.out);
        Ok(())
    }
}

/// The hierarchy whose proof a ticket of an entity has.
fn hierarchy_of(tpm: &Tpm, entity: u32) -> u32 {
    use crate::constants::nv;
    match handle::kind(entity) {
        handle::TRANSIENT | handle::PERSISTENT => {
            tpm.object(entity).map_or(handle::NULL, |found| found.hierarchy)
        }
        handle::NV => match tpm.nv(entity) {
            Ok(index) if index.public.has(nv::PLATFORMCREATE) => handle::PLATFORM,
            _ => handle::OWNER,
        },
        _ if matches!(entity, handle::ENDORSEMENT | handle::PLATFORM | handle::NULL) => entity,
        _ => handle::OWNER,
    }
}

/// What ends a ticket beside its timeout: the end of the time epoch that the timeout is a time of, and the
/// next TPM Reset where it says so (part 3, 23.2.5).
fn ticket_epoch(tpm: &Tpm, timeout: &[u8; 8]) -> [u8; 16] {
    let is_bound = u64::from_be_bytes(*timeout) & UNTIL_RESET != 0;
    let resets = if is_bound { tpm.permanent.total_reset_count } else { 0 };
    (u128::from(tpm.now().epoch) << 64 | u128::from(resets)).to_be_bytes()
}

/// Checks a digest of parameters that the policy is to be tied to.
fn check_cp_hash(tpm: &mut Tpm, call: &Call, cp_hash: &[u8], number: usize) -> Result<()> {
    let (_, session) = session(tpm, call)?;
    if cp_hash.is_empty() {
        return Ok(());
    }
    if cp_hash.len() != session.hash.size() {
        return Err(Rc::SIZE.parameter(number));
    }
    let wanted = Tied::Parameters(cp_hash.to_vec());
    if session.policy.tied != Tied::Nothing && session.policy.tied != wanted {
        Err(Rc::CPHASH)
    } else {
        Ok(())
    }
}

fn restrict(tpm: &mut Tpm, call: &Call, cp_hash: &[u8], timeout: u64) -> Result<()> {
    let (_, session) = session(tpm, call)?;
    if !cp_hash.is_empty() && session.kind == crate::session::Kind::Trial {
        // A trial session authorizes nothing, so that nothing is to be refused: the last one counts.
        session.policy.tied = Tied::Parameters(cp_hash.to_vec());
    } else if !cp_hash.is_empty() {
        session.policy.tie(Tied::Parameters(cp_hash.to_vec()))?;
    }
    session.policy.limit(timeout);
    Ok(())
}

fn update(tpm: &mut Tpm, call: &Call, code: u32, name: &[u8], reference: &[u8]) -> Result<()> {
    let (crypto, session) = session(tpm, call)?;
    session.policy.update(crypto, session.hash, code, name, reference);
    Ok(())
}

/// TPM2_PolicySigned.
pub(crate) fn signed(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let given = Authorization::read(call)?;
    let signature = call.read(Signature::read)?;
    call.end()?;
    let (_, is_trial) = kind(tpm, call)?;
    let mut timeout = 0;
    if !is_trial {
        timeout = given.check(tpm, call)?;
        let key = tpm.object(call.handle(0)).map_err(|_| Rc::HANDLE.handle(1))?;
        let hash = signature.hash().ok_or(Rc::SCHEME.parameter(5))?;
        let expiration = given.expiration.to_be_bytes();
        // All that the signer grants: for which session, how long, for which command, and to what end.
        let parts: [&[u8]; 4] = [&given.nonce, &expiration, &given.cp_hash, &given.reference];
        let digest = tpm.digest(hash, &parts);
        if !tpm.verify(key, &digest, &signature).map_err(|rc| rc.parameter(5))? {
            return Err(Rc::SIGNATURE.parameter(5));
        }
    }
    let name = tpm.entity_name(call.handle(0));
    given.finish(tpm, call, &name, timeout, st::AUTH_SIGNED)
}

/// TPM2_PolicySecret: the secret is the entity's authorization, which has been checked.
pub(crate) fn secret(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let given = Authorization::read(call)?;
    call.end()?;
    let (_, is_trial) = kind(tpm, call)?;
    // A trial is shown nothing: it finds out what the digest is going to be.
    let timeout = if is_trial { 0 } else { given.check(tpm, call)? };
    let name = tpm.entity_name(call.handle(0));
    given.finish(tpm, call, &name, timeout, st::AUTH_SECRET)
}

/// TPM2_PolicyTicket.
pub(crate) fn ticket(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let timeout = call.read(|r| r.bytes(limit::DIGEST))?;
    let cp_hash = call.read(|r| r.bytes(limit::DIGEST))?;
    let reference = call.read(|r| r.bytes(limit::NONCE))?;
    let name = call.read(|r| r.bytes(limit::DIGEST + 2))?;
    let ticket = call.read(|r| Ticket::read(r, &[st::AUTH_SIGNED, st::AUTH_SECRET]))?;
    call.end()?;
    let (_, is_trial) = kind(tpm, call)?;
    if is_trial {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    let timeout: [u8; 8] = timeout.try_into().map_err(|_| Rc::SIZE.parameter(1))?;
    // Of the caller, and as yet unproved; the ticket below covers it.
    let ends = u64::from_be_bytes(timeout) & !UNTIL_RESET;
    let now = tpm.now();
    if session(tpm, call)?.1.policy.is_past(ends, now) {
        return Err(Rc::EXPIRED.parameter(1));
    }
    check_cp_hash(tpm, call, &cp_hash, 2)?;
    let parts: [&[u8]; 5] = [&timeout, &cp_hash, &reference, &name, &ticket_epoch(tpm, &timeout)];
    if !tpm.is_ticket(&ticket, &parts) {
        return Err(Rc::TICKET.parameter(5));
    }
    // The digest is as if the command itself had been called: policies need not know of tickets.
    let code = if ticket.tag == st::AUTH_SIGNED { SIGNED } else { SECRET };
    update(tpm, call, code, &name, &reference)?;
    restrict(tpm, call, &cp_hash, ends)
}

/// TPM2_PolicyAuthorize.
pub(crate) fn authorize(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let approved = call.read(|r| r.bytes(limit::DIGEST))?;
    let reference = call.read(|r| r.bytes(limit::NONCE))?;
    let signer = call.read(|r| r.bytes(limit::DIGEST + 2))?;
    let ticket = call.read(|r| Ticket::read(r, &[st::VERIFIED]))?;
    call.end()?;
    let (_, session) = session(tpm, call)?;
    let (digest, is_trial) = (session.policy.digest.clone(), session.kind == crate::session::Kind::Trial);
    let hash = Reader::new(&signer).u16().ok().and_then(Hash::from_id).ok_or(Rc::HASH.parameter(3))?;
    if signer.len() != hash.size() + 2 {
        return Err(Rc::SIZE.parameter(3));
    }
    if !is_trial {
        // What was approved is this policy, and not one that the session could still become.
        if digest != approved {
            return Err(Rc::VALUE.parameter(1));
        }
        // The key's name comes with the ticket: the signature was checked before, by TPM2_VerifySignature,
        // and the key need not be loaded here.
        let signed = tpm.digest(hash, &[&approved, &reference]);
        if !tpm.is_ticket(&ticket, &[&signed, &signer]) {
            return Err(Rc::VALUE.parameter(4));
        }
    }
    // The policy so far is replaced by who approved it: other policies can be approved later, and the
    // entity's own stays the same.
    start_anew(tpm, call)?;
    update(tpm, call, call.code, &signer, &reference)
}

fn start_anew(tpm: &mut Tpm, call: &Call) -> Result<()> {
    let (_, session) = session(tpm, call)?;
    session.policy.digest = session.hash.zero();
    Ok(())
}

fn extend(tpm: &mut Tpm, call: &Call, parts: &[&[u8]]) -> Result<()> {
    let (crypto, session) = session(tpm, call)?;
    session.policy.extend(crypto, session.hash, parts);
    Ok(())
}

/// TPM2_PolicyNV.
pub(crate) fn nv(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let operand = call.read(|r| r.bytes(limit::DIGEST))?;
    let offset = call.read(|r| r.u16())?;
    let operation = call.read(read_operation)?;
    call.end()?;
    let (_, is_trial) = kind(tpm, call)?;
    if !is_trial {
        let index = tpm.check_nv_read(call.handle(0), call.handle(1))?;
        let start = usize::from(offset);
        if start > index.data.len() {
            return Err(Rc::VALUE.parameter(2));
        }
        let value = index.data.get(start..start + operand.len()).ok_or(Rc::SIZE.parameter(1))?;
        if !holds(operation, value, &operand) {
            return Err(Rc::POLICY);
        }
    }
    let digest = arguments(tpm, call, &operand, offset, operation)?;
    // The name, so that another index under the same handle does not do.
    let name = tpm.entity_name(call.handle(1));
    extend(tpm, call, &[&call.code.to_be_bytes(), &digest, &name])
}

/// TPM2_PolicyAuthorizeNV: the approved policy stands in an index, as TPMT_HA.
pub(crate) fn authorize_nv(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    let (hash, is_trial) = kind(tpm, call)?;
    if !is_trial {
        let index = tpm.check_nv_read(call.handle(0), call.handle(1))?;
        let data = index.data.clone();
        let mut r = Reader::new(&data);
        let found = Hash::read(&mut r)?;
        let digest = r.take(found.size())?;
        // A digest of another algorithm could not be the session's.
        if found != hash {
            return Err(Rc::HASH);
        }
        let (_, session) = session(tpm, call)?;
        // Who may write the index changes the policy, and the entity's own stays the same.
        if session.policy.digest != digest {
            return Err(Rc::VALUE);
        }
    }
    start_anew(tpm, call)?;
    let name = tpm.entity_name(call.handle(1));
    let mut w = Writer::new();
    w.u32(call.code).raw(&name);
    extend(tpm, call, &[w.as_slice()])
}

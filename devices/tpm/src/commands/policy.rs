//! Policy commands that check nothing but what they are given (part 3, chapter 23).

use alloc::vec::Vec;

use crate::constants::{handle, limit};
use crate::crypto::{Crypto, Hash};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::session::policy::{Needed, Policy, Tied};
use crate::session::{Kind, Session};

/// TPM_CC_PolicyAuthValue, which PolicyPassword extends by too: the policies are the same.
const AUTH_VALUE: u32 = 0x16b;
const DUPLICATE: u32 = 0x14b;

/// The policy session of a command, which is the last of its handles.
pub(crate) fn session<'a>(tpm: &'a mut Tpm, call: &Call) -> Result<(&'a dyn Crypto, &'a mut Session)> {
    // In each of these commands the policy session is the last handle.
    let handle = call.handles.last().copied().unwrap_or(handle::NULL);
    let Tpm { crypto, volatile, .. } = tpm;
    match volatile.sessions.get_mut(&crate::session::index(handle)) {
        Some(crate::session::SessionSlot::Loaded(session)) if session.kind != Kind::Hmac => {
            Ok((&**crypto, session))
        }
        _ => Err(Rc::HANDLE.handle(call.handles.len())),
    }
}

/// Extends the policy by this command and some bytes.
fn extend(tpm: &mut Tpm, call: &Call, parts: &[&[u8]], change: impl FnOnce(&mut Policy)) -> Result<()> {
    extend_by(tpm, call, call.code, parts, change)
}

fn extend_by(
    tpm: &mut Tpm,
    call: &Call,
    code: u32,
    parts: &[&[u8]],
    change: impl FnOnce(&mut Policy),
) -> Result<()> {
    let (crypto, session) = session(tpm, call)?;
    let code = code.to_be_bytes();
    let mut all: Vec<&[u8]> = alloc::vec![&code];
    all.extend(parts);
    session.policy.extend(crypto, session.hash, &all);
    change(&mut session.policy);
    Ok(())
}

/// TPM2_PolicyRestart.
pub(crate) fn restart(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    let (_, session) = session(tpm, call)?;
    // Key and nonce stay: whoever uses the session can go on with it. So the start stays too, or an
    // authorization for this nonce could be shown again and again, each time as if it were new.
    session.policy = Policy::new(session.hash, session.policy.start);
    Ok(())
}

/// TPM2_PolicyAuthValue.
pub(crate) fn auth_value(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    extend(tpm, call, &[], |policy| policy.needed = Needed::Value)
}

/// TPM2_PolicyPassword.
pub(crate) fn password(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    // By the other command's code: an entity's policy leaves open how the value is proved.
    extend_by(tpm, call, AUTH_VALUE, &[], |policy| policy.needed = Needed::Password)
}

/// TPM2_PolicyCommandCode.
pub(crate) fn command_code(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let code = call.read(|r| r.u32())?;
    call.end()?;
    let (_, session) = session(tpm, call)?;
    // A policy that names two commands could authorize neither.
    if session.policy.command.is_some_and(|command| command != code) {
        return Err(Rc::VALUE.parameter(1));
    }
    if crate::table::find(code).is_none() {
        return Err(Rc::POLICY_CC.parameter(1));
    }
    extend(tpm, call, &[&code.to_be_bytes()], |policy| policy.command = Some(code))
}

/// A digest as long as the session's, which the policy becomes tied to.
fn tie(tpm: &mut Tpm, call: &mut Call, tied: fn(Vec<u8>) -> Tied, is_once: bool) -> Result<()> {
    let digest = call.read(|r| r.bytes(limit::DIGEST))?;
    call.end()?;
    let (_, session) = session(tpm, call)?;
    if digest.len() != session.hash.size() {
        return Err(Rc::SIZE.parameter(1));
    }
    if is_once && session.policy.tied != Tied::Nothing {
        return Err(Rc::CPHASH);
    }
    session.policy.tie(tied(digest.clone()))?;
    extend(tpm, call, &[&digest], |_| {})
}

/// TPM2_PolicyCpHash.
pub(crate) fn cp_hash(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    tie(tpm, call, Tied::Parameters, false)
}

/// TPM2_PolicyNameHash.
pub(crate) fn name_hash(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    tie(tpm, call, Tied::Names, true)
}

/// TPM2_PolicyTemplate.
pub(crate) fn template(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let digest = call.read(|r| r.bytes(limit::DIGEST))?;
    call.end()?;
    let (_, session) = session(tpm, call)?;
    match &session.policy.tied {
        Tied::Template(before) if *before != digest => return Err(Rc::VALUE.parameter(1)),
        Tied::Template(_) | Tied::Nothing => {}
        _ => return Err(Rc::CPHASH),
    }
    if digest.len() != session.hash.size() {
        return Err(Rc::SIZE.parameter(1));
    }
    session.policy.tie(Tied::Template(digest.clone()))?;
    extend(tpm, call, &[&digest], |_| {})
}

/// TPM2_PolicyDuplicationSelect.
pub(crate) fn duplication_select(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let object = call.read(|r| r.bytes(limit::DIGEST + 2))?;
    let parent = call.read(|r| r.bytes(limit::DIGEST + 2))?;
    let includes = call.read(|r| r.yes_no())?;
    call.end()?;
    let (crypto, session) = session(tpm, call)?;
    if session.policy.tied != Tied::Nothing {
        return Err(Rc::CPHASH);
    }
    // This command itself ties the policy to TPM2_Duplicate (part 3, 23.15).
    if session.policy.command.is_some() {
        return Err(Rc::COMMAND_CODE);
    }
    // In the order of TPM2_Duplicate's handles, with whose names this is compared.
    let names = crypto.digest(session.hash, &[&object, &parent]);
    session.policy.tie(Tied::Names(names))?;
    // Left out, the policy is good for any object that goes to this parent; this session is tied to both.
    let included: &[u8] = if includes { &object } else { &[] };
    let parts: [&[u8]; 3] = [included, &parent, &[u8::from(includes)]];
    extend(tpm, call, &parts, |policy| policy.command = Some(DUPLICATE))
}

/// TPM2_PolicyOR.
pub(crate) fn or(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let digests = call.read(|r| match r.u32()? {
        count @ 2..=8 => (0..count).map(|_| r.bytes(limit::DIGEST)).collect::<Result<Vec<_>>>(),
        _ => Err(Rc::SIZE),
    })?;
    call.end()?;
    let (_, session) = session(tpm, call)?;
    // A trial session was shown nothing: it computes what a policy's digest is going to be.
    if session.kind != Kind::Trial && !digests.contains(&session.policy.digest) {
        return Err(Rc::VALUE.parameter(1));
    }
    // What came before is dropped: whichever branch was taken, the digest is the same, so the entity's policy
    // can hold all of them (part 3, 23.6).
    session.policy.digest = session.hash.zero();
    let parts: Vec<&[u8]> = digests.iter().map(Vec::as_slice).collect();
    extend(tpm, call, &parts, |_| {})
}

/// TPM2_PolicyLocality: the localities that all calls have in common.
pub(crate) fn locality(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let allowed = call.read(|r| r.u8())?;
    call.end()?;
    let (_, session) = session(tpm, call)?;
    let before = session.policy.locality;
    let new = match before {
        0 => allowed,
        // From 32 on it is one locality's number, which has nothing in common with any other (part 3, 23.8).
        _ if allowed >= 32 || before >= 32 => {
            if allowed == before {
                allowed
            } else {
                0
            }
        }
        _ => allowed & before,
    };
    if new == 0 {
        return Err(Rc::RANGE.parameter(1));
    }
    extend(tpm, call, &[&[allowed]], |policy| policy.locality = new)
}

/// TPM2_PolicyNvWritten.
pub(crate) fn nv_written(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let written = call.read(|r| r.yes_no())?;
    call.end()?;
    let (_, session) = session(tpm, call)?;
    // The index can't be both.
    if session.policy.nv_written.is_some_and(|before| before != written) {
        return Err(Rc::VALUE.parameter(1));
    }
    extend(tpm, call, &[&[u8::from(written)]], |policy| policy.nv_written = Some(written))
}

/// TPM2_PolicyPhysicalPresence.
pub(crate) fn physical_presence(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    extend(tpm, call, &[], |policy| policy.needs_presence = true)
}

/// TPM2_PolicyGetDigest.
pub(crate) fn get_digest(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    let (_, session) = session(tpm, call)?;
    let digest = session.policy.digest.clone();
    call.out.sized(&digest);
    Ok(())
}

/// The algorithm of a command's policy session, and whether it is a trial.
pub(crate) fn kind(tpm: &mut Tpm, call: &Call) -> Result<(Hash, bool)> {
    let (_, session) = session(tpm, call)?;
    Ok((session.hash, session.kind == Kind::Trial))
}

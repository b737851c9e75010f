//! Defining and removing indices (part 3, 31.3 to 31.5 and 31.15).

use crate::constants::{handle, limit, nv};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::nv::{NUMBER, NvIndex, NvPublic};
use crate::rc::{Rc, Result};
use crate::secret::Secret;

const READS: u32 = nv::PPREAD | nv::OWNERREAD | nv::AUTHREAD | nv::POLICYREAD;
const WRITES: u32 = nv::PPWRITE | nv::OWNERWRITE | nv::AUTHWRITE | nv::POLICYWRITE;
/// What only the TPM sets.
const STATES: u32 = nv::WRITTEN | nv::WRITELOCKED | nv::READLOCKED;

/// The size that the type of an index asks for; none if it may have any.
fn size_of(public: &NvPublic) -> Result<Option<usize>> {
    match public.kind() {
        nv::ORDINARY => Ok(None),
        nv::COUNTER | nv::BITS | nv::PIN_FAIL | nv::PIN_PASS => Ok(Some(usize::from(NUMBER))),
        nv::EXTEND => Ok(Some(public.name_alg.size())),
        _ => Err(Rc::ATTRIBUTES),
    }
}

/// Checks the public area of a new index: attributes that exclude each other, in a table.
fn check(public: &NvPublic, by: u32) -> Result<()> {
    let has_any = |mask: u32| public.attributes & mask != 0;
    let is_platform = by == handle::PLATFORM;
    let kind = public.kind();
    let wrong = [
        // A restart would make the counter unwritten, and then it would return numbers that it had before.
        public.has(nv::CLEAR_STCLEAR) && kind == nv::COUNTER,
        // It counts its own tries; counted by the protection as well, they would lock out everybody else.
        kind == nv::PIN_FAIL && !public.has(nv::NO_DA),
        // A PIN can't be written with itself, nor be tried without end.
        public.is_pin() && has_any(nv::AUTHWRITE | nv::GLOBALLOCK | nv::WRITEDEFINE),
        // States are the TPM's to set.
        has_any(STATES),
        // What nobody may read, or write, would be of no use.
        !has_any(READS),
        !has_any(WRITES),
        // One promises that the content stays for good, the other that a restart takes it away.
        public.has(nv::CLEAR_STCLEAR | nv::WRITEDEFINE),
    ];
    if size_of(public)?.is_some_and(|size| usize::from(public.size) != size) {
        return Err(Rc::SIZE);
    }
    if wrong.contains(&true) {
        return Err(Rc::ATTRIBUTES);
    }
    // Who defines an index is to be able to remove it.
    if public.has(nv::PLATFORMCREATE) != is_platform {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    // Nobody but the platform may define what only a policy removes.
    if public.has(nv::POLICY_DELETE) && !is_platform {
        return Err(Rc::ATTRIBUTES);
    }
    // Written as a whole or not at all, it would be written never.
    let is_too_long = public.has(nv::WRITEALL) && usize::from(public.size) > limit::NV_BUFFER;
    if is_too_long { Err(Rc::SIZE) } else { Ok(()) }
}

/// TPM2_NV_DefineSpace.
pub(crate) fn define_space(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let auth = Secret::auth(call.read(|r| r.sized(limit::DIGEST))?);
    let public = call.read(|r| r.inside(NvPublic::read))?;
    call.end()?;
    let by = call.handle(0);
    if !public.policy.is_empty() && public.policy.len() != public.name_alg.size() {
        return Err(Rc::SIZE.parameter(2));
    }
    if auth.len() > public.name_alg.size() {
        return Err(Rc::SIZE.parameter(1));
    }
    // The platform's authorization works even while its indices are turned off.
    if by == handle::PLATFORM && !tpm.volatile.enables.platform_nv {
        return Err(Rc::HIERARCHY.handle(1));
    }
    check(&public, by).map_err(|rc| rc.parameter(2))?;
    if tpm.permanent.nv.contains_key(&public.index) {
        return Err(Rc::NV_DEFINED);
    }
    // Counted each time: there are few, and a kept sum could get out of step.
    let used: usize = tpm.permanent.nv.values().map(|index| index.data.len()).sum();
    let is_full = tpm.permanent.nv.len() >= limit::NV_INDICES;
    if is_full || used + usize::from(public.size) > limit::NV_TOTAL {
        return Err(Rc::NV_SPACE);
    }
    tpm.permanent.nv.insert(public.index, NvIndex::new(public, auth));
    tpm.touch();
    Ok(())
}

/// Removes an index. A counter's value is remembered, so that no later one falls behind it.
pub(crate) fn remove(tpm: &mut Tpm, index: u32) {
    if let Some(index) = tpm.permanent.nv.remove(&index) {
        // Remembered for `increment`: a counter that is defined anew goes on above it.
        if index.public.kind() == nv::COUNTER && index.public.has(nv::WRITTEN) {
            tpm.permanent.max_counter = tpm.permanent.max_counter.max(index.number());
        }
        tpm.touch();
    }
}

/// TPM2_NV_UndefineSpace.
pub(crate) fn undefine_space(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    let public = &tpm.nv(call.handle(1))?.public;
    if public.has(nv::POLICY_DELETE) {
        // Only its own policy removes it, in TPM2_NV_UndefineSpaceSpecial.
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    if public.has(nv::PLATFORMCREATE) && call.handle(0) == handle::OWNER {
        return Err(Rc::NV_AUTHORIZATION);
    }
    remove(tpm, call.handle(1));
    Ok(())
}

/// TPM2_NV_UndefineSpaceSpecial.
pub(crate) fn undefine_space_special(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    if !tpm.nv(call.handle(0))?.public.has(nv::POLICY_DELETE) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    remove(tpm, call.handle(0));
    Ok(())
}

/// TPM2_NV_ChangeAuth.
pub(crate) fn change_auth(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let auth = Secret::auth(call.read(|r| r.sized(limit::DIGEST))?);
    call.end()?;
    let index = tpm.nv_mut(call.handle(0))?;
    if auth.len() > index.public.name_alg.size() {
        return Err(Rc::SIZE.parameter(1));
    }
    index.auth = auth;
    tpm.touch();
    Ok(())
}

//! Hierarchies (part 3, chapter 24).

use alloc::vec::Vec;

use crate::constants::{handle, limit, nv};
use crate::crypto::Hash;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::hierarchy::{AuthPolicy, Hierarchy};
use crate::lockout::Lockout;
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::wire::Reader;

/// TPM2_HierarchyControl.
pub(crate) fn control(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let known = [handle::OWNER, handle::ENDORSEMENT, handle::PLATFORM, handle::PLATFORM_NV];
    let which = call.read(|r| Some(r.u32()?).filter(|which| known.contains(which)).ok_or(Rc::VALUE))?;
    let is_enabled = call.read(|r| r.yes_no())?;
    call.end()?;
    let by = call.handle(0);
    // The platform may do everything; others may turn their own hierarchy off. To turn it on changes nothing:
    // one that is off has no authorization that would be accepted.
    let is_own = by == which;
    if by != handle::PLATFORM && !is_own {
        return Err(Rc::AUTH_TYPE);
    }
    let enables = &mut tpm.volatile.enables;
    match which {
        handle::OWNER => enables.owner = is_enabled,
        handle::ENDORSEMENT => enables.endorsement = is_enabled,
        handle::PLATFORM => enables.platform = is_enabled,
        _ => enables.platform_nv = is_enabled,
    }
    // `check_handle` does not look at a loaded object's hierarchy again, so that these must go now.
    if !is_enabled {
        tpm.flush_hierarchy(which);
    }
    Ok(())
}

/// TPM2_SetPrimaryPolicy.
pub(crate) fn set_primary_policy(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let digest = call.read(|r| r.bytes(limit::DIGEST))?;
    let hash = call.read(Hash::read_or_null)?;
    call.end()?;
    // Without an algorithm there is no policy, and the digest must be empty.
    if digest.len() != hash.map_or(0, Hash::size) {
        return Err(Rc::SIZE.parameter(1));
    }
    tpm.hierarchy_mut(call.handle(0))?.policy = AuthPolicy { hash, digest };
    Ok(())
}

/// TPM2_HierarchyChangeAuth.
pub(crate) fn change_auth(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let auth = Secret::auth(call.read(|r| r.sized(limit::DIGEST))?);
    call.end()?;
    tpm.hierarchy_mut(call.handle(0))?.auth = auth;
    Ok(())
}

/// TPM2_PP_Commands: which commands need physical presence when the platform authorizes them.
pub(crate) fn pp_commands(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let (set, clear) = (call.read(read_codes)?, call.read(read_codes)?);
    call.end()?;
    // Presence is asked for beside the platform's authorization, so that other commands can't have it.
    let can_be = |code: &u32| {
        let command = crate::table::find(*code);
        command.is_some_and(|command| command.handles.iter().any(|spec| spec.kind.allows(handle::PLATFORM)))
    };
    tpm.permanent.presence.extend(set.into_iter().filter(can_be));
    // That command itself always needs presence, or software could turn the need off (part 3, 26.2).
    for code in clear.into_iter().filter(|code| *code != crate::table::PP_COMMANDS) {
        tpm.permanent.presence.remove(&code);
    }
    tpm.touch();
    Ok(())
}

/// TPML_CC.
pub(crate) fn read_codes(r: &mut Reader) -> Result<Vec<u32>> {
    match r.u32()? {
        count @ 0..=256 => (0..count).map(|_| r.u32()).collect(),
        _ => Err(Rc::SIZE),
    }
}

/// Forgets all objects of a hierarchy, transient and persistent.
fn forget_objects(tpm: &mut Tpm, hierarchy: u32) {
    tpm.flush_hierarchy(hierarchy);
    tpm.permanent.persistent.retain(|_, object| object.hierarchy != hierarchy);
}

fn new_hierarchy(tpm: &mut Tpm) -> Hierarchy {
    Hierarchy { seed: tpm.new_seed(), proof: tpm.new_seed(), ..Hierarchy::default() }
}

/// TPM2_ChangeEPS.
pub(crate) fn change_eps(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    // Before the seed goes: they are of the old one, and could never be made again.
    forget_objects(tpm, handle::ENDORSEMENT);
    tpm.permanent.endorsement = new_hierarchy(tpm);
    tpm.touch();
    Ok(())
}

/// TPM2_ChangePPS.
pub(crate) fn change_pps(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    forget_objects(tpm, handle::PLATFORM);
    // The value stays, unlike with TPM2_ChangeEPS (part 3, 24.4 and 24.5).
    let Hierarchy { seed, proof, .. } = new_hierarchy(tpm);
    (tpm.permanent.platform.seed, tpm.permanent.platform.proof) = (seed, proof);
    tpm.permanent.platform.policy = AuthPolicy::default();
    tpm.touch();
    Ok(())
}

/// TPM2_Clear: nothing of an owner is left.
pub(crate) fn clear(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    if tpm.permanent.is_clear_disabled {
        return Err(Rc::DISABLED);
    }
    forget_objects(tpm, handle::OWNER);
    forget_objects(tpm, handle::ENDORSEMENT);
    let is_owners = |public: &crate::nv::NvPublic| !public.has(nv::PLATFORMCREATE);
    // Collected first, as removing changes the map.
    let gone: Vec<u32> = tpm
        .permanent
        .nv
        .values()
        .filter(|index| is_owners(&index.public))
        .map(|index| index.public.index)
        .collect();
    gone.into_iter().for_each(|index| super::nv_define::remove(tpm, index));
    tpm.permanent.owner = new_hierarchy(tpm);
    // The endorsement key, to which a certificate may belong, must come again; a new proof ends the tickets
    // and contexts of before (part 3, 24.6).
    let seed = tpm.permanent.endorsement.seed.clone();
    tpm.permanent.endorsement = Hierarchy { seed, ..new_hierarchy(tpm) };
    // The next owner does not know the value of the last one.
    tpm.permanent.lockout = Hierarchy::default();
    tpm.permanent.lockout_state = Lockout::DEFAULT;
    (tpm.permanent.reset_count, tpm.permanent.restart_count) = (0, 0);
    (tpm.permanent.clock, tpm.permanent.audit_counter) = (0, 0);
    tpm.volatile.audit_digest.clear();
    (tpm.volatile.is_clock_safe, tpm.volatile.clock_saved) = (true, 0);
    (tpm.volatile.enables.owner, tpm.volatile.enables.endorsement) = (true, true);
    // Policies that looked at PCRs before must look again.
    tpm.volatile.pcrs.counter = tpm.volatile.pcrs.counter.wrapping_add(1);
    tpm.touch();
    Ok(())
}

/// TPM2_ClearControl: only the platform can allow it again.
pub(crate) fn clear_control(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let is_disabled = call.read(|r| r.yes_no())?;
    call.end()?;
    // Lockout may forbid TPM2_Clear; to allow it again is the platform's affair.
    if !is_disabled && call.handle(0) == handle::LOCKOUT {
        return Err(Rc::AUTH_FAIL);
    }
    tpm.permanent.is_clear_disabled = is_disabled;
    tpm.touch();
    Ok(())
}

//! Start-up, shutdown and self-tests (part 3, chapters 9 and 10).

use alloc::vec::Vec;

use crate::constants::{alg, nv};
use crate::dispatch::Call;
use crate::engine::{Enables, Tpm};
use crate::hierarchy::AuthPolicy;
use crate::pcr::{self, Pcrs};
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::session::SessionSlot;
use crate::state::permanent::{Kept, Orderly};

/// TPM_SU.
fn is_state(call: &mut Call) -> Result<bool> {
    call.read(|r| match r.u16()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Rc::VALUE),
    })
}

/// TPM2_Startup.
pub(crate) fn startup(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let is_state = is_state(call)?;
    call.end()?;
    if tpm.volatile.is_started {
        return Err(Rc::INITIALIZE);
    }
    // Other localities can't be told from each other by PCR 0.
    if call.locality != 0 && call.locality != 3 {
        return Err(Rc::LOCALITY);
    }
    if is_state && !matches!(tpm.permanent.orderly, Orderly::State(_)) {
        return Err(Rc::VALUE.parameter(1));
    }
    // Before anything is computed with what is being tested.
    if let Some(reason) = crate::self_test::run(&*tpm.crypto) {
        return Err(tpm.fail(reason));
    }
    // From here until the next shutdown a loss of power is not orderly.
    let before = core::mem::replace(&mut tpm.permanent.orderly, Orderly::No);
    let is_orderly = !matches!(before, Orderly::No);
    tpm.volatile.is_clock_safe = is_orderly && tpm.permanent.is_clock_safe;
    if !is_orderly {
        forget_orderly_indices(tpm);
    }
    match before {
        Orderly::State(kept) if is_state => resume(tpm, kept),
        Orderly::State(kept) => restart(tpm, kept, call.locality),
        _ => reset(tpm, call.locality),
    }
    tpm.volatile.is_started = true;
    tpm.volatile.clock_saved = tpm.permanent.clock;
    tpm.restart_lockout_timers();
    // Saved with this command: whenever the power is lost from now on, the next start finds no shutdown.
    tpm.touch();
    Ok(())
}

/// Orderly indices whose last values were lost: counters go beyond any that was read, others are unwritten.
fn forget_orderly_indices(tpm: &mut Tpm) {
    let orderly = tpm.permanent.nv.values_mut().filter(|index| index.public.has(nv::ORDERLY));
    for index in orderly {
        if index.public.kind() == nv::COUNTER {
            // As far as the counter can have come before it would have been saved again.
            let next = index.number() | crate::nv::ORDERLY_COUNT;
            index.set_number(next);
        } else {
            index.public.attributes &= !nv::WRITTEN;
        }
    }
}

/// TPM Reset: everything volatile is new.
fn reset(tpm: &mut Tpm, locality: u8) {
    tpm.permanent.reset_count = tpm.permanent.reset_count.wrapping_add(1);
    // Saved contexts and bound tickets have this count in their HMAC, and end here.
    tpm.permanent.total_reset_count = tpm.permanent.total_reset_count.saturating_add(1);
    tpm.permanent.restart_count = 0;
    // Without a time to wait for, a reset is the only way out.
    if tpm.permanent.lockout_state.lockout_recovery == 0 {
        tpm.permanent.lockout_state.is_enabled = true;
    }
    clear(tpm, locality);
}

/// TPM Restart: PCRs are new, but saved sessions and objects stay good.
fn restart(tpm: &mut Tpm, kept: Kept, locality: u8) {
    tpm.permanent.restart_count = tpm.permanent.restart_count.wrapping_add(1);
    take_over(tpm, &kept);
    // Ends the saved contexts of objects with stClear.
    tpm.volatile.clear_count = kept.clear_count.wrapping_add(1);
    clear(tpm, locality);
}

/// TPM Resume: as if nothing had happened.
fn resume(tpm: &mut Tpm, kept: Kept) {
    tpm.permanent.restart_count = tpm.permanent.restart_count.wrapping_add(1);
    take_over(tpm, &kept);
    tpm.volatile.clear_count = kept.clear_count;
    tpm.volatile.startup_locality = kept.startup_locality;
    // The platform's own hierarchy is on after each start (part 2, 8.6).
    let [_, owner, endorsement, platform_nv] = kept.enables;
    tpm.volatile.enables = Enables { platform: true, owner, endorsement, platform_nv };
    // What was not kept, debug and dynamic PCRs, begins anew.
    let mut pcrs = Pcrs::new(&tpm.permanent.banks, kept.startup_locality);
    pcrs.counter = kept.pcr_counter;
    for (hash, index, value) in kept.pcrs {
        let bank = pcrs.banks.iter_mut().find(|bank| bank.hash == hash);
        if let Some(place) = bank.and_then(|bank| bank.values.get_mut(usize::from(index))) {
            *place = value;
        }
    }
    tpm.volatile.pcrs = pcrs;
}

/// What restart and resume have in common.
fn take_over(tpm: &mut Tpm, kept: &Kept) {
    tpm.volatile.null.seed = kept.null_seed.clone();
    tpm.volatile.null.proof = kept.null_proof.clone();
    tpm.volatile.context_counter = kept.context_counter;
    tpm.volatile.audit_digest = kept.audit_digest.clone();
    // Only those that were saved: the loaded ones went with the memory.
    let sessions = kept.sessions.iter();
    tpm.volatile.sessions = sessions.map(|(index, context)| (*index, SessionSlot::Saved(*context))).collect();
}

/// What TPM2_Startup(CLEAR) does each time.
fn clear(tpm: &mut Tpm, locality: u8) {
    // Then `hash_end` has made the PCRs anew already, and measured into one of them.
    let is_measured = tpm.volatile.startup_locality == 4;
    if !is_measured {
        tpm.volatile.startup_locality = locality;
        tpm.volatile.pcrs = Pcrs::new(&tpm.permanent.banks, locality);
    }
    tpm.volatile.enables = Enables::ALL;
    // The platform's firmware sets its own value after each start, before it runs anything else (part 3,
    // 9.3).
    tpm.permanent.platform.auth = Secret::default();
    tpm.permanent.platform.policy = AuthPolicy::default();
    for index in tpm.permanent.nv.values_mut() {
        let public = &mut index.public;
        if public.has(nv::CLEAR_STCLEAR) {
            public.attributes &= !nv::WRITTEN;
        }
        if public.has(nv::READ_STCLEAR) {
            public.attributes &= !nv::READLOCKED;
        }
        // WRITEDEFINE locks for good, but only an index that was written: an empty one would be of no use any
        // more.
        if !public.has(nv::WRITEDEFINE | nv::WRITTEN) {
            public.attributes &= !nv::WRITELOCKED;
        }
    }
    let removed = |object: &crate::object::Object| object.is_st_clear;
    tpm.permanent.persistent.retain(|_, object| !removed(object));
}

/// TPM2_Shutdown.
pub(crate) fn shutdown(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let is_state = is_state(call)?;
    call.end()?;
    // The PCRs that would be kept are not those that there are to be after the start (part 3, 9.4).
    if is_state && tpm.volatile.is_reallocated {
        return Err(Rc::TYPE.parameter(1));
    }
    tpm.permanent.orderly = if is_state { Orderly::State(keep(tpm)) } else { Orderly::Clear };
    // Nothing of the clock is lost then, so that it is as safe behind the next start as now.
    tpm.permanent.is_clock_safe = tpm.volatile.is_clock_safe;
    tpm.touch();
    Ok(())
}

/// Commands after which a TPM that was shut down still is: they change nothing that was kept.
const CHANGES_NOTHING: [u32; 8] = [0x142, 0x143, 0x144, 0x145, 0x17a, 0x17b, 0x17c, 0x17e];

impl Tpm {
    /// After most commands a shutdown before them no longer holds what the TPM is.
    pub(crate) fn leave_orderly(&mut self, code: u32) {
        let is_orderly = !matches!(self.permanent.orderly, Orderly::No);
        if is_orderly && !CHANGES_NOTHING.contains(&code) {
            self.permanent.orderly = Orderly::No;
            self.touch();
        }
    }
}

fn keep(tpm: &Tpm) -> Kept {
    let volatile = &tpm.volatile;
    let mut pcrs = Vec::new();
    for bank in &volatile.pcrs.banks {
        // The debug PCRs and those of a dynamic launch begin anew.
        let saved = (0u8..).zip(&bank.values).filter(|(at, _)| pcr::attributes_of(usize::from(*at)).is_saved);
        pcrs.extend(saved.map(|(at, value)| (bank.hash, at, value.clone())));
    }
    let sessions = volatile.sessions.iter().filter_map(|(index, slot)| match slot {
        SessionSlot::Saved(context) => Some((*index, *context)),
        // What is loaded goes with the memory.
        SessionSlot::Loaded(_) => None,
    });
    let Enables { platform, owner, endorsement, platform_nv } = volatile.enables;
    Kept {
        pcrs,
        pcr_counter: volatile.pcrs.counter,
        enables: [platform, owner, endorsement, platform_nv],
        null_seed: volatile.null.seed.clone(),
        null_proof: volatile.null.proof.clone(),
        context_counter: volatile.context_counter,
        clear_count: volatile.clear_count,
        audit_digest: volatile.audit_digest.clone(),
        sessions: sessions.collect(),
        startup_locality: volatile.startup_locality,
    }
}

/// TPM2_SelfTest: everything at once, or what was not tested yet.
pub(crate) fn self_test(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let is_full = call.read(|r| r.yes_no())?;
    call.end()?;
    // All was tested at the start-up (part 3, 10.2). Linux asks for this at each boot, and waits two seconds.
    if !is_full {
        return Ok(());
    }
    match crate::self_test::run(&*tpm.crypto) {
        Some(reason) => Err(tpm.fail(reason)),
        None => Ok(()),
    }
}

/// TPM2_IncrementalSelfTest: all is tested since the start-up, so nothing is left to do.
pub(crate) fn incremental_self_test(_tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let list = call.read(|r| {
        let count = r.u32()?;
        if count > 64 {
            return Err(Rc::SIZE);
        }
        (0..count).map(|_| r.u16()).collect::<Result<Vec<_>>>()
    })?;
    call.end()?;
    list.into_iter().try_for_each(known).map_err(|rc| rc.parameter(1))?;
    // All was tested at the start: nothing is left to do.
    call.out.u32(0);
    Ok(())
}

fn known(algorithm: u16) -> Result<()> {
    let is_known = super::properties::ALGORITHMS.iter().any(|(known, _)| *known == algorithm);
    if is_known || algorithm == alg::NULL { Ok(()) } else { Err(Rc::VALUE) }
}

/// TPM2_GetTestResult.
pub(crate) fn get_test_result(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    // In words: what is in it, the specification leaves to the maker.
    let reason = tpm.volatile.failure.unwrap_or_default();
    let result = if tpm.volatile.failure.is_some() { Rc::FAILURE.code() } else { 0 };
    call.out.sized(reason.as_bytes()).u32(result);
    Ok(())
}

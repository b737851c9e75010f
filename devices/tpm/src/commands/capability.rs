//! Capabilities, and which commands are audited (part 3, chapters 30 and 21).

use alloc::vec::Vec;

use super::hierarchy::read_codes;
use super::properties::{self, ALGORITHMS};
use crate::audit::ALWAYS;
use crate::constants::handle;
use crate::crypto::{Curve, Hash};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::structures::pcr_selection::{self, Selection};
use crate::structures::public::Parameters;
use crate::table::{COMMANDS, GET_COMMAND_AUDIT_DIGEST};
use crate::wire::Writer;

/// TPM_CAP.
mod cap {
    pub(super) const ALGS: u32 = 0;
    pub(super) const HANDLES: u32 = 1;
    pub(super) const COMMANDS: u32 = 2;
    pub(super) const PP_COMMANDS: u32 = 3;
    pub(super) const AUDIT_COMMANDS: u32 = 4;
    pub(super) const PCRS: u32 = 5;
    pub(super) const TPM_PROPERTIES: u32 = 6;
    pub(super) const PCR_PROPERTIES: u32 = 7;
    pub(super) const ECC_CURVES: u32 = 8;
    pub(super) const AUTH_POLICIES: u32 = 9;
}

/// Bytes of a list, at most.
const LIST: usize = 1024 - 8;

/// Writes a list of at most `count` elements, with whether there are more in front.
fn list<T>(
    out: &mut Writer,
    capability: u32,
    all: &[T],
    limits: (u32, usize),
    write: impl Fn(&mut Writer, &T),
) {
    let (count, size) = limits;
    // No more than fits a response: the caller asks again from behind the last one.
    let most = (count as usize).min(LIST / size);
    let cut = all.get(..most.min(all.len())).unwrap_or_default();
    out.yes_no(cut.len() < all.len()).u32(capability).list(cut, write);
}

/// TPM2_GetCapability.
pub(crate) fn get(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let capability =
        call.read(|r| Some(r.u32()?).filter(|cap| *cap <= cap::AUTH_POLICIES).ok_or(Rc::VALUE))?;
    let property = call.read(|r| r.u32())?;
    let count = call.read(|r| r.u32())?;
    call.end()?;
    let out = &mut call.out;
    // By the index in the lower half: the upper one has attributes.
    let from = |code: u32| code & 0xffff >= property & 0xffff;
    match capability {
        cap::ALGS => {
            let all = ALGORITHMS.iter().filter(|(id, _)| u32::from(*id) >= property);
            let all: Vec<_> = all.collect();
            list(out, capability, &all, (count, 6), |w, (id, what)| {
                w.u16(*id).u32(*what);
            });
        }
        cap::HANDLES => {
            check_handle_kind(property)?;
            // The upper byte is the kind of the handles, the rest is where to begin.
            let all = tpm.handles(handle::kind(property)).into_iter();
            let all: Vec<_> = all.filter(|at| at & 0x00ff_ffff >= property & 0x00ff_ffff).collect();
            list(out, capability, &all, (count, 4), |w, handle| {
                w.u32(*handle);
            });
        }
        cap::COMMANDS => {
            let all: Vec<_> = COMMANDS.iter().filter(|command| from(command.code)).collect();
            list(out, capability, &all, (count, 4), |w, command| {
                w.u32(command.tpma());
            });
        }
        cap::PP_COMMANDS => {
            let all: Vec<_> = tpm.permanent.presence.iter().filter(|code| from(**code)).collect();
            list(out, capability, &all, (count, 4), |w, code| {
                w.u32(**code);
            });
        }
        cap::AUDIT_COMMANDS => {
            let all: Vec<_> = tpm.permanent.audited.iter().filter(|code| from(**code)).collect();
            list(out, capability, &all, (count, 4), |w, code| {
                w.u32(**code);
            });
        }
        cap::PCRS => {
            if property != 0 {
                return Err(Rc::VALUE.parameter(2));
            }
            // All banks at once: they always fit a response.
            out.yes_no(false).u32(capability);
            pcr_selection::write(out, &banks(tpm));
        }
        cap::TPM_PROPERTIES => {
            let mut all = properties::all(tpm);
            all.retain(|(at, _)| *at >= property);
            list(out, capability, &all, (count, 8), |w, (at, value)| {
                w.u32(*at).u32(*value);
            });
        }
        cap::PCR_PROPERTIES => {
            let mut all = properties::pcr_properties();
            all.retain(|(at, _)| *at >= property);
            list(out, capability, &all, (count, 8), |w, (at, has)| {
                let bits = Selection::of(Hash::Sha256, has).bits;
                w.u32(*at).u8(bits.len() as u8).raw(&bits);
            });
        }
        cap::ECC_CURVES => {
            let all: Vec<_> = Curve::ALL.iter().filter(|curve| u32::from(curve.id()) >= property).collect();
            list(out, capability, &all, (count, 2), |w, curve| {
                w.u16(curve.id());
            });
        }
        cap::AUTH_POLICIES => policies(tpm, out, property, count)?,
        _ => return Err(Rc::VALUE.parameter(1)),
    }
    Ok(())
}

fn check_handle_kind(property: u32) -> Result<()> {
    let kinds = [
        0,
        handle::NV,
        handle::HMAC_SESSION,
        handle::POLICY_SESSION,
        handle::PERMANENT,
        handle::TRANSIENT,
        handle::PERSISTENT,
    ];
    if kinds.contains(&handle::kind(property)) { Ok(()) } else { Err(Rc::HANDLE.parameter(2)) }
}

/// The banks as they are now: those that TPM2_PCR_Allocate turned off are there without PCRs.
fn banks(tpm: &Tpm) -> Vec<Selection> {
    let has = |hash| tpm.volatile.pcrs.has_bank(hash);
    Hash::ALL.iter().map(|hash| Selection::of(*hash, |_| has(*hash))).collect()
}

fn policies(tpm: &Tpm, out: &mut Writer, property: u32, count: u32) -> Result<()> {
    if handle::kind(property) != handle::PERMANENT {
        return Err(Rc::VALUE.parameter(2));
    }
    let mut all = Vec::new();
    for hierarchy in [handle::OWNER, handle::LOCKOUT, handle::ENDORSEMENT, handle::PLATFORM] {
        let policy = &tpm.hierarchy(hierarchy)?.policy;
        // A hierarchy without a policy has none to report.
        if let Some(hash) = policy.hash.filter(|_| hierarchy >= property) {
            all.push((hierarchy, hash, policy.digest.clone()));
        }
    }
    list(out, cap::AUTH_POLICIES, &all, (count, 70), |w, (hierarchy, hash, digest)| {
        w.u32(*hierarchy).u16(hash.id()).raw(digest);
    });
    Ok(())
}

/// TPM2_TestParms.
pub(crate) fn test_parms(_tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.read(Parameters::read_with_kind)?;
    call.end()
}

/// TPM2_SetCommandCodeAuditStatus.
pub(crate) fn set_command_code_audit_status(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let hash = call.read(Hash::read_or_null)?;
    let (set, clear) = (call.read(read_codes)?, call.read(read_codes)?);
    call.end()?;
    if let Some(hash) = hash.filter(|hash| *hash != tpm.permanent.audit_hash) {
        // By a command of its own, as the digest so far can't be continued by another algorithm (part 3,
        // 21.2).
        if !set.is_empty() || !clear.is_empty() {
            return Err(Rc::VALUE.parameter(1));
        }
        tpm.permanent.audit_hash = hash;
        tpm.volatile.audit_digest.clear();
    }
    let can_be = |code: &u32| {
        let is_known = COMMANDS.iter().any(|command| command.code == *code);
        // Not TPM2_Shutdown, whose audit would come after it has saved the digest.
        is_known && *code != 0x145 && *code != GET_COMMAND_AUDIT_DIGEST
    };
    tpm.permanent.audited.extend(set.into_iter().filter(can_be));
    for code in clear.into_iter().filter(|code| !ALWAYS.contains(code)) {
        tpm.permanent.audited.remove(&code);
    }
    tpm.touch();
    Ok(())
}

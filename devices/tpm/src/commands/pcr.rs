//! Platform configuration registers (part 3, chapter 22).

use alloc::vec::Vec;

use crate::constants::{handle, limit};
use crate::crypto::Hash;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::pcr::attributes_of;
use crate::rc::{Rc, Result};
use crate::structures::pcr_selection::{self, Selection};

/// Digests that TPM2_PCR_Read returns at most.
const DIGESTS: usize = 8;

/// Whether a locality may extend a PCR.
pub(crate) fn check_extend(locality: u8, index: u32) -> Result<()> {
    let allowed = attributes_of(index as usize).extend;
    // Localities from 32 on have no bit, and extend nothing.
    if locality < 5 && allowed & (1 << locality) != 0 { Ok(()) } else { Err(Rc::LOCALITY) }
}

/// TPM2_PCR_Extend.
pub(crate) fn extend(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let digests = call.read(|r| {
        let count = r.u32()?;
        if count as usize > Hash::ALL.len() {
            return Err(Rc::SIZE);
        }
        let one = |_| {
            let hash = Hash::read(r)?;
            Ok((hash, r.take(hash.size())?))
        };
        (0..count).map(one).collect::<Result<Vec<_>>>()
    })?;
    call.end()?;
    let pcr = call.handle(0);
    // Nothing to extend; what is wrong with the command has been told by now.
    if pcr == handle::NULL {
        return Ok(());
    }
    check_extend(call.locality, pcr)?;
    // A digest for a bank that is not there extends nothing, and is no error.
    for (hash, digest) in digests {
        tpm.volatile.pcrs.extend(&*tpm.crypto, hash, pcr as usize, digest);
    }
    Ok(())
}

/// TPM2_PCR_Event.
pub(crate) fn event(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let data = call.read(|r| r.sized(limit::BUFFER))?;
    call.end()?;
    let pcr = call.handle(0);
    if pcr != handle::NULL {
        check_extend(call.locality, pcr)?;
    }
    let digests: Vec<_> = Hash::ALL.iter().map(|hash| (*hash, tpm.digest(*hash, &[data]))).collect();
    record(tpm, call, pcr, &digests);
    Ok(())
}

/// Extends a PCR by a digest a bank, and returns the digests: TPML_DIGEST_VALUES.
pub(crate) fn record(tpm: &mut Tpm, call: &mut Call, pcr: u32, digests: &[(Hash, Vec<u8>)]) {
    if pcr != handle::NULL {
        for (hash, digest) in digests {
            tpm.volatile.pcrs.extend(&*tpm.crypto, *hash, pcr as usize, digest);
        }
    }
    call.out.list(digests, |w, (hash, digest)| {
        w.u16(hash.id()).raw(digest);
    });
}

/// TPM2_PCR_Read: as many as fit.
pub(crate) fn read(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let mut selections = call.read(pcr_selection::read)?;
    call.end()?;
    let pcrs = &tpm.volatile.pcrs;
    pcrs.filter(&mut selections);
    let mut values: Vec<&[u8]> = Vec::new();
    for selection in &mut selections {
        for index in selection.clone().indices() {
            match pcrs.value(selection.hash, index) {
                Some(value) if values.len() < DIGESTS => values.push(value),
                // What is not returned is not selected in the response: so the caller knows what to ask for
                // next.
                _ => selection.clear(index),
            }
        }
    }
    call.out.u32(pcrs.counter);
    pcr_selection::write(&mut call.out, &selections);
    call.out.list(&values, |w, value| {
        w.sized(value);
    });
    Ok(())
}

/// TPM2_PCR_Reset.
pub(crate) fn reset(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    let index = call.handle(0) as usize;
    let allowed = attributes_of(index).reset;
    if call.locality >= 5 || allowed & (1 << call.locality) == 0 {
        return Err(Rc::LOCALITY);
    }
    tpm.volatile.pcrs.reset(index);
    Ok(())
}

/// TPM2_PCR_Allocate: holds from the next TPM Reset on.
pub(crate) fn allocate(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let wanted = call.read(pcr_selection::read)?;
    call.end()?;
    let mut banks: Vec<Selection> = tpm.permanent.banks.clone();
    for selection in wanted {
        match banks.iter_mut().find(|bank| bank.hash == selection.hash) {
            Some(bank) => *bank = selection,
            None => banks.push(selection),
        }
    }
    // PCR 0 must be in one bank at least, and so must be the one of a dynamic launch.
    let has = |index| banks.iter().any(|bank| bank.has(index));
    let is_good = has(0) && has(crate::pcr::DRTM);
    if !is_good {
        return Err(Rc::PCR);
    }
    let size: usize = banks.iter().map(|bank| bank.indices().count() * bank.hash.size()).sum();
    let most: usize = Hash::ALL.iter().map(|hash| hash.size() * crate::pcr::COUNT).sum();
    // The running PCRs stay as they are until the next reset (part 3, 22.5).
    tpm.permanent.banks = banks;
    tpm.volatile.is_reallocated = true;
    tpm.touch();
    call.out.yes_no(true).u32(crate::pcr::COUNT as u32).u32(size as u32).u32((most - size) as u32);
    Ok(())
}

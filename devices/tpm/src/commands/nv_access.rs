//! Reading and writing indices (part 3, 31.7 to 31.14).

use crate::constants::{limit, nv};
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::nv::NvIndex;
use crate::rc::{Rc, Result};
use crate::secret::Secret;

/// Checks that an index may be written and is of a type.
fn check_write(tpm: &Tpm, call: &Call, is_type: impl Fn(u32) -> bool) -> Result<()> {
    let index = tpm.nv(call.handle(1))?;
    let is_right = is_type(index.public.kind());
    tpm.check_nv_write(call.handle(0), call.handle(1))?;
    // After the authorization: of what type it is matters only to those who may write it.
    if is_right { Ok(()) } else { Err(Rc::ATTRIBUTES.handle(2)) }
}

/// TPM2_NV_Write.
pub(crate) fn write(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let data = call.read(|r| r.sized(limit::NV_BUFFER))?;
    let offset = usize::from(call.read(|r| r.u16())?);
    call.end()?;
    check_write(tpm, call, |kind| matches!(kind, nv::ORDINARY | nv::PIN_FAIL | nv::PIN_PASS))?;
    let index = tpm.nv(call.handle(1))?;
    let size = index.data.len();
    if offset > size {
        return Err(Rc::VALUE.parameter(2));
    }
    let is_whole = data.len() == size;
    // With WRITEALL an index is written as a whole or not at all, so that nobody finds half of a new value.
    if offset + data.len() > size || (index.public.has(nv::WRITEALL) && !is_whole) {
        return Err(Rc::NV_RANGE);
    }
    tpm.write_nv(call.handle(1), |index| index.replace(offset, data))
}

/// TPM2_NV_Increment.
pub(crate) fn increment(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    check_write(tpm, call, |kind| kind == nv::COUNTER)?;
    // Above any counter that was ever removed, or whoever removes one and defines it again turns it back.
    let first = tpm.permanent.max_counter;
    tpm.write_nv(call.handle(1), |index: &mut NvIndex| {
        let before = if index.public.has(nv::WRITTEN) { index.number() } else { first };
        index.set_number(before.wrapping_add(1));
        Ok(())
    })
}

/// TPM2_NV_SetBits.
pub(crate) fn set_bits(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let bits = call.read(|r| r.u64())?;
    call.end()?;
    check_write(tpm, call, |kind| kind == nv::BITS)?;
    tpm.write_nv(call.handle(1), |index| {
        // Set for good: only with the index are they cleared.
        index.set_number(index.number() | bits);
        Ok(())
    })
}

/// TPM2_NV_Extend.
pub(crate) fn extend(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let data = call.read(|r| r.sized(limit::NV_BUFFER))?;
    call.end()?;
    check_write(tpm, call, |kind| kind == nv::EXTEND)?;
    let index = tpm.nv(call.handle(1))?;
    let hash = index.public.name_alg;
    // Like a PCR it begins with zeros, whatever the memory holds.
    let before = if index.public.has(nv::WRITTEN) { index.data.to_vec() } else { hash.zero() };
    let new = Secret::from(tpm.digest(hash, &[&before, data]));
    tpm.write_nv(call.handle(1), |index| {
        index.data = new;
        Ok(())
    })
}

/// TPM2_NV_WriteLock.
pub(crate) fn write_lock(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    match tpm.check_nv_write(call.handle(0), call.handle(1)) {
        // To lock twice is no error (part 3, 31.11).
        Err(Rc::NV_LOCKED) => return Ok(()),
        other => other.map(drop)?,
    }
    let public = &mut tpm.nv_mut(call.handle(1))?.public;
    if public.attributes & (nv::WRITEDEFINE | nv::WRITE_STCLEAR) == 0 {
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    public.attributes |= nv::WRITELOCKED;
    tpm.touch();
    Ok(())
}

/// TPM2_NV_GlobalWriteLock.
pub(crate) fn global_write_lock(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    for index in tpm.permanent.nv.values_mut().filter(|index| index.public.has(nv::GLOBALLOCK)) {
        index.public.attributes |= nv::WRITELOCKED;
    }
    tpm.touch();
    Ok(())
}

/// TPM2_NV_Read.
pub(crate) fn read(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let size = usize::from(call.read(|r| r.u16())?);
    let offset = usize::from(call.read(|r| r.u16())?);
    call.end()?;
    let index = tpm.check_nv_read(call.handle(0), call.handle(1))?;
    // No more fits into a response.
    if size > limit::NV_BUFFER {
        return Err(Rc::VALUE.parameter(1));
    }
    if offset > index.data.len() {
        return Err(Rc::VALUE.parameter(2));
    }
    let data = index.data.get(offset..offset + size).ok_or(Rc::NV_RANGE)?;
    call.out.sized(data);
    Ok(())
}

/// TPM2_NV_ReadLock.
pub(crate) fn read_lock(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    match tpm.check_nv_read(call.handle(0), call.handle(1)) {
        // To lock twice is no error here either.
        Err(Rc::NV_LOCKED) => return Ok(()),
        // An index can be locked for reading before it was ever written (part 3, 31.14).
        Err(Rc::NV_UNINITIALIZED) => {}
        other => other.map(drop)?,
    }
    let public = &mut tpm.nv_mut(call.handle(1))?.public;
    if !public.has(nv::READ_STCLEAR) {
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    public.attributes |= nv::READLOCKED;
    tpm.touch();
    Ok(())
}

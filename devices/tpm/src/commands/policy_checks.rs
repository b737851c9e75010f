//! Policies that look at PCRs and clocks (part 3, 23.7 and 23.10).

use alloc::vec::Vec;

use super::policy::{kind, session};
use crate::constants::limit;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::structures::pcr_selection;
use crate::wire::{Reader, Writer};

/// TPM2_PolicyPCR.
pub(crate) fn pcr(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let given = call.read(|r| r.bytes(limit::DIGEST))?;
    let mut selections = call.read(pcr_selection::read)?;
    call.end()?;
    // Otherwise a policy over a bank that is off would hold whatever is selected in it.
    tpm.volatile.pcrs.filter(&mut selections);
    let (hash, is_trial) = kind(tpm, call)?;
    let mut digest = tpm.volatile.pcrs.digest(&*tpm.crypto, hash, &selections);
    let counter = tpm.volatile.pcrs.counter;
    // A trial may be about values that the PCRs do not have yet.
    if is_trial && !given.is_empty() {
        digest = given;
    } else if !given.is_empty() && given != digest {
        return Err(Rc::VALUE.parameter(1));
    }
    let mut w = Writer::new();
    pcr_selection::write(&mut w, &selections);
    let (crypto, session) = session(tpm, call)?;
    // Two looks with a change in between do not show that both were ever true at once.
    if !is_trial && session.policy.pcr_counter.is_some_and(|before| before != counter) {
        return Err(Rc::PCR_CHANGED);
    }
    let parts: [&[u8]; 3] = [&call.code.to_be_bytes(), w.as_slice(), &digest];
    session.policy.extend(crypto, session.hash, &parts);
    // Compared once more when the session is used: PCRs may have changed by then.
    session.policy.pcr_counter = Some(counter);
    Ok(())
}

/// TPM_EO: how an operand is compared with a value of the TPM's.
pub(crate) fn read_operation(r: &mut Reader) -> Result<u16> {
    Some(r.u16()?).filter(|operation| *operation <= 0x0b).ok_or(Rc::VALUE)
}

/// Whether `value` stands in the relation to `operand`. Both have the same length.
pub(crate) fn holds(operation: u16, value: &[u8], operand: &[u8]) -> bool {
    // Signed numbers are in the order of unsigned ones once their sign bits are turned.
    let turned = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        if let Some(first) = bytes.first_mut() {
            *first ^= 0x80;
        }
        bytes
    };
    let signed = turned(value).cmp(&turned(operand));
    let unsigned = value.cmp(operand);
    match operation {
        0x00 => unsigned.is_eq(),
        0x01 => unsigned.is_ne(),
        0x02 => signed.is_gt(),
        0x03 => unsigned.is_gt(),
        0x04 => signed.is_lt(),
        0x05 => unsigned.is_lt(),
        0x06 => signed.is_ge(),
        0x07 => unsigned.is_ge(),
        0x08 => signed.is_le(),
        0x09 => unsigned.is_le(),
        0x0a => value.iter().zip(operand).all(|(value, bits)| value & bits == *bits),
        // The last that `read_operation` accepts.
        _ => value.iter().zip(operand).all(|(value, bits)| value & bits == 0),
    }
}

/// The digest of an operand, its offset and the operation.
pub(crate) fn arguments(
    tpm: &mut Tpm,
    call: &Call,
    operand: &[u8],
    offset: u16,
    operation: u16,
) -> Result<Vec<u8>> {
    let (hash, _) = kind(tpm, call)?;
    Ok(tpm.digest(hash, &[operand, &offset.to_be_bytes(), &operation.to_be_bytes()]))
}

/// TPM2_PolicyCounterTimer.
pub(crate) fn counter_timer(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let operand = call.read(|r| r.bytes(limit::DIGEST))?;
    let offset = call.read(|r| r.u16())?;
    let operation = call.read(read_operation)?;
    call.end()?;
    let (_, is_trial) = kind(tpm, call)?;
    let mut w = Writer::new();
    // As TPM2_ReadClock returns it: the offset is one into that structure.
    tpm.write_time_info(&mut w);
    let start = usize::from(offset);
    // Behind the structure altogether; one that only ends behind it has the operand to blame.
    if start > w.len() {
        return Err(Rc::VALUE.parameter(2));
    }
    let value = w.as_slice().get(start..start + operand.len()).ok_or(Rc::RANGE.parameter(1))?;
    if !is_trial && !holds(operation, value, &operand) {
        return Err(Rc::POLICY);
    }
    let digest = arguments(tpm, call, &operand, offset, operation)?;
    let (crypto, session) = session(tpm, call)?;
    session.policy.extend(crypto, session.hash, &[&call.code.to_be_bytes(), &digest]);
    Ok(())
}

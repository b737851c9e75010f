//! Random numbers (part 3, chapter 16).

use crate::constants::limit;
use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::Result;

/// TPM2_GetRandom: at most as many bytes as a digest has.
pub(crate) fn get(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let count = usize::from(call.read(|r| r.u16())?).min(limit::DIGEST);
    call.end()?;
    call.out.sized(&tpm.random(count));
    Ok(())
}

/// TPM2_StirRandom.
pub(crate) fn stir(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let data = call.read(|r| r.sized(limit::SENSITIVE_DATA))?;
    call.end()?;
    // Mixed in, not put in place of anything: bytes that the caller knows don't make the state known.
    tpm.drbg.mix(&*tpm.crypto, &[data]);
    Ok(())
}

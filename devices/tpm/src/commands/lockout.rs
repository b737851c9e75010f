//! Dictionary attacks (part 3, chapter 25).

use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::Result;

/// TPM2_DictionaryAttackLockReset.
pub(crate) fn reset(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    // The timer may stay: with no tries nothing waits for it.
    tpm.permanent.lockout_state.failed_tries = 0;
    tpm.touch();
    Ok(())
}

/// TPM2_DictionaryAttackParameters.
pub(crate) fn parameters(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let max_tries = call.read(|r| r.u32())?;
    let recovery_time = call.read(|r| r.u32())?;
    let lockout_recovery = call.read(|r| r.u32())?;
    call.end()?;
    let lockout = &mut tpm.permanent.lockout_state;
    (lockout.max_tries, lockout.recovery_time, lockout.lockout_recovery) =
        (max_tries, recovery_time, lockout_recovery);
    // Time that passed under the old parameters is not worth the same under the new ones.
    tpm.restart_lockout_timers();
    tpm.touch();
    Ok(())
}

//! Clocks (part 3, chapter 29).

use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::{Rc, Result};

/// Beyond this the clock can't be set: it would come to its end (part 3, 29.2).
const LATEST: u64 = 0xffff_0000_0000_0000;

/// TPM2_ReadClock.
pub(crate) fn read(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    tpm.write_time_info(&mut call.out);
    Ok(())
}

/// TPM2_ClockSet: only forward.
pub(crate) fn set(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    let time = call.read(|r| r.u64())?;
    call.end()?;
    // Set back, it would let policies hold again that had run out.
    if time > LATEST || time < tpm.permanent.clock {
        return Err(Rc::VALUE.parameter(1));
    }
    tpm.permanent.clock = time;
    tpm.touch();
    Ok(())
}

/// TPM2_ClockRateAdjust: accepted; the platform's clock is as exact as it is.
pub(crate) fn rate_adjust(_tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.read(|r| match r.u8()? as i8 {
        -3..=3 => Ok(()),
        _ => Err(Rc::VALUE),
    })?;
    call.end()
}

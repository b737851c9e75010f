//! What is public about an index (part 3, 31.6).

use crate::dispatch::Call;
use crate::engine::Tpm;
use crate::rc::Result;

/// TPM2_NV_ReadPublic.
pub(crate) fn read_public(tpm: &mut Tpm, call: &mut Call) -> Result<()> {
    call.end()?;
    let public = &tpm.nv(call.handle(0))?.public;
    call.out.inside(|w| public.write(w)).sized(&public.name(&*tpm.crypto));
    Ok(())
}

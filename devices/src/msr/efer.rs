//! EFER: what a guest may write (APM 2, 3.1.7).

/// System call extensions.
const SCE: u64 = 1 << 0;
/// Long mode enable.
const LME: u64 = 1 << 8;
/// Long mode active: follows LME and CR0.PG, not written.
const LMA: u64 = 1 << 10;
/// No-execute enable.
const NXE: u64 = 1 << 11;

/// Why a write to EFER faults. To blame: the guest, which gets #GP(0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EferError {
    /// A bit that is reserved, or of a feature that CPUID hides (SVME above all).
    Reserved,
    /// LME changed while paging is on.
    LmeWithPaging,
}

/// The value EFER takes, as the guest sees it, if `value` is written over `current`. The backend adds its own
/// bits (SVME).
pub fn check_efer(current: u64, value: u64, paging: bool) -> Result<u64, EferError> {
    if value & !(SCE | LME | LMA | NXE) != 0 {
        return Err(EferError::Reserved);
    }
    // The tables in use are of one form; the mode changes while there is none.
    if paging && (current ^ value) & LME != 0 {
        return Err(EferError::LmeWithPaging);
    }
    // LMA follows CR0.PG; guests write back what they have read there.
    Ok(value & !LMA | current & LMA)
}

//! What an intercepted event is to an SEV-ES guest: an automatic exit, which the guest does not see, or a
//! non-automatic one, which is #VC (APM 2, 15.35.5, tables 15-35 and 15-36; the lists as Linux and Coconut
//! SVSM have them).

use plinth_snp_abi::exit::{self, NpfInfo};
use plinth_snp_abi::vmsa::SevFeatures;

/// What becomes of an intercepted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The guest's state is stored and the host runs.
    Automatic,
    /// #VC with the exit code as its error code.
    Exception,
    /// The guest's state is stored, with the exit code, and the host runs; it sees an intercepted #VC and has
    /// to run a higher VMPL (APM 2, 15.36.9).
    Reflected,
    /// It can't be intercepted in such a guest: it takes its course.
    NotIntercepted,
}

/// Whether an exit code is of an automatic exit. Nested page faults are decided by [`disposition`].
#[must_use]
pub const fn is_automatic(exit_code: u64) -> bool {
    /// CR0 to CR15.
    const LAST_CR_TRAP: u64 = exit::CR_WRITE_TRAP + 15;
    matches!(
        exit_code,
        exit::MACHINE_CHECK
            | exit::INTR
            | exit::NMI
            | exit::SMI
            | exit::INIT
            | exit::VINTR
            | exit::PAUSE
            | exit::HLT
            | exit::SHUTDOWN
            | exit::EFER_WRITE_TRAP
            | exit::CR_WRITE_TRAP
            ..=LAST_CR_TRAP
                | exit::BUS_LOCK
                | exit::IDLE_HLT
                | exit::AVIC_INCOMPLETE_IPI
                | exit::AVIC_UNACCELERATED
                | exit::VMGEXIT
                | exit::NOT_RESTARTABLE
                | exit::INVALID
                | exit::BUSY
    )
}

/// Whether accesses of DR7, and the exceptions #DB and #BP, can be intercepted: not where all debug registers
/// are exchanged (APM 2, 15.35.8).
const fn is_debug(exit_code: u64) -> bool {
    /// #DB.
    const DEBUG: u64 = exit::EXCEPTION + 1;
    matches!(exit_code, exit::DR7_READ | exit::DR7_WRITE | DEBUG)
}

/// What becomes of an intercepted event. `info_1` is its EXITINFO1.
#[must_use]
pub fn disposition(exit_code: u64, info_1: u64, features: SevFeatures, vmpl: u8) -> Disposition {
    if features.contains(SevFeatures::DEBUG_VIRTUALIZATION) && is_debug(exit_code) {
        return Disposition::NotIntercepted;
    }
    // A reserved bit in the nested tables marks emulated devices: only those are the guest's business.
    let is_device = NpfInfo::from_bits_retain(info_1).contains(NpfInfo::RESERVED);
    let is_automatic = match exit_code {
        exit::NPF => !is_device,
        other => is_automatic(other),
    };
    if is_automatic {
        Disposition::Automatic
    } else if features.contains(SevFeatures::REFLECT_VC) && vmpl > 0 {
        Disposition::Reflected
    } else {
        Disposition::Exception
    }
}

//! What the engine needs: random numbers of the processor's, and time by its time-stamp counter.

use runtime::syscall::tsc;
use tpm2_engine::{Platform, PlatformError};
use vmm::random::RandomNumbers;

/// The machine that the TPM is in.
#[derive(Debug)]
pub struct Machine {
    numbers: RandomNumbers,
    ticks_ms: u64,
}

impl Machine {
    /// The machine, if its processor has random numbers.
    pub fn detect(tsc_hz: u64) -> Option<Self> {
        Some(Self { numbers: RandomNumbers::detect()?, ticks_ms: (tsc_hz / 1000).max(1) })
    }
}

impl Platform for Machine {
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        // Seeds, and not numbers of a generator that is seeded by them: the engine has a generator of its
        // own.
        if self.numbers.fill_seed(out) { Ok(()) } else { Err(PlatformError) }
    }

    fn milliseconds(&mut self) -> u64 {
        tsc() / self.ticks_ms
    }
}

//! What the engine needs: random numbers of the processor's, time by its time-stamp counter, and memory for
//! the state.

use alloc::vec::Vec;

use runtime::syscall::tsc;
use tpm2_engine::{Platform, PlatformError, Storage};
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

/// State in memory: gone with the process.
#[derive(Debug, Default)]
pub struct Memory([Vec<u8>; 2]);

impl Storage for Memory {
    fn read(&mut self, slot: usize) -> Result<Vec<u8>, PlatformError> {
        self.0.get(slot).cloned().ok_or(PlatformError)
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), PlatformError> {
        *self.0.get_mut(slot).ok_or(PlatformError)? = bytes.to_vec();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_what_is_written() {
        let mut memory = Memory::default();
        assert!(memory.read(1).unwrap().is_empty());
        memory.write(1, &[1, 2]).unwrap();
        assert_eq!((memory.read(0).unwrap(), memory.read(1).unwrap()), ([].into(), [1, 2].into()));
        assert!(memory.read(2).is_err() && memory.write(2, &[]).is_err());
    }
}

//! What the engine needs of its surroundings: entropy, time, and a place for its state.

use alloc::vec::Vec;

/// Why the surroundings could not do what they were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformError;

/// Entropy and time.
pub trait Platform {
    /// Fills a buffer with entropy of full strength.
    ///
    /// # Errors
    ///
    /// There is none to be had. The TPM then fails for good.
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError>;

    /// Milliseconds of a clock that never goes back and runs while the TPM has power.
    fn milliseconds(&mut self) -> u64;

    /// Whether somebody who is at the machine confirms what is being asked for. By default nobody is.
    fn is_present(&mut self) -> bool {
        false
    }
}

/// Functions that give entropy and milliseconds.
impl<E, M> Platform for (E, M)
where
    E: FnMut(&mut [u8]) -> Result<(), PlatformError>,
    M: FnMut() -> u64,
{
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        (self.0)(out)
    }

    fn milliseconds(&mut self) -> u64 {
        (self.1)()
    }
}

/// Where the state is kept: two slots, each with one snapshot.
///
/// A write may be torn by a loss of power: the slot then holds anything. It must never touch the other slot,
/// and when it has returned, the slot must hold what was written even without power. The engine writes the
/// slots by turns and takes the newest that is whole.
pub trait Storage {
    /// What a slot (0 or 1) holds; nothing if it was never written.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn read(&mut self, slot: usize) -> Result<Vec<u8>, PlatformError>;

    /// Replaces what a slot holds.
    ///
    /// # Errors
    ///
    /// It can't be written. The command that needed it fails, and the TPM fails for good: what it holds
    /// in memory is no longer what is kept.
    fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), PlatformError>;
}

/// Memory: the state is gone with it.
impl Storage for [Vec<u8>; 2] {
    fn read(&mut self, slot: usize) -> Result<Vec<u8>, PlatformError> {
        self.get(slot).cloned().ok_or(PlatformError)
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), PlatformError> {
        *self.get_mut(slot).ok_or(PlatformError)? = bytes.to_vec();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_what_is_written() {
        let mut memory: [Vec<u8>; 2] = Default::default();
        assert!(memory.read(1).unwrap().is_empty());
        memory.write(1, &[1, 2]).unwrap();
        assert_eq!((memory.read(0).unwrap(), memory.read(1).unwrap()), ([].into(), [1, 2].into()));
        assert!(memory.read(2).is_err() && memory.write(2, &[]).is_err());
    }
}

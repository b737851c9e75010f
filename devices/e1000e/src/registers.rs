//! Registers that keep what is written.

use alloc::vec;
use alloc::vec::Vec;

use crate::spec::END;

/// The registers, by offset.
#[derive(Clone, Debug)]
pub struct Registers(Vec<u32>);

impl Default for Registers {
    fn default() -> Self {
        Self(vec![0; (END / 4) as usize])
    }
}

impl Registers {
    /// A register; 0 where there is none.
    pub fn get(&self, offset: u64) -> u32 {
        self.0.get((offset / 4) as usize).copied().unwrap_or(0)
    }

    /// Sets a register.
    pub fn set(&mut self, offset: u64, value: u32) {
        if let Some(word) = self.0.get_mut((offset / 4) as usize) {
            *word = value;
        }
    }

    /// Adds to a statistic, which stays at its greatest value.
    pub fn count(&mut self, offset: u64, more: u32) {
        self.set(offset, self.get(offset).saturating_add(more));
    }
}

//! Recently decoded instructions.
//!
//! They are found by their bytes, not by their address: decoding depends on bytes and mode alone, so that an entry can't
//! be outdated by anything a guest does.

use super::Code;
use crate::{Instruction, Mode, Rejection, decode};

/// What the bytes of a whole window were decoded to.
#[derive(Clone, Copy, Debug)]
struct Slot {
    code: Code,
    instruction: Instruction,
}

/// Up to `N` instructions, one for each remainder of their addresses.
#[derive(Clone, Copy, Debug)]
pub struct Cache<const N: usize> {
    slots: [Option<Slot>; N],
}

impl<const N: usize> Default for Cache<N> {
    fn default() -> Self {
        Cache { slots: [None; N] }
    }
}

impl<const N: usize> Cache<N> {
    /// What [`decode`] makes of `code`; `hint` is its address, or any number that tells it from others.
    ///
    /// # Errors
    /// Each [`Rejection`].
    #[inline]
    pub fn decode(&mut self, code: &Code, mode: Mode, hint: u64) -> Result<Instruction, Rejection> {
        let index = hint.checked_rem(N as u64).unwrap_or(0) as usize;
        if let Some(Some(slot)) = self.slots.get(index)
            && slot.code == *code
            && slot.instruction.mode == mode
        {
            return Ok(slot.instruction);
        }
        let instruction = decode(code.bytes(), mode)?;
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(Slot { code: *code, instruction });
        }
        Ok(instruction)
    }
}

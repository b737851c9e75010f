//! Recently decoded instructions.
//!
//! They are found by their bytes, not by their address: decoding depends on bytes and mode alone, so that an entry can't
//! be outdated by anything a guest does.

use super::Code;
use crate::slots::Slots;
use crate::{Instruction, Mode, Rejection, decode};

/// What the bytes of a whole window were decoded to.
#[derive(Clone, Copy, Debug)]
struct Slot {
    code: Code,
    instruction: Instruction,
}

/// Up to `N` instructions, one for each remainder of their addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cache<const N: usize>(Slots<Slot, N>);

impl<const N: usize> Cache<N> {
    /// What [`decode`] makes of `code`; `hint` is its address, or any number that tells it from others.
    ///
    /// # Errors
    /// Each [`Rejection`].
    #[inline]
    pub fn decode(&mut self, code: &Code, mode: Mode, hint: u64) -> Result<Instruction, Rejection> {
        if let Some(slot) = self.0.get(hint)
            && slot.code == *code
            && slot.instruction.mode == mode
        {
            return Ok(slot.instruction);
        }
        let instruction = decode(code.bytes(), mode)?;
        self.0.set(hint, Slot { code: *code, instruction });
        Ok(instruction)
    }
}

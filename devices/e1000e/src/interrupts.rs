//! Interrupt causes, and which interrupt each makes.

use crate::registers::Registers;
use crate::spec::{CTRL_EXT_IAME, cause, register};

/// Causes that have a vector of their own: bit of ICR, place in IVAR.
const OWN: [(u32, u32); 5] = [(20, 0), (21, 4), (22, 8), (23, 12), (24, 16)];
/// IVAR: the entry is valid.
const VALID: u32 = 8;

/// Records causes.
pub fn raise(registers: &mut Registers, causes: u32) {
    registers.set(register::ICR, registers.get(register::ICR) | causes);
}

/// The vectors of causes that are there and enabled, a bit each. A message takes down those causes that EIAC
/// names, and disables them.
pub fn take_vectors(registers: &mut Registers) -> u8 {
    let (ivar, wanted) =
        (registers.get(register::IVAR), registers.get(register::ICR) & registers.get(register::IMS));
    let mut vectors = 0;
    for (bit, place) in OWN {
        let entry = ivar >> place & 0xf;
        if wanted >> bit & 1 != 0 && entry & VALID != 0 {
            vectors |= 1 << (entry & 7);
            let cleared = registers.get(register::EIAC) & 1 << bit;
            registers.set(register::ICR, registers.get(register::ICR) & !cleared);
            if registers.get(register::CTRL_EXT) & CTRL_EXT_IAME == 0 {
                registers.set(register::IMS, registers.get(register::IMS) & !cleared);
            }
        }
    }
    vectors
}

/// Whether the pin is wanted.
pub fn wants_pin(registers: &Registers) -> bool {
    registers.get(register::ICR) & registers.get(register::IMS) != 0
}

/// Reading ICR: it is cleared, if an interrupt is asserted or nothing is enabled.
pub fn read_causes(registers: &mut Registers, has_messages: bool) -> u32 {
    let (causes, enabled) = (registers.get(register::ICR), registers.get(register::IMS));
    let is_asserted = causes & enabled != 0;
    if is_asserted || enabled == 0 {
        // By messages, those of EIAC are cleared by their message alone.
        let kept = if has_messages { registers.get(register::EIAC) } else { 0 };
        registers.set(register::ICR, causes & kept);
        if registers.get(register::CTRL_EXT) & CTRL_EXT_IAME != 0 {
            registers.set(register::IMS, enabled & !registers.get(register::IAM));
        }
    }
    causes | if is_asserted { cause::ASSERTED } else { 0 }
}

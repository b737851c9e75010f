//! The encodings that cases are drawn of.

use super::{accesses_stack, loads_fs};
use crate::forms::{ESCAPES, VEX_ESCAPES};
use decoder::{Attributes, Instruction, Mode, Operation, Processor};

/// One encoding that is accepted: prefix, escape bytes, opcode, and what ModRM.reg selects.
#[derive(Clone, Copy, Debug)]
pub(in crate::native) struct Form {
    pub(in crate::native) mandatory: Option<u8>,
    pub(in crate::native) escape: &'static [u8],
    pub(in crate::native) opcode: u8,
    pub(in crate::native) reg: u8,
    pub(in crate::native) mode: Mode,
}

/// All accepted forms that user code may execute, in each mode.
pub(in crate::native) fn forms(processor: Processor) -> Vec<Form> {
    forms_of(processor, is_user)
}

/// The same, and INS and OUTS, which need a port.
pub(in crate::native) fn memory_forms(processor: Processor) -> Vec<Form> {
    forms_of(processor, |operation| is_user(operation) || is_port_string(operation))
}

/// VEX prefixes of the maps that have integer instructions: every mandatory prefix, both sizes, and in 64-bit
/// code registers above the seventh as well.
fn vex_escapes(mode: Mode) -> impl Iterator<Item = &'static [u8]> {
    const HIGH: [&[u8]; 5] = [
        &[0xc4, 0x42, 0x20],
        &[0xc4, 0x42, 0xa1],
        &[0xc4, 0x42, 0x22],
        &[0xc4, 0x42, 0xa3],
        &[0xc4, 0x43, 0xfb],
    ];
    let high = if mode == Mode::Bits64 { &HIGH[..] } else { &[] };
    VEX_ESCAPES.into_iter().chain(high.iter().copied())
}

fn forms_of(processor: Processor, is_wanted: impl Fn(Operation) -> bool) -> Vec<Form> {
    let mut forms = Vec::new();
    for mode in [Mode::Bits64, Mode::Bits32, Mode::Bits16] {
        for escape in ESCAPES.into_iter().chain(vex_escapes(mode)) {
            for opcode in 0..=0xff {
                // Each may select another instruction, change an operand's size, or mean nothing.
                for mandatory in [None, Some(0x66), Some(0xf3), Some(0xf2)] {
                    for reg in 0..8 {
                        let form = Form { mandatory, escape, opcode, reg, mode };
                        let Some(instruction) = form.instruction(processor) else { continue };
                        // What has no operand behind the opcode is one form, whatever follows it.
                        let is_one = accesses_stack(instruction.operation)
                            && !instruction.attributes.contains(Attributes::MEMORY);
                        if is_wanted(instruction.operation) && !(is_one && reg > 0) && !loads_fs(&instruction)
                        {
                            forms.push(form);
                        }
                    }
                }
            }
        }
    }
    forms
}

impl Form {
    pub(super) fn bytes(&self, prefixes: &[u8], modrm: u8) -> Vec<u8> {
        let mut bytes = Vec::from_iter(self.mandatory);
        // Few prefixes go with VEX.
        let is_vex = self.escape.len() == 3;
        bytes.extend(prefixes.iter().filter(|prefix| !is_vex || matches!(prefix, 0x65 | 0x67 | 0x2e | 0x3e)));
        bytes.extend(self.escape);
        bytes.extend([self.opcode, modrm]);
        bytes
    }

    /// Whether it is what the full decoder reads, behind an F2 or F3 that means nothing: a guest runs these
    /// without.
    pub(in crate::native) fn is_redundant(&self, processor: Processor) -> bool {
        let Some(found) = self.instruction(processor) else { return false };
        let plain = Form { mandatory: None, ..*self }.instruction(processor);
        matches!(self.mandatory, Some(0xf2 | 0xf3))
            && crate::full::is_rare(&found)
            && plain.is_some_and(|plain| plain.operation == found.operation)
    }

    /// What it is, if it is accepted.
    fn instruction(&self, processor: Processor) -> Option<Instruction> {
        let mut bytes = self.bytes(&[], self.reg << 3 | 7);
        // Enough for any form: what is too short would be no form.
        bytes.extend([0; 10]);
        decoder::decode(&bytes, self.mode, processor).ok()
    }
}

/// Whether user code may execute it, and it does what it does to registers and memory alone.
pub(super) fn is_user(operation: Operation) -> bool {
    use Operation::*;
    !matches!(
        operation,
        Ins | Outs
            | Cpuid
            | Rdmsr
            | Wrmsr
            | Rdtsc
            | Rdtscp
            | Hlt
            | Vmmcall
            | Xsetbv
            | Invd
            | Wbinvd
            | Clts
            | Lmsw
            | MovControl
            | MovDebug
            | In
            | Out
            | Smsw
            | Sgdt
            | Sidt
            | Sldt
            | Str
            | Lgdt
            | Lidt
            | Lldt
            | Ltr
    )
}

pub(super) fn is_port_string(operation: Operation) -> bool {
    matches!(operation, Operation::Ins | Operation::Outs)
}

//! The stack frames of a bare program: how much of the stack each function takes, read from its code.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic, OpKind, Register};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// The functions of an ELF file and the bytes that each subtracts from RSP, the largest first. What is pushed
/// is not counted: six registers at most.
///
/// # Errors
/// When the file can't be read, or has no symbols or no code.
pub fn of(file: &Path) -> Result<Vec<(String, u64)>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let elf = object::File::parse(&*bytes).with_context(|| format!("{} is no ELF file", file.display()))?;
    let text = elf.section_by_name(".text").context("there is no .text")?;
    let functions: BTreeMap<u64, String> = elf
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
        .filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?.to_owned())))
        .collect();
    ensure!(!functions.is_empty(), "{} has no symbols", file.display());
    let mut frames: BTreeMap<u64, u64> = BTreeMap::new();
    let code = text.data().context("there is no code")?;
    // All of the section, from its start: what is no code between functions decodes as something, and seldom
    // as a subtraction from RSP.
    for instruction in &mut Decoder::with_ip(64, code, text.address(), DecoderOptions::NONE) {
        let to_stack_pointer = instruction.mnemonic() == Mnemonic::Sub
            && instruction.op0_kind() == OpKind::Register
            && instruction.op0_register() == Register::RSP;
        if !to_stack_pointer || instruction.code() == Code::INVALID {
            continue;
        }
        // A size that is not in the code could be any.
        let bytes =
            if instruction.op1_kind() == OpKind::Register { u64::MAX } else { instruction.immediate(1) };
        if let Some((start, _)) = functions.range(..=instruction.ip()).next_back() {
            let frame = frames.entry(*start).or_default();
            // Large frames are subtracted page by page, with a probe of each. Where there are many pages that
            // is a loop, of which one round is counted: a page, still more than any frame may have.
            *frame = frame.saturating_add(bytes);
        }
    }
    let mut frames: Vec<_> = frames
        .into_iter()
        .filter_map(|(start, bytes)| Some((readable(functions.get(&start)?), bytes)))
        .collect();
    frames.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Ok(frames)
}

/// A symbol's path without the hash: `memory::self_map::set` of `_RNvNtNt…8self_map3set`.
fn readable(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_frames() {
        let own = std::env::current_exe().unwrap();
        let frames = of(&own).unwrap();
        assert!(frames.iter().any(|(name, bytes)| name.contains("with_a_large_frame") && *bytes >= 5_000));
        assert_eq!(std::hint::black_box(with_a_large_frame as fn(u8) -> u8)(3), 3);
    }

    #[inline(never)]
    fn with_a_large_frame(value: u8) -> u8 {
        let bytes = std::hint::black_box([value; 5_000]);
        bytes[usize::from(value)]
    }
}

//! The table of accepted forms: every opcode is tried, and a full decoder names what is accepted.

use crate::full;
use decoder::{Attributes, Mode, Processor, Vendor};
use std::collections::{BTreeMap, BTreeSet};

const MODES: [Mode; 3] = [Mode::Bits16, Mode::Bits32, Mode::Bits64];

/// What stands before the opcodes of the maps that have integer instructions.
pub(crate) const ESCAPES: [&[u8]; 3] = [&[], &[0x0f], &[0x0f, 0x38]];

/// The same as VEX prefixes, of the maps 0F 38 and 0F 3A: every mandatory prefix, both sizes.
pub(crate) const VEX_ESCAPES: [&[u8]; 10] = [
    &[0xc4, 0xe2, 0x60],
    &[0xc4, 0xe2, 0x61],
    &[0xc4, 0xe2, 0x62],
    &[0xc4, 0xe2, 0x63],
    &[0xc4, 0xe2, 0xe0],
    &[0xc4, 0xe2, 0xe1],
    &[0xc4, 0xe2, 0xe2],
    &[0xc4, 0xe2, 0xe3],
    &[0xc4, 0xe3, 0x7b],
    &[0xc4, 0xe3, 0xfb],
];

/// What is known of one accepted opcode.
#[derive(Default)]
struct Form {
    /// What it is called at each operand size.
    names: BTreeSet<String>,
    /// In 16-, 32- and 64-bit code.
    modes: [bool; 3],
    /// It may have LOCK, or has it by itself.
    lock: bool,
    /// It is repeated by REP.
    rep: bool,
}

/// Forms by operation and opcode.
type Forms = BTreeMap<(String, String), Form>;

/// The accepted forms, as a table in Markdown.
pub fn table() -> String {
    let mut forms = Forms::new();
    for mode in MODES {
        for bytes in encodings() {
            record(&mut forms, &bytes, mode);
        }
    }
    let head = "| Operation | Opcode | Instructions | Code | Prefixes |\n|---|---|---|---|---|\n";
    forms
        .iter()
        .fold(head.to_owned(), |table, ((operation, opcode), form)| table + &row(operation, opcode, form))
}

/// Every opcode with every ModRM that selects an instruction, behind each prefix that does.
fn encodings() -> impl Iterator<Item = Vec<u8>> {
    // 48 is REX.W; outside of 64-bit code it is an instruction itself, which its own opcode has found before.
    const SELECTORS: [&[u8]; 8] =
        [&[], &[0x66], &[0xf2], &[0xf3], &[0x48], &[0x66, 0x48], &[0xf3, 0x48], &[0xf0]];
    // Memory at [rDI] or [BX], and the instructions that are ModRM bytes.
    let modrms = || (0..8).map(|reg| reg << 3 | 7).chain(0xc0..=0xff);
    let escapes = ESCAPES.into_iter().chain(VEX_ESCAPES);
    let opcodes = escapes.flat_map(|escape| (0..=0xff).map(move |opcode| (escape, opcode)));
    SELECTORS.into_iter().flat_map(move |selector| {
        opcodes.clone().flat_map(move |(escape, opcode)| {
            // Zeros behind it, enough for any displacement and immediate.
            modrms().map(move |modrm| [selector, escape, &[opcode, modrm], &[0; 8]].concat())
        })
    })
}

fn record(forms: &mut Forms, bytes: &[u8], mode: Mode) {
    // The full decoder, which names it below, reads as Intel's do.
    let processor = Processor::full(Vendor::Intel);
    let Ok(instruction) = decoder::decode(bytes, mode, processor) else { return };
    let info = full::decode(bytes, mode).code().op_code();
    // Forms that differ in the operand's size alone share a row.
    let sized = info.op_code_string();
    let opcode =
        ["o16 ", "o32 ", "o64 "].iter().find_map(|prefix| sized.strip_prefix(prefix)).unwrap_or(sized);
    let key = (format!("{:?}", instruction.operation), opcode.to_owned());
    let form = forms.entry(key).or_default();
    // A set: the same name comes again with every prefix that changes nothing.
    form.names.insert(info.instruction_string().to_owned());
    form.modes[mode as usize] = true;
    form.lock |= instruction.attributes.contains(Attributes::LOCK);
    form.rep |= instruction.attributes.contains(Attributes::REP);
}

fn row(operation: &str, opcode: &str, form: &Form) -> String {
    let names: Vec<_> = form.names.iter().map(String::as_str).collect();
    let modes = ["16", "32", "64"].into_iter().zip(form.modes);
    let modes: Vec<_> = modes.filter(|mode| mode.1).map(|mode| mode.0).collect();
    let prefixes = [("LOCK", form.lock), ("REP", form.rep)].into_iter().filter(|prefix| prefix.1);
    let prefixes: Vec<_> = prefixes.map(|prefix| prefix.0).collect();
    let columns = [operation, opcode, &names.join("; "), &modes.join(" "), &prefixes.join(" ")];
    format!("| {} |\n", columns.join(" | "))
}

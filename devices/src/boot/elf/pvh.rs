//! What a PVH kernel is told: `hvm_start_info` (Xen, `public/arch-x86/hvm/start_info.h`, version 1).

use alloc::vec::Vec;

use super::{Facts, Information, MODULE_NAME};
use crate::boot::{MemoryKind, layout};

const MAGIC: u32 = 0x336e_c578;
const VERSION: u32 = 1;
/// `hvm_start_info` and `hvm_modlist_entry`, in bytes.
const START_INFO_BYTES: u64 = 56;
const MODULE_BYTES: u64 = 32;
/// The module's name, in eights so that the memory map behind it is aligned.
const NAME_BYTES: u64 = (MODULE_NAME.len() as u64).next_multiple_of(8);

/// EBX has its address; EAX has nothing to say.
pub fn information(facts: &Facts<'_>) -> Information {
    let start = layout::BOOT_PARAMS;
    let module = start + START_INFO_BYTES;
    let name = module + MODULE_BYTES;
    let map = name + NAME_BYTES;
    let has_module = !facts.module.is_empty();
    let mut bytes = Vec::new();
    let mut words = |words: &[u64]| bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    words(&[
        u64::from(MAGIC) | u64::from(VERSION) << 32,
        // No flags in the lower half; the number of modules.
        u64::from(has_module) << 32,
        if has_module { module } else { 0 },
        layout::COMMAND_LINE,
        facts.rsdp_gpa,
        map,
        // The number of entries; the upper half is reserved.
        facts.memory.len() as u64,
    ]);
    words(&[facts.module.start, facts.module.end - facts.module.start, name, 0]);
    bytes.extend_from_slice(MODULE_NAME);
    bytes.resize((map - start) as usize, 0);
    for range in facts.memory {
        let kind: MemoryKind = range.kind;
        // The types have the numbers of E820.
        let words = [range.gpa, range.bytes, kind as u64];
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    Information { eax: 0, ebx: start, bytes }
}

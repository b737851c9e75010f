//! What CPUID says to the guest: the processor below, with memory encryption.

use alloc::vec::Vec;

use plinth_snp_abi::cpuid as bits;
use plinth_snp_abi::cpuid_page::CpuidEntry;
use runtime::abi::operation::{Handle, SystemCpuid};
use runtime::{abi, call};

use crate::memory::C_BIT_POSITION;

/// The leaves and subleaves that the guest finds in its CPUID page, besides that of memory encryption.
const LEAVES: [(u32, u32); 11] = [
    (0, 0),
    (1, 0),
    (7, 0),
    (0xd, 0),
    (0xd, 1),
    (0xd, 2),
    (0x8000_0000, 0),
    (0x8000_0001, 0),
    (0x8000_0008, 0),
    (0xb, 0),
    (0xb, 1),
];

/// The XSAVE area of the x87 and SSE parts and the header.
const XSAVE_BASE: u32 = 0x240;

/// What CPUID says to the guest.
///
/// # Errors
/// The kernel's, where the host's CPUID can't be had.
pub fn entries(system: Handle) -> Result<Vec<CpuidEntry>, abi::status::Status> {
    let mut entries = Vec::new();
    for (eax_in, ecx_in) in LEAVES {
        let leaf = call(system, SystemCpuid { eax: eax_in, ebx: 0, ecx: ecx_in, edx: 0 })?;
        let entry = CpuidEntry {
            eax_in,
            ecx_in,
            eax: leaf.eax,
            ebx: leaf.ebx,
            ecx: leaf.ecx,
            edx: leaf.edx,
            ..CpuidEntry::default()
        };
        entries.push(entry);
    }
    for entry in entries.iter_mut().filter(|entry| entry.eax_in == 0xd && entry.ecx_in < 2) {
        // As the firmware wants it: the size of what XCR0 enables after RESET.
        (entry.xcr0_in, entry.ebx) = (1, XSAVE_BASE);
    }
    if let Some(highest) = entries.iter_mut().find(|entry| entry.eax_in == 0x8000_0000) {
        highest.eax = highest.eax.max(bits::ENCRYPTION_LEAF);
    }
    // One bit of an address less: the C-bit.
    let (eax, ebx) = (bits::SEV | bits::SEV_ES | bits::SEV_SNP | bits::VMPL, C_BIT_POSITION | 1 << 6);
    entries.push(CpuidEntry { eax_in: bits::ENCRYPTION_LEAF, eax, ebx, ..CpuidEntry::default() });
    Ok(entries)
}

/// What CPUID returns of a function and subfunction: zeros for what is not there.
pub fn lookup(entries: &[CpuidEntry], function: u32, subfunction: u32) -> [u32; 4] {
    let found = entries.iter().find(|entry| (entry.eax_in, entry.ecx_in) == (function, subfunction));
    found.map_or([0; 4], |entry| [entry.eax, entry.ebx, entry.ecx, entry.edx])
}

/// How many bits a guest physical address of the processor below has.
pub fn physical_bits(entries: &[CpuidEntry]) -> u32 {
    entries.iter().find(|entry| entry.eax_in == 0x8000_0008).map_or(0, |entry| entry.eax & 0xff)
}

/// Bits of CR4, each with the register of CPUID and the bit there that offers it (APM 2, 3.1.3): leaf 1 EDX,
/// leaf 1 ECX, leaf 7 EBX, leaf 7 ECX.
const CR4: [(usize, u32, u64); 14] = [
    (0, 1, 0x3),
    (0, 2, 1 << 3),
    (0, 3, 1 << 4),
    (0, 6, 1 << 5),
    (0, 7, 1 << 6),
    (0, 13, 1 << 7),
    (0, 4, 1 << 2),
    (0, 24, 1 << 9),
    (0, 25, 1 << 10),
    (1, 26, 1 << 18),
    (2, 0, 1 << 16),
    (2, 7, 1 << 20),
    (2, 20, 1 << 21),
    (3, 2, 1 << 11),
];
/// CR4.PCE, which every processor has.
const PCE: u64 = 1 << 8;

/// The bits of CR4 that the guest may set.
pub fn allowed_cr4(entries: &[CpuidEntry]) -> u64 {
    let ([_, _, ecx_1, edx_1], [_, ebx_7, ecx_7, _]) = (lookup(entries, 1, 0), lookup(entries, 7, 0));
    let words = [edx_1, ecx_1, ebx_7, ecx_7];
    let offered =
        CR4.iter().filter(|(word, bit, _)| words.get(*word).is_some_and(|word| word >> bit & 1 != 0));
    offered.fold(PCE, |bits, (_, _, made)| bits | made)
}

/// The bits of XCR0 that the guest may set.
pub fn allowed_xcr0(entries: &[CpuidEntry]) -> u64 {
    let [eax, _, _, edx] = lookup(entries, 0xd, 0);
    u64::from(edx) << 32 | u64::from(eax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cr4_is_what_cpuid_offers() {
        let entry = |eax_in, ebx, ecx, edx| CpuidEntry { eax_in, ebx, ecx, edx, ..CpuidEntry::default() };
        assert_eq!(allowed_cr4(&[]), PCE);
        assert_eq!(allowed_cr4(&[entry(1, 0, 1 << 26, 1 << 6)]), PCE | 1 << 18 | 1 << 5);
        assert_eq!(allowed_cr4(&[entry(7, 1 << 20, 1 << 2, 0)]), PCE | 1 << 21 | 1 << 11);
    }
}

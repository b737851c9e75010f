//! What CPUID says to the guest: what Plinth's VMM tells its guests of the processor below, with memory
//! encryption.

use alloc::vec::Vec;

use devices::cpuid::{CpuidPolicy, CpuidTable, Leaf, Live};
use plinth_snp_abi::cpuid as bits;
use plinth_snp_abi::cpuid_page::CpuidEntry;
use runtime::abi::operation::{Handle, SystemCpuid};
use runtime::abi::run_page::XSAVE_BYTES;
use runtime::{abi, call};

use crate::memory::C_BIT_POSITION;

/// The leaves that have subleaves, with how many of them the guest finds in its CPUID page.
const INDEXED: [(u32, u32); 5] = [(4, 4), (7, 2), (0xb, 2), (0xd, 10), (0x8000_001d, 4)];
/// The other leaves.
const PLAIN: [u32; 17] = [
    0,
    1,
    6,
    0x15,
    0x16,
    0x8000_0000,
    0x8000_0001,
    0x8000_0002,
    0x8000_0003,
    0x8000_0004,
    0x8000_0005,
    0x8000_0006,
    0x8000_0007,
    0x8000_0008,
    0x8000_001a,
    0x8000_001e,
    0x8000_0021,
];
/// All bits of a guest physical address, with the C-bit.
const PHYSICAL_BITS: u8 = C_BIT_POSITION as u8 + 1;
/// The leaf of XSAVE, and the first of the extended ones.
const XSAVE_LEAF: u32 = 0xd;
const EXTENDED: u32 = 0x8000_0000;
/// XCR0 after RESET: x87. The firmware wants sizes of XSAVE areas for that.
const XCR0_RESET: u64 = 1;

/// What CPUID says to the guest, for its CPUID page. `has_xsave`: there is XSAVE, as far as the processor
/// below has it. Linux wants to see XSAVEC in leaf Dh as well, which all processors have that have SEV-SNP,
/// and QEMU's does not.
///
/// # Errors
/// The kernel's, where the host's CPUID can't be had.
pub fn entries(
    system: Handle,
    tsc_hz: u64,
    vcpus: u16,
    has_xsave: bool,
) -> Result<Vec<CpuidEntry>, abi::status::Status> {
    let mut failure = None;
    let mut ask = |leaf: u32, subleaf: u32| {
        let asked = call(system, SystemCpuid { eax: leaf, ebx: 0, ecx: subleaf, edx: 0 });
        let answer = asked.unwrap_or_else(|status| {
            failure = Some(status);
            SystemCpuid::default()
        });
        Leaf { eax: answer.eax, ebx: answer.ebx, ecx: answer.ecx, edx: answer.edx }
    };
    let mut host = |leaf: u32, subleaf: u32| without_xsave(leaf, ask(leaf, subleaf), has_xsave);
    let policy = CpuidPolicy {
        physical_bits: PHYSICAL_BITS,
        protection_keys: false,
        tsc_aux: true,
        xsave_bytes: XSAVE_BYTES as u32,
        ..CpuidPolicy::new(0, vcpus.into(), tsc_hz)
    };
    let table = CpuidTable::new(&mut host, &policy);
    failure.map_or_else(|| Ok(from_table(&table, has_xsave)), Err)
}

/// The processor's leaf, with XSAVE or without.
fn without_xsave(leaf: u32, mut answer: Leaf, has_xsave: bool) -> Leaf {
    const XSAVE: u32 = 1 << 26;
    if leaf == 1 && !has_xsave {
        answer.ecx &= !XSAVE;
    }
    answer
}

fn from_table(table: &CpuidTable, has_xsave: bool) -> Vec<CpuidEntry> {
    let indexed = INDEXED.iter().flat_map(|(leaf, count)| (0..*count).map(|subleaf| (*leaf, subleaf)));
    let live = Live { cr4: 0, xcr0: XCR0_RESET, is_apic_off: false };
    let mut entries = Vec::new();
    for (eax_in, ecx_in) in PLAIN.iter().map(|leaf| (*leaf, 0)).chain(indexed) {
        let leaf = table.lookup(eax_in, ecx_in, &live);
        let is_behind = (XSAVE_LEAF..EXTENDED).contains(&eax_in) && !has_xsave;
        let xcr0_in = if eax_in == XSAVE_LEAF && ecx_in < 2 { XCR0_RESET } else { 0 };
        let Leaf { mut eax, ebx, ecx, edx } = leaf;
        if eax_in == 0 && !has_xsave {
            eax = XSAVE_LEAF - 1;
        }
        // There is room for 64; what is not there reads as zeros.
        if leaf != Leaf::default() && !is_behind {
            entries.push(CpuidEntry { eax_in, ecx_in, xcr0_in, eax, ebx, ecx, edx, ..CpuidEntry::default() });
        }
    }
    // One bit of an address less: the C-bit. No page has to be read, when it is validated, for the cache's
    // sake.
    let (eax, ebx) = (bits::SEV | bits::SEV_ES | bits::SEV_SNP | bits::VMPL, C_BIT_POSITION | 1 << 6);
    let ebx = ebx | bits::COHERENCY_SFW_NO;
    entries.push(CpuidEntry { eax_in: bits::ENCRYPTION_LEAF, eax, ebx, ..CpuidEntry::default() });
    entries
}

/// What CPUID returns of a function and subfunction: zeros for what is not there.
pub fn lookup(entries: &[CpuidEntry], function: u32, subfunction: u32) -> [u32; 4] {
    // Where there are no subleaves, ECX means nothing.
    let is_indexed = INDEXED.iter().any(|(leaf, _)| *leaf == function);
    let subfunction = if is_indexed { subfunction } else { 0 };
    let found = entries.iter().find(|entry| (entry.eax_in, entry.ecx_in) == (function, subfunction));
    found.map_or([0; 4], |entry| [entry.eax, entry.ebx, entry.ecx, entry.edx])
}

/// What a vCPU with this APIC ID returns where another would return something else.
pub fn of_vcpu(function: u32, [eax, ebx, ecx, edx]: [u32; 4], apic_id: u32) -> [u32; 4] {
    match function {
        1 => [eax, ebx & 0xff_ffff | apic_id << 24, ecx, edx],
        0xb => [eax, ebx, ecx, apic_id],
        // Its core's number as well, as each has one thread (APM 3, E.4.16).
        0x8000_001e => [apic_id, ebx & !0xff | apic_id & 0xff, ecx, edx],
        _ => [eax, ebx, ecx, edx],
    }
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
    fn ecx_counts_where_there_are_subleaves() {
        let entry = |eax_in, ecx_in, eax| CpuidEntry { eax_in, ecx_in, eax, ..CpuidEntry::default() };
        let entries = [entry(1, 0, 5), entry(0xb, 0, 6), entry(0xb, 1, 7)];
        for (function, subfunction, eax) in
            [(1, 0, 5), (1, 99, 5), (0xb, 0, 6), (0xb, 1, 7), (0xb, 2, 0), (2, 0, 0)]
        {
            assert_eq!(lookup(&entries, function, subfunction)[0], eax, "{function} {subfunction}");
        }
    }

    fn of_processor(has_xsave: bool) -> Vec<CpuidEntry> {
        let processor = |leaf: u32, subleaf: u32| match (leaf, subleaf) {
            (0, _) => Leaf { eax: 0xd, ebx: 0x6874_7541, ecx: 0x444d_4163, edx: 0x6974_6e65 },
            (EXTENDED, _) => Leaf { eax: 0x8000_001f, ..Leaf::default() },
            (XSAVE_LEAF, 0) => Leaf { eax: 0xe7, ..Leaf::default() },
            (XSAVE_LEAF, 1) => Leaf { eax: 1, ..Leaf::default() },
            (XSAVE_LEAF, n) => Leaf { eax: 64, ebx: 576 + 64 * n, ..Leaf::default() },
            _ => Leaf { eax: u32::MAX, ebx: u32::MAX, ecx: u32::MAX, edx: u32::MAX },
        };
        let policy = CpuidPolicy { physical_bits: PHYSICAL_BITS, ..CpuidPolicy::new(0, 1, 1_000_000_000) };
        let mut host = |leaf, subleaf| without_xsave(leaf, processor(leaf, subleaf), has_xsave);
        from_table(&CpuidTable::new(&mut host, &policy), has_xsave)
    }

    #[test]
    fn the_page_has_room_for_all_leaves() {
        let entries = of_processor(true);
        assert!(plinth_snp_abi::cpuid_page::CpuidPage::new(&entries).is_some(), "{}", entries.len());
        assert_eq!(lookup(&entries, XSAVE_LEAF, 0)[1], 0x240);
        assert_eq!(lookup(&entries, 0x8000_0008, 0)[0] & 0xff, 48);
        let [eax, ebx, ..] = lookup(&entries, 0x8000_001f, 0);
        assert_eq!((eax, ebx), (0x3a, 0x8000_006f));
        // The highest extended leaf has to be that one, or a later one.
        assert!(lookup(&entries, EXTENDED, 0)[0] >= 0x8000_001f);
    }

    #[test]
    fn xsave_is_there_or_not_at_all() {
        for (has_xsave, highest, bit, size) in [(true, 0x16, 1, 0x240), (false, 0xc, 0, 0)] {
            let entries = of_processor(has_xsave);
            assert_eq!(lookup(&entries, 0, 0)[0], highest, "{has_xsave}");
            assert_eq!(lookup(&entries, 1, 0)[2] >> 26 & 1, bit, "{has_xsave}");
            assert_eq!(lookup(&entries, XSAVE_LEAF, 0)[1], size, "{has_xsave}");
            assert_eq!(allowed_cr4(&entries) >> 18 & 1, bit.into(), "{has_xsave}");
        }
    }

    #[test]
    fn what_is_a_vcpus_own_is_in_three_leaves() {
        let all = [0xffff_ffff; 4];
        assert_eq!(of_vcpu(1, all, 3), [0xffff_ffff, 0x03ff_ffff, 0xffff_ffff, 0xffff_ffff]);
        assert_eq!(of_vcpu(0xb, all, 3), [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 3]);
        assert_eq!(of_vcpu(0x8000_001e, all, 3), [3, 0xffff_ff03, 0xffff_ffff, 0xffff_ffff]);
        assert_eq!(of_vcpu(7, all, 3), all);
    }

    #[test]
    fn cr4_is_what_cpuid_offers() {
        let entry = |eax_in, ebx, ecx, edx| CpuidEntry { eax_in, ebx, ecx, edx, ..CpuidEntry::default() };
        assert_eq!(allowed_cr4(&[]), PCE);
        assert_eq!(allowed_cr4(&[entry(1, 0, 1 << 26, 1 << 6)]), PCE | 1 << 18 | 1 << 5);
        assert_eq!(allowed_cr4(&[entry(7, 1 << 20, 1 << 2, 0)]), PCE | 1 << 21 | 1 << 11);
    }
}

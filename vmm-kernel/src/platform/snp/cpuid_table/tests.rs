use plinth_snp_abi::cpuid::{ENCRYPTION_LEAF, SEV_SNP};
use zerocopy::FromZeros;

use super::*;

fn entry(eax_in: u32, ecx_in: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> CpuidEntry {
    CpuidEntry { eax_in, ecx_in, eax, ebx, ecx, edx, ..CpuidEntry::default() }
}

/// A processor with AVX, PKRU and a state of XSS.
fn entries() -> Vec<CpuidEntry> {
    vec![
        entry(0, 0, [0x10, 1, 2, 3]),
        entry(1, 0, [0xa20f12, 4, 5, 6]),
        entry(7, 0, [1, 0x100, 7, 8]),
        entry(7, 1, [9, 10, 11, 12]),
        CpuidEntry { xcr0_in: 1, ..entry(0xd, 0, [0x207, 0x240, 0x988, 0]) },
        CpuidEntry { xcr0_in: 1, ..entry(0xd, 1, [0xf, 0x240, 0x1800, 0]) },
        entry(0xd, 2, [0x100, 0x240, 0, 0]),
        entry(0xd, 9, [8, 0x980, 0, 0]),
        entry(0xd, 11, [0x10, 0, IN_XSS, 0]),
        entry(0xd, 12, [0x18, 0, IN_XSS | ALIGNED, 0]),
        entry(ENCRYPTION_LEAF, 0, [SEV_SNP | 2, 51, 0, 0]),
    ]
}

fn table(entries: &[CpuidEntry]) -> Result<Table, TableError> {
    let mut table = Table::new();
    table.load(&CpuidPage::new(entries).unwrap())?;
    Ok(table)
}

fn find(function: u32, subfunction: u32, xcr0: u64, xss: u64) -> [u32; 4] {
    let Cpuid { eax, ebx, ecx, edx } = table(&entries()).unwrap().find(function, subfunction, xcr0, xss);
    [eax, ebx, ecx, edx]
}

#[test]
fn leaves_are_found_by_function_and_where_it_counts_by_subfunction() {
    for (function, subfunction, expected) in [
        (1, 0, [0xa20f12, 4, 5, 6]),
        // No subfunctions: ECX is not looked at.
        (1, 77, [0xa20f12, 4, 5, 6]),
        (7, 0, [1, 0x100, 7, 8]),
        (7, 1, [9, 10, 11, 12]),
        (7, 2, [0; 4]),
        (ENCRYPTION_LEAF, 0, [SEV_SNP | 2, 51, 0, 0]),
        (2, 0, [0; 4]),
        (0x4000_0000, 0, [0; 4]),
        (u32::MAX, u32::MAX, [0; 4]),
    ] {
        assert_eq!(find(function, subfunction, 1, 0), expected, "{function:#x}, {subfunction}");
    }
}

#[test]
fn the_size_of_an_xsave_area_follows_xcr0_and_xss() {
    for (subfunction, xcr0, xss, bytes) in [
        (0, 1, 0, 0x240),
        (0, 7, 0, 0x340),
        (0, 0x207, 0, 0x988),
        (0, 0x203, 0, 0x988),
        // States of XSS are in the compacted form alone.
        (0, 7, 0x1800, 0x340),
        (1, 1, 0, 0x240),
        (1, 7, 0, 0x340),
        (1, 0x207, 0, 0x348),
        (1, 7, 0x800, 0x350),
        (1, 7, 0x1800, 0x398),
        (1, 1, 0x1000, 0x258),
        // A state that the page knows nothing of takes nothing.
        (0, 7 | 1 << 62, 0, 0x340),
        (1, 7 | 1 << 20, 0, 0x340),
    ] {
        let ebx = find(0xd, subfunction, xcr0, xss)[1];
        assert_eq!(ebx, bytes, "{subfunction}, {xcr0:#x}, {xss:#x}");
    }
    // A state's own subleaf is as it is.
    assert_eq!(find(0xd, 2, 7, 0), [0x100, 0x240, 0, 0]);
}

#[test]
fn sizes_that_would_run_over_do_not() {
    let mut entries = entries();
    for state in entries.iter_mut().filter(|entry| entry.eax_in == 0xd && entry.ecx_in >= 2) {
        (state.eax, state.ebx, state.ecx) = (u32::MAX, u32::MAX, ALIGNED);
    }
    let table = table(&entries).unwrap();
    for subfunction in 0..2 {
        assert_eq!(table.find(0xd, subfunction, !0, !0).ebx, u32::MAX);
    }
}

#[test]
fn pages_that_are_not_believed() {
    let mut page = CpuidPage::new(&entries()).unwrap();
    for count in [0, MAX_ENTRIES as u32 + 1, u32::MAX] {
        page.count = count;
        assert_eq!(Table::new().load(&page), Err(TableError::Count(count)));
    }
    let twice = [entries(), vec![entry(7, 1, [0; 4])]].concat();
    assert_eq!(table(&twice).err(), Some(TableError::Twice { function: 7, subfunction: 1 }));
    // The same leaf for another XCR0 is another question.
    let other = CpuidEntry { xcr0_in: 3, ..entry(0xd, 0, [0x207, 0x240, 0x988, 0]) };
    assert!(table(&[entries(), vec![other]].concat()).is_ok());
    for without in [0, 2] {
        let mut entries = entries();
        entries.retain(|entry| entry.eax_in != ENCRYPTION_LEAF);
        assert_eq!(table(&entries).err(), Some(TableError::NoEncryption));
        entries.push(entry(ENCRYPTION_LEAF, 0, [without, 51, 0, 0]));
        assert_eq!(table(&entries).err(), Some(TableError::NoEncryption));
    }
}

#[test]
fn a_page_that_is_refused_leaves_the_table_as_it_was() {
    let mut table = table(&entries()).unwrap();
    let before = table.len();
    assert!(table.load(&CpuidPage::new_zeroed()).is_err());
    assert_eq!(table.len(), before);
    assert!(Table::new().is_empty() && !table.is_empty());
    assert_eq!(Table::new().find(0, 0, 1, 0).eax, 0);
}

#[test]
fn what_is_said_of_an_error_names_it() {
    for (error, words) in [
        (TableError::Count(65), "65 entries"),
        (TableError::Twice { function: 0xd, subfunction: 1 }, "leaf 0xd, subleaf 0x1 twice"),
        (TableError::NoEncryption, "nothing of SEV-SNP"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

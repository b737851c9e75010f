//! ELF files made field by field, with what is behind their segments.

use super::*;
use crate::kernel::tests::elf;

/// As [`elf`] makes it, a static program whose segment ends at 1800h in a file of 3000h bytes.
fn program(kind: u16) -> Vec<u8> {
    let mut file = elf(kind, 62, 0x40_0000, &[(1, 5, 0x40_0000, 0x800, 0x1000)]);
    file[SECTION_OFFSET].copy_from_slice(&0x2000u64.to_le_bytes());
    file[SECTION_COUNTS].copy_from_slice(&[64, 0, 7, 0, 6, 0]);
    file
}

#[test]
fn what_no_segment_has_is_left_out() {
    let file = program(2);
    let cut = without_unloaded(file.clone());
    assert_eq!(cut.len(), 0x1800);
    assert_eq!(cut[SECTION_OFFSET], [0; 8]);
    assert_eq!(cut[SECTION_COUNTS], [0; 6]);
    let unchanged = [0..SECTION_OFFSET.start, SECTION_OFFSET.end..SECTION_COUNTS.start, 64..0x1800];
    for range in unchanged {
        assert_eq!(cut[range.clone()], file[range]);
    }
    assert_eq!(without_unloaded(cut.clone()), cut);
}

#[test]
fn the_table_of_segments_stays_where_it_is_last() {
    let mut file = program(2);
    let table = file[64..64 + 56].to_vec();
    file[0x2000..0x2000 + 56].copy_from_slice(&table);
    file[32..40].copy_from_slice(&0x2000u64.to_le_bytes()); // e_phoff
    assert_eq!(without_unloaded(file).len(), 0x2000 + 56);
}

#[test]
fn what_is_no_static_program_stays_as_it_is() {
    let mut beyond = program(2);
    beyond[64 + 32..64 + 40].copy_from_slice(&0x2001u64.to_le_bytes()); // p_filesz: one byte too many
    let without_segments = elf(2, 62, 0x40_0000, &[]);
    for file in [program(1), program(3), beyond, without_segments, b"\x7fELF".to_vec(), Vec::new()] {
        assert_eq!(without_unloaded(file.clone()), file);
    }
}

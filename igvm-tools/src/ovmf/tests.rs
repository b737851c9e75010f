//! Images made byte by byte, so that each byte can be wrong.

use super::sample::{METADATA, RomBuilder};
use super::*;

fn refusal(change: impl FnOnce(RomBuilder) -> RomBuilder) -> OvmfError {
    Ovmf::parse(&change(RomBuilder::sound()).build()).unwrap_err()
}

#[test]
fn a_sound_image() {
    let rom = RomBuilder::sound().build();
    let ovmf = Ovmf::parse(&rom).unwrap();
    assert_eq!((ovmf.rom().len(), ovmf.rom_gpa()), (0x4000, 0xffff_c000));
    assert_eq!((ovmf.ap_entry(), ovmf.hash_table_gpa()), (0x0080_b004, Some(0x81_0c00)));
    let kinds: Vec<_> = ovmf.sections().iter().map(|section| section.kind).collect();
    use SectionKind::{Cpuid, KernelHashes, Memory, Secrets, SvsmCallingArea};
    assert_eq!(kinds, [Memory, Memory, Secrets, Cpuid, SvsmCallingArea, Memory, KernelHashes]);
    assert_eq!(ovmf.sections()[1], Section { gpa: 0x80_a000, bytes: 0x3000, kind: Memory });
}

#[test]
fn hashes_need_a_place_and_a_section() {
    let without_section = RomBuilder::sound().sections(&[[0x80_0000, 0x1000, 1]]).build();
    assert_eq!(Ovmf::parse(&without_section).unwrap().hash_table_gpa(), None);
    let without_place = RomBuilder::sound().entry(table::HASH_TABLE, &[0; 8]).build();
    assert_eq!(Ovmf::parse(&without_place).unwrap().hash_table_gpa(), None);
}

#[test]
fn files_that_are_no_roms() {
    for bytes in [0, 1, 4095, 4097, (16 << 20) + 4096] {
        assert_eq!(Ovmf::parse(&vec![0; bytes]).unwrap_err(), OvmfError::RomSize(bytes as u64));
    }
    assert_eq!(Ovmf::parse(&[0; 4096]).unwrap_err(), OvmfError::NoTable);
    let mut rom = RomBuilder::sound().build();
    let guid = rom.len() - 32 - 16;
    rom[guid] ^= 1;
    assert_eq!(Ovmf::parse(&rom).unwrap_err(), OvmfError::NoTable);
    rom[guid] ^= 1;
    // The footer's length: less than an entry, and more than the ROM.
    for length in [17u16, 0x4001] {
        rom[guid - 2..guid].copy_from_slice(&length.to_le_bytes());
        assert_eq!(Ovmf::parse(&rom).unwrap_err(), OvmfError::NoTable, "{length}");
    }
    // One byte more than there are entries: what is left is no entry.
    let length = (3 * 18 + 4 + 8 + 4 + 18 + 1) as u16;
    rom[guid - 2..guid].copy_from_slice(&length.to_le_bytes());
    assert_eq!(Ovmf::parse(&rom).unwrap_err(), OvmfError::Entry(1));
}

#[test]
fn tables_that_are_wrong() {
    assert_eq!(refusal(|rom| rom.without(table::SEV_ES_RESET_BLOCK)), OvmfError::NoResetBlock);
    assert_eq!(refusal(|rom| rom.without(table::SEV_METADATA)), OvmfError::NoMetadata);
    for guid in [table::SEV_ES_RESET_BLOCK, table::SEV_METADATA, table::HASH_TABLE] {
        assert_eq!(refusal(|rom| rom.entry(guid, &[1, 2, 3])), OvmfError::EntryShort(guid));
    }
    let error = refusal(|rom| rom.twice(table::SEV_ES_RESET_BLOCK));
    assert_eq!(error, OvmfError::EntryTwice(table::SEV_ES_RESET_BLOCK));
    assert!(error.to_string().contains("00f771de-1a7e-4fcb-890e-68c77e2fb44e"), "{error}");
}

#[test]
fn metadata_that_are_wrong() {
    let at = |offset: u32| move |rom: RomBuilder| rom.entry(table::SEV_METADATA, &offset.to_le_bytes());
    for offset in [0, 15, 0x4001, u32::MAX] {
        assert_eq!(refusal(at(offset)), OvmfError::MetadataRange(offset));
    }
    assert_eq!(refusal(at(METADATA + 1)), OvmfError::Signature(u32::from_le_bytes(*b"\x04ASE")));
    assert_eq!(refusal(|rom| rom.header(0, 5)), OvmfError::Signature(5));
    assert_eq!(refusal(|rom| rom.header(2, 2)), OvmfError::Version(2));
    assert_eq!(refusal(|rom| rom.header(3, 58)), OvmfError::TooManySections(65));
    // More sections than its length says, and a length that is more than the ROM has.
    assert_eq!(refusal(|rom| rom.header(3, 1)), OvmfError::MetadataRange(METADATA));
    assert_eq!(refusal(|rom| rom.header(1, 0x1000)), OvmfError::MetadataRange(METADATA));
}

#[test]
fn sections_that_are_wrong() {
    let one = |section: [u32; 3]| move |rom: RomBuilder| rom.sections(&[section]);
    for kind in [0, 5, 0x11] {
        assert_eq!(refusal(one([0x1000, 0x1000, kind])), OvmfError::Kind(kind));
    }
    for (gpa, bytes) in [(0x1001, 0x1000), (0x1000, 0x1001), (0x1000, 0)] {
        let place = OvmfError::SectionPlace { gpa: gpa.into(), bytes: bytes.into() };
        assert_eq!(refusal(one([gpa, bytes, 1])), place);
    }
    assert_eq!(refusal(one([0xffff_b000, 0x2000, 1])), OvmfError::Overlap(0xffff_c000));
    assert_eq!(refusal(one([0x1000, 0xffff_f000, 1])), OvmfError::Overlap(0xffff_c000));
    let two = |rom: RomBuilder| rom.sections(&[[0x3000, 0x1000, 1], [0x2000, 0x2000, 1]]);
    assert_eq!(refusal(two), OvmfError::Overlap(0x3000));
    for (number, kind) in
        [(2, SectionKind::Secrets), (3, SectionKind::Cpuid), (0x10, SectionKind::KernelHashes)]
    {
        assert_eq!(refusal(one([0x1000, 0x2000, number])), OvmfError::OnePage { kind, gpa: 0x1000 });
        let two = |rom: RomBuilder| rom.sections(&[[0x2000, 0x1000, number], [0x1000, 0x1000, number]]);
        assert_eq!(refusal(two), OvmfError::OnePage { kind, gpa: 0x1000 });
    }
    for gpa in [0x80_fff0, 0x81_1000] {
        let hashes = |rom: RomBuilder| rom.entry(table::HASH_TABLE, &u32::to_le_bytes(gpa));
        assert_eq!(refusal(hashes), OvmfError::HashTable(gpa.into()));
    }
}

//! The tables, read back by the loader's walker.

use pvh_loader::memory::Memory;
use pvh_loader::walk::{Mapping, translate};

use super::*;

/// The tables as memory.
struct Image(BTreeMap<u64, Vec<u8>>);

impl Memory for Image {
    fn slice(&self, gpa: u64, bytes: u64) -> Option<&[u8]> {
        let offset = (gpa % PAGE_BYTES) as usize;
        self.0.get(&(gpa - offset as u64))?.get(offset..offset + bytes as usize)
    }

    fn slice_mut(&mut self, _: u64, _: u64) -> Option<&mut [u8]> {
        None
    }
}

/// Pages from 0x10000 on, `count` of them.
fn supply(count: u64) -> impl FnMut() -> Option<u64> {
    let mut pages = (0..count).map(|index| 0x1_0000 + index * PAGE_BYTES);
    move || pages.next()
}

#[test]
fn mappings() {
    let mut tables = PageTables::new(0x1000, 0);
    let mut pages = supply(16);
    for (address, physical, access) in [
        (0xffff_ffff_8000_0000, 0xaaaa_a000, Permission::Execute),
        (0xffff_ffff_8000_1000, 0xbbbb_b000, Permission::Write),
        (0xffff_fe80_0000_0000, 0xcccc_c000, Permission::Read),
        (0x0000_0000_0040_0000, 0xdddd_d000, Permission::Read),
    ] {
        tables.map(address, physical, access, &mut pages).unwrap();
    }
    let image = Image(tables.tables().collect());
    let mapping = |gpa, writable, executable| Some(Mapping { gpa, writable, executable });
    for (address, expected) in [
        (0xffff_ffff_8000_0123, mapping(0xaaaa_a123, false, true)),
        (0xffff_ffff_8000_1000, mapping(0xbbbb_b000, true, false)),
        (0xffff_fe80_0000_0fff, mapping(0xcccc_cfff, false, false)),
        (0x0000_0000_0040_0000, mapping(0xdddd_d000, false, false)),
        (0xffff_ffff_8000_2000, None),
        (0xffff_fe80_0000_1000, None),
        (0, None),
        // The root, through the self-map: four times slot 510.
        (0xffff_ff7f_bfdf_e000, mapping(0x1000, true, false)),
    ] {
        assert_eq!(translate(&image, tables.root(), address), expected, "{address:#x}");
    }
}

#[test]
fn what_is_refused() {
    let mut tables = PageTables::new(0x1000, 0);
    let mut pages = supply(4);
    let map = |tables: &mut PageTables, address, pages: &mut dyn FnMut() -> Option<u64>| {
        tables.map(address, 0, Permission::Read, pages)
    };
    assert_eq!(map(&mut tables, 0x40_0000, &mut pages), Ok(()));
    assert_eq!(map(&mut tables, 0x40_0000, &mut pages), Err(MapError::Twice(0x40_0000)));
    let inside = 0xffff_ff00_0000_0000;
    assert_eq!(map(&mut tables, inside, &mut pages), Err(MapError::SelfMap(inside)));
    assert_eq!(map(&mut tables, 1 << 40, &mut pages), Err(MapError::NoRoom));
}

/// With a bit for private pages every entry has it, and the tables are the same else.
#[test]
fn private_pages_are_marked() {
    const C_BIT: u64 = 1 << 51;
    let made = |private| {
        let (mut tables, mut pages) = (PageTables::new(0x1000, private), supply(16));
        for address in [0x40_0000, 0x40_1000, 0xffff_ffff_8000_0000] {
            tables.map(address, 0xaaaa_a000, Permission::Read, &mut pages).unwrap();
        }
        let words = |table: Vec<u8>| -> Vec<u64> {
            table.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
        };
        tables.tables().map(|(gpa, table)| (gpa, words(table))).collect::<BTreeMap<_, _>>()
    };
    let (plain, marked) = (made(0), made(C_BIT));
    assert_eq!(plain.keys().collect::<Vec<_>>(), marked.keys().collect::<Vec<_>>());
    for (gpa, table) in &plain {
        for (entry, with) in table.iter().zip(&marked[gpa]) {
            assert_eq!(*with, if *entry == 0 { 0 } else { entry | C_BIT }, "{gpa:#x}");
        }
    }
}

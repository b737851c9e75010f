use super::super::bars::{Placed, Places};
use super::super::fake::FakeFunction;
use super::*;

const HAS_LIST: (u8, u32, u32) = (COMMAND, HAS_CAPABILITIES, 0);

/// One BAR, 1, of 4 KiB.
fn places() -> Places {
    let mut places = Places::default();
    places[1] = Placed { address: 0xf000_0000, bytes: 0x1000 };
    places
}

fn find(words: &[(u8, u32, u32)]) -> Option<Table> {
    Table::find(&FakeFunction::new(words), &places())
}

#[test]
fn the_table_is_found_behind_other_capabilities() {
    let list = [
        HAS_LIST,
        (0x34, 0x98, 0),
        (0x98, 0x40 << 8 | 0x09, 0),
        (0x40, 2 << 16 | 0x11, 0),
        (0x44, 0x800 | 1, 0),
    ];
    let table = find(&list).unwrap();
    assert_eq!(table, Table { capability: 0x40, bar: 1, offset: 0x800, entries: 3 });
    assert_eq!(table.pages(), 0..0x1000);
    assert_eq!((table.check(2), table.check(3)), (Ok(2), Err(Status::NotFound)));
}

#[test]
fn lists_that_lead_nowhere() {
    let no_list = [(0x34, 0x40, 0), (0x40, 0x11, 0), (0x44, 1, 0)];
    let circle = [HAS_LIST, (0x34, 0x40, 0), (0x40, 0x44 << 8 | 9, 0), (0x44, 0x40 << 8 | 9, 0)];
    let into_the_header = [HAS_LIST, (0x34, 0x10, 0), (0x10, 0x11, 0)];
    let ended = [HAS_LIST, (0x34, 0x40, 0), (0x40, 9, 0)];
    let at_the_end = [HAS_LIST, (0x34, 0xfc, 0), (0xfc, 0x11, 0)];
    for list in [&no_list[..], &circle, &into_the_header, &ended, &at_the_end] {
        assert_eq!(find(list), None, "{list:x?}");
    }
}

#[test]
fn tables_are_within_a_bar_that_is_placed() {
    let with = |control: u32, place: u32| {
        find(&[HAS_LIST, (0x34, 0x40, 0), (0x40, control << 16 | 0x11, 0), (0x44, place, 0)])
    };
    assert!(with(0x3f, 0xc00 | 1).is_some());
    assert!(with(0x7ff, 1).is_none());
    assert!(with(0x3f, 0xc08 | 1).is_none());
    assert!(with(0, 0xffff_fff8 | 1).is_none());
    for bar in [0, 2, 5, 6, 7] {
        assert!(with(0, bar).is_none(), "BAR {bar}");
    }
    assert_eq!(with(2, 0xfd0 | 1).unwrap().pages(), 0..0x1000);
}

#[test]
fn messages_are_enabled_and_nothing_else() {
    let function = FakeFunction::new(&[
        HAS_LIST,
        (0x34, 0x40, 0),
        (0x40, 0x4003 << 16 | 0x11, 0xc000_0000),
        (0x44, 1, 0),
    ]);
    let table = Table::find(&function, &places()).unwrap();
    table.enable(&function, true);
    assert_eq!(function.read(0x40), 0x8003 << 16 | 0x11);
    table.enable(&function, false);
    assert_eq!(function.read(0x40), 0x0003 << 16 | 0x11);
}

#[test]
fn all_entries_are_masked_and_nothing_beside_them() {
    // The table's offset and entries; the first and last words of masks, and how many, on each page.
    for (offset, entries, pages) in [
        (0x800, 3, &[(0x101, 0x105, 3)][..]),
        (0xff0, 1, &[(0x1ff, 0x1ff, 1)]),
        (0xff8, 2, &[(0, 2, 2)]),
        (0xfe0, 4, &[(0x1fd, 0x1ff, 2), (1, 3, 2)]),
        (0, 2048, &[(1, 0x1ff, 256); 8]),
    ] {
        let table = Table { capability: 0x40, bar: 1, offset, entries };
        let found: Vec<_> = table
            .pages()
            .step_by(PAGE as usize)
            .map(|page| table.controls(page).collect::<Vec<_>>())
            .filter(|words| !words.is_empty())
            .map(|words| (words[0], *words.last().unwrap(), words.len()))
            .collect();
        assert_eq!(found, pages, "{entries} from {offset:#x}");
    }
}

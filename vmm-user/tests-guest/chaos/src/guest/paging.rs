//! Page tables: an identity map for the supervisor that nothing changes, and the playground, which everything
//! changes.

use super::entry;
use super::layout as l;
use super::machine::{read, write};
use super::random::Random;

const TABLE: u64 = 0x7;
const LARGE: u64 = 0xe3; // present, writable, supervisor, accessed, dirty, large
const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const USER: u64 = 4;
const SMALL: u64 = 0x63; // present, writable, accessed, dirty

/// Pages that are no memory of the playground's, or not memory at all; devices whose state the watch depends
/// on are read-only.
const SPECIAL: [(u64, bool); 20] = [
    (l::APIC, true),
    (l::HPET, false),
    (l::IO_APIC, false),
    (0xa_0000, true),
    (0xb_8000, true),
    (0xc_0000, true),
    (0xe_0000, true),
    (0xf_f000, true),
    (0x800_0000, true),
    (0x81f_f000, true),
    (0xfff_f000, true),
    (0x1000_0000, true),
    (0xd000_0000, true),
    (0xe000_0000, true),
    (0xfed4_0000, true),
    (0xffff_f000, true),
    (0x1_0000_0000, true),
    (0x70_0000_0000, true),
    (0xff_ffff_f000, true),
    (0xd000_1000, true),
];

/// A processor's tables.
pub fn map(area: u64) {
    for root in [l::ROOT, l::SECOND_ROOT] {
        write(area + root, (area + l::POINTERS) | TABLE);
    }
    restore_pages(l::RACE_PAGE..512);
    restore(area);
}

/// Undoes what was done to the tables. The pages that races use are theirs.
pub fn restore(area: u64) {
    for gib in 0..4 {
        write(area + l::POINTERS + gib * 8, gib << 30 | LARGE);
    }
    write(area + l::POINTERS, l::LOW_DIRECTORY | TABLE);
    write(area + l::POINTERS + 8, (area + l::DIRECTORY) | TABLE);
    write(area + l::DIRECTORY, l::USER_TABLE | TABLE);
    write(area + l::DIRECTORY + 8, l::KERNEL_TABLE | TABLE);
    restore_pages(0..l::RACE_PAGE);
}

fn restore_pages(pages: core::ops::Range<u64>) {
    for page in pages {
        write(l::USER_TABLE + page * 8, ordinary(page) | USER);
        write(l::KERNEL_TABLE + page * 8, ordinary(page));
    }
}

/// What a page of the playground is before anybody changes it.
fn ordinary(page: u64) -> u64 {
    if !(l::FIRST_SPECIAL_PAGE..l::FIRST_SPECIAL_PAGE + l::SPECIAL_PAGES).contains(&page) {
        return (l::PLAYGROUND + page * 0x1000) | SMALL;
    }
    let (gpa, writable) = SPECIAL.get(page as usize % SPECIAL.len()).copied().unwrap_or_default();
    gpa | SMALL & !WRITABLE | if writable { WRITABLE } else { 0 }
}

/// Tables of the lowest GiB. A privileged snippet meets all of it, but the supervisor's code can be written
/// only without CR0.WP, or without long mode.
pub fn map_supervisor() {
    for entry in 0..512 {
        write(l::LOW_DIRECTORY + entry * 8, entry << 21 | LARGE);
        write(l::LOW_TABLE + entry * 8, entry << 12 | SMALL);
    }
    write(l::LOW_DIRECTORY, l::LOW_TABLE | TABLE);
    let code = entry::constants();
    for page in code.start >> 12..code.end >> 12 {
        write(l::LOW_TABLE + page * 8, page << 12 | SMALL & !WRITABLE);
    }
}

/// Tables that legacy mode and the way back use.
pub fn map_legacy() {
    write(l::RETURN_ROOT, l::RETURN_POINTERS | TABLE);
    for gib in 0..4 {
        write(l::RETURN_POINTERS + gib * 8, gib << 30 | LARGE);
        write(l::PAE_POINTERS + gib * 8, (l::PAE_DIRECTORIES + gib * 0x1000) | PRESENT);
    }
    for entry in 0..1024 {
        write(l::LEGACY_DIRECTORY + entry * 4, (entry << 22 | 0xe7) as u32);
    }
    for entry in 0..2048 {
        write(l::PAE_DIRECTORIES + entry * 8, entry << 21 | 0xe7);
    }
}

/// A frame that the playground may have anywhere.
fn any_frame(random: &mut Random) -> u64 {
    match random.below(8) {
        0..=3 => l::PLAYGROUND + (l::FIRST_DATA_PAGE + random.below(l::DATA_PAGES)) * 0x1000,
        4..=5 => random.pick(&SPECIAL).0,
        6 => 0xd000_0000 + random.below(0x1000) * 0x1000,
        _ => (random.next() & 0xff_ffff_f000).max(0x2_0000_0000),
    }
}

/// Changes an entry of the playground's tables at random: one of its pages, rarely one of its directory.
pub fn change(area: u64, random: &mut Random) {
    let table = random.pick(&[l::USER_TABLE, l::KERNEL_TABLE]);
    let page =
        l::FIRST_DATA_PAGE + random.below(l::FIRST_SPECIAL_PAGE + l::SPECIAL_PAGES - l::FIRST_DATA_PAGE);
    let entry = table + page * 8;
    let old: u64 = read(entry);
    let new = match random.below(6) {
        0 => old ^ 1 << random.below(9),
        1 => old ^ 1 << 63,
        2 => old | 1 << (40 + random.below(23)),
        3 => 0,
        4 => ordinary(page) | USER,
        _ => any_frame(random) | random.next() & 0x1ff & !0x80 | PRESENT,
    };
    let is_watched = matches!(new & 0xff_ffff_f000, l::IO_APIC | l::HPET);
    write(entry, if is_watched { new & !WRITABLE } else { new });
    if random.once_in(16) {
        let directory = area + l::DIRECTORY + random.below(2) * 8;
        let old: u64 = read(directory);
        write(directory, old ^ 1 << random.pick(&[0u64, 1, 2, 3, 5, 9, 45, 51, 62, 63]));
    }
}

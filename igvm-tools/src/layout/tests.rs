//! Where things end up, and what does not fit.

use std::collections::BTreeMap;

use zerocopy::FromBytes;

use super::*;
use crate::kernel::{KERNEL_BASE, Segment};
use crate::page_table::MapError;

const BASE: u64 = 0x800_0000;

fn file(name: &str, bytes: usize) -> File {
    File { name: name.to_owned(), data: vec![0x55; bytes] }
}

fn parts() -> Parts {
    let segment = |address, access| Segment { address, bytes: 0x2000, access, data: vec![0x11; 0x1001] };
    Parts {
        platform: Platform::Native,
        c_bit: 51,
        kernel: Kernel {
            entry: KERNEL_BASE + 8,
            segments: vec![
                segment(KERNEL_BASE, Permission::Execute),
                segment(KERNEL_BASE + 0x4000, Permission::Write),
            ],
        },
        files: vec![file("init", 5000), file("empty", 0)],
        payload: vec![file("linux", 4096), file("initrd", 1)],
        debug: true,
        mitigations: false,
        shortcuts: true,
        window_base: BASE,
        window_bytes: 1 << 20,
        payload_base: BASE + (1 << 20),
    }
}

fn pages(layout: Layout) -> BTreeMap<u64, Vec<u8>> {
    layout.pages.into_iter_ascending().collect()
}

#[test]
fn boot_page_and_directory() {
    let layout = lay_out(&parts()).unwrap();
    let (root, image_end) = (layout.page_table_root, layout.image_end);
    let (map, count, environment) = (layout.memory_map, layout.vp_count, layout.environment_info);
    assert_eq!((layout.entry, layout.payload_end), (KERNEL_BASE + 8, BASE + (1 << 20) + 0x2000));
    let pages = pages(layout);
    let (boot, _) = BootPage::read_from_prefix(&pages[&BASE]).unwrap();
    assert_eq!((boot.magic, boot.flags, boot.directory_entries), (BOOT_MAGIC, BOOT_FLAG_DEBUG, 4));
    assert_eq!((boot.window_gpa, boot.window_bytes), (BASE, 1 << 20));
    assert_eq!((boot.page_table_root_gpa, boot.image_end_gpa), (root, image_end));
    assert_eq!(boot.memory_map_bytes, MEMORY_MAP_BYTES);
    assert_eq!((boot.platform, boot.sharing_bit), (platform::NATIVE, 0));
    let pages_of_others = [boot.cpuid_page_virtual, boot.secrets_page_virtual, boot.host_call_page_virtual];
    assert_eq!(pages_of_others, [0; 3]);
    // The host fills the areas: they are not pages of the image.
    for area in [map, count, environment] {
        assert!(area.bytes > 0 && !pages.contains_key(&area.gpa));
    }
    let directory = pages.values().find(|page| page.starts_with(b"init\0")).unwrap();
    let entries: Vec<_> = directory
        .chunks_exact(size_of::<DirectoryEntry>())
        .take(4)
        .map(|entry| DirectoryEntry::read_from_bytes(entry).unwrap())
        .collect();
    let shown: Vec<_> = entries.iter().map(|entry| (&entry.name[..6], entry.kind, entry.bytes)).collect();
    assert_eq!(
        shown,
        [
            (&b"init\0\0"[..], file_kind::SYSTEM, 5000),
            (&b"empty\0"[..], file_kind::SYSTEM, 0),
            (&b"linux\0"[..], file_kind::PAYLOAD, 4096),
            (&b"initrd"[..], file_kind::PAYLOAD, 1),
        ]
    );
    for entry in entries.iter().filter(|entry| entry.bytes > 0) {
        assert_eq!(pages[&entry.gpa][0], 0x55);
    }
    assert_eq!((entries[2].gpa, entries[3].gpa), (BASE + (1 << 20), BASE + (1 << 20) + 0x1000));
    assert!(pages.keys().all(|gpa| *gpa < image_end || *gpa >= BASE + (1 << 20)));
}

#[test]
fn what_does_not_fit() {
    type Change = fn(&mut Parts);
    let cases: [(Change, &str); 16] = [
        (|parts| parts.window_base += 1, "layout.window_base"),
        (|parts| parts.window_base = 0x10_0000, "layout.window_base"),
        (|parts| parts.window_bytes = 0, "layout.window_bytes"),
        (|parts| parts.window_bytes = 4097, "layout.window_bytes"),
        (|parts| parts.window_bytes = 1 << 32, "layout.window_bytes"),
        (|parts| parts.window_bytes = 0x1_0000, "layout.window_bytes"),
        (|parts| parts.window_bytes = 0x1000, "layout.window_bytes"),
        (|parts| parts.files.push(file("large", 1 << 20)), "layout.window_bytes"),
        (|parts| parts.payload_base = BASE + 0x1000, "layout.payload_base"),
        (|parts| parts.payload_base = BASE - 0x1000, "layout.payload_base"),
        (|parts| parts.payload_base = 0x1000, "layout.payload_base"),
        (|parts| parts.payload_base = (1 << 32) - 0x1000, "payload"),
        (|parts| parts.files.push(file("", 1)), "files"),
        (|parts| parts.files.push(file("a\0b", 1)), "files"),
        (|parts| parts.payload.push(file("init", 1)), "files"),
        (|parts| parts.kernel.segments[1].address = KERNEL_BASE + 0x1000, "kernel"),
    ];
    for (index, (change, field)) in cases.into_iter().enumerate() {
        let mut parts = parts();
        change(&mut parts);
        let error = lay_out(&parts).unwrap_err();
        assert_eq!(error.field(), field, "case {index}: {error}");
    }
    let mut long = parts();
    long.files.push(file(&"n".repeat(NAME_BYTES), 1));
    assert!(lay_out(&long).is_ok());
    long.files.push(file(&"n".repeat(NAME_BYTES + 1), 1));
    assert!(matches!(lay_out(&long), Err(LayoutError::Name(_))));
}

#[test]
fn a_kernel_over_the_boot_area() {
    let mut parts = parts();
    parts.kernel.segments[0].address = BOOT_PAGE_VIRTUAL;
    assert_eq!(lay_out(&parts).unwrap_err(), LayoutError::Map(MapError::Twice(BOOT_PAGE_VIRTUAL)));
}

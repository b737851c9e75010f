use super::*;

fn entry(name: &str, bytes: u64, kind: u32) -> DirectoryEntry {
    let mut padded = [0; NAME_BYTES];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    DirectoryEntry { name: padded, gpa: 0x10_0000, bytes, kind, reserved: 0 }
}

fn directory(entries: &[DirectoryEntry]) -> Directory {
    let mut directory = Directory::new();
    directory.fill(entries);
    directory
}

#[test]
fn system_files_lie_one_behind_the_other() {
    use file_kind::{PAYLOAD, SYSTEM};
    let directory = directory(&[
        entry("a", 1, SYSTEM),
        entry("p", 0x5000, PAYLOAD),
        entry("b", PAGE, SYSTEM),
        entry("empty", 0, SYSTEM),
        entry("c", PAGE + 1, SYSTEM),
        entry("d", 1, SYSTEM),
    ]);
    let at = |name: &[u8]| {
        directory.find(name).and_then(|file| directory.files[file.0]).map(|known| known.address - FILES)
    };
    for (name, expected) in [("a", 0), ("b", PAGE), ("empty", 2 * PAGE), ("c", 2 * PAGE), ("d", 4 * PAGE)] {
        assert_eq!(at(name.as_bytes()), Some(expected), "{name}");
    }
}

#[test]
fn names_are_compared_in_full() {
    let long = "x".repeat(NAME_BYTES);
    let directory = directory(&[entry("init", 1, 1), entry("initrd", 1, 1), entry(&long, 1, 1)]);
    for (name, expected) in [
        ("init", Some(0)),
        ("initrd", Some(1)),
        ("ini", None),
        ("init\0", Some(0)),
        ("Init", None),
        ("", None),
        (&long, Some(2)),
        (&long[1..], None),
        (&format!("{long}x"), None),
    ] {
        assert_eq!(directory.find(name.as_bytes()).map(|file| file.0), expected, "{name}");
    }
}

#[test]
fn more_files_than_there_are_places_are_left_out() {
    let entries: Vec<_> = (0..FILES_MAX + 3).map(|i| entry(&format!("f{i}"), 1, file_kind::SYSTEM)).collect();
    let directory = directory(&entries);
    assert!(directory.find(format!("f{}", FILES_MAX - 1).as_bytes()).is_some());
    assert!(directory.find(format!("f{FILES_MAX}").as_bytes()).is_none());
}

//! Files against machines they fit and machines they don't.

use super::*;
use crate::testing::{FileBuilder, TestMemory, context, page};
use zerocopy::IntoBytes;

const LOADER: Extent = Extent { start: 0x10_0000, end: 0x14_0000 };

/// 640 KiB and from 1 MiB to `end`.
fn machine(end: u64) -> MemoryMap {
    let mut map = MemoryMap::default();
    map.add(0, 0xa_0000, 1).unwrap();
    map.add(0x10_0000, end - 0x10_0000, 1).unwrap();
    map.finish().unwrap()
}

fn survey(file: &FileBuilder, end: u64) -> Result<Survey, SurveyError> {
    let bytes = file.build();
    Survey::new(&IgvmFile::parse(&bytes).unwrap(), &machine(end), LOADER)
}

#[test]
fn what_is_written() {
    // Two pages and an area of two.
    let survey = survey(&FileBuilder::sound(), 0x100_0000).unwrap();
    assert_eq!(survey.writes(), [Extent { start: 0x20_0000, end: 0x20_4000 }]);
    assert_eq!(survey.context().rip, 0xffff_ffff_8000_0000);
}

#[test]
fn what_does_not_fit() {
    let page_at = |gpa| FileBuilder::sound().header(0x302, &page(gpa, 1, 0));
    for (file, end, error) in [
        (FileBuilder::sound(), 0x20_f000, SurveyError::Required { start: 0x20_0000, bytes: 0x1_0000 }),
        (
            FileBuilder::sound().without(0x305),
            0x20_3000,
            SurveyError::NotRam { start: 0x20_0000, bytes: 0x4000 },
        ),
        (page_at(0xa_0000), 0x100_0000, SurveyError::NotRam { start: 0xa_0000, bytes: 0x1000 }),
        (page_at(0x13_f000), 0x100_0000, SurveyError::Loader { start: 0x13_f000, loader: LOADER.start }),
        (page_at(0x10_0000), 0x100_0000, SurveyError::Loader { start: 0x10_0000, loader: LOADER.start }),
        (page_at(0), 0x100_0000, SurveyError::FirstPage),
        (page_at(1 << 32), 0x2_0000_0000, SurveyError::Reach(1 << 32)),
        (page_at(0x123_4567_8000), 0x100_0000, SurveyError::Reach(0x123_4567_8000)),
    ] {
        assert_eq!(survey(&file, end).map(|_| ()), Err(error));
    }
    assert!(survey(&page_at(0x14_0000), 0x100_0000).is_ok() && survey(&page_at(0x1000), 0x100_0000).is_ok());
    assert!(survey(&page_at(0xffff_f000), 1 << 32).is_ok(), "the last page within reach");
    let scattered = (0..64).fold(FileBuilder::sound(), |file, index| {
        file.header(0x302, &page(0x40_0000 + index * 0x2000, 1, 0)) //
    });
    assert_eq!(survey(&scattered, 0x100_0000).map(|_| ()), Err(SurveyError::Scattered));
}

#[test]
fn a_context_that_cannot_be_set() {
    let mut wrong = context(0xffff_ffff_8000_0000, 0x20_4000);
    wrong.rax = 0;
    let file = FileBuilder::sound();
    // The context is the second page of data: the last of the file.
    let mut bytes = file.build();
    let at = bytes.len() - 4096;
    bytes[at..at + 232].copy_from_slice(wrong.as_bytes());
    let survey = Survey::new(&IgvmFile::parse(&bytes).unwrap(), &machine(0x100_0000), LOADER);
    let error = ContextError::RaxIsNotCr3 { rax: 0, cr3: 0x20_4000 };
    assert_eq!(survey.map(|_| ()), Err(SurveyError::Context(error)));
}

#[test]
fn a_file_in_its_own_way() {
    let survey = survey(&FileBuilder::sound(), 0x100_0000).unwrap();
    let file = |start, bytes| Extent { start, end: start + bytes };
    for (now, expected) in [
        (file(0x30_0000, 0x1_0000), Ok(None)),
        (file(0x20_4000, 0x1000), Ok(None)),
        (file(0x20_3fff, 0x1_0000), Ok(Some(0xff_0000))),
        // It covers the end of RAM: below itself then, though not below the pages.
        (file(0x20_0000, 0xe0_0000), Err(SurveyError::NoRoom(0xe0_0000))),
        (file(0x1f_0000, 0x80_0000), Err(SurveyError::NoRoom(0x80_0000))),
        (file(0x1f_0000, 0x60_0000), Ok(Some(0xa0_0000))),
    ] {
        assert_eq!(survey.new_place(now), expected, "{now:?}");
    }
    // The first megabyte has room, and is left alone.
    let small = self::survey(&FileBuilder::sound(), 0x21_0000).unwrap();
    assert_eq!(small.new_place(file(0x18_0000, 0x8_1000)), Err(SurveyError::NoRoom(0x8_1000)));
}

#[test]
fn only_what_was_loaded_is_seen() {
    let survey = survey(&FileBuilder::sound(), 0x100_0000).unwrap();
    let memory = TestMemory::new(0x1f_f000, 0x8000);
    let loaded = survey.loaded(&memory);
    for (gpa, bytes, seen) in [
        (0x20_0000, 8, true),
        (0x20_3ff8, 8, true),
        (0x20_0000, 0x4000, true),
        (0x20_3ff9, 8, false),
        (0x1f_fff8, 8, false),
        (0x20_4000, 8, false),
        (u64::MAX, 8, false),
    ] {
        assert_eq!(loaded.slice(gpa, bytes).is_some(), seen, "{gpa:#x}");
    }
}

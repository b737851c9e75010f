//! Sound files, every way of being wrong, and random corruption.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::extents::Extent;
use crate::testing::{DATA, FileBuilder, native, page, pair, platform, seal, vp};

fn parse(file: &[u8]) -> Result<(), FileError> {
    IgvmFile::parse(file).map(|_| ())
}

/// The error of a file that differs from the sound one.
fn refusal(change: impl FnOnce(FileBuilder) -> FileBuilder) -> FileError {
    parse(&change(FileBuilder::sound()).build()).unwrap_err()
}

/// The error of the sound file with some bytes of it changed, its checksum right again.
fn patched(at: usize, bytes: &[u8]) -> FileError {
    let mut file = FileBuilder::sound().build();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut file);
    parse(&file).unwrap_err()
}

#[test]
fn a_sound_file() {
    for (version, file) in [(1, FileBuilder::sound()), (2, FileBuilder::sound().second())] {
        let bytes = file.build();
        let file = IgvmFile::parse(&bytes).unwrap();
        assert_eq!((file.version(), file.header_bytes()), (version, 0xf8));
        let directives: Vec<_> = file.directives().map(Result::unwrap).collect();
        let data: Vec<u8> = (0..4096).map(|index| (index + 1) as u8).collect();
        assert_eq!(
            directives[..8],
            [
                Directive::RequiredMemory { extent: Extent { start: 0x20_0000, end: 0x21_0000 } },
                Directive::Page { gpa: 0x20_0000, unmeasured: false, data: Some(&data) },
                Directive::Page { gpa: 0x20_1000, unmeasured: false, data: None },
                Directive::ParameterArea { index: 7, bytes: 0x2000 },
                Directive::Parameter(Parameter { kind: ParameterKind::MemoryMap, area: 7, offset: 0x100 }),
                Directive::Parameter(Parameter { kind: ParameterKind::VpCount, area: 7, offset: 0 }),
                Directive::Parameter(Parameter { kind: ParameterKind::EnvironmentInfo, area: 7, offset: 4 }),
                Directive::ParameterInsert { area: 7, gpa: 0x20_2000 },
            ]
        );
        assert!(matches!(directives[8], Directive::VpContext { registers } if registers.len() == 232));
        assert_eq!(directives.len(), 9);
    }
}

#[test]
fn bytes_after_the_file_are_not_the_files() {
    let mut bytes = FileBuilder::sound().build();
    let length = bytes.len();
    bytes.extend([0xff; 100]);
    assert_eq!(IgvmFile::parse(&bytes).unwrap().bytes().len(), length);
}

#[test]
fn what_is_for_other_platforms_is_skipped() {
    let file = FileBuilder::sound()
        .without(1)
        .first(0x8000_0199, &[1u64]) // unknown and optional
        .first(0x101, &[0u64, pair(2, 0)]) // guest policy
        .first(1, &platform(2, 2, 2, 1, 0x1000)) // SEV-SNP
        .first(1, &native())
        .first(0x8000_0500, &[1u64])
        .header(0x302, &page(0x123, 2, 5))
        .header(0x303, &[1, pair(2, 9)])
        .header(0x304, &vp(2, 5, 1))
        .header(0x305, &[1, pair(2, 1), 0])
        .header(0x30b, &[pair(2, 0); 4]) // ID block
        .header(0x8000_0399, &[1u64]) // unknown and optional
        .header(0x8000_0299, &[1u64]);
    let bytes = file.build();
    let file = IgvmFile::parse(&bytes).unwrap();
    let platforms: Vec<_> = file.platforms().map(|platform| platform.compatibility_mask).collect();
    assert_eq!(platforms, [1, 2]);
}

#[test]
fn fixed_header() {
    let sound = FileBuilder::sound().build();
    let total = sound.len() as u32;
    for (file, expected) in [
        (&sound[..0], FileError::TooShort { actual: 0 }),
        (&sound[..23], FileError::TooShort { actual: 23 }),
        (&b"#!/bin/sh\n"[..], FileError::Magic(0x622f_2123)),
        (&sound[..sound.len() - 1], FileError::Truncated { header: total, actual: u64::from(total) - 1 }),
    ] {
        assert_eq!(parse(file), Err(expected));
    }
    let headers = 0xf8;
    assert_eq!(u32::from_le_bytes(sound[12..16].try_into().unwrap()), headers);
    for (at, value, expected) in [
        (4, 3, FileError::Version(3)),
        (8, 23, FileError::HeaderRange { offset: 23, bytes: headers }),
        (8, u32::MAX, FileError::HeaderRange { offset: u32::MAX, bytes: headers }),
        (12, total, FileError::HeaderRange { offset: 24, bytes: total }),
        (12, u32::MAX, FileError::HeaderRange { offset: 24, bytes: u32::MAX }),
        (16, 5, FileError::HeaderRange { offset: 24, bytes: headers }),
        (16, total + 1, FileError::Truncated { header: total + 1, actual: total.into() }),
    ] {
        let mut file = sound.clone();
        file[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
        assert_eq!(parse(&file), Err(expected), "field at {at}");
    }
    for at in [20, 24 + 12, 0xf8] {
        let mut file = sound.clone();
        file[at] ^= 1;
        assert!(matches!(parse(&file), Err(FileError::Checksum { .. })), "byte {at}");
    }
}

#[test]
fn second_version() {
    let sound = FileBuilder::sound().second().build();
    for (at, value, expected) in
        [(24, 1, FileError::Architecture(1)), (28, 0x1_0000, FileError::PageSize(0x1_0000))]
    {
        let mut file = sound.clone();
        file[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
        assert_eq!(parse(&file), Err(expected));
    }
    assert_eq!(parse(&sound[..30]), Err(FileError::TooShort { actual: 30 }));
}

#[test]
fn variable_headers() {
    // The sound file's platform header is at 24, required memory at 48.
    assert_eq!(patched(48 + 4, &[0xff, 0xff, 0xff, 0xff]), FileError::HeaderCut { offset: 48 });
    assert_eq!(patched(48 + 4, &[0xff, 0xff, 0, 0]), FileError::HeaderCut { offset: 48 });
    assert_eq!(patched(48 + 4, &[16]), FileError::HeaderLength { offset: 48, kind: 0x305, bytes: 16 });
    assert_eq!(patched(12, &[20]), FileError::HeaderCut { offset: 24 });
    let mut file = FileBuilder::sound().header(0x8000_0399, &[1u8, 2, 3]).build();
    let padding = u32::from_le_bytes(file[12..16].try_into().unwrap()) as usize + 24 - 1;
    file[padding] = 1;
    seal(&mut file);
    assert_eq!(parse(&file), Err(FileError::Padding { offset: padding - 15 }));
    for kind in [0x2, 0x306, 0x308, 0x309, 0x30d, 0x30e, 0x312, 0x399, 0x201, 0x500, 0] {
        let file = FileBuilder::sound().header(kind, &[0u64, 0]).build();
        assert!(
            matches!(parse(&file), Err(FileError::Unsupported { kind: k, .. }) if k == kind),
            "{kind:#x}"
        );
    }
    // An ID block for NATIVE, and one too short to say for what.
    for content in [&[1u8, 0, 0, 0, 0, 0, 0, 0][..], &[2, 0, 0]] {
        let file = FileBuilder::sound().header(0x30b, content).build();
        assert!(matches!(parse(&file), Err(FileError::Unsupported { kind: 0x30b, .. })), "{content:?}");
    }
}

#[test]
fn sections_and_platforms() {
    assert_eq!(
        refusal(|file| file.first(0x302, &page(0, 1, 0))),
        FileError::SectionOrder { offset: 24 + 32 }
    );
    assert!(matches!(
        refusal(|file| file.header(1, &platform(2, 0, 2, 1, 0))),
        FileError::SectionOrder { .. }
    ));
    assert_eq!(refusal(|file| file.without(1)), FileError::NoNativePlatform);
    assert_eq!(refusal(|file| file.replace(1, &platform(1, 0, 2, 1, 0))), FileError::NoNativePlatform);
    assert_eq!(
        refusal(|file| file.replace(1, &platform(3, 0, 0, 1, 0))),
        FileError::PlatformMask { offset: 24, mask: 3 }
    );
    for wrong in [platform(1, 0, 0, 2, 0), platform(1, 2, 0, 1, 0), platform(1, 0, 0, 1, 0x1000)] {
        assert_eq!(refusal(|file| file.replace(1, &wrong)), FileError::Platform { offset: 24 });
    }
    assert_eq!(refusal(|file| file.first(1, &native())), FileError::Platform { offset: 48 });
    // A guest policy for NATIVE, and an initialization header that is not known.
    let policy =
        |file: FileBuilder, kind| file.without(1).first(kind, &[0u64, pair(1, 0)]).first(1, &native());
    for kind in [0x101, 0x102] {
        assert_eq!(refusal(|file| policy(file, kind)), FileError::Unsupported { offset: 48, kind });
    }
}

#[test]
fn page_data() {
    let offset = 80; // of the first page's header
    let wrong = |content: [u64; 3]| refusal(|file| file.replace(0x302, &content));
    assert_eq!(wrong(page(0x20_0800, 1, 0)), FileError::Alignment { offset, value: 0x20_0800 });
    assert_eq!(wrong(page(u64::MAX - 4095, 1, 0)), FileError::Wraps { offset, gpa: u64::MAX - 4095 });
    assert_eq!(wrong([0, pair(1, 0), 1 << 48]), FileError::Reserved { offset });
    assert_eq!(wrong([0, pair(1, 0), 1 << 31]), FileError::Reserved { offset });
    for (flags, kind) in [(1, 0), (4, 0), (0, 1), (0, 2), (0, 3)] {
        let content = [0x1000, pair(1, 0), pair(flags, kind.into())];
        assert_eq!(wrong(content), FileError::PageKind { gpa: 0x1000, flags, kind });
    }
    let unmeasured = FileBuilder::sound().replace(0x302, &[0x1000, pair(1, 0), 2]);
    assert_eq!(parse(&unmeasured.build()), Ok(()));
    // Data inside the headers, and past the end by one byte.
    assert_eq!(wrong(page(0, 1, 24)), FileError::DataRange { offset, data: 24 });
    let past = wrong(page(0, 1, DATA + 4097));
    assert!(matches!(past, FileError::DataRange { offset: 80, .. }), "{past:?}");
    assert_eq!(wrong(page(0, 1, u32::MAX)), FileError::DataRange { offset, data: u32::MAX });
}

#[test]
fn contexts_and_required_memory() {
    let wrong = |content: [u32; 5]| refusal(|file| file.replace(0x304, &content));
    assert_eq!(wrong(vp(1, DATA, 1)), FileError::VpIndex(1));
    assert!(matches!(wrong(vp(1, DATA, 1 << 16)), FileError::Reserved { .. }));
    assert!(matches!(wrong(vp(1, 0, 0)), FileError::DataRange { data: 0, .. }));
    assert_eq!(refusal(|file| file.without(0x304)), FileError::VpContexts(0));
    assert_eq!(refusal(|file| file.header(0x304, &vp(1, DATA, 0))), FileError::VpContexts(2));

    let wrong = |content: [u64; 3]| refusal(|file| file.replace(0x305, &content));
    assert_eq!(wrong([1, pair(1, 0), 0]), FileError::Alignment { offset: 48, value: 1 });
    assert_eq!(wrong([0, pair(1, 7), 0]), FileError::Alignment { offset: 48, value: 7 });
    assert_eq!(wrong([0, pair(1, 0), 1 << 32]), FileError::Reserved { offset: 48 });
    assert_eq!(wrong([0, pair(1, 0), 2]), FileError::Reserved { offset: 48 });
    let last = u64::MAX - 4095;
    assert_eq!(wrong([last, pair(1, 0x2000), 0]), FileError::Wraps { offset: 48, gpa: last });
}

#[test]
fn parameter_areas() {
    let area = |index| [0x1000, pair(index, 0)];
    for (file, expected) in [
        (FileBuilder::sound().header(0x301, &area(7)), FileError::AreaState(7)),
        (FileBuilder::sound().header(0x307, &[pair(8, 0)]), FileError::AreaState(8)),
        (FileBuilder::sound().header(0x307, &[pair(7, 0)]), FileError::AreaState(7)),
        (FileBuilder::sound().header(0x303, &[0, pair(1, 7)]), FileError::AreaState(7)),
        (FileBuilder::sound().header(0x303, &[0, pair(1, 8)]), FileError::AreaState(8)),
        (
            FileBuilder::sound().replace(0x307, &[pair(7, 0x1ffd)]),
            FileError::ParameterRange { area: 7, offset: 0x1ffd },
        ),
        (
            FileBuilder::sound().replace(0x30c, &[pair(7, 0x1fe9)]),
            FileError::ParameterRange { area: 7, offset: 0x1fe9 },
        ),
        (
            FileBuilder::sound().replace(0x313, &[pair(7, u32::MAX)]),
            FileError::ParameterRange { area: 7, offset: u32::MAX },
        ),
    ] {
        assert_eq!(parse(&file.build()), Err(expected));
    }
    assert!(matches!(
        refusal(|file| file.replace(0x301, &[0x1001, pair(7, 0)])),
        FileError::Alignment { .. }
    ));
    // Initial data would be QEMU's to ignore.
    assert!(matches!(
        refusal(|file| file.replace(0x301, &[0x2000, pair(7, DATA)])),
        FileError::Unsupported { .. }
    ));
    // Up to the last byte.
    for (kind, offset) in [(0x307, 0x1ffc), (0x30c, 0x1fe8), (0x313, 0x1ffc)] {
        assert_eq!(
            parse(&FileBuilder::sound().replace(kind, &[pair(7, offset)]).build()),
            Ok(()),
            "{kind:#x}"
        );
    }
    let many =
        |count| (0..count).fold(FileBuilder::sound(), |file, index| file.header(0x301, &area(100 + index)));
    assert_eq!(parse(&many(15).build()), Ok(()));
    assert_eq!(parse(&many(16).build()), Err(FileError::TooManyParameters));
}

/// A xorshift generator: the same corruption every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[test]
fn corruption_never_panics() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let sound = FileBuilder::sound().build();
    let headers = 24 + 0xf8;
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..50_000 {
        let mut file = sound.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(if round % 4 == 0 { file.len() } else { headers });
            let values = [0, 1, 0x7f, 0x80, 0xff, random.below(256) as u8];
            file[at] = values[random.below(values.len())];
        }
        if round % 8 == 0 {
            file.truncate(random.below(file.len() + 1));
        }
        // With a right checksum again, most of the time, so that the corruption is looked at.
        if round % 5 != 0 {
            reseal(&mut file);
        }
        match IgvmFile::parse(&file) {
            Ok(file) => {
                accepted += 1;
                // What parsed can be walked.
                assert!(file.directives().all(|directive| directive.is_ok()));
                assert!(file.platforms().count() >= 1);
            }
            Err(_) => refused += 1,
        }
    }
    // Both paths were taken.
    assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused");
}

/// `seal` for files whose sizes may be wrong.
fn reseal(file: &mut [u8]) {
    let size = |file: &[u8], at: usize| {
        file.get(at..at + 4).map(|word| u32::from_le_bytes(word.try_into().unwrap()))
    };
    let end = size(file, 8).zip(size(file, 12)).and_then(|(start, bytes)| start.checked_add(bytes));
    if end.is_some_and(|end| end as usize <= file.len() && end >= 24) {
        seal(file);
    }
}

#[test]
fn garbage_never_panics() {
    let mut random = Random(1);
    for length in 0..300 {
        let mut file = vec![0; length];
        file.fill_with(|| random.below(256) as u8);
        assert!(parse(&file).is_err());
        if let Some(magic) = file.get_mut(..4) {
            magic.copy_from_slice(b"IGVM");
            assert!(parse(&file).is_err());
        }
    }
}

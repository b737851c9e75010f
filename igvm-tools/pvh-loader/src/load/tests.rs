//! Directives carried out in a small memory.

use super::*;
use crate::context;
use crate::memory_map::MemoryMap;
use crate::survey::Survey;
use crate::testing::{DATA, FileBuilder, TestMemory, page, seal};

fn facts() -> HostFacts {
    let mut map = MemoryMap::default();
    map.add(0, 0x40_0000, 1).unwrap();
    HostFacts { memory_map: map.finish().unwrap(), vp_count: 3 }
}

fn run(file: &FileBuilder, memory: &mut TestMemory) -> Result<(), LoadError> {
    let bytes = file.build();
    load(&IgvmFile::parse(&bytes).unwrap(), &facts(), memory)
}

#[test]
fn pages_and_parameters() {
    let mut memory = TestMemory::new(0x1f_f000, 0x8000);
    run(&FileBuilder::sound(), &mut memory).unwrap();
    let bytes = |gpa, count| memory.slice(gpa, count).unwrap();
    assert!(bytes(0x1f_f000, 0x1000).iter().all(|byte| *byte == 0xee), "before the first page");
    assert_eq!(bytes(0x20_0000, 4), [1, 2, 3, 4]);
    assert!(bytes(0x20_1000, 0x1000).iter().all(|byte| *byte == 0), "a page of zeros");
    assert_eq!(bytes(0x20_2000, 12), [3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(memory.read_u32(0x20_0000), Some(0x0403_0201));
    assert_eq!(memory.read_u64(0x20_2108), Some(0x400), "pages of RAM");
    assert!(bytes(0x20_2118, 0x1ee8).iter().all(|byte| *byte == 0), "the rest of the area");
    assert!(bytes(0x20_4000, 0x3000).iter().all(|byte| *byte == 0xee), "behind the area");
}

#[test]
fn the_last_directive_for_a_page_wins() {
    let mut memory = TestMemory::new(0x20_0000, 0x4000);
    run(&FileBuilder::sound().header(0x302, &page(0x20_2000, 1, DATA)), &mut memory).unwrap();
    assert_eq!(memory.slice(0x20_2000, 4), Some(&[1, 2, 3, 4][..]));
}

#[test]
fn memory_that_is_not_there() {
    for (base, bytes, missing) in [(0x20_1000, 0x4000, 0x20_0000), (0x20_0000, 0x3000, 0x20_2000)] {
        let mut memory = TestMemory::new(base, bytes);
        assert_eq!(run(&FileBuilder::sound(), &mut memory), Err(LoadError::Memory(missing)));
    }
}

/// Everything from the file to the jump, with files that are wrong in every field: nothing panics, and
/// nothing outside the survey's extents is written.
#[test]
fn corruption_stays_inside_what_was_surveyed() {
    const BASE: u64 = 0x20_0000;
    let loader = Extent { start: 0x1000, end: 0x2000 };
    let sound = FileBuilder::sound().build();
    let headers = 24 + 0xf8;
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    let mut loaded = 0;
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        for _ in 0..=below(3) {
            // Headers, or the context at the start of the last page.
            let at = if below(4) == 0 { bytes.len() - 4096 + below(232) } else { below(headers) };
            bytes[at] = below(256) as u8;
        }
        let sizes_are_sound = bytes[8..16] == sound[8..16];
        if sizes_are_sound {
            seal(&mut bytes);
        }
        let Ok(file) = IgvmFile::parse(&bytes) else { continue };
        let Ok(survey) = Survey::new(&file, &facts().memory_map, loader) else { continue };
        let mut memory = TestMemory::new(BASE, 0x1_0000);
        if load(&file, &facts(), &mut memory).is_ok() {
            loaded += 1;
            let written = |at: usize| {
                let gpa = BASE + at as u64;
                survey.writes().iter().any(|run| run.start <= gpa && gpa < run.end)
            };
            let stray = memory.bytes.iter().enumerate().position(|(at, byte)| *byte != 0xee && !written(at));
            assert_eq!(stray, None);
            let _ = context::check_mapped(survey.context(), &memory);
        }
    }
    assert!(loaded > 500, "{loaded} loaded");
}

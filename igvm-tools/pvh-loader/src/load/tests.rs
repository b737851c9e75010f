//! Directives carried out in a small memory.

use super::*;
use crate::memory_map::MemoryMap;
use crate::testing::{DATA, FileBuilder, TestMemory, page};

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

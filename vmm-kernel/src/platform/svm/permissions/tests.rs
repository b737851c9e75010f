use super::*;
use crate::host::PhysicalMemory;

fn words(first: PhysFrame, pages: u64) -> Vec<u64> {
    let mut all = Vec::new();
    for index in 0..pages {
        temporary::with_frame(first + index, |words| all.extend(words.iter()));
    }
    all
}

#[test]
fn every_port_exits() {
    let _memory = PhysicalMemory::new(8);
    let (io, _) = build().unwrap();
    assert!(words(io, 3).iter().all(|word| *word == u64::MAX));
}

#[test]
fn exactly_ten_msrs_do_not_exit() {
    let _memory = PhysicalMemory::new(8);
    let (_, map) = build().unwrap();
    let words = words(map, 2);
    // APM volume 2, 15.11: three vectors of 2 KiB, two bits an MSR, read and write.
    let is_closed = |msr: u32| {
        let (vector, number) = match msr >> 16 {
            0 => (0, msr),
            0xc000 => (1, msr & 0x1fff),
            _ => (2, msr & 0x1fff),
        };
        let bit = (vector * 0x2000 + number as usize) * 2;
        words[bit / 64] >> (bit % 64) & 3
    };
    let all = (0..0x2000).chain(0xc000_0000..0xc000_2000).chain(0xc001_0000..0xc001_2000);
    let open: Vec<u32> = all.filter(|msr| is_closed(*msr) != 3).collect();
    assert_eq!(
        open,
        [
            0x174,
            0x175,
            0x176,
            0xc000_0081,
            0xc000_0082,
            0xc000_0083,
            0xc000_0084,
            0xc000_0100,
            0xc000_0101,
            0xc000_0102
        ]
    );
    assert!(open.iter().all(|msr| is_closed(*msr) == 0), "read and write alike");
    assert!(words[0x1800 / 8..].iter().all(|word| *word == u64::MAX), "what is reserved");
}

#[test]
fn no_memory_is_an_error() {
    for pages in 1..5 {
        let _memory = PhysicalMemory::new(pages);
        assert_eq!(build(), Err(MemoryError::NoFrames), "{pages}");
    }
}

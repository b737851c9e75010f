use crate::layout::PAGE;
use crate::memory::MemoryError;

#[test]
fn frames_come_zeroed_and_run_out() {
    let _memory = crate::host::PhysicalMemory::new(3);
    let first = super::allocate_zeroed().unwrap();
    crate::memory::temporary::with_frame(first, |words| words.fill(u64::MAX));
    super::free(first);
    assert_eq!(super::budget(), (3 * PAGE, 3 * PAGE));
    for _ in 0..3 {
        let frame = super::allocate_zeroed().unwrap();
        crate::memory::temporary::with_frame(frame, |words| assert!(words.iter().all(|word| word == 0)));
    }
    assert_eq!(super::allocate_zeroed(), Err(MemoryError::NoFrames));
    assert_eq!(super::budget(), (3 * PAGE, 0));
}

#[test]
fn adjacent_frames_come_zeroed() {
    let _memory = crate::host::PhysicalMemory::new(4);
    let dirty = super::allocate_contiguous(4).unwrap();
    crate::memory::temporary::with_frame(dirty + 1, |words| words.fill(u64::MAX));
    (0..4).for_each(|index| super::free(dirty + index));
    let again = super::allocate_contiguous(2).unwrap();
    crate::memory::temporary::with_frame(again + 1, |words| assert!(words.iter().all(|word| word == 0)));
}

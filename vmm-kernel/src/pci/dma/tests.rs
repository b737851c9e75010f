use super::*;
use crate::host::PhysicalMemory;

#[test]
fn pieces_are_zeroed_adjacent_and_stay_in_their_region() {
    let _memory = PhysicalMemory::new(PAGES as usize + 8);
    assert!(matches!(Piece::try_new(0), Err(MemoryError::BadRange)));
    assert!(matches!(Piece::try_new(PIECE_PAGES_MAX + 1), Err(MemoryError::BadRange)));
    let all = || -> Vec<(Piece, u64)> {
        core::iter::from_fn(|| Piece::try_new(PIECE_PAGES_MAX).ok()).take(PAGES as usize).collect()
    };
    let pieces = all();
    assert_eq!(pieces.len() as u16, PAGES / PIECE_PAGES_MAX);
    assert!(matches!(Piece::try_new(1), Err(MemoryError::NoFrames)));
    assert!(pieces.windows(2).all(|two| two[0].1 + 16 * PAGE == two[1].1));
    let first = PhysFrame::containing_address(PhysAddr::new(pieces[0].1));
    temporary::with_frame(first, |words| words.fill(7));
    drop(pieces);
    // The frames have not become free: nobody else gets them.
    assert_eq!(PhysicalMemory::free_frames(), 8);
    let again = Piece::try_new(2).unwrap();
    assert_eq!(again.1, first.start_address().as_u64());
    assert!(temporary::with_frame(first, |words| words.iter().all(|word| word == 0)));
    drop(again);
    REGION.lock().base = None;
}

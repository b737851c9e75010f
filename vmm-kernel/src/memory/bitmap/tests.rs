use super::Bitmap;
use crate::layout::PAGE;

const BASE: u64 = 0x1_0000_0000;

fn bitmap(frames: u64, used: u64) -> Box<Bitmap> {
    let mut bitmap = Box::new(Bitmap::new());
    bitmap.start(BASE, frames * PAGE, BASE + used * PAGE);
    bitmap
}

#[test]
fn gives_each_frame_once_and_then_none() {
    for (frames, used) in [(1, 0), (63, 0), (64, 0), (65, 3), (130, 64), (130, 129), (10, 10), (10, 12)] {
        let mut bitmap = bitmap(frames, used);
        let mut taken: Vec<_> = std::iter::from_fn(|| bitmap.take()).collect();
        taken.sort_unstable();
        assert_eq!(taken, (used as usize..frames as usize).collect::<Vec<_>>(), "{used} of {frames} in use");
        assert_eq!(bitmap.free, 0);
    }
}

#[test]
fn a_part_of_a_page_at_the_end_of_the_image_is_in_use() {
    let mut bitmap = Box::new(Bitmap::new());
    bitmap.start(BASE, 4 * PAGE, BASE + PAGE + 1);
    assert_eq!((bitmap.free, bitmap.take()), (2, Some(2)));
}

#[test]
fn a_frame_given_back_is_given_again() {
    let mut bitmap = bitmap(70, 0);
    while bitmap.take().is_some() {}
    bitmap.give(69);
    bitmap.give(3);
    assert_eq!(bitmap.free, 2);
    let mut again = [bitmap.take(), bitmap.take(), bitmap.take()];
    again.sort_unstable();
    assert_eq!(again, [None, Some(3), Some(69)]);
}

#[test]
fn giving_what_is_free_or_foreign_changes_nothing() {
    let mut bitmap = bitmap(10, 5);
    for index in [7, 10, 63, 64, 32 * 1024, usize::MAX] {
        bitmap.give(index);
        assert_eq!(bitmap.free, 5, "{index}");
    }
    assert!((0..5).all(|_| bitmap.take().is_some_and(|index| (5..10).contains(&index))));
    assert_eq!(bitmap.take(), None);
}

#[test]
fn takes_what_is_adjacent_to_the_last_frame() {
    let mut bitmap = bitmap(10, 4);
    assert_eq!(bitmap.take_adjacent(7), None);
    assert_eq!(bitmap.take_adjacent(2), Some(4));
    assert_eq!(bitmap.take_adjacent(4), Some(6));
    assert_eq!((bitmap.free, bitmap.take_adjacent(1), bitmap.take()), (0, None, None));
}

#[test]
fn adjacent_frames_leave_out_one_in_use() {
    let mut bitmap = bitmap(8, 0);
    bitmap.set(2, true);
    bitmap.free -= 1;
    assert_eq!(bitmap.take_adjacent(3), Some(3));
    assert_eq!(bitmap.take_adjacent(3), None);
}

#[test]
fn a_window_larger_than_the_bitmap_is_cut() {
    let bitmap = bitmap(40 * 1024, 0);
    assert_eq!((bitmap.frames, bitmap.free), (32 * 1024, 32 * 1024));
}

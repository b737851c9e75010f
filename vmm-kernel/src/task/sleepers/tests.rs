use super::*;
use crate::object::pool::Pool;

static OBJECTS: Pool<u32, 32> = Pool::new();

fn sleepers<const MAX: usize>(deadlines: &[u64]) -> (Sleepers<u32, MAX>, Vec<Ref<u32>>) {
    let mut sleepers = Sleepers::new();
    let objects: Vec<_> =
        (0..deadlines.len()).map(|i| OBJECTS.try_insert(|_| Ok(i as u32)).unwrap()).collect();
    objects.iter().zip(deadlines).for_each(|(object, deadline)| sleepers.add(*deadline, object.clone()));
    (sleepers, objects)
}

#[test]
fn wakes_those_whose_time_has_come() {
    let (mut sleepers, _) = sleepers::<4>(&[30, 10, 20, 10]);
    assert_eq!(sleepers.next_tsc(), 10);
    assert!(sleepers.take_due(9).is_none());
    let mut due: Vec<u32> = std::iter::from_fn(|| sleepers.take_due(20)).map(|object| *object).collect();
    due.sort_unstable();
    assert_eq!(due, [1, 2, 3]);
    assert_eq!(sleepers.next_tsc(), 30);
    assert_eq!(sleepers.take_due(u64::MAX).as_deref(), Some(&0));
    assert_eq!(sleepers.next_tsc(), u64::MAX);
    assert!(sleepers.take_due(u64::MAX).is_none());
}

#[test]
fn removes_the_one_that_is_meant() {
    for removed in 0..3 {
        let (mut sleepers, objects) = sleepers::<3>(&[1, 2, 3]);
        sleepers.remove(&objects[removed]);
        sleepers.remove(&objects[removed]);
        let mut left: Vec<u32> = std::iter::from_fn(|| sleepers.take_due(9)).map(|object| *object).collect();
        left.sort_unstable();
        let expected: Vec<u32> = (0..3).filter(|i| *i != removed as u32).collect();
        assert_eq!(left, expected);
    }
}

#[test]
fn keeps_references_only_as_long_as_somebody_sleeps() {
    static OWN: Pool<u32, 1> = Pool::new();
    let mut sleepers: Sleepers<u32, 2> = Sleepers::new();
    let object = OWN.try_insert(|_| Ok(0)).unwrap();
    sleepers.add(5, object.clone());
    sleepers.remove(&object);
    drop(object);
    assert!(OWN.try_insert(|_| Ok(1)).is_ok(), "the place is free again");
}

use super::*;
use std::sync::atomic::AtomicUsize;

/// Counts how often it is dropped.
struct Counted(&'static AtomicUsize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn the_last_reference_drops_the_object_once() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    static POOL: Pool<Counted, 2> = Pool::new();
    let first = POOL.try_insert(|_| Ok(Counted(&DROPS))).unwrap();
    let second = first.clone();
    drop(first);
    assert_eq!(DROPS.load(Ordering::SeqCst), 0);
    drop(second);
    assert_eq!(DROPS.load(Ordering::SeqCst), 1);
    assert_eq!(POOL.iter().count(), 0);
}

#[test]
fn there_are_as_many_as_there_are_places() {
    static POOL: Pool<usize, 3> = Pool::new();
    let mut objects: Vec<_> = (0..3).map(|_| POOL.try_insert(Ok).unwrap()).collect();
    assert_eq!(POOL.try_insert(Ok).err(), Some(Status::Exhausted));
    assert_eq!(objects.iter().map(|object| **object).collect::<Vec<_>>(), [0, 1, 2]);
    objects.remove(1);
    assert_eq!(POOL.try_insert(Ok).map(|object| *object), Ok(1), "the place that is free");
}

#[test]
fn an_object_that_is_not_made_leaves_its_place_free() {
    static POOL: Pool<u32, 1> = Pool::new();
    assert_eq!(POOL.try_insert(|_| Err(Status::BadArgument)).err(), Some(Status::BadArgument));
    assert_eq!(POOL.iter().count(), 0);
    assert!(POOL.try_insert(|_| Ok(7)).is_ok());
}

#[test]
fn the_same_is_the_same_object_not_an_equal_one() {
    static POOL: Pool<u32, 2> = Pool::new();
    let (a, b) = (POOL.try_insert(|_| Ok(1)).unwrap(), POOL.try_insert(|_| Ok(1)).unwrap());
    assert!(a.same(&a.clone()) && !a.same(&b));
}

#[test]
fn references_from_a_walk_count() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    static POOL: Pool<Counted, 2> = Pool::new();
    let made = POOL.try_insert(|_| Ok(Counted(&DROPS))).unwrap();
    let found = POOL.iter().next().unwrap();
    drop(made);
    assert_eq!(DROPS.load(Ordering::SeqCst), 0);
    drop(found);
    assert_eq!(DROPS.load(Ordering::SeqCst), 1);
}

#[test]
fn threads_that_make_find_and_drop_never_meet_a_dead_object() {
    static POOL: Pool<Box<u64>, 4> = Pool::new();
    let rounds = if cfg!(miri) { 30 } else { 20_000 };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let made = POOL.try_insert(|_| Ok(Box::new(0x5eed)));
                    assert!(POOL.iter().all(|object| **object == 0x5eed));
                    drop(made);
                }
            });
        }
    });
    assert_eq!(POOL.iter().count(), 0);
}

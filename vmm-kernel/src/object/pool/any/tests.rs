use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::object::pool::Pool;

struct Counted(&'static AtomicUsize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn only_its_own_type_is_found() {
    static NUMBERS: Pool<u32, 1> = Pool::new();
    static OTHERS: Pool<i32, 1> = Pool::new();
    let number = AnyRef::from(NUMBERS.try_insert(|_| Ok(7)).unwrap());
    let other = AnyRef::from(OTHERS.try_insert(|_| Ok(7)).unwrap());
    assert_eq!(number.to::<u32>().map(|n| *n), Some(7));
    assert!(number.to::<i32>().is_none() && other.to::<u32>().is_none());
    assert!(number.same(&number.clone()) && !number.same(&other));
}

#[test]
fn the_last_reference_of_either_kind_drops_the_object_once() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    static POOL: Pool<Counted, 1> = Pool::new();
    let insert = || POOL.try_insert(|_| Ok(Counted(&DROPS)));
    let first = insert().unwrap();
    let any = AnyRef::from(first.clone());
    let again = any.clone();
    drop(first);
    drop(any);
    let typed = again.to::<Counted>().unwrap();
    drop(again);
    assert_eq!(DROPS.load(Ordering::SeqCst), 0);
    assert!(insert().is_err());
    drop(typed);
    assert_eq!(DROPS.load(Ordering::SeqCst), 1);
    drop(AnyRef::from(insert().unwrap()));
    assert_eq!(DROPS.load(Ordering::SeqCst), 2);
    assert_eq!(POOL.iter().count(), 0);
}

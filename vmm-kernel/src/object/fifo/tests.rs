use super::*;
use crate::object::pool::Pool;

static OBJECTS: Pool<u32, 16> = Pool::new();

fn object(value: u32) -> Ref<u32> {
    OBJECTS.try_insert(|_| Ok(value)).unwrap()
}

#[test]
fn keeps_the_order_around_its_end() {
    let mut fifo: Fifo<u32, 3> = Fifo::new();
    for round in 0..5 {
        assert!(fifo.is_empty() && fifo.pop().is_none());
        (0..3).for_each(|i| fifo.push(object(round * 10 + i)));
        assert!(!fifo.is_empty());
        let popped: Vec<u32> = std::iter::from_fn(|| fifo.pop()).map(|object| *object).collect();
        assert_eq!(popped, [0, 1, 2].map(|i| round * 10 + i));
        fifo.push(object(1));
        assert_eq!(fifo.pop().as_deref(), Some(&1));
    }
}

#[test]
fn contains_what_is_in_it_and_nothing_that_was() {
    let mut fifo: Fifo<u32, 2> = Fifo::new();
    let (a, b) = (object(1), object(1));
    fifo.push(a.clone());
    assert!(fifo.contains(&a) && !fifo.contains(&b));
    fifo.push(b.clone());
    drop(fifo.pop());
    assert!(!fifo.contains(&a) && fifo.contains(&b));
    fifo.push(a.clone());
    assert!(fifo.contains(&a) && fifo.contains(&b), "around the end");
}

#[test]
fn one_too_many_displaces_none() {
    let mut fifo: Fifo<u32, 2> = Fifo::new();
    (0..3).for_each(|i| fifo.push(object(i)));
    let popped: Vec<u32> = std::iter::from_fn(|| fifo.pop()).map(|object| *object).collect();
    assert_eq!(popped, [0, 1]);
}

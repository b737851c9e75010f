use super::List;
use crate::object::pool::{Pool, Ref};

static POOL: Pool<u32, 8> = Pool::new();

fn numbers(list: &List<u32, 3>) -> Vec<u32> {
    list.iter().map(|number| **number).collect()
}

#[test]
fn any_leaves_and_the_order_stays() {
    let made: Vec<Ref<u32>> = (0..4).map(|n| POOL.try_insert(|_| Ok(n)).unwrap()).collect();
    let mut list = List::new();
    assert!(list.is_empty() && list.take(0).is_none());
    assert!(made[..3].iter().all(|number| list.push(number.clone())));
    assert!(!list.push(made[3].clone()) && !list.remove(&made[3]));
    assert!(list.remove(&made[1]) && !list.remove(&made[1]));
    assert_eq!(numbers(&list), [0, 2]);
    assert_eq!(
        (list.last(|n| *n < 3), list.last(|n| *n == 0), list.last(|n| *n == 1)),
        (Some(1), Some(0), None)
    );
    assert!(list.push(made[3].clone()));
    assert_eq!(*list.take(0).unwrap(), 0);
    assert_eq!(numbers(&list), [2, 3]);
    assert!(list.take(2).is_none());
    assert_eq!(*list.take(1).unwrap(), 3);
    assert!(list.remove(&made[2]) && list.is_empty());
}

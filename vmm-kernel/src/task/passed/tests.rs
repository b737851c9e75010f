use super::*;
use crate::task::handle::{HandleObject, Log, Machine};

fn entry(handle: Handle) -> Result<Entry, Status> {
    match handle {
        1 => Err(Status::NoRight),
        2 => Ok(Entry { object: Machine.into_object(), rights: Rights::READ }),
        _ => Ok(Entry { object: Log.into_object(), rights: Rights::WRITE }),
    }
}

#[test]
fn all_of_it_or_none_is_passed() {
    assert!(Passed::collect(&[0; MESSAGE_HANDLES], entry).is_ok_and(|passed| passed.is_none()));
    assert_eq!(Passed::collect(&[2, 0, 3, 1], entry).err(), Some(Status::NoRight));
    let mut passed = Passed::collect(&[2, 0, 3, 0], entry).unwrap().unwrap();
    let mut table = HandleTable::new();
    assert_eq!(passed.give(&mut table), Ok([2, 0, 3, 0]));
    assert!(table.get(2).is_ok_and(|entry| entry.rights == Rights::READ));
    assert!(table.get(3).is_ok_and(|entry| entry.rights == Rights::WRITE));
    // They are given once.
    assert_eq!((passed.give(&mut table), table.count()), (Ok([0; MESSAGE_HANDLES]), 2));
}

#[test]
fn all_of_it_or_none_is_given() {
    for (room, expected) in
        [(1, Err(Status::OutOfHandles)), (2, Err(Status::OutOfHandles)), (3, Ok([2, 3, 0, 4]))]
    {
        let mut table = HandleTable::new();
        table.set_limit(room);
        let mut passed = Passed::collect(&[2, 3, 0, 3], entry).unwrap().unwrap();
        assert_eq!(passed.give(&mut table), expected, "{room}");
        let left = passed.entries.iter().flatten().count();
        let given = expected.map_or(0, |_| 3);
        assert_eq!((table.count(), left), (given, 3 - given), "{room}");
    }
}

use super::*;

fn is_ports(entry: &Entry, first: u16) -> bool {
    matches!(&entry.object, Object::HostPorts(ports) if ports.first == first)
}

fn ports(first: u16) -> HostPorts {
    HostPorts { first, count: 1 }
}

#[test]
fn handles_start_behind_the_process_itself() {
    let mut table = HandleTable::new();
    assert_eq!(table.insert(Machine, Rights::READ), Ok(2));
    assert_eq!(table.insert(ports(7), Rights::WRITE), Ok(3));
    assert!(table.get(3).is_ok_and(|entry| is_ports(entry, 7) && entry.rights == Rights::WRITE));
    for none in [0, 1, 4, 95, 96, u32::MAX] {
        assert_eq!(table.get(none).err(), Some(Status::BadHandle), "{none}");
        assert_eq!(table.remove(none).err(), Some(Status::BadHandle), "{none}");
    }
}

#[test]
fn a_table_that_is_full_says_so_and_a_closed_handle_is_free() {
    let mut table = HandleTable::new();
    let handles: Vec<_> = std::iter::from_fn(|| table.insert(Log, Rights::empty()).ok()).collect();
    assert_eq!(handles, (2..HANDLES_MAX as Handle).collect::<Vec<_>>());
    assert_eq!(table.insert(Log, Rights::empty()), Err(Status::OutOfHandles));
    assert!(table.remove(40).is_ok());
    assert_eq!(table.get(40).err(), Some(Status::BadHandle));
    assert_eq!(table.insert(ports(3), Rights::empty()), Ok(40));
    assert!(table.get(40).is_ok_and(|entry| is_ports(entry, 3)));
}

#[test]
fn all_go_at_the_end() {
    let mut table = HandleTable::new();
    (0..5).for_each(|first| assert!(table.insert(ports(first), Rights::all()).is_ok()));
    assert!(table.remove(4).is_ok());
    assert_eq!(std::iter::from_fn(|| table.remove_any()).count(), 4);
    assert!((0..HANDLES_MAX as Handle).all(|handle| table.get(handle).is_err()));
}

#[test]
fn narrowed_handles_have_no_other_rights() {
    let mut table = HandleTable::new();
    let source = table.insert(ports(7), Rights::READ | Rights::MAP).unwrap();
    for (rights, expected) in [
        (Rights::READ, Ok(3)),
        (Rights::empty(), Ok(4)),
        (Rights::READ | Rights::MAP, Ok(5)),
        (Rights::WRITE, Err(Status::NoRight)),
        (Rights::all(), Err(Status::NoRight)),
    ] {
        let made = table.narrow(source, rights);
        assert_eq!(made, expected, "{rights:?}");
        let Ok(made) = made else { continue };
        let entry = table.get(made).unwrap();
        assert!(is_ports(entry, 7) && entry.rights == rights);
    }
    assert_eq!(table.narrow(90, Rights::empty()), Err(Status::BadHandle));
    table.set_limit(0);
    assert_eq!(table.narrow(source, Rights::READ), Err(Status::OutOfHandles));
}

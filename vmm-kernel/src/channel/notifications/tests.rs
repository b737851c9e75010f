use super::*;

#[test]
fn each_has_its_turn() {
    let mut notifications = Notifications::new();
    let places: Vec<_> = (0..3).map(|key| notifications.bind(key).unwrap()).collect();
    // The first is signalled again whenever it was received.
    places.iter().for_each(|place| notifications.set_pending(*place));
    let keys: Vec<_> = (0..6)
        .map(|_| {
            let key = notifications.take();
            places.iter().for_each(|place| notifications.set_pending(*place));
            key
        })
        .collect();
    assert_eq!(keys, [0, 1, 2, 0, 1, 2].map(Some));
}

#[test]
fn a_place_that_was_given_back_has_no_signal() {
    let mut notifications = Notifications::new();
    let place = notifications.bind(7).unwrap();
    notifications.set_pending(place);
    notifications.unbind(place);
    assert!(notifications.is_empty());
    assert_eq!((notifications.key(place), notifications.bind(8)), (None, Some(place)));
    assert_eq!(notifications.take(), None);
    notifications.set_pending(place);
    assert_eq!((notifications.take(), notifications.take()), (Some(8), None));
}

#[test]
fn there_are_so_many_and_no_more() {
    let mut notifications = Notifications::new();
    assert!((0..BOUND_MAX).all(|place| notifications.bind(place as u64) == Some(place)));
    assert_eq!(notifications.bind(0), None);
    notifications.set_pending(BOUND_MAX - 1);
    assert_eq!(notifications.take(), Some(BOUND_MAX as u64 - 1));
    // No place of these is one.
    for place in [BOUND_MAX, 64, usize::MAX] {
        notifications.set_pending(place);
        notifications.unbind(place);
        assert_eq!((notifications.key(place), notifications.take()), (None, None), "{place}");
    }
}

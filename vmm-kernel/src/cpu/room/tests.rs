use std::cell::Cell;

use super::Room;

#[test]
fn what_is_put_there_is_found_and_can_change() {
    let room = Room::<4>::new();
    // SAFETY: nobody has the room yet, and it is filled with this type alone.
    let state = unsafe {
        room.fill((7_u32, Cell::new(9_u64)));
        room.get::<(u32, Cell<u64>)>()
    };
    state.1.set(state.1.get() + 1);
    // SAFETY: as above.
    assert_eq!(unsafe { room.get::<(u32, Cell<u64>)>() }, &(7, Cell::new(10)));
}

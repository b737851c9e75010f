use super::*;
use crate::object::budget::Account;

#[test]
fn vectors_are_between_exceptions_and_the_kernels_own() {
    use crate::cpu::{io_apic, local_apic};
    let all: Vec<u8> = (0..=255).filter(|vector| is_one(*vector)).collect();
    assert_eq!(all.len(), COUNT);
    assert!(all.iter().all(|vector| *vector >= 32 && *vector < io_apic::FIRST_VECTOR));
    assert!(
        ![local_apic::TIMER_VECTOR, local_apic::KICK_VECTOR, local_apic::FORGET_VECTOR]
            .iter()
            .any(|vector| is_one(*vector))
    );
}

#[test]
fn each_is_bound_once_and_free_again_when_dropped() {
    let event = Event::try_new(&Account::try_new(None).unwrap()).unwrap();
    let messages: Vec<Message> = (0..COUNT).map(|_| Message::try_new(event.clone()).unwrap()).collect();
    assert!(matches!(Message::try_new(event.clone()), Err(Status::Exhausted)));
    let mut indices: Vec<u8> = messages.iter().map(|message| message.index).collect();
    indices.dedup();
    assert_eq!(indices.len(), COUNT);
    interrupt(FIRST_VECTOR + messages[5].index);
    assert!(event.state.lock().signalled);
    drop(messages);
    interrupt(FIRST_VECTOR);
    drop(Message::try_new(event).unwrap());
}

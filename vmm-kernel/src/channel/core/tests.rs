//! Who gets which call, by parties that are no threads.

use super::*;
use crate::object::pool::Pool;

const SERVER: u64 = 7;

struct Someone {
    processor: u32,
    urgency: u8,
}

impl Party for Someone {
    fn processor(&self) -> u32 {
        self.processor
    }
    fn urgency(&self) -> u8 {
        self.urgency
    }
}

static PARTIES: Pool<Someone, 64> = Pool::new();

fn party(processor: u32, urgency: u8) -> Ref<Someone> {
    PARTIES.try_insert(|_| Ok(Someone { processor, urgency })).unwrap()
}

/// What the server gets, as long as there is something.
fn received(core: &mut Core<Someone>, server: &Ref<Someone>) -> Option<Result<Ref<Someone>, u64>> {
    match core.receive(server, SERVER, false) {
        Ok(Next::Call(caller)) => Some(Ok(caller)),
        Ok(Next::Notification(key)) => Some(Err(key)),
        Ok(Next::Wait) => panic!("it does not want to wait"),
        Err(status) => {
            assert_eq!(status, Status::TimedOut);
            None
        }
    }
}

#[test]
fn callers_wait_for_the_first_server_and_the_most_urgent_is_first() {
    let mut core = Core::new();
    let callers = [party(0, 1), party(0, 3), party(1, 3), party(1, 0)];
    for caller in &callers {
        assert!(core.call(caller).unwrap().is_none());
    }
    let server = party(0, 1);
    for expected in [1, 2, 0, 3] {
        let Some(Ok(caller)) = received(&mut core, &server) else { panic!("a call") };
        assert!(caller.same(&callers[expected]));
    }
    assert!(received(&mut core, &server).is_none());
}

#[test]
fn a_call_goes_to_the_receiver_of_its_own_processor() {
    let mut core = Core::new();
    let receivers = [party(0, 1), party(1, 1), party(1, 1)];
    for receiver in &receivers {
        assert!(matches!(core.receive(receiver, SERVER, true), Ok(Next::Wait)));
    }
    for (processor, expected) in [(1, 2), (1, 1), (1, 0)] {
        assert!(core.call(&party(processor, 1)).unwrap().unwrap().same(&receivers[expected]));
    }
    assert!(core.call(&party(1, 1)).unwrap().is_none());
}

#[test]
fn one_process_serves_until_it_ends_and_then_callers_are_told() {
    let mut core = Core::new();
    let (server, caller) = (party(0, 1), party(0, 1));
    assert!(core.may_serve(SERVER) && core.may_serve(SERVER + 1));
    assert!(received(&mut core, &server).is_none());
    assert!(core.may_serve(SERVER) && !core.may_serve(SERVER + 1));
    assert!(core.call(&caller).unwrap().is_none());
    assert!(core.take_stranded().is_none(), "it is served");
    assert!(!core.close(SERVER + 1));
    assert!(core.close(SERVER));
    assert!(core.take_stranded().unwrap().same(&caller));
    assert!(core.take_stranded().is_none());
    assert_eq!(core.call(&caller).err(), Some(Status::Disconnected));
    assert!(core.may_serve(SERVER + 1));
    assert!(matches!(core.receive(&server, SERVER + 1, true), Ok(Next::Wait)));
    assert!(core.call(&caller).unwrap().unwrap().same(&server));
}

#[test]
fn who_leaves_gets_nothing() {
    let mut core = Core::new();
    let (server, caller) = (party(0, 1), party(0, 1));
    assert!(core.call(&caller).unwrap().is_none());
    assert!(core.leave_callers(&caller) && !core.leave_callers(&caller));
    assert!(matches!(core.receive(&server, SERVER, true), Ok(Next::Wait)));
    assert!(core.leave_receivers(&server) && !core.leave_receivers(&server));
    assert!(core.call(&caller).unwrap().is_none());
}

#[test]
fn notifications_and_calls_take_turns() {
    let mut core = Core::new();
    let (server, caller) = (party(0, 1), party(0, 1));
    let places = [core.notifications.bind(10).unwrap(), core.notifications.bind(11).unwrap()];
    for place in [places[0], places[1], places[0]] {
        assert!(core.signal(place, 0).is_none(), "nobody receives");
    }
    assert!(core.call(&caller).unwrap().is_none());
    assert!(matches!(received(&mut core, &server), Some(Err(10))));
    assert!(matches!(received(&mut core, &server), Some(Ok(_))));
    assert!(matches!(received(&mut core, &server), Some(Err(11))));
    assert!(received(&mut core, &server).is_none(), "signals of one event are one");
    assert!(matches!(core.receive(&server, SERVER, true), Ok(Next::Wait)));
    assert!(core.signal(places[1], 0).is_some_and(|(receiver, key)| receiver.same(&server) && key == 11));
    core.notifications.unbind(places[0]);
    assert!(core.signal(places[0], 0).is_none());
    assert!(received(&mut core, &server).is_none(), "it is bound no more");
}

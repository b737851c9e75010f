//! What calls, replies and notifications have to come to, said without numbers of calls, references and
//! locks: who waits for what, in lists.

use std::collections::{BTreeMap, BTreeSet};

use vcpu_abi::message::MESSAGE_HANDLES;
use vcpu_abi::operation::{HANDLE_SELF, Handle, Rights};
use vcpu_abi::status::Status;

use super::{ACTORS, ENDPOINTS, HANDLES, Outcome, Outgoing, PROCESSES};

/// The most events that are bound to an endpoint.
const BOUND_MAX: usize = 32;

/// What a handle names, and what may be done with it.
type Named = (u64, Rights);
/// What is on its way in a message, by its place there.
type OnTheWay = [Option<Named>; MESSAGE_HANDLES];
const NOTHING: OnTheWay = [None; MESSAGE_HANDLES];

/// What an actor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Nothing that it waits for.
    Runs,
    /// It waits for a reply, from an endpoint.
    Calls(usize),
    /// It waits to receive, at an endpoint.
    Receives(usize),
}

/// What an actor that receives was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Call { caller: usize, number: u64 },
    Notification(u64),
}

#[derive(Clone, Debug)]
struct Actor {
    doing: Doing,
    given: Option<Given>,
    /// The call that it serves.
    serves: Option<(usize, u64)>,
    /// The number of its call, while that is open.
    open: Option<u64>,
    /// How its call ended, and with which number from the server.
    ended: (Status, u64),
    /// The handles of its call, then of the reply.
    on_the_way: OnTheWay,
}

#[derive(Clone, Debug, Default)]
struct Endpoint {
    /// Who serves it, if anybody ever did; and whether that has ended.
    server: Option<u64>,
    is_closed: bool,
    callers: Vec<usize>,
    receivers: Vec<usize>,
    bound: BTreeMap<usize, u64>,
    signalled: BTreeSet<usize>,
    /// The place whose turn it is.
    turn: usize,
    /// The last thing received was a notification.
    notified: bool,
}

/// All of it.
pub struct Model {
    actors: Vec<Actor>,
    endpoints: Vec<Endpoint>,
    tables: Vec<BTreeMap<Handle, Named>>,
    serials: Vec<u64>,
    next_serial: u64,
}

fn processor(actor: usize) -> u32 {
    actor as u32 % 2
}

impl Endpoint {
    /// Who gets what comes from a processor: of those that wait there, the last; else the first.
    fn receiver(&mut self, from: u32) -> Option<usize> {
        let near = self.receivers.iter().rposition(|actor| processor(*actor) == from);
        (!self.receivers.is_empty()).then(|| self.receivers.remove(near.unwrap_or(0)))
    }

    fn notification(&mut self) -> Option<u64> {
        let place = self.signalled.range(self.turn..).next().or_else(|| self.signalled.first()).copied()?;
        self.signalled.remove(&place);
        self.turn = (place + 1) % BOUND_MAX;
        self.bound.get(&place).copied()
    }

    /// The first of the most urgent ones.
    fn caller(&mut self) -> Option<usize> {
        let most = self.callers.iter().map(|actor| actor % 3).max()?;
        let place = self.callers.iter().position(|actor| actor % 3 == most)?;
        Some(self.callers.remove(place))
    }
}

impl Model {
    pub fn new() -> Self {
        let actor = Actor {
            doing: Doing::Runs,
            given: None,
            serves: None,
            open: None,
            ended: (Status::Ok, 0),
            on_the_way: NOTHING,
        };
        Self {
            actors: vec![actor; ACTORS],
            endpoints: vec![Endpoint::default(); ENDPOINTS],
            tables: vec![BTreeMap::new(); PROCESSES],
            serials: (1..=PROCESSES as u64).collect(),
            next_serial: PROCESSES as u64 + 1,
        }
    }

    pub fn is_idle(&self, actor: usize) -> bool {
        self.actors[actor].doing == Doing::Runs
    }

    /// Where it waits for a reply from.
    pub fn called(&self, actor: usize) -> Option<usize> {
        if let Doing::Calls(endpoint) = self.actors[actor].doing { Some(endpoint) } else { None }
    }

    /// Where it waits to receive.
    pub fn received_at(&self, actor: usize) -> Option<usize> {
        if let Doing::Receives(endpoint) = self.actors[actor].doing { Some(endpoint) } else { None }
    }

    pub fn serial(&self, process: usize) -> u64 {
        self.serials[process]
    }

    pub fn handles(&self, process: usize) -> Vec<(Handle, u64, Rights)> {
        self.tables[process].iter().map(|(handle, (token, rights))| (*handle, *token, *rights)).collect()
    }

    pub fn insert(&mut self, process: usize, token: u64, rights: Rights) -> Result<Handle, Status> {
        let table = &mut self.tables[process];
        // The lowest free one, by which both sides name the same.
        let first = HANDLE_SELF + 1;
        let free = (first..first + HANDLES as Handle).find(|handle| !table.contains_key(handle));
        let handle = free.ok_or(Status::OutOfHandles)?;
        table.insert(handle, (token, rights));
        Ok(handle)
    }

    pub fn remove(&mut self, process: usize, handle: Handle) -> Result<(), Status> {
        self.tables[process].remove(&handle).map(|_| ()).ok_or(Status::BadHandle)
    }

    /// What a message takes along: all or nothing.
    fn sent(&self, actor: usize, handles: &[Handle; MESSAGE_HANDLES]) -> Result<OnTheWay, Status> {
        let mut sent = NOTHING;
        for (place, handle) in sent.iter_mut().zip(handles).filter(|(_, handle)| **handle != 0) {
            let named = self.tables[actor / 2].get(handle).ok_or(Status::BadHandle)?;
            if !named.1.contains(Rights::GRANT) {
                return Err(Status::NoRight);
            }
            *place = Some(*named);
        }
        Ok(sent)
    }

    /// What came is the actor's, all or nothing.
    fn come(&mut self, actor: usize, came: OnTheWay) -> Result<[Handle; MESSAGE_HANDLES], Status> {
        let room = HANDLES as usize - self.tables[actor / 2].len();
        if came.iter().flatten().count() > room {
            return Err(Status::OutOfHandles);
        }
        let mut handles = [0; MESSAGE_HANDLES];
        for (handle, (token, rights)) in handles.iter_mut().zip(came).filter_map(|(h, c)| Some((h, c?))) {
            *handle = self.insert(actor / 2, token, rights)?;
        }
        Ok(handles)
    }

    pub fn call(&mut self, actor: usize, endpoint: usize, send: &Outgoing) -> Outcome {
        let sent = match self.sent(actor, &send.handles) {
            Err(status) => return Outcome::Fails(status),
            Ok(_) if !send.has_time => return Outcome::Fails(Status::TimedOut),
            Ok(sent) => sent,
        };
        let at = &mut self.endpoints[endpoint];
        if at.is_closed {
            return Outcome::Fails(Status::Disconnected);
        }
        let receiver = at.receiver(processor(actor));
        match receiver {
            Some(receiver) => {
                let number = send.number;
                self.actors[receiver].given = Some(Given::Call { caller: actor, number });
            }
            None => at.callers.push(actor),
        }
        let me = &mut self.actors[actor];
        (me.doing, me.open, me.on_the_way) = (Doing::Calls(endpoint), Some(send.number), sent);
        Outcome::Waits
    }

    pub fn finish_call(&mut self, actor: usize, has_time: bool) -> Outcome {
        let Some(endpoint) = self.called(actor) else { panic!("it does not call") };
        let me = &mut self.actors[actor];
        if me.open.is_some() {
            if has_time {
                return Outcome::Waits;
            }
            me.open = None;
            me.ended = (Status::TimedOut, 0);
            // Perhaps it was received already, and is in no queue: then its server replies to nobody.
            self.endpoints[endpoint].callers.retain(|caller| *caller != actor);
        }
        me.doing = Doing::Runs;
        let ((status, number), came) = (me.ended, std::mem::take(&mut me.on_the_way));
        match if status == Status::Ok { self.come(actor, came) } else { Err(status) } {
            Ok(handles) => Outcome::Reply(number, handles),
            Err(status) => Outcome::Fails(status),
        }
    }

    /// A call ends, if it is open still.
    fn end_call(&mut self, (caller, number): (usize, u64), status: Status) {
        let caller = &mut self.actors[caller];
        if caller.open == Some(number) {
            (caller.open, caller.ended) = (None, (status, 0));
        }
    }

    pub fn receive(
        &mut self,
        actor: usize,
        endpoint: usize,
        may_wait: bool,
        reply: Option<&Outgoing>,
    ) -> Outcome {
        let process = self.serials[actor / 2];
        let at = &self.endpoints[endpoint];
        if !at.is_closed && at.server.is_some_and(|server| server != process) {
            return Outcome::Fails(Status::WrongState);
        }
        let sent = match reply.map_or(Ok(NOTHING), |send| self.sent(actor, &send.handles)) {
            Ok(sent) => sent,
            Err(status) => return Outcome::Fails(status),
        };
        if let Some(served) = self.actors[actor].serves.take() {
            let caller = &mut self.actors[served.0];
            match reply {
                None => self.end_call(served, Status::Disconnected),
                Some(send) if caller.open == Some(served.1) => {
                    (caller.open, caller.ended, caller.on_the_way) = (None, (Status::Ok, send.number), sent);
                }
                Some(_) => {}
            }
        }
        self.next(actor, endpoint, may_wait)
    }

    /// Gives an actor what is there to be received.
    fn next(&mut self, actor: usize, endpoint: usize, may_wait: bool) -> Outcome {
        loop {
            let at = &mut self.endpoints[endpoint];
            // Whoever receives serves it from now on, also where an earlier process has ended.
            (at.server, at.is_closed) = (Some(self.serials[actor / 2]), false);
            // By turns while both wait. With no caller a notification follows the other.
            let callers_turn = at.notified && !at.callers.is_empty();
            at.notified = false;
            if !callers_turn && let Some(key) = at.notification() {
                at.notified = true;
                return Outcome::Notification(key);
            }
            if let Some(caller) = at.caller() {
                // Who waits at an endpoint has a call that is open.
                let Some(number) = self.actors[caller].open else { panic!("{caller} waits for nothing") };
                if let Some(outcome) = self.serve(actor, caller, number) {
                    return outcome;
                }
                continue;
            }
            if !may_wait {
                return Outcome::Fails(Status::TimedOut);
            }
            at.receivers.push(actor);
            self.actors[actor].doing = Doing::Receives(endpoint);
            return Outcome::Waits;
        }
    }

    /// A call comes to an actor. `None`: it is over, or its handles find no room.
    fn serve(&mut self, actor: usize, caller: usize, number: u64) -> Option<Outcome> {
        if self.actors[caller].open != Some(number) {
            return None;
        }
        // Gone from the caller, be there room for them or not: they are dropped with the call.
        let came = std::mem::take(&mut self.actors[caller].on_the_way);
        match self.come(actor, came) {
            Ok(handles) => {
                self.actors[actor].serves = Some((caller, number));
                Some(Outcome::Call(number, handles))
            }
            Err(status) => {
                self.end_call((caller, number), status);
                None
            }
        }
    }

    pub fn finish_receive(&mut self, actor: usize, has_time: bool) -> Outcome {
        let Some(endpoint) = self.received_at(actor) else { panic!("it does not receive") };
        let Some(given) = self.actors[actor].given.take() else {
            if has_time {
                return Outcome::Waits;
            }
            self.endpoints[endpoint].receivers.retain(|receiver| *receiver != actor);
            self.actors[actor].doing = Doing::Runs;
            return Outcome::Fails(Status::TimedOut);
        };
        self.actors[actor].doing = Doing::Runs;
        match given {
            Given::Notification(key) => Outcome::Notification(key),
            Given::Call { caller, number } => {
                let served = self.serve(actor, caller, number);
                served.unwrap_or_else(|| self.next(actor, endpoint, true))
            }
        }
    }

    pub fn bind(&mut self, endpoint: usize, key: u64) -> Option<usize> {
        let bound = &mut self.endpoints[endpoint].bound;
        let place = (0..BOUND_MAX).find(|place| !bound.contains_key(place))?;
        bound.insert(place, key);
        Some(place)
    }

    pub fn unbind(&mut self, endpoint: usize, place: usize) {
        self.endpoints[endpoint].bound.remove(&place);
        self.endpoints[endpoint].signalled.remove(&place);
    }

    pub fn signal(&mut self, endpoint: usize, place: usize, from: u32) {
        let at = &mut self.endpoints[endpoint];
        let Some(key) = at.bound.get(&place).copied() else { return };
        match at.receiver(from) {
            Some(receiver) => self.actors[receiver].given = Some(Given::Notification(key)),
            None => drop(at.signalled.insert(place)),
        }
    }

    pub fn thread_ends(&mut self, actor: usize) {
        if let Some(served) = self.actors[actor].serves.take() {
            self.end_call(served, Status::Disconnected);
        }
    }

    pub fn process_ends(&mut self, process: usize) {
        self.tables[process].clear();
        let serial = self.serials[process];
        for endpoint in 0..ENDPOINTS {
            let at = &mut self.endpoints[endpoint];
            if at.is_closed || at.server != Some(serial) {
                continue;
            }
            at.is_closed = true;
            for caller in std::mem::take(&mut at.callers) {
                let open = self.actors[caller].open;
                open.into_iter().for_each(|number| self.end_call((caller, number), Status::Disconnected));
            }
        }
        // A process that begins in its place is another one: what the first one served it does not.
        self.serials[process] = self.next_serial;
        self.next_serial += 1;
    }
}

//! Calls over channels, notifications and the handles that go with them, against a [model](model).
//!
//! Threads are [`Actor`]s that never run: an input is a list of steps, each of which has one actor do what a
//! thread does between two points at which it would wait. [`Stage`] takes the steps by the kernel's own
//! [`Core`], [`Call`], [`Passed`] and [`HandleTable`], in the order in which `channel` does; what gives the
//! processor from one thread to another is left out. The model says what each step has to come to.

use vcpu_abi::message::{MESSAGE_HANDLES, Message};
use vcpu_abi::operation::{Handle, Rights};
use vcpu_abi::status::Status;

use self::model::Model;
use crate::channel::core::{Core, Next, Party};
use crate::object::pool::{Pool, Ref};
use crate::sync::SpinLock;
use crate::task::exchange::{Call, Form, Received, Served};
use crate::task::handle::{HandleObject, HandleTable};
use crate::task::passed::Passed;

mod model;

/// How many of each there are.
const ACTORS: usize = 8;
const PROCESSES: usize = 4;
const ENDPOINTS: usize = 2;
/// How many handles a process may have: so few that running out of them is common.
const HANDLES: u64 = 5;
/// Bytes of an input for a step.
const STEP_BYTES: usize = 4;

static ACTOR_POOL: Pool<Actor, 32> = Pool::new();
static TOKENS: Pool<Token, 512> = Pool::new();

/// Stands for a thread: two of each process, one on each of two processors.
struct Actor {
    number: usize,
    call: SpinLock<Call>,
    received: SpinLock<Received<Actor>>,
}

impl Party for Actor {
    fn processor(&self) -> u32 {
        self.number as u32 % 2
    }

    fn urgency(&self) -> u8 {
        // Three of them on two processors: with eight actors each combination is there.
        self.number as u8 % 3
    }
}

/// What handles name here.
struct Token(u64);

/// What an actor comes to in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It waits.
    Waits,
    /// What it wanted is refused, or over.
    Fails(Status),
    /// It serves a call: the number that the caller sent, and the handles that came.
    Call(u64, [Handle; MESSAGE_HANDLES]),
    /// It has a notification, with this key.
    Notification(u64),
    /// It has the reply to its call: the number, and the handles that came.
    Reply(u64, [Handle; MESSAGE_HANDLES]),
}

/// What an actor sends when it calls or replies.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    number: u64,
    handles: [Handle; MESSAGE_HANDLES],
    has_time: bool,
}

/// The kernel's side.
struct Stage {
    actors: Vec<Ref<Actor>>,
    cores: Vec<Core<Actor>>,
    tables: Vec<HandleTable>,
}

fn message(send: &Outgoing) -> Message {
    let mut message = Message { handles: send.handles, ..Message::default() };
    message.words[0] = send.number;
    message
}

impl Stage {
    fn new() -> Self {
        let actor = |number| {
            let (call, received) = (SpinLock::new(Call::new()), SpinLock::new(Received::Nothing));
            let made = ACTOR_POOL.try_insert(|_| Ok(Actor { number, call, received }));
            made.unwrap_or_else(|_| panic!("actors are lost"))
        };
        let mut tables: Vec<_> = (0..PROCESSES).map(|_| HandleTable::new()).collect();
        tables.iter_mut().for_each(|table| table.set_limit(HANDLES));
        let cores = (0..ENDPOINTS).map(|_| Core::new()).collect();
        Self { actors: (0..ACTORS).map(actor).collect(), cores, tables }
    }

    fn passed(&self, actor: usize, handles: &[Handle; MESSAGE_HANDLES]) -> Result<Option<Passed>, Status> {
        let table = &self.tables[actor / 2];
        Passed::collect(handles, |handle| table.to_give(handle, Rights::empty()))
    }

    /// As `Channel::call` does, up to where it waits.
    fn call(&mut self, actor: usize, endpoint: usize, send: &Outgoing) -> Outcome {
        let me = self.actors[actor].clone();
        let passed = match self.passed(actor, &send.handles) {
            // In the kernel's order: a handle that may not be passed is told before a time that is over.
            Ok(_) if !send.has_time => return Outcome::Fails(Status::TimedOut),
            Ok(passed) => passed,
            Err(status) => return Outcome::Fails(status),
        };
        let number = {
            let mut call = me.call.lock();
            (call.message, call.form, call.passed) = (message(send), Form::Message, passed);
            // By one more, as 0 says that none is called.
            call.begin(endpoint + 1)
        };
        let core = &mut self.cores[endpoint];
        let receiver = match core.take_near(me.processor()) {
            Some(receiver) => Some(receiver),
            None => match core.call(&me) {
                Ok(receiver) => receiver,
                Err(status) => {
                    drop(me.call.lock().abandon());
                    return Outcome::Fails(status);
                }
            },
        };
        if let Some(receiver) = receiver {
            *receiver.received.lock() = Received::Call(Served { caller: me, number });
        }
        Outcome::Waits
    }

    /// As `Channel::call` does when it was woken.
    fn finish_call(&mut self, actor: usize, endpoint: usize, has_time: bool) -> Outcome {
        let me = self.actors[actor].clone();
        let mut call = me.call.lock();
        if call.open().is_some() && has_time {
            return Outcome::Waits;
        }
        let status = call.close();
        // It may wait in the queue still, and whoever receives next must not find it.
        if status == Status::TimedOut {
            self.cores[endpoint].leave_callers(&me);
        }
        let (passed, number) = (call.passed.take(), call.full().words[0]);
        drop(call);
        if status != Status::Ok {
            return Outcome::Fails(status);
        }
        let given = passed.map(|mut passed| passed.give(&mut self.tables[actor / 2]));
        match given.unwrap_or(Ok([0; MESSAGE_HANDLES])) {
            Ok(handles) => Outcome::Reply(number, handles),
            Err(status) => Outcome::Fails(status),
        }
    }

    /// As `Endpoint::receive` does, up to where it waits.
    fn receive(
        &mut self,
        actor: usize,
        process: u64,
        endpoint: usize,
        may_wait: bool,
        reply: Option<&Outgoing>,
    ) -> Outcome {
        let me = self.actors[actor].clone();
        if let Some(send) = reply
            && may_wait
            && self.reply_near(&me, process, endpoint, send)
        {
            return Outcome::Waits;
        }
        if !self.cores[endpoint].may_serve(process) {
            return Outcome::Fails(Status::WrongState);
        }
        let mut passed = match reply.map_or(Ok(None), |send| self.passed(actor, &send.handles)) {
            Ok(passed) => passed,
            Err(status) => return Outcome::Fails(status),
        };
        // Behind the handles: a reply that is refused for them leaves the call as it is.
        let served = core::mem::take(&mut *me.received.lock());
        if let Received::Call(served) = served {
            match reply {
                Some(send) => {
                    let reply = (message(send), Form::Message);
                    let _ = served.caller.call.lock().reply(served.number, reply, &mut passed);
                }
                None => fail(&served, Status::Disconnected),
            }
        }
        self.take_next(actor, process, endpoint, may_wait)
    }

    /// As `Endpoint::reply_near` does.
    fn reply_near(&mut self, me: &Ref<Actor>, process: u64, endpoint: usize, send: &Outgoing) -> bool {
        let core = &mut self.cores[endpoint];
        let mut received = me.received.lock();
        let Received::Call(served) = &*received else { return false };
        if !core.is_quiet(process) || served.caller.processor() != me.processor() {
            return false;
        }
        {
            let mut call = served.caller.call.lock();
            let is_open = call.open() == Some(served.number) && call.passed.is_none();
            if !is_open || send.handles != [0; MESSAGE_HANDLES] {
                return false;
            }
            (call.message, call.form) = (message(send), Form::Message);
            call.replied();
        }
        *received = Received::Nothing;
        core.wait(me.clone());
        true
    }

    fn take_next(&mut self, actor: usize, process: u64, endpoint: usize, may_wait: bool) -> Outcome {
        let me = self.actors[actor].clone();
        loop {
            let received = match self.cores[endpoint].receive(&me, process, may_wait) {
                Err(status) => return Outcome::Fails(status),
                Ok(Next::Wait) => return Outcome::Waits,
                Ok(Next::Notification(key)) => return Outcome::Notification(key),
                Ok(Next::Call(caller)) => {
                    let Some(number) = ({ caller.call.lock().open() }) else { continue };
                    Served { caller, number }
                }
            };
            *me.received.lock() = Received::Call(received);
            if let Some(outcome) = self.deliver(actor) {
                return outcome;
            }
        }
    }

    /// As `deliver` and `deliver_rare` do: `None` if there is no call, or one that is over or was refused.
    fn deliver(&mut self, actor: usize) -> Option<Outcome> {
        let me = self.actors[actor].clone();
        let Received::Call(served) = core::mem::take(&mut *me.received.lock()) else { return None };
        let mut call = served.caller.call.lock();
        if call.open() != Some(served.number) {
            return None;
        }
        let (number, passed) = (call.full().words[0], call.passed.take());
        drop(call);
        let given = passed.map(|mut passed| passed.give(&mut self.tables[actor / 2]));
        match given.unwrap_or(Ok([0; MESSAGE_HANDLES])) {
            Ok(handles) => {
                *me.received.lock() = Received::Call(served);
                Some(Outcome::Call(number, handles))
            }
            Err(status) => {
                fail(&served, status);
                None
            }
        }
    }

    /// As `Endpoint::receive` does when it was woken.
    fn finish_receive(&mut self, actor: usize, process: u64, endpoint: usize, has_time: bool) -> Outcome {
        let me = self.actors[actor].clone();
        let is_receiver = self.cores[endpoint].is_receiver(&me);
        let received = core::mem::take(&mut *me.received.lock());
        match received {
            Received::Notification(key) => return Outcome::Notification(key),
            Received::Nothing if is_receiver && has_time => return Outcome::Waits,
            Received::Nothing if is_receiver => {
                assert!(self.cores[endpoint].leave_receivers(&me));
                return Outcome::Fails(Status::TimedOut);
            }
            Received::Nothing => {}
            call => {
                assert!(!is_receiver, "a receiver was given something");
                *me.received.lock() = call;
                if let Some(outcome) = self.deliver(actor) {
                    return outcome;
                }
            }
        }
        self.take_next(actor, process, endpoint, true)
    }

    fn signal(&mut self, endpoint: usize, place: usize, processor: u32) {
        if let Some((receiver, key)) = self.cores[endpoint].signal(place, processor) {
            *receiver.received.lock() = Received::Notification(key);
        }
    }

    /// As `thread_ends` does.
    fn thread_ends(&mut self, actor: usize) {
        let received = core::mem::take(&mut *self.actors[actor].received.lock());
        if let Received::Call(served) = received {
            fail(&served, Status::Disconnected);
        }
    }

    /// As `Process::ended` and `process_ended` do.
    fn process_ends(&mut self, process: usize, serial: u64) {
        while self.tables[process].remove_any().is_some() {}
        for core in self.cores.iter_mut().filter_map(|core| core.close(serial).then_some(core)) {
            while let Some(caller) = core.take_stranded() {
                let mut call = caller.call.lock();
                let _ = call.open().is_some_and(|number| call.fail(number, Status::Disconnected));
            }
        }
    }

    /// What a process's handles name.
    fn handles(&self, process: usize) -> Vec<(Handle, u64, Rights)> {
        let entry = |handle| {
            let entry = self.tables[process].get(handle).ok()?;
            Some((handle, Ref::<Token>::of(entry)?.0, entry.rights))
        };
        // Entries beyond those that the limit allows are looked at as well, not all there could be.
        (0..4 * HANDLES as Handle).filter_map(entry).collect()
    }
}

fn fail(served: &Served<Actor>, status: Status) {
    let _ = served.caller.call.lock().fail(served.number, status);
}

/// Takes the steps that the input says, on both sides.
///
/// # Panics
/// If the two come to something different, or something is left in the end.
pub fn run(input: &[u8]) {
    let (mut stage, mut model) = (Stage::new(), Model::new());
    for (step, number) in input.chunks_exact(STEP_BYTES).zip(1..) {
        take(&mut stage, &mut model, step, number);
        for process in 0..PROCESSES {
            assert_eq!(stage.handles(process), model.handles(process), "{step:x?}");
        }
    }
    for process in 0..PROCESSES {
        end_process(&mut stage, &mut model, process);
    }
    drop(stage);
    assert_eq!((ACTOR_POOL.iter().count(), TOKENS.iter().count()), (0, 0), "references are lost");
}

fn take(stage: &mut Stage, model: &mut Model, step: &[u8], number: u64) {
    let [kind, who, first, second] = *step else { return };
    let (actor, endpoint) = (usize::from(who) % ACTORS, usize::from(who >> 3) % ENDPOINTS);
    // None in half of the places, and else one of few numbers, as a table has no more than five.
    let handle = |bits: u8| if bits < 8 { 0 } else { Handle::from(bits % 8) };
    let send = Outgoing {
        number,
        handles: [handle(first & 15), handle(first >> 4), handle(second & 15), 0],
        has_time: second >> 4 != 15,
    };
    match kind % 10 {
        0 | 1 if model.is_idle(actor) => {
            assert_eq!(stage.call(actor, endpoint, &send), model.call(actor, endpoint, &send));
        }
        2 | 3 if model.is_idle(actor) => {
            let reply = (kind % 10 == 3).then_some(&send);
            let process = model.serial(actor / 2);
            assert_eq!(
                stage.receive(actor, process, endpoint, send.has_time, reply),
                model.receive(actor, endpoint, send.has_time, reply)
            );
        }
        4 | 5 => wake(stage, model, actor, kind % 10 == 4),
        6 => {
            // Places there are 32 of: some that do not exist are among them.
            let place = usize::from(first % 40);
            stage.signal(endpoint, place, u32::from(second % 2));
            model.signal(endpoint, place, u32::from(second % 2));
        }
        7 if second & 1 == 0 => {
            assert_eq!(stage.cores[endpoint].notifications.bind(number), model.bind(endpoint, number));
        }
        7 => {
            stage.cores[endpoint].notifications.unbind(usize::from(first % 40));
            model.unbind(endpoint, usize::from(first % 40));
        }
        8 => {
            let rights = Rights::from_bits_truncate(u32::from(first));
            let Ok(token) = TOKENS.try_insert(|_| Ok(Token(number))) else { return };
            let given = stage.tables[actor / 2].insert(token, rights);
            assert_eq!(given, model.insert(actor / 2, number, rights));
        }
        9 if second & 7 == 0 => end_process(stage, model, actor / 2),
        9 => {
            let removed = stage.tables[actor / 2].remove(Handle::from(first % 8)).map(|_| ());
            assert_eq!(removed, model.remove(actor / 2, Handle::from(first % 8)));
        }
        _ => {}
    }
}

/// An actor that waits is woken, by whom or what does not matter.
fn wake(stage: &mut Stage, model: &mut Model, actor: usize, has_time: bool) {
    if let Some(endpoint) = model.called(actor) {
        assert_eq!(stage.finish_call(actor, endpoint, has_time), model.finish_call(actor, has_time));
    } else if let Some(endpoint) = model.received_at(actor) {
        let process = model.serial(actor / 2);
        assert_eq!(
            stage.finish_receive(actor, process, endpoint, has_time),
            model.finish_receive(actor, has_time)
        );
    }
}

fn end_process(stage: &mut Stage, model: &mut Model, process: usize) {
    // Both threads come back from what they wait for before the process is over, as in the kernel.
    for actor in [2 * process, 2 * process + 1] {
        while !model.is_idle(actor) {
            wake(stage, model, actor, false);
        }
        stage.thread_ends(actor);
        model.thread_ends(actor);
    }
    stage.process_ends(process, model.serial(process));
    model.process_ends(process);
}

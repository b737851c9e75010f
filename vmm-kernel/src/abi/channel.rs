//! Calls over channels: four system calls, and the operations on endpoints.
#![allow(unsafe_code, reason = "a function is called by name from the entry code")]

use vcpu_abi::message::RECEIVE_REPLY;
use vcpu_abi::operation::{ChannelCreate, EndpointCreate, EventBindEndpoint, Rights};
use vcpu_abi::status::Status;
use vcpu_abi::syscall::{SYS_CALL_WORDS, SYS_RECEIVE_WORDS};

use super::answer::Answer;
use super::execute::{Done, Execute};
use super::process::only_self;
use crate::channel::{self, Binding, Channel, Endpoint, InMemory, InRegisters, Registers};
use crate::cpu::{PerCpu, masked_time, this_cpu};
use crate::event::Event;
use crate::life;
use crate::object::pool::Ref;
use crate::task::process::{EndCause, Process};
use crate::task::scheduler;
use crate::task::thread::Thread;

/// What a thread asks of a channel, or of an endpoint.
fn with_thread(ask: impl FnOnce(&PerCpu, &Thread) -> Result<u64, Status>) -> Answer {
    let cpu = this_cpu();
    match scheduler::running(cpu).ok_or(Status::WrongState).and_then(|me| ask(cpu, me)) {
        Ok(second) => Answer::new(Status::Ok, second as usize),
        Err(status) => Answer::new(status, 0),
    }
}

/// `SYS_CALL`: the message at `address` goes to who serves the channel, and its reply comes back.
pub fn call(handle: u64, address: u64) -> Answer {
    with_thread(|cpu, me| channel::channel(me, handle)?.call(cpu, me, InMemory { address }).map(|_| 0))
}

/// `SYS_RECEIVE`: the reply, if `flags` say so, then what comes next.
pub fn receive(handle: u64, address: u64, flags: u64) -> Answer {
    with_thread(|cpu, me| {
        let endpoint = channel::endpoint(me, handle)?;
        match flags {
            0 => endpoint.receive(cpu, me, InMemory { address }, false),
            RECEIVE_REPLY => endpoint.receive(cpu, me, InMemory { address }, true),
            _ => Err(Status::BadArgument),
        }
    })
}

/// What the entry code calls for `SYS_CALL_WORDS`, `SYS_RECEIVE_WORDS`, and what is no call at all.
#[unsafe(no_mangle)]
extern "C" fn words_dispatch(
    handle: u64,
    address: u64,
    deadline_tsc: u64,
    registers: &mut Registers,
    number: u64,
) -> Answer {
    masked_time::begin_as(masked_time::CALL | number as u32);
    let transfer = InRegisters { registers, deadline_tsc, address };
    let answer = match number {
        SYS_CALL_WORDS => with_thread(|cpu, me| {
            channel::channel(me, handle)?.call(cpu, me, transfer).map(|form| form as u64)
        }),
        SYS_RECEIVE_WORDS => {
            with_thread(|cpu, me| channel::endpoint(me, handle)?.receive(cpu, me, transfer, true))
        }
        _ => no_such_call(number),
    };
    life::before_user();
    masked_time::end();
    answer
}

/// The process is ended.
#[cold]
pub fn no_such_call(number: u64) -> Answer {
    life::end_current(EndCause::BadCall(number));
    Answer::new(Status::BadOperation, 0)
}

impl Execute for EndpointCreate {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        let endpoint = Endpoint::try_new(&process.account)?;
        self.handle = process.handles.lock().insert(endpoint, Rights::all())?;
        Ok(())
    }
}

impl Execute for ChannelCreate {
    fn execute(&mut self, process: &Ref<Process>, endpoint: Ref<Endpoint>) -> Done {
        let channel = Channel::try_new(endpoint, self.key, &process.account)?;
        self.handle = process.handles.lock().insert(channel, Rights::all())?;
        Ok(())
    }
}

impl Execute for EventBindEndpoint {
    fn execute(&mut self, process: &Ref<Process>, event: Ref<Event>) -> Done {
        let endpoint = Process::find(process, self.endpoint, Rights::CREATE)?;
        event.bind_endpoint(Binding::try_new(endpoint, self.key)?)
    }
}

//! Calls over channels: two system calls, and the operations on endpoints.

use vcpu_abi::message::RECEIVE_REPLY;
use vcpu_abi::operation::{ChannelCreate, EndpointCreate, EventBindEndpoint, Handle, Rights};
use vcpu_abi::status::Status;

use super::answer::Answer;
use super::execute::{Done, Execute};
use super::process::only_self;
use crate::channel::{Binding, Channel, Endpoint};
use crate::cpu::this_cpu;
use crate::event::Event;
use crate::object::pool::Ref;
use crate::task::handle::HandleObject;
use crate::task::process::Process;
use crate::task::scheduler;

/// What a system call's handle names.
fn find<T: HandleObject>(handle: u64, rights: Rights) -> Result<T, Status> {
    let handle = Handle::try_from(handle).map_err(|_| Status::BadHandle)?;
    let thread = scheduler::running(this_cpu()).ok_or(Status::WrongState)?;
    Process::find(&thread.process, handle, rights)
}

/// `SYS_CALL`: the message at `address` goes to who serves the channel, and its reply comes back.
pub fn call(handle: u64, address: u64) -> Answer {
    let done = find::<Ref<Channel>>(handle, Rights::SIGNAL).and_then(|channel| channel.call(address));
    Answer::new(done.err().unwrap_or(Status::Ok), 0)
}

/// `SYS_RECEIVE`: the reply, if `flags` say so, then what comes next.
pub fn receive(handle: u64, address: u64, flags: u64) -> Answer {
    let done = find::<Ref<Endpoint>>(handle, Rights::WAIT).and_then(|endpoint| match flags {
        0 => endpoint.receive(address, false),
        RECEIVE_REPLY => endpoint.receive(address, true),
        _ => Err(Status::BadArgument),
    });
    match done {
        Ok(what) => Answer::new(Status::Ok, what as usize),
        Err(status) => Answer::new(status, 0),
    }
}

impl Execute for EndpointCreate {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        self.handle = process.handles.lock().insert(Endpoint::try_new()?, Rights::all())?;
        Ok(())
    }
}

impl Execute for ChannelCreate {
    fn execute(&mut self, process: &Ref<Process>, endpoint: Ref<Endpoint>) -> Done {
        let channel = Channel::try_new(endpoint, self.key)?;
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

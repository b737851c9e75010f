//! The channels that a thread called by last, and the endpoint at which it received: they are found again by
//! their handles without a look at the process's table.
//!
//! A thread keeps them until it names others or ends, even if the handles are closed meanwhile.
#![allow(unsafe_code, reason = "what the running thread alone touches, in the room that each thread has")]

use core::sync::atomic::Ordering;

use vcpu_abi::operation::{Handle, Rights};
use vcpu_abi::status::Status;

use super::{Channel, Endpoint};
use crate::object::pool::Ref;
use crate::task::handle::HandleObject;
use crate::task::last_named::LastNamed;
use crate::task::process::Process;
use crate::task::thread::Thread;

/// How many channels are remembered: a VMM with devices in processes of their own calls by one after the
/// other.
const CHANNELS: usize = 4;

/// What a thread named last.
pub struct Names {
    channels: [LastNamed<Channel>; CHANNELS],
    endpoint: LastNamed<Endpoint>,
}

/// Those of a thread: the running one.
#[inline(always)]
fn of(thread: &Thread) -> &Names {
    // SAFETY: each thread is made with them, by `life::add_thread`.
    unsafe { thread.above.1.get() }
}

impl Names {
    /// None.
    pub const fn new() -> Self {
        Self { channels: [const { LastNamed::new() }; CHANNELS], endpoint: LastNamed::new() }
    }
}

/// What a handle of the running thread's process names, as `last` has it or the process's table.
#[inline(always)]
fn find<'a, T>(thread: &Thread, last: &'a LastNamed<T>, handle: u64, rights: Rights) -> Result<&'a T, Status>
where
    Ref<T>: HandleObject,
{
    // Before the table is looked at: if the handle is closed in between, what will be remembered is out of
    // date at once.
    let epoch = thread.process.handle_epoch.load(Ordering::Acquire);
    match last.get(handle, epoch) {
        Some(object) => Ok(object),
        None => find_anew(thread, last, handle, epoch, rights),
    }
}

#[cold]
fn find_anew<'a, T>(
    thread: &Thread,
    last: &'a LastNamed<T>,
    handle: u64,
    epoch: u32,
    rights: Rights,
) -> Result<&'a T, Status>
where
    Ref<T>: HandleObject,
{
    let handle = Handle::try_from(handle).map_err(|_| Status::BadHandle)?;
    last.set(handle, epoch, Process::find(&thread.process, handle, rights)?);
    last.get(handle.into(), epoch).ok_or(Status::BadHandle)
}

/// The channel that a handle of the running thread's names, and by which it may call.
#[inline(always)]
pub fn channel(thread: &Thread, handle: u64) -> Result<&Channel, Status> {
    let last = of(thread).channels.get(handle as usize % CHANNELS).ok_or(Status::BadHandle)?;
    find(thread, last, handle, Rights::SIGNAL)
}

/// The endpoint that a handle of the running thread's names, and at which it may receive.
#[inline(always)]
pub fn endpoint(thread: &Thread, handle: u64) -> Result<&Endpoint, Status> {
    find(thread, &of(thread).endpoint, handle, Rights::WAIT)
}

/// A thread ends.
pub fn clear(thread: &Thread) {
    of(thread).channels.iter().for_each(LastNamed::clear);
    of(thread).endpoint.clear();
}

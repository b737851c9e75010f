//! Arguments that are wrong, in every way.
#![allow(unsafe_code, reason = "system calls with addresses and flags that are none")]

use runtime::abi::message::{Message, RECEIVE_REPLY};
use runtime::abi::operation::{
    ChannelCreate, EndpointCreate, EventBindEndpoint, HANDLE_SELF, Handle, Rights,
};
use runtime::abi::status::Status;
use runtime::abi::syscall::{SYS_CALL, SYS_RECEIVE};
use runtime::channel::{Channel, Endpoint};
use runtime::event::Event;
use runtime::{Start, process, syscall};

use super::status;
use crate::child::{self, Child};
use crate::suite::Suite;

/// Addresses at which there is no message to read: none, the kernel's, unmapped, over the end.
const BAD: [u64; 6] =
    [0, 0x8000, 0x5555_5555_5000, 0x7fff_ffff_efc0, 0xffff_ffff_8000_0000, 0xffff_ffff_ffff_ffc0];
/// Data that cannot be written.
static READ_ONLY: Message = Message { key: 0, deadline_tsc: 1, handles: [0; 4], words: [0; 12] };

fn raw(number: u64, handle: u64, address: u64, flags: u64) -> Status {
    // SAFETY: addresses are those of nobody, or of a message that is this function's caller's.
    let (code, _) = unsafe { syscall::raw3(number, handle, address, flags) };
    Status::from_code(code as i32).unwrap_or(Status::HostFault)
}

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    let made = Endpoint::try_new().and_then(|e| Ok((e, e.channel(1)?, Event::try_new()?)));
    let Ok((endpoint, channel, event)) = made else {
        return suite.check(false, format_args!("an endpoint, a channel, an event"));
    };
    handles(suite, endpoint, channel, event);
    addresses(suite, endpoint, channel);
    operations(suite, endpoint, channel, event);
    for handle in [endpoint.0, channel.0, event.0] {
        suite.expect(process::close(handle), Status::Ok, format_args!("closing {handle}"));
    }
    rights(suite);
}

fn handles(suite: &mut Suite<'_>, endpoint: Endpoint, channel: Channel, event: Event) {
    let mut message = Message { deadline_tsc: 1, ..Message::default() };
    let address = &raw mut message as u64;
    let no_channel = [0, 1, 95, 96, 1 << 31, u64::from(endpoint.0), u64::from(event.0)];
    for handle in no_channel.into_iter().chain([u64::MAX, u64::from(channel.0) | 1 << 32]) {
        let got = raw(SYS_CALL, handle, address, 0);
        suite.check(got == Status::BadHandle, format_args!("a call by {handle:#x}: {got:?}"));
    }
    let no_endpoint = [0, 1, 95, 96, 1 << 31, u64::from(channel.0), u64::from(event.0)];
    for handle in no_endpoint.into_iter().chain([u64::MAX, u64::from(endpoint.0) | 1 << 32]) {
        let got = raw(SYS_RECEIVE, handle, address, 0);
        suite.check(got == Status::BadHandle, format_args!("a receive at {handle:#x}: {got:?}"));
    }
    for flags in [2, 3, 1 << 31, 1 << 32, u64::MAX] {
        let got = raw(SYS_RECEIVE, u64::from(endpoint.0), address, flags);
        suite.check(got == Status::BadArgument, format_args!("receive flags {flags:#x}: {got:?}"));
    }
}

fn addresses(suite: &mut Suite<'_>, endpoint: Endpoint, channel: Channel) {
    for address in BAD {
        for (what, got) in [
            ("a call", raw(SYS_CALL, u64::from(channel.0), address, 0)),
            ("a receive", raw(SYS_RECEIVE, u64::from(endpoint.0), address, 0)),
            ("a reply", raw(SYS_RECEIVE, u64::from(endpoint.0), address, RECEIVE_REPLY)),
        ] {
            suite.check(got == Status::BadPointer, format_args!("{what} at {address:#x}: {got:?}"));
        }
    }
    // One that can be read is good enough while there is nothing to write.
    let got = raw(SYS_CALL, u64::from(channel.0), (&raw const READ_ONLY) as u64, 0);
    suite.check(got == Status::TimedOut, format_args!("a call from read-only memory: {got:?}"));
}

fn operations(suite: &mut Suite<'_>, endpoint: Endpoint, channel: Channel, event: Event) {
    let create = |handle: Handle| runtime::call(handle, EndpointCreate::default());
    suite.expect(create(channel.0), Status::BadHandle, format_args!("an endpoint of a channel"));
    let process = process::open(suite.files, "abi-test").and_then(process::create);
    let other = process.unwrap_or(0);
    suite.expect(create(other), Status::BadHandle, format_args!("an endpoint in another process"));
    let _ = process::close(other);
    for handle in [HANDLE_SELF, channel.0, event.0, 0] {
        let made = runtime::call(handle, ChannelCreate::default());
        suite.expect(made, Status::BadHandle, format_args!("a channel of handle {handle}"));
    }
    for (on, to) in [(event.0, channel.0), (event.0, 0), (event.0, HANDLE_SELF), (endpoint.0, endpoint.0)] {
        let bound = runtime::call(on, EventBindEndpoint { endpoint: to, reserved: 0, key: 0 });
        suite.expect(bound, Status::BadHandle, format_args!("binding {on} to {to}"));
    }
    let bound = runtime::call(event.0, EventBindEndpoint { endpoint: endpoint.0, reserved: 1, key: 0 });
    suite.expect(bound, Status::BadArgument, format_args!("a reserved field"));
}

/// A child that has each handle without the right that is needed says so by its exit code.
fn rights(suite: &mut Suite<'_>) {
    let run = |suite: &Suite<'_>| -> Result<u32, Status> {
        let (endpoint, event) = (Endpoint::try_new()?, Event::try_new()?);
        let channel = endpoint.channel(1)?;
        let child = Child::new(suite, "channel-rights")?
            .grant("no-wait", endpoint.0, Rights::all() - Rights::WAIT)?
            .grant("no-create", endpoint.0, Rights::all() - Rights::CREATE)?
            .grant("no-signal", channel.0, Rights::all() - Rights::SIGNAL)?
            .grant("no-write", event.0, Rights::all() - Rights::WRITE)?
            .grant("no-grant", event.0, Rights::all() - Rights::GRANT)?
            .grant("channel", channel.0, Rights::SIGNAL)?
            .start(0, 1)?;
        let code = child.join(suite)?.code;
        [endpoint.0, channel.0, event.0].into_iter().try_for_each(process::close)?;
        Ok(code)
    };
    let code = run(suite);
    suite.check(code == Ok(0), format_args!("without a right, bits of what was let through: {code:x?}"));
}

/// The child.
pub fn without_rights(start: &Start) -> u32 {
    let handle = |name: &str| start.handle(name).unwrap_or(0);
    let mut message = Message { deadline_tsc: 1, ..Message::default() };
    let bind = |event: Handle, endpoint: Handle| {
        status(runtime::call(event, EventBindEndpoint { endpoint, reserved: 0, key: 0 }))
    };
    let event = Event::try_new().map_or(0, |event| event.0);
    let mut passing = Message { handles: [0, 0, handle("no-grant"), 0], ..message };
    let answers = [
        status(Endpoint(handle("no-wait")).receive(&mut message)),
        status(Endpoint(handle("no-create")).channel(1)),
        status(Channel(handle("no-signal")).call(&mut message)),
        bind(handle("no-write"), handle("no-wait")),
        bind(event, handle("no-create")),
        status(Channel(handle("channel")).call(&mut passing)),
    ];
    let let_through = answers.iter().enumerate().filter(|(_, answer)| **answer != Status::NoRight);
    let_through.fold(child::number(start, "none") as u32, |code, (index, _)| code | 1 << index)
}

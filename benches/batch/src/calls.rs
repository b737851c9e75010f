//! What a call to another process costs, on one processor: the message there, its work, the reply. The server
//! is this same program in a process of its own.

use alloc::format;

use runtime::abi::message::Message;
use runtime::abi::operation::{Handle, Rights};
use runtime::abi::status::Status;
use runtime::channel::{Channel, Endpoint};
use runtime::{Start, process, syscall};

use crate::CALLS;

/// The ticks that [`CALLS`] calls take.
pub fn measure(files: Handle) -> Result<u64, Status> {
    let endpoint = Endpoint::try_new()?;
    let channel = endpoint.channel(1)?;
    let server = process::create(process::open(files, "batch")?)?;
    let handle = process::grant(server, endpoint.0, Rights::WAIT)?;
    process::start(server, format!("set role server\nhandle endpoint {handle}\n").as_bytes(), 0, 1)?;
    let mut ticks = 0;
    // The first round warms up, and is not counted.
    for _ in 0..2 {
        ticks = some_calls(channel)?;
    }
    Ok(ticks)
}

fn some_calls(channel: Channel) -> Result<u64, Status> {
    let began = syscall::tsc();
    // As late as a caller's limit may be that it sets anew for each call.
    let limit = 1 << 40;
    for number in 0..CALLS {
        let mut message = Message { deadline_tsc: syscall::tsc() + limit, ..Message::default() };
        message.words[0] = number;
        channel.call(&mut message)?;
        if message.words[0] != number + 1 {
            return Err(Status::HostFault);
        }
    }
    Ok(syscall::tsc() - began)
}

/// The server: gives each number back plus one.
pub fn serve(start: &Start) -> u32 {
    let Some(endpoint) = start.handle("endpoint").map(Endpoint) else { return 1 };
    let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
    let mut received = endpoint.receive(&mut message);
    while received.is_ok() {
        message.words[0] += 1;
        message.deadline_tsc = u64::MAX;
        received = endpoint.reply_and_receive(&mut message);
    }
    2
}

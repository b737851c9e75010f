//! Deadlines of calls and of receives, and replies that come too late.

use runtime::abi::message::Message;
use runtime::abi::status::Status;
use runtime::channel::{Channel, Endpoint};
use runtime::{process, syscall};

use super::{Served, call, command, pause, server, status};
use crate::suite::Suite;

/// All of it.
pub fn test(suite: &mut Suite<'_>) {
    nobody(suite);
    for cpu in [0, suite.cpus - 1] {
        let answer = late_reply(suite, cpu);
        let want = Ok((Status::TimedOut, true, [Status::Ok, Status::Ok], 0));
        suite.check(answer == want, format_args!("a reply that comes too late on cpu{cpu}: {answer:?}"));
    }
    let answer = dropped(suite);
    suite.check(answer == Ok(Status::Disconnected), format_args!("a call that is let go of: {answer:?}"));
}

/// Whether a wait until `deadline_tsc` came back with TimedOut, and not before.
fn times_out(
    suite: &mut Suite<'_>,
    what: &str,
    deadline_tsc: u64,
    wait: impl FnOnce(&mut Message) -> Status,
) {
    let got = wait(&mut Message { deadline_tsc, ..Message::default() });
    let late = syscall::tsc() >= deadline_tsc;
    suite
        .check(got == Status::TimedOut && late, format_args!("{what} until {deadline_tsc}: {got:?}, {late}"));
}

/// Nobody receives, nobody calls.
fn nobody(suite: &mut Suite<'_>) {
    let made = Endpoint::try_new().and_then(|endpoint| Ok((endpoint, endpoint.channel(7)?)));
    let Ok((endpoint, channel)) = made else { return suite.check(false, format_args!("an endpoint")) };
    let deadlines = [0, 1, suite.in_us(100), suite.in_us(5000)];
    for deadline in deadlines {
        times_out(suite, "a call that nobody receives", deadline, |m| status(channel.call(m)));
    }
    for deadline in deadlines.map(|deadline| if deadline > 1 { deadline + suite.ticks_us * 9000 } else { 0 })
    {
        times_out(suite, "a receive without a caller", deadline, |m| status(endpoint.receive(m)));
        times_out(suite, "a reply to nobody", deadline, |m| status(endpoint.reply_and_receive(m)));
    }
    for handle in [endpoint.0, channel.0] {
        suite.expect(process::close(handle), Status::Ok, format_args!("closing {handle}"));
    }
}

/// A call that is given up while it is served, and one while it waits behind it; then the server is as good
/// as before, and its late reply is nobody's. Returns the first call's status, whether its message is as it
/// was, the statuses of two later ones, and the server's exit code.
fn late_reply(suite: &Suite<'_>, cpu: u32) -> Result<(Status, bool, [Status; 2], u32), Status> {
    let served = Served::new(suite, cpu, 2)?;
    let mut first = command(suite, server::SLEEP);
    first.deadline_tsc = suite.in_us(5_000);
    let sent = first;
    let given_up = status(served.channel.call(&mut first));
    let mut second = command(suite, server::SLEEP);
    second.deadline_tsc = suite.in_us(1_000);
    let _ = served.channel.call(&mut second);
    let adds = |channel: Channel| {
        let mut message = command(suite, server::ADD);
        match channel.call(&mut message) {
            Ok(()) if message.words[0] == server::ADD + 1 => Status::Ok,
            Ok(()) => Status::HostFault,
            Err(status) => status,
        }
    };
    let later = [adds(served.channel), adds(served.channel)];
    pause(suite, 1000);
    Ok((given_up, first == sent, later, served.end(suite)?))
}

/// A server that receives without a reply lets its caller go.
fn dropped(suite: &Suite<'_>) -> Result<Status, Status> {
    let served = Served::new(suite, 0, 1)?;
    let answer = call(suite, served.channel, server::DROP);
    if call(suite, served.channel, server::ADD) != Status::Ok {
        return Err(Status::HostFault);
    }
    served.end(suite)?;
    Ok(answer)
}

//! Serves the live view's calls.

use inspect_protocol::watch::{Ask, Key, OneExit, Row, Told};
use runtime::abi::message::Message;
use runtime::abi::operation::Handle;
use runtime::abi::status::Status;
use runtime::channel::{Endpoint, Received};

use crate::Watched;

/// Serves calls on an endpoint until the kernel refuses; returns why. `watched`: what there is to tell, once
/// a vCPU runs.
pub fn serve(endpoint: Handle, watched: impl Fn() -> Option<&'static Watched>) -> Status {
    let endpoint = Endpoint(endpoint);
    let mut message = Message { deadline_tsc: u64::MAX, ..Message::default() };
    let mut came = endpoint.receive(&mut message);
    loop {
        match came {
            Ok(Received::Call) => {
                let told = match (Ask::parse(&message.words), watched()) {
                    (Some(ask), Some(watched)) => tell(ask, watched),
                    // What is no question, and what is asked before there is anything.
                    _ => Told::None,
                };
                message = Message { words: told.words(), deadline_tsc: u64::MAX, ..Message::default() };
                came = endpoint.reply_and_receive(&mut message);
            }
            Ok(Received::Notification) => {
                // What came has overwritten the deadline with zero.
                message.deadline_tsc = u64::MAX;
                came = endpoint.receive(&mut message);
            }
            Err(status) => return status,
        }
    }
}

fn tell(ask: Ask, watched: &Watched) -> Told {
    match ask {
        Ask::Row(key) => row_behind(key, watched),
        Ask::Exit(number) => exit_from(number, watched),
    }
}

/// Whom an exit belongs to.
fn key(vcpu: usize, (reason, place): crate::table::Key) -> Key {
    Key { vcpu: vcpu as u32, reason, place }
}

fn row_behind(last: Option<Key>, watched: &Watched) -> Told {
    // By key and not by number: rows that are added in between are shown or not, and none is shown twice.
    let first = last.map_or(0, |key| key.vcpu as usize);
    for (vcpu, table) in watched.tables.iter().enumerate().skip(first) {
        // Never waited for, as in `exit_from`.
        let Some(table) = table.try_lock() else { return Told::Busy };
        let behind = last.filter(|key| key.vcpu as usize == vcpu).map(|key| (key.reason, key.place));
        if let Some((found, sum)) = table.row_behind(behind) {
            let by = watched.names.handler(found.0, found.1).into();
            return Told::Row(Row { key: key(vcpu, found), count: sum.count, ticks: sum.ticks, by });
        }
    }
    Told::None
}

fn exit_from(number: u64, watched: &Watched) -> Told {
    let mut first: Option<(usize, crate::table::Exit)> = None;
    for (vcpu, table) in watched.tables.iter().enumerate() {
        // Never waited for: this thread is above the vCPUs' and may have interrupted the one that holds the
        // lock, which then would not run again.
        let Some(table) = table.try_lock() else { return Told::Busy };
        if let Some(exit) = table.exit_from(number)
            && first.is_none_or(|(_, known)| exit.number < known.number)
        {
            first = Some((vcpu, exit));
        }
    }
    let Some((vcpu, exit)) = first else { return Told::None };
    Told::Exit(OneExit {
        number: exit.number,
        key: key(vcpu, (exit.reason, exit.place)),
        tsc: exit.tsc,
        ticks: exit.ticks,
        rip: exit.rip,
        by: watched.names.handler(exit.reason, exit.place).into(),
    })
}

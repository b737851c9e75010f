//! The device's end: each request reaches the device, and what the device does is in the answer.

use super::*;
use crate::answer::{Answer, NEVER, Reply, code as answers};
use crate::claim::{Claim, Claims};
use crate::request::{Ask, Request};
use crate::serve::{Server, claims_of};
use crate::{VERSION, WORDS, Words};

const SESSION: u32 = 7;

fn ask(server: &mut Server<Probe>, session: u32, ask: Ask, now_ns: u64) -> Words {
    server.serve(Request { ask, session, now_ns }.words())
}

fn done(words: &Words) -> Answer {
    match Reply::read(words, u64::MAX) {
        Some(Reply::Done(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

fn greeted() -> Server<Probe> {
    let mut server = Server::new(Probe::default()).unwrap();
    assert_eq!(done(&ask(&mut server, SESSION, Ask::Greet { version: VERSION }, 0)).value, VERSION);
    server
}

#[test]
fn accesses_reach_the_device() {
    let mut server = greeted();
    let mut value = |what, now_ns| done(&ask(&mut server, SESSION, what, now_ns)).value;
    let port = PORTS.first + 2;
    assert_eq!(value(Ask::PortWrite { port, width: Width::Byte, value: 0x5a }, 0), 0);
    assert_eq!(value(Ask::PortRead { port, width: Width::Dword }, 0), 0x0502_005a);
    // What a device gives beyond the access's width is not passed on.
    assert_eq!(value(Ask::PortRead { port, width: Width::Byte }, 0), 0x5a);
    assert_eq!(value(Ask::MmioWrite { offset: 8, width: Width::Qword, value: u64::MAX }, 0), 0);
    assert_eq!(value(Ask::MmioRead { offset: 8, width: Width::Qword }, 0), u64::MAX);
    assert_eq!(value(Ask::MmioRead { offset: 8, width: Width::Word }, 0), 0xffff);
}

#[test]
fn what_the_device_does_is_in_the_answer() {
    let mut server = greeted();
    let write = |port, value| Ask::PortWrite { port, width: Width::Dword, value };
    let answer = done(&ask(&mut server, SESSION, write(DRIVE, 0b1101), 0));
    let lines: Vec<(u8, bool)> = answer.lines.iter().collect();
    assert_eq!(lines, [(LINE, true), (LINE, false), (LINE, true)]);
    assert_eq!(answer.deadline_ns, NEVER);
    assert_eq!(done(&ask(&mut server, SESSION, write(ARM, 500), 0)).deadline_ns, 500);
    // It is told the time, and looked at for its timer as for its input.
    let mut look = |now_ns| done(&ask(&mut server, SESSION, Ask::Look, now_ns)).deadline_ns;
    assert_eq!((look(499), look(500)), (500, NEVER));
}

#[test]
fn the_device_says_what_it_claims() {
    let mut server = greeted();
    let mut list = Vec::new();
    loop {
        let words = ask(&mut server, SESSION, Ask::Claim { index: list.len() as u64 }, 0);
        if words[0] == u64::from(answers::NO_CLAIM) {
            break;
        }
        list.push(Claim::read(&words).unwrap());
    }
    assert_eq!(Claims::from_list(&list).unwrap(), claims_of(&Probe::default()));
    let beyond = ask(&mut server, SESSION, Ask::Claim { index: u64::MAX }, 0);
    assert_eq!(beyond[0], u64::from(answers::NO_CLAIM));
}

#[test]
fn who_has_not_greeted_it_is_a_stranger() {
    let mut server = Server::new(Probe::default()).unwrap();
    let write = Ask::PortWrite { port: PORTS.first + 2, width: Width::Byte, value: 1 };
    for (session, what) in [(SESSION, write), (SESSION, Ask::Look), (SESSION, Ask::Claim { index: 0 })] {
        assert_eq!(Reply::read(&ask(&mut server, session, what, 0), 0), Some(Reply::Stranger));
    }
    let mut server = greeted();
    assert_eq!(Reply::read(&ask(&mut server, SESSION + 1, write, 0), 0), Some(Reply::Stranger));
    let read = Ask::PortRead { port: PORTS.first + 2, width: Width::Byte };
    assert_eq!(done(&ask(&mut server, SESSION, read, 0)).value, 0, "the write was not done");
}

#[test]
fn what_no_vmm_asks_is_refused() {
    let mut server = greeted();
    let words = server.serve([u64::MAX; WORDS]);
    assert_eq!(words[0], u64::from(answers::REFUSED));
}

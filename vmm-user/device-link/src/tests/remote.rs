//! The VMM's end, against a process that answers, is gone, hangs, or talks nonsense.

use alloc::collections::VecDeque;

use super::*;
use crate::Words;
use crate::answer::{NEVER, code as answers};
use crate::remote::{Call, ConnectError, RemoteDevice, SOONEST_NS, Silence};
use crate::serve::Server;

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The process answers.
    Served,
    /// It is gone; if there is another one, it does not know the VMM.
    Silent(Silence),
    /// It answers this.
    Says(Words),
    /// It was started again before the call.
    Replaced,
    /// It answers this, and when the answer is looked at, another one has taken its place.
    Parting(Words),
}

/// A process.
struct Process {
    server: Server<Probe>,
    /// What becomes of the next calls; then all are served.
    fates: VecDeque<Fate>,
    calls: u32,
    life: u64,
    complaints: u32,
}

fn server() -> Server<Probe> {
    Server::new(Probe::default()).unwrap()
}

impl Process {
    /// Another one takes its place.
    fn start_again(&mut self) {
        self.server = server();
        self.life += 1;
    }

    fn new(fates: &[Fate]) -> Self {
        let fates = fates.iter().copied().collect();
        Self { server: server(), fates, calls: 0, life: 1, complaints: 0 }
    }
}

impl Call for &mut Process {
    fn call(&mut self, words: Words) -> Result<Words, Silence> {
        self.calls += 1;
        match self.fates.pop_front().unwrap_or(Fate::Served) {
            Fate::Served => Ok(self.server.serve(words)),
            Fate::Silent(silence) => {
                self.server = server();
                Err(silence)
            }
            Fate::Says(said) => Ok(said),
            Fate::Replaced => {
                self.start_again();
                Ok(self.server.serve(words))
            }
            Fate::Parting(said) => {
                self.start_again();
                Ok(said)
            }
        }
    }

    fn life(&self) -> u64 {
        self.life
    }

    fn complain(&mut self, life: u64) {
        assert_eq!(life, self.life, "of a process that has ended");
        self.complaints += 1;
    }
}

type Remote<'a> = RemoteDevice<&'a mut Process>;

/// A device that is connected; then these become of its calls.
fn connected(fates: &[Fate], test: impl FnOnce(&mut Remote<'_>, &mut Desk)) -> Process {
    let mut process = Process::new(&[]);
    // As many calls as connecting takes: one to greet, one for each claim and one for none.
    RemoteDevice::connect("probe", &mut process).unwrap();
    process.fates = (0..process.calls).map(|_| Fate::Served).chain(fates.iter().copied()).collect();
    process.calls = 0;
    let mut remote = RemoteDevice::connect("probe", &mut process).unwrap();
    test(&mut remote, &mut Desk::default());
    process
}

const ENDED: Fate = Fate::Silent(Silence::Ended);
const LATE: Fate = Fate::Silent(Silence::Late);
const PORT: u16 = PORTS.first + 2;
const DONE: u64 = answers::DONE as u64;

#[test]
fn accesses_are_carried() {
    connected(&[], |remote, desk| {
        assert_eq!((remote.name(), remote.claims().lines.as_slice()), ("probe", &[LINE][..]));
        desk.now_ns = 40;
        remote.port_write(PORT, Width::Dword, 0x1234, desk);
        assert_eq!(remote.port_read(PORT, Width::Word, desk), 0x1234);
        remote.mmio_write(0x10, Width::Qword, u64::MAX, desk);
        assert_eq!(remote.mmio_read(0x10, Width::Qword, desk), u64::MAX);
        remote.port_write(DRIVE, Width::Byte, 0b101, desk);
        assert_eq!(desk.lines, [(LINE, true), (LINE, false)]);
        assert_eq!((remote.deadline_ns(), remote.counts().calls), (None, 5));
    });
}

#[test]
fn deadlines_are_kept_but_not_too_soon() {
    connected(&[], |remote, desk| {
        for (wanted, deadline) in [(0, SOONEST_NS), (SOONEST_NS + 1, SOONEST_NS + 1)] {
            remote.port_write(ARM, Width::Dword, wanted as u32, desk);
            assert_eq!(remote.deadline_ns(), Some(deadline));
        }
        desk.now_ns = SOONEST_NS + 1;
        remote.expire(desk);
        assert_eq!(remote.deadline_ns(), None);
    });
}

/// However it is lost: the line goes low, the access finds nothing, and it is said how.
#[test]
fn a_lost_device_is_absent() {
    for (fate, counts, complaints) in [
        (ENDED, (1, 0, 0), 0),
        (LATE, (0, 1, 0), 1),
        (Fate::Says([0; 4]), (0, 0, 1), 1),
        (Fate::Says([DONE, 0x100, NEVER, 0]), (0, 0, 1), 1),
        // Another device's line.
        (Fate::Says([DONE | 1 << 8, 0, NEVER, 0x84]), (0, 0, 1), 1),
    ] {
        let process = connected(&[Fate::Served, fate, ENDED], |remote, desk| {
            remote.port_write(DRIVE, Width::Byte, 0b11, desk);
            assert_eq!(remote.port_read(PORT, Width::Byte, desk), 0xff, "{fate:?}");
            assert_eq!(desk.lines, [(LINE, true), (LINE, false)], "{fate:?}");
            let seen = remote.counts();
            assert_eq!((seen.ended, seen.late, seen.nonsense), counts, "{fate:?}");
            assert_eq!((seen.absent, remote.deadline_ns()), (1, None));
        });
        assert_eq!(process.complaints, complaints, "{fate:?}");
    }
}

#[test]
fn absent_is_all_ones_in_every_width() {
    connected(&[LATE], |remote, desk| {
        remote.port_write(PORT, Width::Byte, 1, desk);
        for width in [Width::Byte, Width::Word, Width::Dword] {
            assert_eq!(u64::from(remote.port_read(PORT, width, desk)), width.mask());
        }
        for width in [Width::Byte, Width::Word, Width::Dword, Width::Qword] {
            assert_eq!(remote.mmio_read(0, width, desk), width.mask());
        }
        remote.mmio_write(0, Width::Qword, 1, desk);
        assert_eq!(remote.counts().absent, 9);
    });
}

/// Nobody waits for the end of the time limit twice.
#[test]
fn a_device_that_hangs_is_asked_again_only_when_something_has_changed() {
    let process = connected(&[LATE], |remote, desk| {
        for _ in 0..100 {
            assert_eq!(remote.port_read(PORT, Width::Byte, desk), 0xff);
        }
        remote.expire(desk);
        remote.look(desk);
        remote.port_write(PORT, Width::Byte, 3, desk);
        assert_eq!(remote.port_read(PORT, Width::Byte, desk), 3);
        assert_eq!(remote.counts().absent, 100);
    });
    // Connected, late, greeted, looked at, written, read.
    assert_eq!(process.calls, connected(&[], |_, _| ()).calls + 5);
}

#[test]
fn a_device_that_has_ended_is_back_with_the_first_access_that_finds_it() {
    connected(&[ENDED, ENDED, ENDED], |remote, desk| {
        remote.port_write(PORT, Width::Byte, 1, desk);
        remote.port_write(PORT, Width::Byte, 2, desk);
        remote.port_write(PORT, Width::Byte, 3, desk);
        assert_eq!((remote.port_read(PORT, Width::Byte, desk), remote.counts().absent), (3, 2));
    });
}

/// Between two accesses the process was started again: the second one is done, by a device as after power-on.
#[test]
fn a_device_that_was_replaced_is_greeted() {
    connected(&[Fate::Served, Fate::Served, Fate::Replaced], |remote, desk| {
        remote.port_write(PORT, Width::Byte, 1, desk);
        remote.port_write(DRIVE, Width::Byte, 0b11, desk);
        assert_eq!((remote.port_read(PORT, Width::Byte, desk), remote.counts().ended), (0, 1));
        assert_eq!(desk.lines, [(LINE, true), (LINE, false)]);
    });
}

/// What talked nonsense has ended, and nobody complains: its successor is asked at once.
#[test]
fn a_successor_is_not_complained_of() {
    let process = connected(&[Fate::Served, Fate::Parting([0; 4])], |remote, desk| {
        remote.port_write(DRIVE, Width::Byte, 0b11, desk);
        assert_eq!((remote.port_read(PORT, Width::Byte, desk), remote.counts().nonsense), (0, 1));
        assert_eq!(desk.lines, [(LINE, true), (LINE, false)]);
    });
    assert_eq!(process.complaints, 0);
}

/// It ends in the middle of being greeted: it is greeted once more, so that it is known whom a complaint is
/// about.
#[test]
fn who_was_greeted_is_known() {
    let greeting = [DONE, crate::VERSION, NEVER, 0];
    let process = connected(&[ENDED, Fate::Parting(greeting), Fate::Served, LATE], |remote, desk| {
        assert_eq!((remote.port_read(PORT, Width::Byte, desk), remote.counts().ended), (0xff, 2));
        assert_eq!((remote.port_read(PORT, Width::Byte, desk), remote.counts().late), (0xff, 1));
    });
    assert_eq!((process.complaints, process.fates.len()), (1, 0));
    let mut process = Process::new(&[Fate::Parting(greeting)]);
    let ended = Some(ConnectError::Silent(Silence::Ended));
    assert_eq!(RemoteDevice::connect("probe", &mut process).err(), ended);
}

/// It was greeted again, and is lost again in the same access.
#[test]
fn a_device_that_does_not_come_back_is_left_alone() {
    for (fates, late, nonsense) in [
        (&[ENDED, LATE][..], 1, 0),
        (&[ENDED, Fate::Says([0; 4])], 0, 1),
        // Another version of the protocol.
        (&[ENDED, Fate::Says([DONE, crate::VERSION + 1, NEVER, 0])], 0, 1),
        (&[ENDED, Fate::Says([DONE, 1, 0, 0])], 0, 1),
        (&[ENDED, Fate::Served, LATE], 1, 0),
    ] {
        let process = connected(fates, |remote, desk| {
            (0..10).for_each(|_| assert_eq!(remote.port_read(PORT, Width::Byte, desk), 0xff));
            let counts = remote.counts();
            assert_eq!((counts.ended, counts.late, counts.nonsense), (1, late, nonsense), "{fates:?}");
        });
        assert_eq!((process.complaints, process.fates.len()), (1, 0), "{fates:?}");
    }
}

#[test]
fn a_deadline_of_a_device_without_timer_is_nonsense() {
    // The claims of a probe but its timer.
    let mut process = Process::new(&[]);
    let said = [
        [DONE, crate::VERSION, NEVER, 0],
        [DONE | 3 << 8, u64::from(LINE), 0, 0],
        [u64::from(answers::NO_CLAIM), 0, 0, 0],
        [DONE, 0, 5, 0],
    ];
    process.fates = said.into_iter().map(Fate::Says).collect();
    let mut remote = RemoteDevice::connect("probe", &mut process).unwrap();
    assert_eq!(remote.port_read(PORT, Width::Byte, &mut Desk::default()), 0xff);
    assert_eq!(remote.counts().nonsense, 1);
}

#[test]
fn who_cannot_say_what_it_claims_is_no_device() {
    for (fates, error) in [
        (&[ENDED][..], ConnectError::Silent(Silence::Ended)),
        (&[LATE], ConnectError::Silent(Silence::Late)),
        (&[Fate::Says([DONE, crate::VERSION + 1, NEVER, 0])], ConnectError::Nonsense),
        (&[Fate::Served, ENDED], ConnectError::Silent(Silence::Ended)),
        (&[Fate::Served, Fate::Says([DONE, 0, 0, 0])], ConnectError::Nonsense),
        (&[Fate::Served, Fate::Says([DONE | 7 << 8, 4, 0, 0])], ConnectError::Nonsense),
        // A timer, without end.
        (&[Fate::Says([DONE | 4 << 8, crate::VERSION, NEVER, 0])], ConnectError::Nonsense),
    ] {
        let mut process = Process::new(fates);
        assert_eq!(RemoteDevice::connect("probe", &mut process).err(), Some(error), "{fates:?}");
    }
    let mut process = Process::new(&[Fate::Served]);
    process.fates.extend([Fate::Says([DONE | 4 << 8, 0, 0, 0]); 1000]);
    assert_eq!(RemoteDevice::connect("probe", &mut process).err(), Some(ConnectError::Nonsense));
    assert!(process.calls < 100);
}

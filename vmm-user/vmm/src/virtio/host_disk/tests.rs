use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::*;

const SECTORS: u64 = 64;
const TSC_HZ: u64 = 1000;

/// A server of a disk that behaves as it is told, attempt by attempt, and then well.
struct Script {
    memory: Vec<AtomicU64>,
    disk: RefCell<Vec<u64>>,
    attempts: RefCell<Vec<Result<(), Failure>>>,
    connects: RefCell<Vec<Result<block_link::Disk, Failure>>>,
    abilities: Abilities,
    now: Cell<u64>,
    asked: RefCell<Vec<Wanted>>,
    connected: Cell<u32>,
}

impl Script {
    fn new() -> Self {
        Self {
            memory: (0..BUFFER_BYTES / 8).map(|_| AtomicU64::new(0)).collect(),
            disk: RefCell::new((0..SECTORS * 64).collect()),
            attempts: RefCell::default(),
            connects: RefCell::default(),
            abilities: Abilities::all(),
            now: Cell::new(0),
            asked: RefCell::default(),
            connected: Cell::new(0),
        }
    }

    fn about(&self) -> block_link::Disk {
        block_link::Disk { capacity: SECTORS, abilities: self.abilities }
    }
}

impl Server for Script {
    fn connect(&self, _: u64) -> Result<block_link::Disk, Failure> {
        self.connected.set(self.connected.get() + 1);
        self.connects.borrow_mut().pop().unwrap_or(Ok(self.about()))
    }

    fn send(&self, request: Wanted, _: u64) -> Result<(), Failure> {
        self.asked.borrow_mut().push(request);
        if let Some(result) = self.attempts.borrow_mut().pop() {
            // A server that fails leaves anything there.
            if matches!(request, Wanted::Read(_)) {
                self.memory.iter().for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
            }
            result?;
        }
        let mut disk = self.disk.borrow_mut();
        match request {
            Wanted::Read(Sectors { first, count }) => {
                let words = &disk[first as usize * 64..][..count as usize * 64];
                words.iter().zip(&self.memory).for_each(|(from, to)| to.store(*from, Ordering::Relaxed));
            }
            Wanted::Write(Sectors { first, count }) => {
                let words = &mut disk[first as usize * 64..][..count as usize * 64];
                words.iter_mut().zip(&self.memory).for_each(|(to, from)| *to = from.load(Ordering::Relaxed));
            }
            Wanted::Flush | Wanted::Discard(_) => {}
        }
        Ok(())
    }

    fn memory(&self) -> &[AtomicU64] {
        &self.memory
    }

    fn now_tsc(&self) -> u64 {
        self.now.get()
    }

    fn pause(&self, until_tsc: u64) {
        assert!(until_tsc > self.now.get());
        self.now.set(until_tsc);
    }
}

fn disk() -> HostDisk<Script> {
    HostDisk::of(Script::new(), TSC_HZ).unwrap()
}

const ENDED: Failure = Failure::Gone(Status::Disconnected);
const FAILED: Failure = Failure::Refused(Refusal::Failed);
const UNKNOWN: Failure = Failure::Refused(Refusal::NotConnected);

#[test]
fn bytes_go_to_their_sectors() {
    let mut disk = disk();
    assert_eq!((disk.bytes(), disk.is_read_only()), (SECTORS * 512, false));
    let mut bytes = vec![0; 1024];
    assert_eq!(disk.read(512, &mut bytes), Ok(()));
    assert!(bytes.chunks(8).zip(64u64..).all(|(found, word)| found == word.to_le_bytes()));
    assert_eq!(disk.write(512 * 63, &[7; 512]), Ok(()));
    assert_eq!(disk.server.disk.borrow()[63 * 64 - 1..][..2], [63 * 64 - 1, 0x0707_0707_0707_0707]);
    assert_eq!(disk.write_zeroes(512, 512 * 3), Ok(()));
    assert_eq!((disk.server.disk.borrow()[64 * 4 - 1], disk.server.disk.borrow()[64 * 4]), (0, 256));
    assert_eq!((disk.flush(), disk.discard(512, 512)), (Ok(()), Ok(())));
    let last = disk.server.asked.borrow()[4..].to_vec();
    assert_eq!(last, [Wanted::Discard(Sectors { first: 1, count: 1 })]);
    let mut large = vec![0; BUFFER_BYTES + 512];
    assert_eq!((disk.read(0, &mut large), disk.write(0, &large)), (Err(DiskError), Err(DiskError)));
}

#[test]
fn a_request_is_repeated_with_the_next_server() {
    let mut disk = disk();
    for (attempt, number) in [ENDED, FAILED, UNKNOWN].into_iter().zip(2..) {
        *disk.server.attempts.borrow_mut() = vec![Err(attempt)];
        assert_eq!(disk.write(0, &[number; 512]), Ok(()));
        assert_eq!(disk.server.connected.get(), u32::from(number));
        assert_eq!(disk.server.disk.borrow()[0], u64::from_le_bytes([number; 8]));
        *disk.server.attempts.borrow_mut() = vec![Err(attempt)];
        let mut bytes = [0; 512];
        assert_eq!(disk.read(0, &mut bytes), Ok(()));
        assert_eq!(bytes, [number; 512]);
        disk.server.connected.set(number.into());
    }
    // For as long as there is none.
    *disk.server.attempts.borrow_mut() = vec![Err(ENDED)];
    *disk.server.connects.borrow_mut() = vec![Err(ENDED), Err(FAILED), Err(UNKNOWN)];
    assert_eq!(disk.flush(), Ok(()));
}

#[test]
fn a_disk_that_fails_is_an_error_and_may_work_again() {
    let mut disk = disk();
    *disk.server.attempts.borrow_mut() = vec![Err(FAILED); 100];
    assert_eq!(disk.flush(), Err(DiskError));
    assert_eq!(disk.server.attempts.borrow().len(), 100 - 1 - FAILURES_MAX as usize);
    disk.server.attempts.borrow_mut().clear();
    assert_eq!(disk.flush(), Ok(()));
    for refusal in [Refusal::Wrong, Refusal::Unable] {
        *disk.server.attempts.borrow_mut() = vec![Err(Failure::Refused(refusal))];
        assert_eq!((disk.flush(), disk.flush()), (Err(DiskError), Ok(())));
    }
}

/// Servers that end, or say that nobody is connected, without end.
#[test]
fn there_is_an_end_to_patience() {
    for failure in [ENDED, UNKNOWN] {
        let mut disk = disk();
        *disk.server.attempts.borrow_mut() = vec![Err(failure); 1 << 20];
        assert_eq!(disk.flush(), Err(DiskError));
        let asked = disk.server.asked.borrow().len();
        assert!(disk.server.now.get() >= LIMIT_SECONDS * TSC_HZ);
        assert!(asked <= (LIMIT_SECONDS * PAUSES_SECOND) as usize + 1, "{asked}: between them others run");
        assert_eq!((disk.flush(), disk.server.asked.borrow().len()), (Err(DiskError), asked));
    }
}

/// It may write the memory at any time: nothing more is put there.
#[test]
fn a_server_that_is_late_is_not_asked_again() {
    let mut disk = disk();
    *disk.server.attempts.borrow_mut() = vec![Err(Failure::Gone(Status::TimedOut))];
    let mut bytes = [0; 512];
    assert_eq!(disk.read(0, &mut bytes), Err(DiskError));
    let results =
        [disk.read(0, &mut bytes), disk.write(0, &[1; 512]), disk.flush(), disk.write_zeroes(0, 512)];
    assert_eq!((results, disk.server.asked.borrow().len()), ([Err(DiskError); 4], 1));
}

#[test]
fn a_disk_that_is_none() {
    for (capacity, failure) in [(0, None), (1 << 60, None), (1, Some(Failure::Gone(Status::TimedOut)))] {
        let script = Script::new();
        let about = block_link::Disk { capacity, abilities: Abilities::all() };
        *script.connects.borrow_mut() = vec![failure.map_or(Ok(about), Err)];
        assert!(HostDisk::of(script, TSC_HZ).is_err(), "{capacity}");
    }
    // One that has become smaller is another.
    let mut disk = disk();
    *disk.server.attempts.borrow_mut() = vec![Err(ENDED)];
    let about = block_link::Disk { capacity: SECTORS - 1, abilities: Abilities::all() };
    *disk.server.connects.borrow_mut() = vec![Ok(about)];
    assert_eq!((disk.flush(), disk.flush()), (Err(DiskError), Err(DiskError)));
}

#[test]
fn what_a_disk_cannot_do() {
    let script = Script { abilities: Abilities::empty(), ..Script::new() };
    let mut disk = HostDisk::of(script, TSC_HZ).unwrap();
    assert!(disk.is_read_only());
    assert_eq!(disk.discard(0, 512), Ok(()));
    assert!(disk.server.asked.borrow().is_empty());
}

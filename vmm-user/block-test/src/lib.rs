//! Tests the blocks of a disk of the host's: what the host's file has is read, what is written is there when
//! it is read again, what makes no sense is refused, and a new server goes on where the last one ended.
//! `scripts/src/tests/disk.rs` made the file, and looks at what it has afterwards.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::Ordering;

use block_link::client::{Client, Failure};
use block_link::{Abilities, Disk, Refusal, SECTOR_BYTES, Sectors};
use runtime::abi::operation::{Handle, SystemEnd, SystemInfo, end_reason};
use runtime::abi::status::Status;
use runtime::channel::Channel;
use runtime::{Start, call, syscall};

/// Sectors of the host's file, and the memory that is shared.
const CAPACITY: u64 = 16384;
const MEMORY_BYTES: u64 = 256 * 1024;
/// How many sectors fit into it.
const ALL: u64 = MEMORY_BYTES / SECTOR_BYTES;
/// Where the test writes.
const TARGET: u64 = 4096;

struct Test {
    client: Client,
    /// How often another server was connected to.
    servers: u32,
    ticks_second: u64,
    failures: u32,
    checks: u32,
}

/// The word at an index of a sector, as the file is made and as it is written: one for each `salt`.
fn pattern(sector: u64, index: u64, salt: u64) -> u64 {
    (sector << 16 | index << 4 | salt).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Test {
    fn check(&mut self, holds: bool, what: core::fmt::Arguments<'_>) {
        self.checks += 1;
        if !holds {
            self.failures += 1;
            log::error!("FAILED: {what}");
        }
    }

    fn soon(&self) -> u64 {
        syscall::tsc().saturating_add(60 * self.ticks_second)
    }

    fn fill(&self, first: u64, count: u64, salt: u64) {
        let words = self.client.memory().iter().zip(0..count * SECTOR_BYTES / 8);
        words.for_each(|(word, at)| word.store(pattern(first + at / 64, at % 64, salt), Ordering::Relaxed));
    }

    fn is(&self, first: u64, count: u64, salt: u64) -> bool {
        let mut words = self.client.memory().iter().zip(0..count * SECTOR_BYTES / 8);
        words.all(|(word, at)| word.load(Ordering::Relaxed) == pattern(first + at / 64, at % 64, salt))
    }

    /// Does something as often as it takes: with another server, when one has ended or is about to.
    fn persist(&mut self, once: impl Fn(&Client, u64) -> Result<(), Failure>) -> Result<(), Failure> {
        let deadline = self.soon();
        loop {
            let done = once(&self.client, deadline);
            let is_over = matches!(
                done,
                Err(Failure::Gone(Status::Disconnected)
                    | Failure::Refused(Refusal::Failed | Refusal::NotConnected))
            );
            if !is_over || syscall::tsc() > deadline {
                return done;
            }
            self.connect()?;
        }
    }

    fn read(&mut self, first: u64, count: u64) -> Result<(), Failure> {
        self.client.memory().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.persist(|client, deadline| client.read(Sectors { first, count }, 0, deadline))
    }

    /// Connects, for as long as there is no server, or one that is about to end.
    fn connect(&mut self) -> Result<Disk, Failure> {
        let deadline = self.soon();
        loop {
            match self.client.connect(deadline) {
                Err(Failure::Gone(Status::Disconnected)) if syscall::tsc() < deadline => syscall::yield_now(),
                connected => {
                    self.servers += 1;
                    return connected;
                }
            }
        }
    }

    fn reads(&mut self) {
        for (first, count) in [(0, 1), (7, 128), (100, 129), (CAPACITY - ALL, ALL), (CAPACITY - 1, 1)] {
            let done = self.read(first, count);
            let holds = done.is_ok() && self.is(first, count, 0);
            self.check(holds, format_args!("{count} sectors from {first}: {done:?}"));
        }
    }

    fn writes(&mut self) {
        for (first, count, salt) in [(TARGET, ALL, 1), (TARGET + 3, 1, 2), (TARGET + 10, 200, 3)] {
            self.fill(first, count, salt);
            let sectors = Sectors { first, count };
            let written = self.persist(|client, deadline| client.write(sectors, 0, deadline));
            let read = self.read(first, count);
            let holds = written.is_ok() && read.is_ok() && self.is(first, count, salt);
            self.check(holds, format_args!("{count} sectors to {first}: {written:?}, {read:?}"));
        }
        let read = self.read(TARGET, 3);
        let holds = read.is_ok() && self.is(TARGET, 3, 1);
        self.check(holds, format_args!("sectors beside what was written: {read:?}"));
        let flushed = self.persist(Client::flush);
        self.check(flushed.is_ok(), format_args!("a flush: {flushed:?}"));
    }

    fn refusals(&mut self) {
        for (first, count, offset) in [
            (CAPACITY, 1, 0),
            (CAPACITY - 1, 2, 0),
            (u64::MAX, 1, 0),
            (0, u64::MAX, 0),
            (0, 0, 0),
            (0, ALL + 1, 0),
            (0, 1, MEMORY_BYTES),
            (0, 1, MEMORY_BYTES - 8),
            (0, 1, 4),
            (0, 1, u64::MAX - 7),
        ] {
            let sectors = Sectors { first, count };
            let read = self.persist(|client, deadline| client.read(sectors, offset, deadline));
            let written = self.persist(|client, deadline| client.write(sectors, offset, deadline));
            let wrong = Err(Failure::Refused(Refusal::Wrong));
            let holds = read == wrong && written == wrong;
            self.check(holds, format_args!("{sectors:?} at {offset}: {read:?}, {written:?}"));
        }
    }

    fn discards(&mut self, disk: Disk) {
        let sectors = Sectors { first: 8192, count: 64 };
        let done = self.persist(|client, deadline| client.discard(sectors, deadline));
        let is_able = disk.abilities.contains(Abilities::DISCARD);
        let expected = if is_able { Ok(()) } else { Err(Failure::Refused(Refusal::Unable)) };
        self.check(done == expected, format_args!("a discard: {done:?}"));
    }
}

fn end(system: Handle, failures: u32) -> u32 {
    let reason = if failures == 0 { end_reason::TESTS_PASSED } else { end_reason::TESTS_FAILED };
    let _ = call(system, SystemEnd { reason, reserved: 0 });
    1
}

/// The process. It ends the machine.
pub fn program(start: &Start) -> u32 {
    let Some(system) = start.handle("system") else { return 1 };
    let Ok(info) = call(system, SystemInfo::default()) else { return 1 };
    let Some(channel) = start.handle("disk").map(Channel) else { return end(system, 1) };
    let client = match Client::new(channel, MEMORY_BYTES) {
        Ok(client) => client,
        Err(status) => {
            log::error!("no memory to share: {status}");
            return end(system, 1);
        }
    };
    let mut test = Test { client, servers: 0, ticks_second: info.tsc_hz.max(1), failures: 0, checks: 0 };
    let early = test.client.read(Sectors { first: 0, count: 1 }, 0, test.soon());
    let holds = early == Err(Failure::Refused(Refusal::NotConnected));
    test.check(holds, format_args!("a read before it is connected: {early:?}"));
    match test.connect() {
        Ok(disk) => {
            test.check(disk.capacity == CAPACITY, format_args!("{disk:?}"));
            let rounds = start.setting("rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
            for _ in 0..rounds {
                test.reads();
                test.writes();
                test.refusals();
                test.discards(disk);
            }
        }
        Err(failure) => test.check(false, format_args!("connecting: {failure:?}")),
    }
    log::info!("{} checks, {} failures, {} servers", test.checks, test.failures, test.servers);
    end(system, test.failures)
}

//! A device whose process ends those of other devices, at random moments, and counts what there is of
//! everything before and after.
//!
//! The guest writes to COUNT how often it is to do so, and reads there how often it still will. By init it is
//! `device killer process`, with `set victims NAME ...`, the names of the files of other devices, which the
//! devices themselves have; and it is granted `NAME.complaint` and `NAME.lives` of each, since init ends a
//! device that is complained of.
//!
//! A kill counts when another process has taken the place of the one that was ended.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use devices::acpi_entry::AcpiEntry;
use devices::capability::{Device, Missing, Platform, PortDevice, PortRange, Present, Width};
use runtime::abi::operation::{Handle, SystemInfo, SystemProcess};
use runtime::abi::process_record::ProcessRecord;
use runtime::event::Event;
use runtime::lives::Lives;
use runtime::shared::SharedMemory;
use runtime::syscall::tsc;
use runtime::{Start, call, thread};

use crate::faults::random;

const COUNT: u16 = 0x530;
const PORTS: &[PortRange] = &[PortRange { first: COUNT, count: 4 }];
/// Kills that are still to come.
static LEFT: AtomicU32 = AtomicU32::new(0);

/// Of the process: more urgent than devices and vCPUs, so that it interrupts them anywhere.
const PRIORITY: u32 = 2;
/// What a process has for the first time it keeps, so the first kills do not count.
const KILLS_BEFORE: u32 = 10;
/// The longest that a victim lives when it has begun: some are ended before they have.
const LIFE_MS: u64 = 40;
/// How long a process may take to take another's place, or to be as it was before.
const PATIENCE_MS: u64 = 60_000;
/// What a process is that runs ([`ProcessRecord`]).
const RUNS: u32 = 1;

/// The device.
pub struct Killer;

impl Device for Killer {
    const NAME: &'static str = "killer";
    type Ports = Present;
    type Mmio = Missing;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        Vec::new()
    }
}

impl PortDevice for Killer {
    fn ports(&self) -> &[PortRange] {
        PORTS
    }

    fn port_read(&mut self, _: u16, _: Width, _: &mut dyn Platform) -> u32 {
        LEFT.load(Ordering::SeqCst)
    }

    fn port_write(&mut self, _: u16, _: Width, value: u32, _: &mut dyn Platform) {
        LEFT.store(value, Ordering::SeqCst);
    }
}

/// Another device's process.
struct Victim {
    name: String,
    complaint: Event,
    lives: Lives,
    kills: u32,
}

struct Work {
    system: Handle,
    victims: Vec<Victim>,
    ticks_per_ms: u64,
    cpus: u32,
    /// Never signalled: to wait by.
    never: Event,
}

/// How much there is of everything.
#[derive(PartialEq, Eq)]
struct Census {
    free_kib: u64,
    handles: u32,
    threads: u32,
    processes: u32,
}

/// Starts the thread that kills, in the process of this device. Returns `false` if something is missing for
/// that.
pub fn begin(start: &Start) -> bool {
    let Some(work) = Work::of(start) else { return false };
    thread::spawn(work.cpus - 1, PRIORITY, move || work.run()).is_ok()
}

impl Work {
    fn of(start: &Start) -> Option<Self> {
        let system = start.handle("system")?;
        let info = call(system, SystemInfo::default()).ok()?;
        let victim = |name: &str| {
            let complaint = Event(start.handle(&alloc::format!("{name}.complaint"))?);
            let lives = Lives::map(SharedMemory(start.handle(&alloc::format!("{name}.lives"))?)).ok()?;
            Some(Victim { name: name.to_string(), complaint, lives, kills: 0 })
        };
        Some(Self {
            system,
            victims: start.setting("victims")?.split(' ').map(victim).collect::<Option<_>>()?,
            ticks_per_ms: info.tsc_hz / 1000,
            cpus: info.cpus.max(1),
            never: Event::try_new().ok()?,
        })
    }

    fn run(mut self) {
        while LEFT.load(Ordering::SeqCst) == 0 {
            self.sleep_ms(10);
        }
        for _ in 0..KILLS_BEFORE {
            self.kill();
        }
        let before = self.settled_census(None);
        self.log("before the kills", &before);
        while LEFT.load(Ordering::SeqCst) > 1 {
            self.kill();
            LEFT.fetch_sub(1, Ordering::SeqCst);
        }
        self.kill();
        let after = self.settled_census(Some(&before));
        for Victim { name, kills, .. } in &self.victims {
            log::info!("killer: {name} was ended {kills} times");
        }
        self.log("after the kills", &after);
        // Only now: the guest may end the machine when it reads this.
        LEFT.store(0, Ordering::SeqCst);
    }

    fn sleep_ms(&self, ms: u64) {
        // The only way that this ends.
        let _ = self.never.wait_until(tsc().saturating_add(ms * self.ticks_per_ms));
    }

    /// Has a victim ended, at a moment by chance, and waits until there is another in its place.
    fn kill(&mut self) {
        let micros = random() % (LIFE_MS * 1000);
        let _ = self.never.wait_until(tsc().saturating_add(micros * self.ticks_per_ms / 1000));
        let which = random() as usize % self.victims.len();
        let Some(Victim { name, complaint, lives, .. }) = self.victims.get(which) else { return };
        let serial = |record: &ProcessRecord| record.serial;
        let before = self.process(name).as_ref().map(serial);
        // The process that there is: its owner may have complained of it as well, and then it ends once.
        lives.complain_of(lives.present());
        if let Err(status) = complaint.signal() {
            log::error!("killer: {name} cannot be complained of: {status}");
        }
        let is_another = || {
            let now = self.process(name).filter(|record| record.state == RUNS);
            now.is_some_and(|record| Some(record.serial) > before)
        };
        if !self.comes_true(is_another) {
            log::error!("killer: nobody takes the place of {name}");
        }
        if let Some(victim) = self.victims.get_mut(which) {
            victim.kills += 1;
        }
    }

    fn comes_true(&self, is_true: impl Fn() -> bool) -> bool {
        let end = tsc().saturating_add(PATIENCE_MS * self.ticks_per_ms);
        while !is_true() {
            if tsc() > end {
                return false;
            }
            self.sleep_ms(1);
        }
        true
    }

    /// All processes. One that ends meanwhile is counted or is not.
    fn processes(&self) -> impl Iterator<Item = ProcessRecord> {
        let mut serial = 0;
        core::iter::from_fn(move || {
            let mut record = ProcessRecord::default();
            let address = (&raw mut record) as u64;
            let found = call(self.system, SystemProcess { serial, address }).ok()?;
            serial = found.serial + 1;
            Some(record)
        })
    }

    /// The youngest process of that name.
    fn process(&self, name: &str) -> Option<ProcessRecord> {
        let is_named = |record: &ProcessRecord| {
            let named = record.name.iter().take_while(|byte| **byte != 0);
            named.eq(name.as_bytes())
        };
        self.processes().filter(is_named).last()
    }

    /// What there is when each victim is whole, with a thread on each processor; with as many handles,
    /// threads and processes as `wanted`, if that comes.
    fn settled_census(&self, wanted: Option<&Census>) -> Census {
        let is_whole = |victim: &Victim| {
            let record = self.process(&victim.name);
            record.is_some_and(|record| record.state == RUNS && record.threads == self.cpus)
        };
        let counts = |census: &Census| (census.handles, census.threads, census.processes);
        let is_settled = || {
            self.victims.iter().all(is_whole)
                && wanted.is_none_or(|wanted| counts(wanted) == counts(&self.census()))
        };
        if !self.comes_true(is_settled) {
            log::error!("killer: it does not become as it was before");
        }
        self.census()
    }

    fn census(&self) -> Census {
        let free_bytes = call(self.system, SystemInfo::default()).map_or(0, |info| info.free_bytes);
        let none = Census { free_kib: free_bytes >> 10, handles: 0, threads: 0, processes: 0 };
        self.processes().fold(none, |sum, record| Census {
            handles: sum.handles + record.handles,
            threads: sum.threads + record.threads,
            processes: sum.processes + 1,
            ..sum
        })
    }

    fn log(&self, when: &str, census: &Census) {
        let Census { free_kib, handles, threads, processes } = census;
        log::info!(
            "killer: {when}: {free_kib} KiB free, {handles} handles, {threads} threads, {processes} processes"
        );
    }
}

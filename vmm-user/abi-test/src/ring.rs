//! A batch of operations in memory that two processes share: every entry comes, in order, and most of them
//! without a call.

use runtime::abi::operation::{Permissions, Rights};
use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::shared::SharedMemory;
use runtime::{Start, process};
use shared_ring::{Consumer, ENTRY_WORDS, Entry, Producer};

use crate::child::Child;
use crate::suite::Suite;

const BYTES: u64 = 2 * 4096;
const ENTRIES: u64 = 5000;
/// How many entries are shown at a time.
const BATCH: u64 = 16;
/// No word of an entry, and what follows in the entry.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

fn entry(number: u64) -> Entry {
    core::array::from_fn(|index| (number * ENTRY_WORDS as u64 + index as u64).wrapping_mul(FACTOR))
}

/// Both on one processor, and on two.
pub fn test(suite: &mut Suite<'_>) {
    for cpu in [0, suite.cpus - 1] {
        let run = produce(suite, cpu);
        suite.check(matches!(run, Ok((0, _))), format_args!("a ring to a process on cpu{cpu}: {run:?}"));
        // On one processor the other side sleeps until there is a batch, at most.
        let few = run.is_ok_and(|(_, bells)| bells <= ENTRIES / BATCH + 1);
        suite.check(few, format_args!("signals for {ENTRIES} entries to cpu{cpu}: {run:?}"));
    }
}

/// Puts all entries in; the child's exit code, and how often it had to be woken.
fn produce(suite: &Suite<'_>, cpu: u32) -> Result<(u32, u64), Status> {
    let shared = SharedMemory::try_new(BYTES)?;
    let (bell, room) = (Event::try_new()?, Event::try_new()?);
    let child = Child::new(suite, "ring")?
        .grant("shared", shared.0, Rights::READ | Rights::WRITE | Rights::MAP)?
        .grant("bell", bell.0, Rights::WAIT)?
        .grant("room", room.0, Rights::SIGNAL)?
        .start(cpu, 2)?;
    let mapping = shared.map(Permissions::READ | Permissions::WRITE)?;
    let mut producer = Producer::new(mapping.words()).ok_or(Status::NotFound)?;
    let mut bells = 0;
    let mut show = |producer: &mut Producer<'_>| {
        let wake = producer.publish();
        bells += u64::from(wake);
        if wake { bell.signal() } else { Ok(()) }
    };
    for number in 0..ENTRIES {
        while producer.put(&entry(number)).is_err() {
            show(&mut producer)?;
            if producer.sleeps().map_err(|_| Status::WrongState)? {
                room.wait_until(suite.in_us(20_000_000))?;
            }
            producer.wake();
        }
        if number % BATCH == BATCH - 1 {
            show(&mut producer)?;
        }
    }
    show(&mut producer)?;
    let code = child.join(suite)?.code;
    drop(mapping);
    [shared.0, bell.0, room.0].into_iter().try_for_each(process::close)?;
    Ok((code, bells))
}

/// The child: takes all of them out.
pub fn consumer(start: &Start) -> u32 {
    let run = || -> Result<u32, Status> {
        let [shared, bell, room] =
            ["shared", "bell", "room"].map(|name| start.handle(name).unwrap_or_default());
        let mapping = SharedMemory(shared).map(Permissions::READ | Permissions::WRITE)?;
        let mut consumer = Consumer::new(mapping.words()).ok_or(Status::NotFound)?;
        for number in 0..ENTRIES {
            let found = loop {
                match consumer.take() {
                    Ok(Some(found)) => break found,
                    Ok(None) => {}
                    Err(_) => return Ok(2),
                }
                if consumer.release() {
                    Event(room).signal()?;
                }
                if consumer.sleeps().map_err(|_| Status::WrongState)? {
                    Event(bell).wait()?;
                }
                consumer.wake();
            };
            if found != entry(number) {
                return Ok(3);
            }
        }
        Ok(0)
    };
    run().unwrap_or(1)
}

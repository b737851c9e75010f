//! Requests of the client, on the disk.

use block_link::{Abilities, Refusal, Reply, Request, SECTOR_BYTES, Sectors, reply_to_words};
use host_virtio::DriverError;
use host_virtio::block::{self, Disk, Features, SECTORS_MAX};
use runtime::abi::message::Message;
use runtime::abi::operation::{Handle, Permissions};
use runtime::abi::status::Status;
use runtime::channel::Endpoint;
use runtime::serve::Outcome;
use runtime::shared::{SharedMapping, SharedMemory};

/// Words of a sector.
const SECTOR_WORDS: usize = SECTOR_BYTES as usize / 8;

fn describe(disk: &Disk) -> block_link::Disk {
    let mut abilities = Abilities::empty();
    abilities.set(Abilities::WRITE, !disk.features.contains(Features::READ_ONLY));
    abilities.set(
        Abilities::DISCARD,
        // To discard sectors changes what is read of them: it takes a disk that may be written.
        abilities.contains(Abilities::WRITE) && disk.features.contains(Features::DISCARD),
    );
    block_link::Disk { capacity: disk.capacity, abilities }
}

fn refusal(outcome: block::Outcome) -> Reply {
    match outcome {
        block::Outcome::Done => Ok(None),
        block::Outcome::Failed => Err(Refusal::Failed),
    }
}

/// Maps the memory that a client passes.
fn map(handle: Handle) -> Result<SharedMapping, Status> {
    SharedMemory(handle).map(Permissions::READ | Permissions::WRITE)
}

/// Which way data go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    FromDisk,
    ToDisk,
}

/// Reads or writes, in as many requests to the device as it takes.
fn transfer(
    disk: &mut Disk,
    memory: Option<&SharedMapping>,
    sectors: Sectors,
    offset: u64,
    way: Way,
) -> Result<Reply, DriverError> {
    let Some(memory) = memory else { return Ok(Err(Refusal::NotConnected)) };
    let about = describe(disk);
    if way == Way::ToDisk && !about.abilities.contains(Abilities::WRITE) {
        return Ok(Err(Refusal::Unable));
    }
    // The client may change these at any time, to its own harm alone: nothing here is decided by them.
    let words = memory.words();
    let data = sectors.words(offset, size_of_val(words) as u64).and_then(|range| words.get(range));
    let Some(data) = data.filter(|_| sectors.are_of(&about)) else { return Ok(Err(Refusal::Wrong)) };
    let mut sector = sectors.first;
    for piece in data.chunks(SECTORS_MAX as usize * SECTOR_WORDS) {
        let outcome = match way {
            Way::FromDisk => disk.read(sector, piece)?,
            Way::ToDisk => disk.write(sector, piece)?,
        };
        // The pieces before are done. A client that repeats the request does them again, which changes
        // nothing.
        if outcome != block::Outcome::Done {
            return Ok(refusal(outcome));
        }
        sector += SECTORS_MAX;
    }
    Ok(Ok(None))
}

fn discard(disk: &mut Disk, sectors: Sectors) -> Result<Reply, DriverError> {
    let about = describe(disk);
    // A segment of the device's has 32 bits for it (virtio 1.2, 5.2.6).
    let count = u32::try_from(sectors.count).ok().filter(|_| sectors.are_of(&about));
    match count {
        _ if !about.abilities.contains(Abilities::DISCARD) => Ok(Err(Refusal::Unable)),
        None => Ok(Err(Refusal::Wrong)),
        Some(count) => disk.discard(sectors.first, count).map(refusal),
    }
}

/// Does what a message asks.
fn execute(
    disk: &mut Disk,
    memory: &mut Option<SharedMapping>,
    message: &Message,
) -> Result<Reply, DriverError> {
    match Request::from_words(&message.words) {
        Some(Request::Connect) => match map(message.handles[0]) {
            Ok(mapping) => {
                // The mapping of before goes: a client that connects again and again has one only.
                *memory = Some(mapping);
                Ok(Ok(Some(describe(disk))))
            }
            Err(_) => Ok(Err(Refusal::Wrong)),
        },
        Some(Request::Read { sectors, offset }) => {
            transfer(disk, memory.as_ref(), sectors, offset, Way::FromDisk)
        }
        Some(Request::Write { sectors, offset }) => {
            transfer(disk, memory.as_ref(), sectors, offset, Way::ToDisk)
        }
        Some(Request::Flush) => disk.flush().map(refusal),
        Some(Request::Discard(sectors)) => discard(disk, sectors),
        None => Ok(Err(Refusal::Wrong)),
    }
}

/// Serves until the disk, or the endpoint, cannot be worked with any more. Returns why. `requests`: how many
/// calls are waited for, if not all.
pub fn serve(disk: &mut Disk, endpoint: Endpoint, requests: Option<u32>) -> DriverError {
    let mut memory = None;
    let mut calls = 0;
    runtime::serve::serve(endpoint, |message| {
        // For tests: a request without time ends as one at a device that is silent.
        if requests == Some(calls) {
            disk.request_ticks = 0;
        }
        calls = calls.wrapping_add(1);
        let done = execute(disk, &mut memory, message);
        // After an error of the disk's the client still gets its reply.
        Outcome { words: reply_to_words(done.unwrap_or(Err(Refusal::Failed))), given: 0, end: done.err() }
    })
}

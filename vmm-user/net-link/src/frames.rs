//! Frames on their way: a sender and a receiver of one direction.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use shared_ring::{Consumer, ENTRY_WORDS, Entry, HEADER_WORDS, Nonsense, Producer};

use crate::{FRAMES, MEMORY_BYTES, SLOT_BYTES, SLOTS_AT, WAY_BYTES};

const SLOT_WORDS: usize = SLOT_BYTES / 8;
const RING_WORDS: usize = HEADER_WORDS + FRAMES * ENTRY_WORDS;

/// The ring and the slots of a way.
fn parts(way: &[AtomicU64]) -> Option<(&[AtomicU64], &[AtomicU64])> {
    Some((way.get(..RING_WORDS)?, way.get(SLOTS_AT / 8..WAY_BYTES / 8)?))
}

/// The words of both ways, the client's first.
fn ways(memory: &[AtomicU64]) -> Option<(&[AtomicU64], &[AtomicU64])> {
    memory.get(..MEMORY_BYTES / 8)?.split_at_checked(WAY_BYTES / 8)
}

/// The slot of an entry, by how many there were before it.
fn slot(slots: &[AtomicU64], number: u64) -> Option<&[AtomicU64]> {
    // By the count of this side alone: the other one could name a slot that is not its own.
    let first = (number % FRAMES as u64) as usize * SLOT_WORDS;
    slots.get(first..first + SLOT_WORDS)
}

/// The side that sends frames.
pub struct Sender<'a> {
    ring: Producer<'a>,
    slots: &'a [AtomicU64],
    /// How many were ever put in, as this side counts.
    put: u64,
    sleeps: bool,
}

/// The side that receives them.
pub struct Receiver<'a> {
    ring: Consumer<'a>,
    slots: &'a [AtomicU64],
    taken: u64,
    sleeps: bool,
}

/// A frame that has come. The other side may change it until it is released, and after that it is gone.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its slot.
    pub words: &'a [AtomicU64],
    /// Its size: 1 to [`SLOT_BYTES`].
    pub bytes: usize,
}

impl<'a> Sender<'a> {
    fn new(way: &'a [AtomicU64]) -> Option<Self> {
        let (ring, slots) = parts(way)?;
        Some(Self { ring: Producer::new(ring)?, slots, put: 0, sleeps: false })
    }

    /// The client's sender and receiver. `None`: the memory is too small.
    pub fn of_client(memory: &'a [AtomicU64]) -> Option<(Self, Receiver<'a>)> {
        let (to_server, to_client) = ways(memory)?;
        Some((Self::new(to_server)?, Receiver::new(to_client)?))
    }

    /// The server's, over the same memory.
    pub fn of_server(memory: &'a [AtomicU64]) -> Option<(Self, Receiver<'a>)> {
        let (to_server, to_client) = ways(memory)?;
        Some((Self::new(to_client)?, Receiver::new(to_server)?))
    }

    /// The slot for the next frame. `None`: there is no room; the receiver will signal when there is.
    ///
    /// # Errors
    /// What the receiver says is not possible.
    pub fn room(&mut self) -> Result<Option<&'a [AtomicU64]>, Nonsense> {
        // Said first, and then looked once more: room that was made in between is told by no signal.
        if !self.ring.has_room()? {
            self.sleeps = true;
            if self.ring.sleeps()? {
                return Ok(None);
            }
        }
        if core::mem::take(&mut self.sleeps) {
            self.ring.wake();
        }
        slot(self.slots, self.put).ok_or(Nonsense).map(Some)
    }

    /// Puts a frame in, of so many bytes, that was written to the slot that [`room`](Self::room) gave. One of
    /// no bytes, or of more than a slot has, is dropped.
    ///
    /// # Errors
    /// There is no room.
    pub fn put(&mut self, bytes: usize) -> Result<(), Nonsense> {
        if !(1..=SLOT_BYTES).contains(&bytes) {
            return Ok(());
        }
        let mut entry = Entry::default();
        entry[0] = bytes as u64;
        self.ring.put(&entry).map_err(|_| Nonsense)?;
        self.put = self.put.wrapping_add(1);
        Ok(())
    }

    /// Shows the receiver all that was put in. Returns whether it is to be signalled.
    #[must_use]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }
}

impl<'a> Receiver<'a> {
    fn new(way: &'a [AtomicU64]) -> Option<Self> {
        let (ring, slots) = parts(way)?;
        Some(Self { ring: Consumer::new(ring)?, slots, taken: 0, sleeps: false })
    }

    /// Whether a frame has come. If not, the sender will signal when one has.
    ///
    /// # Errors
    /// What the sender says is not possible.
    pub fn has_frame(&mut self) -> Result<bool, Nonsense> {
        // As for room: a frame that came before this was said is found by the second look.
        if !self.ring.has_entry()? {
            self.sleeps = true;
            if self.ring.sleeps()? {
                return Ok(false);
            }
        }
        if core::mem::take(&mut self.sleeps) {
            self.ring.wake();
        }
        Ok(true)
    }

    /// Takes the next frame, if there is one.
    ///
    /// # Errors
    /// What the sender says is not possible, or no frame.
    pub fn take(&mut self) -> Result<Option<Frame<'a>>, Nonsense> {
        let Some([bytes, rest @ ..]) = self.ring.take()? else { return Ok(None) };
        let words = slot(self.slots, self.taken).ok_or(Nonsense)?;
        self.taken = self.taken.wrapping_add(1);
        // The entry was copied: what is checked here is what is used.
        let bytes = usize::try_from(bytes).ok().filter(|bytes| (1..=SLOT_BYTES).contains(bytes));
        match bytes {
            Some(bytes) if rest == [0; ENTRY_WORDS - 1] => Ok(Some(Frame { words, bytes })),
            _ => Err(Nonsense),
        }
    }

    /// Gives the sender the room of all frames that were taken. Returns whether it is to be signalled.
    #[must_use]
    pub fn release(&mut self) -> bool {
        self.ring.release()
    }
}

/// Copies bytes to words; those that do not fit are dropped, and the last word is filled with zeroes.
pub fn write_bytes(words: &[AtomicU64], bytes: &[u8]) {
    for (word, chunk) in words.iter().zip(bytes.chunks(8)) {
        // The rest of the last word is zero: what an earlier frame left there is nobody's to read.
        let mut eight = [0; 8];
        eight.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        word.store(u64::from_le_bytes(eight), Relaxed);
    }
}

/// Copies words to bytes, as many as there are of both.
pub fn read_bytes(words: &[AtomicU64], bytes: &mut [u8]) {
    for (word, chunk) in words.iter().zip(bytes.chunks_mut(8)) {
        let eight = word.load(Relaxed).to_le_bytes();
        chunk.iter_mut().zip(eight).for_each(|(to, from)| *to = from);
    }
}

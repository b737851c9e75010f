//! Submission and completion queues (NVM Express 1.4, 4.1).

use devices::guest_memory::{GuestMemory, NotMemory};

use crate::command::{Command, Ticket};
use crate::spec::{COMMAND_BYTES, COMPLETION_BYTES, Status};

/// A value that must not be written to a doorbell. To blame: the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadDoorbell;

/// Where a ring is, and which entries of it are in use.
#[derive(Clone, Copy, Debug)]
struct Ring {
    base: u64,
    entries: u16,
    head: u16,
    tail: u16,
}

impl Ring {
    fn after(&self, index: u16) -> u16 {
        if index + 1 >= self.entries { 0 } else { index + 1 }
    }

    /// How many entries there are from one index to another.
    fn between(&self, from: u16, to: u16) -> u16 {
        if to >= from { to - from } else { self.entries - from + to }
    }

    fn used(&self) -> u16 {
        self.between(self.head, self.tail)
    }

    /// An index by a doorbell.
    fn index(&self, value: u32) -> Result<u16, BadDoorbell> {
        u16::try_from(value).ok().filter(|index| *index < self.entries).ok_or(BadDoorbell)
    }

    fn place(&self, index: u16, bytes: u64) -> u64 {
        // The guest says where a ring is: one at the end of all addresses is not memory.
        self.base.wrapping_add(u64::from(index) * bytes)
    }
}

/// A queue of commands.
#[derive(Clone, Copy, Debug)]
pub struct SubmissionQueue {
    ring: Ring,
    /// The completion queue that it belongs to.
    pub completion: u16,
    /// It is being deleted: nothing more is taken from it.
    pub is_ending: bool,
}

impl SubmissionQueue {
    /// An empty queue with 2 to [`crate::spec::ENTRIES_MAX`] entries.
    pub fn new(base: u64, entries: u16, completion: u16) -> Self {
        Self { ring: Ring { base, entries, head: 0, tail: 0 }, completion, is_ending: false }
    }

    /// Whether there is a command to take.
    pub fn has_command(&self) -> bool {
        self.ring.used() > 0 && !self.is_ending
    }

    /// Where the next command is taken from, which completions tell.
    pub fn head(&self) -> u16 {
        self.ring.head
    }

    /// The doorbell: commands were added.
    ///
    /// # Errors
    /// When the index is none, or there was no room for as many commands.
    pub fn set_tail(&mut self, value: u32) -> Result<(), BadDoorbell> {
        let tail = self.ring.index(value)?;
        // One entry is always free, or a full queue would look empty.
        if self.ring.between(self.ring.tail, tail) >= self.ring.entries - self.ring.used() {
            return Err(BadDoorbell);
        }
        self.ring.tail = tail;
        Ok(())
    }

    /// Takes a command.
    ///
    /// # Errors
    /// When the queue is not memory.
    pub fn take(&mut self, memory: &impl GuestMemory) -> Result<Command, NotMemory> {
        let mut bytes = [0; COMMAND_BYTES];
        memory.read(self.ring.place(self.ring.head, COMMAND_BYTES as u64), &mut bytes)?;
        self.ring.head = self.ring.after(self.ring.head);
        Ok(Command::new(bytes))
    }
}

/// A queue of completions.
#[derive(Clone, Copy, Debug)]
pub struct CompletionQueue {
    ring: Ring,
    /// The phase tag of the entries that are written now.
    phase: bool,
    /// The interrupt vector, if interrupts are enabled.
    pub vector: Option<u16>,
    /// Commands under way, each of which has to find room here.
    reserved: u16,
    /// Something was posted since the last interrupt.
    pub is_touched: bool,
}

impl CompletionQueue {
    /// An empty queue with 2 to [`crate::spec::ENTRIES_MAX`] entries.
    pub fn new(base: u64, entries: u16, vector: Option<u16>) -> Self {
        let ring = Ring { base, entries, head: 0, tail: 0 };
        Self { ring, phase: true, vector, reserved: 0, is_touched: false }
    }

    /// Keeps room for one more entry, if there is any.
    pub fn reserve(&mut self) -> bool {
        let has_room = self.ring.used() + self.reserved < self.ring.entries - 1;
        self.reserved += u16::from(has_room);
        has_room
    }

    /// Gives such room back.
    pub fn release(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Whether there are entries that the driver has not taken.
    pub fn has_entries(&self) -> bool {
        self.ring.used() > 0
    }

    /// The doorbell: the driver has taken entries.
    ///
    /// # Errors
    /// When the index is none, or there were not as many entries.
    pub fn set_head(&mut self, value: u32) -> Result<(), BadDoorbell> {
        let head = self.ring.index(value)?;
        if self.ring.between(self.ring.head, head) > self.ring.used() {
            return Err(BadDoorbell);
        }
        self.ring.head = head;
        Ok(())
    }

    /// Posts an entry, for which there has to be room. `head`: the submission queue's.
    ///
    /// # Errors
    /// When the queue is not memory.
    pub fn post(
        &mut self,
        memory: &impl GuestMemory,
        ticket: Ticket,
        head: u16,
        (result, status): (u32, Status),
    ) -> Result<(), NotMemory> {
        let words = u128::from(result)
            | u128::from(head) << 64
            | u128::from(ticket.queue) << 80
            | u128::from(ticket.id) << 96;
        let at = self.ring.place(self.ring.tail, COMPLETION_BYTES);
        let entry: [u8; 14] = words.to_le_bytes().first_chunk().copied().unwrap_or_default();
        memory.write(at, &entry)?;
        // The phase tag last: by it another processor, which looks at the entry meanwhile, sees that it is
        // there.
        memory.store_u16(at.wrapping_add(14), status.field() << 1 | u16::from(self.phase))?;
        self.ring.tail = self.ring.after(self.ring.tail);
        // The tags of the next round are the others.
        self.phase ^= self.ring.tail == 0;
        self.is_touched = true;
        Ok(())
    }
}

//! The controller: its queues, and which commands it takes from them.

use alloc::vec::Vec;

use devices::disk::{Backend, SECTOR_BYTES};
use devices::guest_memory::{GuestMemory, NotMemory};

use crate::command::{Command, Ticket};
use crate::events::{DoorbellError, Events};
use crate::features::Features;
use crate::io::{Ended, Io, Owner};
use crate::logs::Errors;
use crate::queue::{BadDoorbell, CompletionQueue, SubmissionQueue};
use crate::registers::{Registers, Wish};
use crate::spec::{QUEUES_MAX, Status, csts};
use crate::task::{About, Task};

/// What is said of a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvmeConfig {
    /// What the guest is told as serial number; of more than 20 bytes the first 20.
    pub serial: Vec<u8>,
    /// How many I/O queues of each kind there may be, 1 to 64.
    pub queues: u16,
}

/// How far a shutdown is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shutdown {
    #[default]
    No,
    /// The flush has not begun.
    Wanted,
    /// It has, or is over.
    Flushing,
}

/// A controller with its disk, in a guest whose memory is an `M`.
pub struct Controller<B, M> {
    // Configuration.
    pub(crate) config: NvmeConfig,
    pub(crate) memory: M,
    // Glue.
    pub(crate) io: Io<B>,
    /// How many interrupt vectors there are; one, 0, while they go by the pin.
    pub(crate) vectors: u16,
    // Volatile state.
    pub(crate) registers: Registers,
    /// Queues by their numbers; 0 is the admin queue.
    pub(crate) submissions: Vec<Option<SubmissionQueue>>,
    pub(crate) completions: Vec<Option<CompletionQueue>>,
    pub(crate) features: Features,
    pub(crate) events: Events,
    pub(crate) errors: Errors,
    /// Commands to delete a queue that wait for its last command.
    pub(crate) deletions: Vec<(u16, Ticket)>,
    /// The queue whose turn it is.
    turn: usize,
    shutdown: Shutdown,
}

/// A queue of that number, if there is one.
fn queue<T>(queues: &mut [Option<T>], id: u16) -> Option<&mut T> {
    queues.get_mut(usize::from(id)).and_then(Option::as_mut)
}

fn no_queues<T>(count: u16) -> Vec<Option<T>> {
    (0..=count).map(|_| None).collect()
}

impl<B: Backend, M: GuestMemory> Controller<B, M> {
    /// A controller that its driver has not touched.
    pub fn new(backend: B, memory: M, mut config: NvmeConfig) -> Self {
        config.queues = config.queues.clamp(1, QUEUES_MAX);
        Self {
            memory,
            io: Io::new(backend),
            vectors: 1,
            registers: Registers::default(),
            submissions: no_queues(config.queues),
            completions: no_queues(config.queues),
            config,
            features: Features::default(),
            events: Events::default(),
            errors: Errors::default(),
            deletions: Vec::new(),
            turn: 0,
            shutdown: Shutdown::No,
        }
    }

    /// What commands are held against.
    pub(crate) fn about(&self) -> About {
        let backend = self.io.backend();
        About {
            bytes: backend.bytes() / SECTOR_BYTES * SECTOR_BYTES,
            is_read_only: backend.is_read_only(),
            has_cache: self.features.has_write_cache,
        }
    }

    /// A store of a dword to a register.
    pub fn register_write(&mut self, offset: u64, value: u32) {
        match self.registers.write(offset, value) {
            Wish::Nothing => {}
            Wish::Enable => self.enable(),
            Wish::Reset => self.reset(),
            Wish::Shutdown => {
                self.shutdown = Shutdown::Wanted;
                self.registers.status &= !csts::SHUTDOWN_COMPLETE;
                self.registers.status |= csts::SHUTDOWN_OCCURRING;
            }
        }
    }

    fn enable(&mut self) {
        let Some([submission, completion]) = self.registers.admin_queues() else {
            self.registers.status |= csts::FATAL;
            return;
        };
        if let Some(place) = self.submissions.first_mut() {
            *place = Some(SubmissionQueue::new(submission.0, submission.1, 0));
        }
        if let Some(place) = self.completions.first_mut() {
            // Its interrupts are always enabled, by vector 0.
            *place = Some(CompletionQueue::new(completion.0, completion.1, Some(0)));
        }
        self.registers.status |= csts::READY;
    }

    /// All is as it was at first, but for the admin queues' registers (7.3.2). Under the lock that accesses
    /// take: once the driver reads that the controller is not ready, nothing of before writes its memory.
    fn reset(&mut self) {
        self.io.reset();
        self.registers.reset();
        self.submissions.fill(None);
        self.completions.fill(None);
        self.features = Features::default();
        self.events = Events::default();
        self.deletions.clear();
        (self.turn, self.shutdown) = (0, Shutdown::No);
    }

    /// A store to a doorbell: that of the submission queue `index / 2`, or of the completion queue.
    pub fn doorbell(&mut self, index: u64, value: u32) {
        if !self.registers.is_ready() {
            return;
        }
        let id = u16::try_from(index / 2).unwrap_or(u16::MAX);
        let written = match index % 2 {
            0 => queue(&mut self.submissions, id).map(|queue| queue.set_tail(value)),
            _ => queue(&mut self.completions, id).map(|queue| queue.set_head(value)),
        };
        match written {
            Some(Ok(())) => {}
            Some(Err(BadDoorbell)) => self.events.raise(DoorbellError::Value),
            None => self.events.raise(DoorbellError::NoQueue),
        }
    }

    /// Does all that can be done now. After a fatal error nothing is, until a reset.
    pub fn run(&mut self) {
        if self.registers.is_ready() && self.serve().is_err() {
            // From here on nothing of the driver's memory is touched (`is_ready`).
            self.registers.status |= csts::FATAL;
        }
    }

    fn serve(&mut self) -> Result<(), NotMemory> {
        loop {
            while let Some(ended) = self.io.take_ended(&self.memory) {
                self.end(ended)?;
            }
            self.begin_shutdown()?;
            self.finish_deletions()?;
            self.tell_events()?;
            if !self.take_command()? {
                return Ok(());
            }
        }
    }

    /// Takes the next command, of the queue whose turn it is. Returns whether there was one.
    fn take_command(&mut self) -> Result<bool, NotMemory> {
        let count = self.submissions.len();
        for id in (self.turn..count).chain(0..self.turn) {
            let is_admin = id == 0;
            let Some(Some(submission)) = self.submissions.get_mut(id) else { continue };
            // A command is taken when its completion has a place, and its data have.
            if !submission.has_command() || !is_admin && !self.io.has_room() {
                continue;
            }
            let completion = queue(&mut self.completions, submission.completion);
            if !completion.is_some_and(CompletionQueue::reserve) {
                continue;
            }
            let command = submission.take(&self.memory)?;
            self.turn = if id + 1 < count { id + 1 } else { 0 };
            let ticket = Ticket { queue: id as u16, id: command.id() };
            if is_admin {
                self.carry_out(ticket, &command)?
            } else {
                self.begin(ticket, &command)?
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Begins an I/O command.
    fn begin(&mut self, ticket: Ticket, command: &Command) -> Result<(), NotMemory> {
        let ended = match Task::new(command, &self.memory, &self.about()) {
            Ok(task) => self.io.begin(Owner::Command(ticket), task, &self.memory),
            Err(status) => Some((Owner::Command(ticket), status)),
        };
        ended.map_or(Ok(()), |ended| self.end(ended))
    }

    fn end(&mut self, (owner, status): Ended) -> Result<(), NotMemory> {
        match owner {
            Owner::Command(ticket) => self.complete(ticket, Err(status)),
            Owner::Shutdown => {
                self.registers.status &= !csts::SHUTDOWN_OCCURRING;
                self.registers.status |= csts::SHUTDOWN_COMPLETE;
                Ok(())
            }
        }
    }

    /// Posts the completion of a command that room was kept for. `result`: what it gives, or its status.
    pub(crate) fn complete(&mut self, ticket: Ticket, result: Result<u32, Status>) -> Result<(), NotMemory> {
        let Some(submission) = queue(&mut self.submissions, ticket.queue) else { return Ok(()) };
        let (head, id) = (submission.head(), submission.completion);
        let Some(completion) = queue(&mut self.completions, id) else { return Ok(()) };
        completion.release();
        let status = result.err().unwrap_or(Status::SUCCESS);
        if status != Status::SUCCESS {
            self.errors.record(ticket, status);
        }
        completion.post(&self.memory, ticket, head, (result.unwrap_or(0), status))
    }

    /// What was written is on the medium before the driver hears that the shutdown is complete (7.6.2).
    fn begin_shutdown(&mut self) -> Result<(), NotMemory> {
        // Behind all other jobs, which the back end may do in any order.
        if self.shutdown != Shutdown::Wanted || !self.io.is_idle() {
            return Ok(());
        }
        self.shutdown = Shutdown::Flushing;
        let ended = self.io.begin(Owner::Shutdown, Task::FLUSH, &self.memory);
        ended.map_or(Ok(()), |ended| self.end(ended))
    }

    /// A queue is gone when its last command is done (5.6).
    fn finish_deletions(&mut self) -> Result<(), NotMemory> {
        let io = &self.io;
        let is_over = |(id, _): &(u16, Ticket)| !io.has_commands_of(*id);
        let over: Vec<_> = self.deletions.extract_if(.., |deletion| is_over(deletion)).collect();
        for (id, ticket) in over {
            if let Some(place) = self.submissions.get_mut(usize::from(id)) {
                *place = None;
            }
            self.complete(ticket, Ok(0))?;
        }
        Ok(())
    }

    /// Tells of events, as far as the admin queue has room.
    fn tell_events(&mut self) -> Result<(), NotMemory> {
        // The requests have no room of their own: they may be kept for ever.
        while self.events.has_next() && queue(&mut self.completions, 0).is_some_and(CompletionQueue::reserve)
        {
            let Some((id, result)) = self.events.take() else { return Ok(()) };
            self.complete(Ticket { queue: 0, id }, result)?;
        }
        Ok(())
    }

    /// Vectors of completion queues with new entries, once.
    pub fn take_touched(&mut self) -> impl Iterator<Item = u16> {
        let touched = self.completions.iter_mut().flatten();
        touched.filter_map(|queue| core::mem::take(&mut queue.is_touched).then_some(queue.vector).flatten())
    }

    /// Whether the interrupt pin is wanted: a queue whose vector is not masked has entries (7.5.1).
    pub fn wants_pin(&self) -> bool {
        let mask = self.registers.mask;
        let is_masked = |vector: u16| 1u32.checked_shl(vector.into()).is_some_and(|bit| mask & bit != 0);
        self.completions
            .iter()
            .flatten()
            .any(|queue| queue.has_entries() && queue.vector.is_some_and(|vector| !is_masked(vector)))
    }
}

//! Admin commands (NVM Express 1.4, 5).

use devices::disk::{Backend, SECTOR_BYTES};
use devices::guest_memory::{GuestMemory, NotMemory};

use crate::command::{Command, Ticket};
use crate::controller::Controller;
use crate::features::Limits;
use crate::identify::{self, identify};
use crate::logs;
use crate::prp::Buffer;
use crate::queue::{CompletionQueue, SubmissionQueue};
use crate::spec::{ENTRIES_MAX, PAGE_BYTES, Status, admin};

/// Create: the queue is contiguous.
const CONTIGUOUS: u16 = 1 << 0;
/// Create I/O Completion Queue: interrupts are enabled.
const INTERRUPTS: u16 = 1 << 1;
/// Get Log Page: the event that the page is about stays.
const RETAIN: u32 = 1 << 15;
/// Abort's result: the command was not aborted.
const NOT_ABORTED: u32 = 1;

/// How a command ends.
enum Outcome {
    /// With this result.
    Done(u32),
    /// Later.
    Kept,
}

impl<B: Backend, M: GuestMemory> Controller<B, M> {
    /// Carries out a command of the admin queue.
    ///
    /// # Errors
    /// When its completion queue is not memory.
    pub(crate) fn carry_out(&mut self, ticket: Ticket, command: &Command) -> Result<(), NotMemory> {
        match self.admin(ticket, command) {
            Ok(Outcome::Done(result)) => self.complete(ticket, Ok(result)),
            Ok(Outcome::Kept) => Ok(()),
            Err(status) => self.complete(ticket, Err(status)),
        }
    }

    fn admin(&mut self, ticket: Ticket, command: &Command) -> Result<Outcome, Status> {
        if command.is_fused_or_sgl() {
            return Err(Status::INVALID_FIELD);
        }
        match command.opcode() {
            admin::DELETE_SUBMISSION => return self.delete_submission(ticket, command),
            admin::CREATE_SUBMISSION => self.create_submission(command)?,
            admin::GET_LOG => self.get_log(command)?,
            admin::DELETE_COMPLETION => self.delete_completion(command)?,
            admin::CREATE_COMPLETION => self.create_completion(command)?,
            admin::IDENTIFY => self.identify(command)?,
            admin::ABORT => return Ok(self.abort(command)),
            admin::SET_FEATURES => {
                let limits = self.limits();
                return self.features.set(command, limits).map(Outcome::Done);
            }
            admin::GET_FEATURES => return self.features.get(command, self.limits()).map(Outcome::Done),
            admin::EVENT_REQUEST => return self.keep_request(ticket),
            _ => return Err(Status::INVALID_OPCODE),
        }
        Ok(Outcome::Done(0))
    }

    fn limits(&self) -> Limits {
        let has_queues = self.completions.iter().skip(1).any(Option::is_some)
            || self.submissions.iter().skip(1).any(Option::is_some);
        Limits { queues: self.config.queues, vectors: self.vectors, has_queues }
    }

    /// Number of entries, and base, of a queue that is to be made.
    fn shape(&self, command: &Command) -> Result<(u16, u64), Status> {
        let (last, [base, _]) = (command.high(10), command.prps());
        // Without the right sizes of entries there is no right size of a queue either.
        if last == 0 || last >= ENTRIES_MAX || !self.registers.has_entry_sizes() {
            return Err(Status::INVALID_QUEUE_SIZE);
        }
        // Only contiguous queues are offered (CAP.CQR).
        if command.low(11) & CONTIGUOUS == 0 {
            return Err(Status::INVALID_FIELD);
        }
        if !base.is_multiple_of(PAGE_BYTES) {
            return Err(Status::INVALID_PRP_OFFSET);
        }
        Ok((last + 1, base))
    }

    fn create_completion(&mut self, command: &Command) -> Result<(), Status> {
        let (entries, base) = self.shape(command)?;
        let (vectors, vector) = (self.vectors, command.high(11));
        let place = free_place(&mut self.completions, command.low(10))?;
        if vector >= vectors {
            return Err(Status::INVALID_VECTOR);
        }
        let vector = (command.low(11) & INTERRUPTS != 0).then_some(vector);
        *place = Some(CompletionQueue::new(base, entries, vector));
        Ok(())
    }

    fn create_submission(&mut self, command: &Command) -> Result<(), Status> {
        let (entries, base) = self.shape(command)?;
        let completion = command.high(11);
        // The admin queue's completions are its own.
        let exists = matches!(self.completions.get(usize::from(completion)), Some(Some(_)));
        let place = free_place(&mut self.submissions, command.low(10))?;
        if !exists || completion == 0 {
            return Err(Status::INVALID_COMPLETION_QUEUE);
        }
        *place = Some(SubmissionQueue::new(base, entries, completion));
        Ok(())
    }

    /// The command is done when those of the queue are that are under way.
    fn delete_submission(&mut self, ticket: Ticket, command: &Command) -> Result<Outcome, Status> {
        let id = command.low(10);
        match self.submissions.get_mut(usize::from(id)) {
            Some(Some(queue)) if id != 0 && !queue.is_ending => queue.is_ending = true,
            _ => return Err(Status::INVALID_QUEUE),
        }
        self.deletions.push((id, ticket));
        Ok(Outcome::Kept)
    }

    fn delete_completion(&mut self, command: &Command) -> Result<(), Status> {
        let id = command.low(10);
        let is_used = self.submissions.iter().flatten().any(|queue| queue.completion == id);
        match self.completions.get_mut(usize::from(id)) {
            Some(place @ Some(_)) if id != 0 => {
                // Commands of these would have nowhere to end.
                if is_used {
                    return Err(Status::INVALID_DELETION);
                }
                *place = None;
                Ok(())
            }
            _ => Err(Status::INVALID_QUEUE),
        }
    }

    fn identify(&self, command: &Command) -> Result<(), Status> {
        let about = self.about();
        let about = identify::About {
            serial: &self.config.serial,
            sectors: about.bytes / SECTOR_BYTES,
            is_read_only: about.is_read_only,
        };
        let page = identify(command.dword(10) as u8, command.namespace(), about)?;
        Buffer::new(&self.memory, command.prps(), page.len())?.write(&self.memory, &page)
    }

    fn get_log(&mut self, command: &Command) -> Result<(), Status> {
        let which = command.dword(10) as u8;
        let page = logs::page(which, &self.errors, &self.io.traffic)?;
        logs::check_namespace(which, command.namespace())?;
        // One less than the number of dwords, in two halves.
        let dwords = u64::from(command.high(10)) | u64::from(command.low(11)) << 16;
        let bytes = usize::try_from((dwords + 1) * 4).unwrap_or(usize::MAX);
        let offset = u64::from(command.dword(12)) | u64::from(command.dword(13)) << 32;
        // A transfer of more than there may be is invalid, however short the page is.
        Buffer::new(&self.memory, command.prps(), bytes)?;
        let part = page.part(offset, bytes)?;
        Buffer::new(&self.memory, command.prps(), part.len())?.write(&self.memory, part)?;
        if logs::is_errors(which) && command.dword(10) & RETAIN == 0 {
            self.events.unmask();
        }
        Ok(())
    }

    /// Commands under way end by themselves, and soon; a request for an event would not.
    fn abort(&mut self, command: &Command) -> Outcome {
        let is_aborted = command.low(10) == 0 && self.events.abort(command.high(10));
        Outcome::Done(if is_aborted { 0 } else { NOT_ABORTED })
    }

    fn keep_request(&mut self, ticket: Ticket) -> Result<Outcome, Status> {
        if !self.events.keep(ticket.id) {
            return Err(Status::EVENT_REQUESTS_EXCEEDED);
        }
        // It may be kept for ever: meanwhile others need the room for its completion.
        if let Some(Some(queue)) = self.completions.first_mut() {
            queue.release();
        }
        Ok(Outcome::Kept)
    }
}

/// The place of a queue that is to be made.
fn free_place<T>(queues: &mut [Option<T>], id: u16) -> Result<&mut Option<T>, Status> {
    // That of number 0 is taken: it is the admin queue's, by which the command came.
    let place = queues.get_mut(usize::from(id)).filter(|place| place.is_none());
    place.ok_or(Status::INVALID_QUEUE)
}

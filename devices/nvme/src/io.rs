//! The back end's jobs, and the tasks that they are pieces of.

use alloc::vec::Vec;

use devices::disk::{BUFFER_BYTES, Backend, DiskError, Job, Operation, SECTOR_BYTES};
use devices::guest_memory::GuestMemory;

use crate::command::Ticket;
use crate::spec::Status;
use crate::task::Task;

/// Whose a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A command's.
    Command(Ticket),
    /// The controller's, which is being shut down.
    Shutdown,
}

/// A task that the back end has a job of.
struct Running {
    job: u64,
    owner: Owner,
    task: Task,
}

/// How much was read and written, for the log page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Commands and sectors that were read.
    pub reads: (u64, u64),
    /// The same, written.
    pub writes: (u64, u64),
}

/// The back end, and the tasks that it has jobs of.
pub struct Io<B> {
    // Configuration.
    backend: B,
    // Glue.
    /// Buffers that no job has.
    spare: Vec<Vec<u8>>,
    /// The last job's; none is used twice.
    last_job: u64,
    /// What is counted.
    pub traffic: Traffic,
    // Volatile state.
    running: Vec<Running>,
}

/// A task that is over, and how.
pub type Ended = (Owner, Status);

impl<B: Backend> Io<B> {
    /// Nothing is under way.
    pub fn new(backend: B) -> Self {
        Self {
            backend,
            // All the memory that it will ever need for data, however many commands the guest gives.
            spare: (0..B::JOBS).map(|_| Vec::with_capacity(BUFFER_BYTES)).collect(),
            last_job: 0,
            traffic: Traffic::default(),
            running: Vec::new(),
        }
    }

    /// What does the work.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Whether there is room for one more task.
    pub fn has_room(&self) -> bool {
        !self.spare.is_empty()
    }

    /// Whether no task is under way, and there is room for one.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.has_room()
    }

    /// Whether a command of a queue is under way.
    pub fn has_commands_of(&self, queue: u16) -> bool {
        self.running.iter().any(|running| matches!(running.owner, Owner::Command(t) if t.queue == queue))
    }

    /// Begins a task, for which there has to be room. Returns how it ended if it is over.
    pub fn begin(&mut self, owner: Owner, task: Task, memory: &impl GuestMemory) -> Option<Ended> {
        let Some(data) = self.spare.pop() else { return Some((owner, Status::INTERNAL)) };
        self.advance(Running { job: 0, owner, task }, data, memory)
    }

    /// Takes jobs that are done until a task is over.
    pub fn take_ended(&mut self, memory: &impl GuestMemory) -> Option<Ended> {
        while let Some(job) = self.backend.take_done() {
            // One of before a reset is nobody's: its command's buffers are no more the controller's.
            let Some(at) = self.running.iter().position(|running| running.job == job.id) else {
                self.spare.push(job.data);
                continue;
            };
            let running = self.running.swap_remove(at);
            let ended = match running.task.job_done(&job, memory) {
                Ok(()) => {
                    self.count(job.operation, job.data.len());
                    self.advance(running, job.data, memory)
                }
                Err(status) => {
                    self.spare.push(job.data);
                    Some((running.owner, status))
                }
            };
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    /// Has the next piece of a task done. Returns how it ended if there is none.
    fn advance(
        &mut self,
        mut running: Running,
        mut data: Vec<u8>,
        memory: &impl GuestMemory,
    ) -> Option<Ended> {
        let next = running.task.next();
        let ready = match next {
            Some(operation) => running.task.prepare(operation, &mut data, memory).map(|()| next),
            None => Ok(None),
        };
        match ready {
            Ok(Some(operation)) => {
                self.last_job += 1;
                running.job = self.last_job;
                // Before it is started: the back end may have done it when `start` returns.
                self.running.push(running);
                self.backend.start(Job { id: self.last_job, operation, data, result: Err(DiskError) });
                None
            }
            ended => {
                self.spare.push(data);
                Some((running.owner, ended.err().unwrap_or(Status::SUCCESS)))
            }
        }
    }

    fn count(&mut self, operation: Operation, bytes: usize) {
        let (commands, sectors) = match operation {
            Operation::Read { .. } => (&mut self.traffic.reads.0, &mut self.traffic.reads.1),
            Operation::Write { .. } => (&mut self.traffic.writes.0, &mut self.traffic.writes.1),
            _ => return,
        };
        *commands = commands.wrapping_add(1);
        *sectors = sectors.wrapping_add(bytes as u64 / SECTOR_BYTES);
    }

    /// Nobody waits for anything any more. What the back end is doing is over before anything else begins.
    pub fn reset(&mut self) {
        self.backend.cancel();
        // Their buffers come back with the jobs, which then belong to no command any more.
        self.running.clear();
    }
}

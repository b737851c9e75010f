//! Processes: an address space, handles, threads, and how each ends.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use vcpu_abi::status::Status;
use vcpu_abi::syscall::exit_code;

use super::event::Event;
use super::files::File;
use super::handle::HandleTable;
use super::mapped::Mapped;
use super::thread::{self, Start};
use super::{elf, scheduler};
use crate::cpu::{exception_names, per_cpu};
use crate::layout::{PAGE, USER_STACK_BYTES, USER_STACK_TOP, USER_START_PAGE};
use crate::memory::space::{Protection, Space};
use crate::memory::temporary;
use crate::object::pool::{Pool, Ref};
use crate::sync::SpinLock;

/// The most processes there are.
const PROCESSES_MAX: usize = 16;
static PROCESSES: Pool<Process, PROCESSES_MAX> = Pool::new();

/// The most events that one process's end signals. One never takes another's place: a process must not hide
/// its end.
const WATCHERS_MAX: usize = 4;

/// Longest name, for the log.
const NAME_BYTES: usize = 16;

/// Why a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// It said so.
    Exit(u32),
    /// It used a system call that does not exist.
    BadCall(u64),
    /// A processor exception.
    Fault {
        /// Which.
        vector: u8,
        /// Where.
        rip: u64,
        /// The address of a page fault.
        address: u64,
        /// The exception's error code.
        error_code: u64,
    },
}

impl EndCause {
    /// The exit code a watcher sees.
    pub fn code(self) -> u32 {
        match self {
            Self::Exit(code) => code & 0x7fff_ffff,
            Self::BadCall(_) => exit_code::BAD_CALL,
            Self::Fault { vector, .. } => exit_code::FAULT | u32::from(vector),
        }
    }
}

/// A process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Created, no thread yet.
    New,
    /// At least one thread.
    Running,
    /// No thread any more.
    Ended(EndCause),
}

struct LifeState {
    life: Life,
    cause: Option<EndCause>,
    watchers: [Option<Ref<Event>>; WATCHERS_MAX],
}

/// The serial number of the next process.
static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

/// A process.
pub struct Process {
    /// Its number, which no other process has or will have.
    pub serial: u64,
    /// What it sees.
    pub space: Space,
    /// What it may name.
    pub handles: SpinLock<HandleTable>,
    /// VMs and vCPUs whose pages it has mapped.
    pub mapped: SpinLock<Mapped>,
    /// Counts closed handles, so that a thread's memory of one is not older than the table.
    pub handle_epoch: AtomicU32,
    /// Its threads use the FPU.
    pub uses_fpu: AtomicBool,
    /// Highest priority of its threads.
    pub priority: AtomicU32,
    entry: u64,
    name: [u8; NAME_BYTES],
    threads: AtomicU32,
    ending: AtomicBool,
    state: SpinLock<LifeState>,
}

impl Process {
    /// A process of an ELF file, not yet running.
    pub fn try_new(name: &[u8], file: File) -> Result<Ref<Self>, Status> {
        PROCESSES.try_insert(|_| {
            let space = Space::try_new(crate::image::kernel_root())?;
            let entry = elf::load(&space, file.contents())?;
            space.allocate(USER_STACK_TOP - USER_STACK_BYTES, USER_STACK_BYTES, Protection::ReadWrite)?;
            space.allocate(USER_START_PAGE, PAGE, Protection::Read)?;
            let mut short = [0; NAME_BYTES];
            short.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
            Ok(Self {
                serial: NEXT_SERIAL.fetch_add(1, Ordering::Relaxed),
                space,
                handles: SpinLock::new(HandleTable::new()),
                mapped: SpinLock::new(Mapped::new()),
                handle_epoch: AtomicU32::new(0),
                uses_fpu: AtomicBool::new(false),
                priority: AtomicU32::new(0),
                entry,
                name: short,
                threads: AtomicU32::new(0),
                ending: AtomicBool::new(false),
                state: SpinLock::new(LifeState {
                    life: Life::New,
                    cause: None,
                    watchers: [const { None }; WATCHERS_MAX],
                }),
            })
        })
    }

    /// The name, for the log.
    pub fn name(&self) -> &str {
        let end = self.name.iter().position(|b| *b == 0).unwrap_or(NAME_BYTES);
        self.name.get(..end).and_then(|n| core::str::from_utf8(n).ok()).unwrap_or("?")
    }

    /// Whether its threads are to stop.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// What has become of it.
    pub fn life(&self) -> Life {
        self.state.lock().life
    }

    /// Signals `event` when it ends; at once, if it has.
    pub fn watch(&self, event: Ref<Event>) -> Result<(), Status> {
        let ended = {
            let mut state = self.state.lock();
            let ended = matches!(state.life, Life::Ended(_));
            let known = state.watchers.iter().flatten().any(|w| w.same(&event));
            if !ended && !known {
                let place = state.watchers.iter_mut().find(|w| w.is_none()).ok_or(Status::Exhausted)?;
                *place = Some(event.clone());
            }
            ended
        };
        if ended {
            event.signal();
        }
        Ok(())
    }

    /// The last thread is gone.
    fn ended(&self) {
        while let Some(entry) = { self.handles.lock().remove_any() } {
            drop(entry);
        }
        let mapped = core::mem::replace(&mut *self.mapped.lock(), Mapped::new());
        drop(mapped);
        let watchers = {
            let mut state = self.state.lock();
            state.life = Life::Ended(state.cause.unwrap_or(EndCause::Exit(0)));
            core::mem::replace(&mut state.watchers, [const { None }; WATCHERS_MAX])
        };
        watchers.iter().flatten().for_each(|event| event.signal());
    }
}

/// Starts a process with its first thread, when `fill` has written its start page. One that could not be
/// started is as new as before.
pub fn start(
    process: &Ref<Process>,
    fill: impl FnOnce(&Space) -> Result<(), Status>,
    cpu: u32,
    priority: u8,
) -> Result<(), Status> {
    {
        let mut state = process.state.lock();
        if state.life != Life::New {
            return Err(Status::WrongState);
        }
        state.life = Life::Running;
    }
    process.priority.store(u32::from(priority), Ordering::Relaxed);
    let start = Start { entry: process.entry, stack: USER_STACK_TOP - 8, argument: USER_START_PAGE };
    let page = process.space.lookup(USER_START_PAGE);
    // A start that failed may have left something.
    page.map(|frame| temporary::with_frame(frame, |words| words.fill(0)))
        .and_then(|()| fill(&process.space))
        .and_then(|()| add_thread(process, start, cpu, priority))
        .inspect_err(|_| process.state.lock().life = Life::New)
}

/// Adds a thread to a process that runs.
pub fn add_thread(process: &Ref<Process>, start: Start, cpu: u32, priority: u8) -> Result<(), Status> {
    per_cpu::of(cpu).ok_or(Status::BadArgument)?;
    process.threads.fetch_add(1, Ordering::AcqRel);
    thread::spawn(process, start, cpu, priority).inspect_err(|_| {
        process.threads.fetch_sub(1, Ordering::AcqRel);
    })
}

/// Ends the running thread's process. Its threads stop as they come by; the caller's must not go back to user
/// mode.
pub fn end_current(cause: EndCause) {
    let me = scheduler::current();
    let process = &me.process;
    {
        let mut state = process.state.lock();
        if state.cause.is_none() {
            state.cause = Some(cause);
            report(process, cause);
        }
    }
    process.ending.store(true, Ordering::SeqCst);
    scheduler::interrupt_threads_of(process);
}

fn report(process: &Process, cause: EndCause) {
    match cause {
        EndCause::Exit(0) => log::info!("process {} ended", process.name()),
        EndCause::Exit(code) => log::warn!("process {} ended with code {code}", process.name()),
        EndCause::BadCall(number) => {
            log::error!("process {} used system call {number:#x}, which does not exist", process.name())
        }
        EndCause::Fault { vector, rip, address, error_code } => log::error!(
            "process {}: {} at {rip:#x}, address {address:#x}, error code {error_code:#x}",
            process.name(),
            exception_names::name(u64::from(vector))
        ),
    }
}

/// The running thread's process loses a thread: this one, which is about to be gone.
pub fn thread_gone(process: &Process) {
    if process.threads.fetch_sub(1, Ordering::AcqRel) == 1 {
        process.ended();
    }
}

#[cfg(test)]
mod tests;

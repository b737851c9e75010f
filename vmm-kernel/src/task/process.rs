//! Processes: an address space, handles, and what has become of each. Its threads come and go in
//! [`life`](crate::life).

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use vcpu_abi::operation::{HANDLE_SELF, Handle, Rights};
use vcpu_abi::process_record::PROCESS_NAME_BYTES;
use vcpu_abi::status::Status;
use vcpu_abi::syscall::exit_code;

use super::handle::{Entry, HandleObject, HandleTable};
use super::mapped::Mapped;
use crate::cpu::exception_names;
use crate::memory::payer::Payer;
use crate::memory::space::Space;
use crate::object::budget::Account;
use crate::object::pool::any::AnyRef;
use crate::object::pool::{Pool, Ref};
use crate::sync::SpinLock;

/// The most processes there are.
const PROCESSES_MAX: usize = 16;
static PROCESSES: Pool<Process, PROCESSES_MAX> = Pool::new();

/// The most events that one process's end signals. One never takes another's place: a process must not hide
/// its end.
const WATCHERS_MAX: usize = 4;

/// Longest name, for the log.
const NAME_BYTES: usize = PROCESS_NAME_BYTES;

/// The process that was made first of those with this serial number or a higher one, if it is still there.
pub fn from_serial(serial: u64) -> Option<Ref<Process>> {
    PROCESSES.iter().filter(|process| process.serial >= serial).min_by_key(|process| process.serial)
}

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

/// The events that its end signals.
pub type Watchers = [Option<AnyRef>; WATCHERS_MAX];

struct LifeState {
    life: Life,
    cause: Option<EndCause>,
    watchers: Watchers,
}

/// The serial number of the next process.
static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

/// A process.
pub struct Process {
    /// Its number, which no other process has or will have.
    pub serial: u64,
    /// What it sees.
    pub space: Space,
    /// What it uses, and how much it may.
    pub account: Ref<Account>,
    /// What it may name.
    pub handles: SpinLock<HandleTable>,
    /// VMs and vCPUs whose pages it has mapped.
    pub mapped: SpinLock<Mapped>,
    /// Counts closed handles, so that a thread's memory of one is not older than the table.
    pub handle_epoch: AtomicU32,
    /// Its threads use the FPU.
    pub uses_fpu: AtomicBool,
    /// How long those of its threads have run that have ended.
    pub ended_ran: AtomicU64,
    /// Highest priority of its threads.
    pub priority: AtomicU32,
    /// Where its first thread begins.
    pub entry: AtomicU64,
    name: [u8; NAME_BYTES],
    threads: AtomicU32,
    ending: AtomicBool,
    state: SpinLock<LifeState>,
}

impl Process {
    /// A process that has nothing yet ([`Loading`](super::loading::Loading) gives it a program) and does not
    /// run. It counts for who makes it.
    pub fn try_new(name: &[u8], above: Option<&Ref<Account>>) -> Result<Ref<Self>, Status> {
        let account = Account::try_new(above)?;
        PROCESSES.try_insert(|_| {
            let space = Space::try_new(crate::image::kernel_root(), Payer::of(&account))?;
            let mut short = [0; NAME_BYTES];
            short.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
            Ok(Self {
                // Never used twice: endpoints and vCPUs know their process by it, also when it has gone.
                serial: NEXT_SERIAL.fetch_add(1, Ordering::Relaxed),
                space,
                account,
                handles: SpinLock::new(HandleTable::new()),
                mapped: SpinLock::new(Mapped::new()),
                handle_epoch: AtomicU32::new(0),
                uses_fpu: AtomicBool::new(false),
                ended_ran: AtomicU64::new(0),
                priority: AtomicU32::new(0),
                entry: AtomicU64::new(0),
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

    /// Finds what a process's handle names: an object of a type, with rights.
    pub fn find<T: HandleObject>(process: &Ref<Self>, handle: Handle, rights: Rights) -> Result<T, Status> {
        if handle == HANDLE_SELF {
            let own = Entry { object: process.clone().into_object(), rights: Rights::all() };
            return T::of(&own).ok_or(Status::BadHandle);
        }
        let handles = process.handles.lock();
        let entry = handles.get(handle)?;
        // That it is of another kind is told before what it allows.
        let object = T::of(entry).ok_or(Status::BadHandle)?;
        if entry.rights.contains(rights) { Ok(object) } else { Err(Status::NoRight) }
    }

    /// How many threads it has.
    pub fn threads(&self) -> u32 {
        self.threads.load(Ordering::Relaxed)
    }

    /// The name, filled up with zeros.
    pub fn padded_name(&self) -> [u8; NAME_BYTES] {
        self.name
    }

    /// What a process gives another by a handle of its own, with at least these rights.
    pub fn to_give(process: &Ref<Self>, handle: Handle, rights: Rights) -> Result<Entry, Status> {
        if handle == HANDLE_SELF {
            return Err(Status::BadHandle);
        }
        let given = process.handles.lock().to_give(handle, rights)?;
        // Processes that hold each other and were never started would never go.
        if Ref::<Self>::of(&given).is_some_and(|given| given.life() == Life::New) {
            return Err(Status::WrongState);
        }
        Ok(given)
    }

    /// The name, for the log.
    pub fn name(&self) -> &str {
        // A name that is too long was cut when the process was made, perhaps within a letter, and is none
        // then.
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

    /// Remembers who is to be told of its end. `false`: it has ended.
    pub fn watch(&self, watcher: AnyRef) -> Result<bool, Status> {
        let mut state = self.state.lock();
        // Under the lock that its end takes: either the end finds the watcher, or this finds the end.
        let ended = matches!(state.life, Life::Ended(_));
        // An event that is given twice takes up one of the few places.
        let known = state.watchers.iter().flatten().any(|w| w.same(&watcher));
        if !ended && !known {
            let place = state.watchers.iter_mut().find(|w| w.is_none()).ok_or(Status::Exhausted)?;
            *place = Some(watcher);
        }
        Ok(!ended)
    }

    /// From new to running: its first thread will begin at the address that is returned.
    pub fn start(&self) -> Result<u64, Status> {
        let mut state = self.state.lock();
        // Asked and changed under one lock: of several that start it, one does.
        if state.life != Life::New {
            return Err(Status::WrongState);
        }
        state.life = Life::Running;
        Ok(self.entry.load(Ordering::Relaxed))
    }

    /// It got no first thread, and is as new as before.
    pub fn take_start_back(&self) {
        self.state.lock().life = Life::New;
    }

    /// It gets a thread.
    pub fn add_thread(&self) {
        self.threads.fetch_add(1, Ordering::AcqRel);
    }

    /// It loses a thread, or did not get it. Whether it was the last one.
    pub fn remove_thread(&self) -> bool {
        self.threads.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Its threads are to stop. The first cause counts.
    pub fn end(&self, cause: EndCause) {
        {
            let mut state = self.state.lock();
            if state.cause.is_none() {
                state.cause = Some(cause);
                report(self, cause);
            }
        }
        // Behind the cause: who sees that the process ends finds why.
        self.ending.store(true, Ordering::SeqCst);
    }

    /// The last thread is gone: lets go of all that it held. Returns who is to be told.
    pub fn ended(&self) -> Watchers {
        // One at a time, and dropped without the lock: what goes with the last handle takes locks of its own.
        while let Some(entry) = { self.handles.lock().remove_any() } {
            drop(entry);
        }
        while let Some(object) = { self.mapped.lock().remove_any() } {
            drop(object);
        }
        // Behind all of it: who is told of the end may start the process again, and needs what this one held.
        let mut state = self.state.lock();
        state.life = Life::Ended(state.cause.unwrap_or(EndCause::Exit(0)));
        core::mem::replace(&mut state.watchers, [const { None }; WATCHERS_MAX])
    }
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

#[cfg(test)]
mod tests;

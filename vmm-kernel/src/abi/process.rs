//! Operations on processes, threads, events and handles.

use core::sync::atomic::Ordering;

use vcpu_abi::operation::{
    EventCreate, EventSignal, EventWait, HandleClose, HandleNarrow, ProcessCreate, ProcessEnd, ProcessGrant,
    ProcessStart, ProcessState, ProcessUseFpu, ProcessWatch, Rights, ThreadCreate, budget,
};
use vcpu_abi::status::Status;

use super::execute::{Done, Execute};
use super::pieces::{give_back, while_some};
use crate::cpu::per_cpu;
use crate::event::Event;
use crate::layout::{PAGE, USER_END, USER_START, USER_START_PAGE};
use crate::life;
use crate::memory::space::Space;
use crate::memory::user_copy::AllegedRange;
use crate::object::pool::Ref;
use crate::task::elf;
use crate::task::files::File;
use crate::task::loading::Loading;
use crate::task::process::{EndCause, Life, Process};
use crate::task::scheduler::PRIORITIES;
use crate::task::thread::Start;

/// Checks that the object is the calling process.
pub fn only_self(process: &Ref<Process>, target: &Ref<Process>) -> Done {
    if target.same(process) { Ok(()) } else { Err(Status::BadHandle) }
}

impl Execute for ProcessCreate {
    fn execute(&mut self, process: &Ref<Process>, file: File) -> Done {
        let child = Process::try_new(&file.name(), Some(&process.account))?;
        let mut loading = Loading::new(file.contents())?;
        // Nobody has a handle to it yet: where this fails, all of the child goes with the reference.
        while_some(|| loading.some(&child))?;
        self.handle = process.handles.lock().insert(child, Rights::all())?;
        Ok(())
    }
}

impl Execute for ProcessGrant {
    fn execute(&mut self, process: &Ref<Process>, child: Ref<Process>) -> Done {
        if child.same(process) || child.life() != Life::New {
            return Err(Status::WrongState);
        }
        let rights = Rights::from_bits(self.rights).ok_or(Status::BadArgument)?;
        // By the rights that are to be given: a handle never allows more than the one that it was made of.
        let source = Process::to_give(process, self.source, rights)?;
        self.handle = child.handles.lock().insert_object(source.object, rights)?;
        Ok(())
    }
}

impl Execute for ProcessStart {
    fn execute(&mut self, process: &Ref<Process>, child: Ref<Process>) -> Done {
        let may_have = |process: &Process| process.account.least_limit(budget::PRIORITY);
        let highest = may_have(process).min(may_have(&child)).min(PRIORITIES as u64 - 1);
        if self.bytes > PAGE || u64::from(self.priority) > highest {
            return Err(Status::BadArgument);
        }
        let fill = |space: &Space| copy_start_page(space, self.start_page, self.bytes);
        life::start(&child, fill, self.cpu, self.priority as u8)
    }
}

/// Copies a start page from the caller to a new process, by pieces: kernel stacks are small.
fn copy_start_page(space: &Space, from: u64, bytes: u64) -> Result<(), Status> {
    const PIECE: usize = 256;
    for done in (0..bytes).step_by(PIECE) {
        let mut piece = [0; PIECE];
        let length = (bytes - done).min(PIECE as u64) as usize;
        let piece = piece.get_mut(..length).ok_or(Status::BadArgument)?;
        let address = from.checked_add(done).ok_or(Status::BadPointer)?;
        AllegedRange::new(address, piece.len() as u64)?.read(piece)?;
        elf::copy(space, USER_START_PAGE + done, piece)?;
    }
    Ok(())
}

/// A process's life as the ABI has it: state and exit code.
pub fn state_and_code(life: Life) -> (u32, u32) {
    match life {
        Life::New => (0, 0),
        Life::Running => (1, 0),
        Life::Ended(cause) => (2, cause.code()),
    }
}

impl Execute for ProcessState {
    fn execute(&mut self, _: &Ref<Process>, target: Ref<Process>) -> Done {
        let life = target.life();
        let (state, code) = state_and_code(life);
        let (rip, address, error_code) = match life {
            Life::Ended(EndCause::Fault { rip, address, error_code, .. }) => (rip, address, error_code),
            _ => (0, 0, 0),
        };
        *self = ProcessState { state, code, rip, address, error_code };
        Ok(())
    }
}

impl Execute for ProcessEnd {
    fn execute(&mut self, _: &Ref<Process>, target: Ref<Process>) -> Done {
        life::end(&target, EndCause::Exit(self.code))
    }
}

impl Execute for ProcessWatch {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        life::watch(&target, Process::find(process, self.event, Rights::SIGNAL)?)
    }
}

impl Execute for ThreadCreate {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        let in_user_half = |address: u64| (USER_START..USER_END).contains(&address);
        // The thread begins by IRETQ, which would fault with the kernel's privilege at an address that is not
        // canonical.
        if !in_user_half(self.entry) || !in_user_half(self.stack) {
            return Err(Status::BadPointer);
        }
        // Who started the process has decided how urgent it may be.
        if self.priority > process.priority.load(Ordering::Relaxed) {
            return Err(Status::BadArgument);
        }
        let start = Start { entry: self.entry, stack: self.stack, argument: self.argument };
        life::add_thread(process, start, self.cpu, self.priority as u8)
    }
}

impl Execute for EventCreate {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        let event = Event::try_new(&process.account)?;
        self.handle = process.handles.lock().insert(event, Rights::all())?;
        Ok(())
    }
}

impl Execute for HandleClose {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        let entry = process.handles.lock().remove(self.handle)?;
        // In this order: a thread that found the handle before finds another epoch at its next call, and one
        // that may enter at once loses its ticket. `run::prepare_entry` looks at the epoch behind its ticket
        // for that.
        process.handle_epoch.fetch_add(1, Ordering::SeqCst);
        per_cpu::forget_ready_everywhere();
        drop(entry);
        give_back();
        Ok(())
    }
}

impl Execute for HandleNarrow {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        let Some(rights) = Rights::from_bits(self.rights) else { return Err(Status::BadArgument) };
        self.handle = process.handles.lock().narrow(self.source, rights)?;
        Ok(())
    }
}

impl Execute for ProcessUseFpu {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        only_self(process, &target)?;
        process.uses_fpu.store(true, Ordering::Relaxed);
        crate::task::scheduler::give_fpu();
        Ok(())
    }
}

impl Execute for EventSignal {
    fn execute(&mut self, _: &Ref<Process>, event: Ref<Event>) -> Done {
        event.signal();
        Ok(())
    }
}

impl Execute for EventWait {
    fn execute(&mut self, _: &Ref<Process>, event: Ref<Event>) -> Done {
        event.wait(self.deadline_tsc)
    }
}

//! Operations on processes, threads, events and handles.

use core::sync::atomic::Ordering;

use vcpu_abi::operation::{
    EventCreate, EventSignal, EventWait, HANDLE_SELF, HandleClose, ObjectKind, ProcessCreate, ProcessGrant,
    ProcessStart, ProcessState, ProcessUseFpu, ProcessWatch, Rights, ThreadCreate,
};
use vcpu_abi::status::Status;

use crate::cpu::per_cpu;
use crate::layout::{PAGE, USER_END, USER_START, USER_START_PAGE};
use crate::memory::space::Space;
use crate::memory::user_copy::AllegedRange;
use crate::object::pool::Ref;
use crate::task::elf;
use crate::task::event::Event;
use crate::task::handle::{self, Object};
use crate::task::process::{self, EndCause, Life, Process};
use crate::task::scheduler::PRIORITIES;
use crate::task::thread::Start;

type Done = Result<(), Status>;

/// Checks that the object is the calling process.
pub fn only_self(process: &Ref<Process>, object: &Object) -> Done {
    match object {
        Object::Process(target) if target.same(process) => Ok(()),
        _ => Err(Status::BadHandle),
    }
}

pub fn create(process: &Ref<Process>, object: Object, call: &mut ProcessCreate) -> Done {
    let Object::File(file) = object else { return Err(Status::BadHandle) };
    let child = Process::try_new(&file.name(), file)?;
    call.handle = process.handles.lock().insert(Object::Process(child), Rights::all())?;
    Ok(())
}

pub fn grant(process: &Ref<Process>, object: Object, call: &mut ProcessGrant) -> Done {
    let Object::Process(child) = object else { return Err(Status::BadHandle) };
    if child.same(process) || child.life() != Life::New {
        return Err(Status::WrongState);
    }
    let rights = Rights::from_bits(call.rights).ok_or(Status::BadArgument)?;
    if call.source == HANDLE_SELF {
        return Err(Status::BadHandle);
    }
    let source = process.handles.lock().get(call.source)?.clone();
    if !source.rights.contains(rights | Rights::GRANT) {
        return Err(Status::NoRight);
    }
    // Processes that hold each other and were never started would never go.
    if matches!(&source.object, Object::Process(given) if given.life() == Life::New) {
        return Err(Status::WrongState);
    }
    call.handle = child.handles.lock().insert(source.object, rights)?;
    Ok(())
}

pub fn start(_: &Ref<Process>, object: Object, call: &mut ProcessStart) -> Done {
    let Object::Process(child) = object else { return Err(Status::BadHandle) };
    if call.bytes > PAGE || call.priority as usize >= PRIORITIES {
        return Err(Status::BadArgument);
    }
    let fill = |space: &Space| copy_start_page(space, call.start_page, call.bytes);
    process::start(&child, fill, call.cpu, call.priority as u8)
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

pub fn state(_: &Ref<Process>, object: Object, call: &mut ProcessState) -> Done {
    let Object::Process(target) = object else { return Err(Status::BadHandle) };
    *call = match target.life() {
        Life::New => ProcessState::default(),
        Life::Running => ProcessState { state: 1, ..ProcessState::default() },
        Life::Ended(cause) => {
            let (rip, address, error_code) = match cause {
                EndCause::Fault { rip, address, error_code, .. } => (rip, address, error_code),
                _ => (0, 0, 0),
            };
            ProcessState { state: 2, code: cause.code(), rip, address, error_code }
        }
    };
    Ok(())
}

pub fn watch(process: &Ref<Process>, object: Object, call: &mut ProcessWatch) -> Done {
    let Object::Process(target) = object else { return Err(Status::BadHandle) };
    match handle::find(process, call.event, ObjectKind::Event, Rights::SIGNAL)? {
        Object::Event(event) => target.watch(event),
        _ => Err(Status::BadHandle),
    }
}

pub fn thread_create(process: &Ref<Process>, object: Object, call: &mut ThreadCreate) -> Done {
    only_self(process, &object)?;
    let in_user_half = |address: u64| (USER_START..USER_END).contains(&address);
    if !in_user_half(call.entry) || !in_user_half(call.stack) {
        return Err(Status::BadPointer);
    }
    if call.priority > process.priority.load(Ordering::Relaxed) {
        return Err(Status::BadArgument);
    }
    let start = Start { entry: call.entry, stack: call.stack, argument: call.argument };
    process::add_thread(process, start, call.cpu, call.priority as u8)
}

pub fn event_create(process: &Ref<Process>, object: Object, call: &mut EventCreate) -> Done {
    only_self(process, &object)?;
    let event = Event::try_new()?;
    call.handle = process.handles.lock().insert(Object::Event(event), Rights::all())?;
    Ok(())
}

pub fn handle_close(process: &Ref<Process>, object: Object, call: &mut HandleClose) -> Done {
    only_self(process, &object)?;
    let entry = process.handles.lock().remove(call.handle)?;
    process.handle_epoch.fetch_add(1, Ordering::SeqCst);
    per_cpu::forget_ready_everywhere();
    drop(entry);
    Ok(())
}

pub fn use_fpu(process: &Ref<Process>, object: Object, _: &mut ProcessUseFpu) -> Done {
    only_self(process, &object)?;
    process.uses_fpu.store(true, Ordering::Relaxed);
    crate::cpu::fpu::switch_to(&crate::task::scheduler::current().fpu, true);
    Ok(())
}

pub fn event_signal(_: &Ref<Process>, object: Object, _: &mut EventSignal) -> Done {
    let Object::Event(event) = object else { return Err(Status::BadHandle) };
    event.signal();
    Ok(())
}

pub fn event_wait(_: &Ref<Process>, object: Object, call: &mut EventWait) -> Done {
    let Object::Event(event) = object else { return Err(Status::BadHandle) };
    event.wait(call.deadline_tsc)
}

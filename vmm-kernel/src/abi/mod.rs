//! The system calls and operations: what a process asks, checked and done.
//!
//! Everything a process gives is hostile. An operation's payload is copied in once, its handle is resolved to an object of the
//! right kind with the rights it takes, and the handler sees typed values. There are two outcomes: a status, or the
//! caller's death (for a call that does not exist, or an exception of its own).
#![allow(unsafe_code, reason = "a function is called by name from the entry code")]

mod batch;
mod in_place;
mod memory;
mod process;
pub mod run;
mod system;
mod vcpu;

use vcpu_abi::operation::{
    Call, EventBindVcpu, EventCreate, EventSignal, EventWait, FLAG_GO_ON, FileInfo, FileRead, FilesOpen,
    HandleClose, InterruptBind, LogWrite, MemoryMap, MemoryRange, Operation, PortRead, PortWrite,
    ProcessAllocate, ProcessCreate, ProcessGrant, ProcessStart, ProcessState, ProcessUseFpu, ProcessWatch,
    SystemCpuid, SystemCreateVm, SystemEnd, SystemHandled, SystemInfo, ThreadCreate, VcpuCreate, VcpuFetch,
    VcpuKick, VcpuRun, VmAllocate, VmMap,
};
use vcpu_abi::status::Status;
use vcpu_abi::syscall::{SYS_BATCH, SYS_EXIT, SYS_THREAD_EXIT, SYS_YIELD};

use crate::object::pool::Ref;
use crate::task::handle::{self, Object};
use crate::task::process::{EndCause, Process, end_current};
use crate::task::scheduler;

/// What a system call answers: RAX and RDX.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    status: i64,
    index: u64,
}

impl Answer {
    fn new(status: Status, index: usize) -> Self {
        Self { status: status as i64, index: index as u64 }
    }
}

/// What the entry code calls for every system call but `SYS_RUN`.
#[unsafe(no_mangle)]
pub extern "C" fn syscall_dispatch(first: u64, second: u64, number: u64) -> Answer {
    let answer = match number {
        SYS_BATCH => batch::in_user_memory(first, second),
        SYS_YIELD => {
            scheduler::schedule();
            Answer::new(Status::Ok, 0)
        }
        SYS_THREAD_EXIT => scheduler::exit_thread(),
        SYS_EXIT => {
            end_current(EndCause::Exit(first as u32));
            Answer::new(Status::Ok, 0)
        }
        _ => {
            end_current(EndCause::BadCall(number));
            Answer::new(Status::BadOperation, 0)
        }
    };
    scheduler::before_user();
    answer
}

/// Resolves the object, reads the payload, calls the handler, writes the payload back.
fn call<C: Call>(
    process: &Ref<Process>,
    operation: &mut Operation,
    handler: impl FnOnce(&Ref<Process>, Object, &mut C) -> Result<(), Status>,
) -> Result<(), Status> {
    let object = handle::resolve::<C>(process, operation)?;
    let mut payload = C::from_operation(operation);
    if !payload.reserved_is_zero() {
        return Err(Status::BadArgument);
    }
    handler(process, object, &mut payload)?;
    let bytes = payload.as_bytes();
    operation.payload.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    Ok(())
}

/// Executes one operation. `last`: it ends its batch, so it may be a run.
pub fn execute(process: &Ref<Process>, operation: &mut Operation, last: bool) -> Status {
    if operation.flags & !FLAG_GO_ON != 0 {
        return Status::BadArgument;
    }
    let result = match operation.code {
        SystemInfo::CODE => call(process, operation, system::info),
        SystemEnd::CODE => call(process, operation, system::end),
        SystemCpuid::CODE => call(process, operation, system::host_cpuid),
        SystemHandled::CODE => call(process, operation, system::handled),
        SystemCreateVm::CODE => call(process, operation, vcpu::create_vm),
        LogWrite::CODE => call(process, operation, system::log_write),
        FilesOpen::CODE => {
            let rights = handle::rights_of(process, operation.handle);
            call(process, operation, |process, _, payload| system::files_open(process, rights, payload))
        }
        FileInfo::CODE => call(process, operation, system::file_info),
        FileRead::CODE => call(process, operation, system::file_read),
        PortRead::CODE => call(process, operation, system::port_read),
        PortWrite::CODE => call(process, operation, system::port_write),
        InterruptBind::CODE => call(process, operation, system::interrupt_bind),
        ProcessCreate::CODE => call(process, operation, process::create),
        ProcessGrant::CODE => call(process, operation, process::grant),
        ProcessStart::CODE => call(process, operation, process::start),
        ProcessState::CODE => call(process, operation, process::state),
        ProcessWatch::CODE => call(process, operation, process::watch),
        ProcessAllocate::CODE => call(process, operation, memory::allocate),
        ThreadCreate::CODE => call(process, operation, process::thread_create),
        EventCreate::CODE => call(process, operation, process::event_create),
        HandleClose::CODE => call(process, operation, process::handle_close),
        ProcessUseFpu::CODE => call(process, operation, process::use_fpu),
        EventSignal::CODE => call(process, operation, process::event_signal),
        EventWait::CODE => call(process, operation, process::event_wait),
        EventBindVcpu::CODE => call(process, operation, vcpu::bind_event),
        MemoryRange::CODE => call(process, operation, memory::range),
        MemoryMap::CODE => call(process, operation, memory::map),
        VmMap::CODE => call(process, operation, memory::vm_map),
        VmAllocate::CODE => call(process, operation, memory::vm_allocate),
        VcpuCreate::CODE => call(process, operation, vcpu::create),
        VcpuKick::CODE => call(process, operation, vcpu::kick),
        VcpuFetch::CODE => call(process, operation, vcpu::fetch),
        VcpuRun::CODE if last => call(process, operation, vcpu::run),
        _ => Err(Status::BadOperation),
    };
    match result {
        Ok(()) => Status::Ok,
        Err(status) => status,
    }
}

//! `SYS_RUN`: the vCPU's pending batch, then the guest until its next exit. This is the path of every exit.

use core::sync::atomic::Ordering;

use vcpu_abi::exit::reason;
use vcpu_abi::operation::{BATCH_MAX, Call, FLAG_GO_ON, Handle, ObjectKind, VcpuRun, handled};
use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::{NO_WINDOW, activity};
use vcpu_abi::status::Status;

use super::{Answer, execute};
use crate::cpu::{PerCpu, this_cpu, time};
use crate::platform::svm::enter::{enter, take_interrupts};
use crate::platform::svm::exit::{self, Next};
use crate::platform::svm::maps;
use crate::platform::svm::state::{self, LoadError};
use crate::platform::svm::vmcb::{Vmcb, intercept1, vintr};
use crate::platform::vcpu::{SharedRunPage, Vcpu, place};
use crate::task::handle::{self, Object};
use crate::task::scheduler;
use crate::task::thread::Thread;

/// What the entry code calls for `SYS_RUN`.
pub extern "C" fn syscall_run(handle: u64) -> Answer {
    let answer = run_handle(handle);
    if answer.status != Status::Ok as i64 {
        // Nothing is held here any more: the thread may end.
        scheduler::before_user();
    }
    answer
}

#[inline(always)]
fn run_handle(handle: u64) -> Answer {
    let cpu = this_cpu();
    let Some(thread) = scheduler::running(cpu) else { return Answer::new(Status::WrongState, 0) };
    let vcpu = match find(thread, handle as Handle) {
        Ok(vcpu) => vcpu,
        Err(status) => return Answer::new(status, 0),
    };
    let count = vcpu.run_page.batch_count();
    if count != 0 {
        let (status, index) = page_batch(thread, vcpu, count);
        if status != Status::Ok {
            return Answer::new(status, index);
        }
    }
    let status = run(cpu, vcpu).err().unwrap_or(Status::Ok);
    Answer::new(status, count as usize)
}

/// The vCPU behind a handle: the one of the last run, in most cases.
#[inline]
fn find(thread: &Thread, handle: Handle) -> Result<&Vcpu, Status> {
    let epoch = thread.process.handle_epoch.load(Ordering::Acquire);
    match thread.run_cache.get(handle, epoch) {
        Some(vcpu) => Ok(vcpu),
        None => look_up(thread, handle, epoch),
    }
}

#[cold]
fn look_up(thread: &Thread, handle: Handle, epoch: u32) -> Result<&Vcpu, Status> {
    let Object::Vcpu(vcpu) = handle::find(&thread.process, handle, ObjectKind::Vcpu, VcpuRun::RIGHTS)? else {
        return Err(Status::BadHandle);
    };
    thread.run_cache.set(handle, epoch, vcpu);
    thread.run_cache.get(handle, epoch).ok_or(Status::BadHandle)
}

/// Executes the operations in the batch page.
#[cold]
fn page_batch(thread: &Thread, vcpu: &Vcpu, count: u32) -> (Status, usize) {
    vcpu.run_page.set_batch_count(0);
    if count as usize > BATCH_MAX {
        return (Status::BadArgument, 0);
    }
    for index in 0..count as usize {
        let mut operation = vcpu.batch_operation(index);
        let status = execute(&thread.process, &mut operation, false);
        operation.status = status as i32;
        vcpu.set_batch_operation(index, operation);
        if status != Status::Ok && operation.flags & FLAG_GO_ON == 0 {
            return (status, index);
        }
    }
    (Status::Ok, count as usize)
}

/// Runs a vCPU until an exit that is the VMM's.
#[inline(always)]
pub fn run(cpu: &PerCpu, vcpu: &Vcpu) -> Result<(), Status> {
    let page = vcpu.run_page;
    let mut claim = vcpu.claim()?;
    let vmcb = claim.vmcb();
    let dirty = Groups::from_bits_truncate(page.dirty());
    if !dirty.is_empty() {
        page.set_dirty(0);
        match state::load(vmcb, page, dirty) {
            Ok(()) => {}
            Err(LoadError::Refused(status)) => return Err(status),
            Err(LoadError::NotEnterable) => {
                refuse(vcpu, vmcb);
                report(vmcb, page, reason::INVALID_STATE);
                return Ok(());
            }
        }
        if dirty.contains(Groups::XCR0) && !vcpu.fpu.set_guest_xcr0(page.xcr0()) {
            return Err(Status::BadArgument);
        }
    }
    set_window(vcpu, vmcb);
    vcpu.set_place(place::IN_RUN);
    let why =
        if page.activity() == activity::HALTED { halt(vcpu) } else { enter_until_exit(cpu, vcpu, vmcb) };
    vcpu.set_out();
    if why == Some(reason::NONE) {
        return Err(Status::WrongState);
    }
    if let Some(why) = why {
        report(vmcb, page, why);
    }
    let deliver = Groups::from_bits_truncate(page.deliver());
    if !deliver.is_empty() {
        state::store_requested(vmcb, page, deliver);
    }
    Ok(())
}

/// Fills a record that is not of an exit of the guest's.
#[cold]
fn report(vmcb: &Vmcb, page: SharedRunPage, why: u32) {
    page.set_reason(why);
    page.set_raw_code(0);
    exit::finish(vmcb, page, Groups::GENERAL | Groups::SYSTEM, state::pending_injection(vmcb));
}

/// Enters the guest until there is a reason to go back to the VMM. Answers one that is not the guest's exit itself, NONE when the
/// process ends.
#[inline(always)]
fn enter_until_exit(cpu: &PerCpu, vcpu: &Vcpu, vmcb: &mut Vmcb) -> Option<u32> {
    let page = vcpu.run_page;
    loop {
        if cpu.reschedule.load(Ordering::Relaxed) && !scheduler::give_way() {
            return Some(reason::NONE);
        }
        // Looked at last: a kick from a thread that ran here meanwhile comes with no interrupt.
        if page.pending_work() != 0 {
            return Some(reason::WORK);
        }
        scheduler::arm_timer(cpu, page.deadline_tsc());
        vcpu.fpu.load_for_guest(cpu);
        // SAFETY: run page and VMCB are the vCPU's, which this thread has claimed; the host page is this processor's.
        #[allow(unsafe_code, reason = "the way into the guest")]
        unsafe {
            enter(page.address(), vcpu.vmcb_physical, cpu.svm.host_save.get());
        }
        vmcb.control.event_injection = 0;
        match exit::record(vmcb, page) {
            Next::Return => return None,
            Next::HostInterrupt => count(cpu, handled::HOST_INTERRUPT),
            Next::HostNmi => count(cpu, handled::HOST_NMI),
            Next::Invalid => {
                refuse(vcpu, vmcb);
                return Some(reason::INVALID_STATE);
            }
        }
        if let Some(event) = state::decode_event(vmcb.control.exit_int_info) {
            // The host's interrupt came while an event was being delivered: it is delivered at the next entry.
            state::inject(vmcb, event);
        }
        take_interrupts();
        if time::now() >= page.deadline_tsc() {
            return Some(reason::DEADLINE);
        }
    }
}

#[cold]
fn count(cpu: &PerCpu, what: u32) {
    if let Some(counter) = cpu.handled.get(what as usize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A refused VMRUN may have put the host's state in the VMCB: it is overwritten before anybody sees it.
#[cold]
fn refuse(vcpu: &Vcpu, vmcb: &mut Vmcb) {
    vcpu.window.set(NO_WINDOW);
    if let Some(maps) = maps() {
        state::reset(vmcb, maps, vcpu.vm.root().start_address().as_u64(), vcpu.vm.asid);
    }
}

/// Waits, with the guest halted, for work or the deadline.
#[cold]
fn halt(vcpu: &Vcpu) -> Option<u32> {
    let page = vcpu.run_page;
    let me = scheduler::current();
    vcpu.set_sleeper(Some(me.clone()));
    vcpu.set_place(place::HALTED);
    let deadline = page.deadline_tsc();
    me.prepare_to_block();
    if page.pending_work() != 0 || time::now() >= deadline {
        if !me.cancel_block() {
            // Somebody woke us already: we are in the queue, and leave it by running once more.
            scheduler::schedule();
        }
    } else {
        scheduler::block(deadline);
    }
    vcpu.set_sleeper(None);
    if !scheduler::give_way() {
        return Some(reason::NONE);
    }
    Some(if page.pending_work() != 0 { reason::WORK } else { reason::DEADLINE })
}

/// Asks for an exit when the guest can take an interrupt of the priority that the VMM wants to inject.
#[inline]
fn set_window(vcpu: &Vcpu, vmcb: &mut Vmcb) {
    let want = vcpu.run_page.window_priority();
    if state::interrupt_requested(vmcb) {
        // The request is the interrupt's; the window's turn comes when that is delivered.
        vcpu.window.set(u32::MAX);
        return;
    }
    if want == vcpu.window.get() {
        return;
    }
    vcpu.window.set(want);
    vmcb.control.vintr &= !vintr::REQUEST;
    vmcb.control.intercept1 &= !intercept1::VINTR;
    if want != NO_WINDOW {
        vmcb.control.vintr |= vintr::IRQ | u64::from(want & 0xf) << vintr::PRIORITY_SHIFT;
        vmcb.control.intercept1 |= intercept1::VINTR;
    }
}

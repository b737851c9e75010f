//! `SYS_RUN`: the vCPU's pending batch, then the guest until its next exit.
//!
//! Most exits do not come by here, but take the short way in `platform::svm::enter`, which this module lets them take.

use core::sync::atomic::Ordering;

use vcpu_abi::exit::reason;
use vcpu_abi::operation::{Call, Handle, ObjectKind, VcpuRun, handled};
use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::{self, RunPage, activity};
use vcpu_abi::status::Status;

use super::{Answer, batch};
use crate::checks;
use crate::cpu::{PerCpu, exceptions, interrupts, local_apic, this_cpu, time};
use crate::platform::svm::enter::enter;
use crate::platform::svm::exit::{self, Next};
use crate::platform::svm::state::{self, LoadError};
use crate::platform::svm::vmcb::{Vmcb, intercept1};
use crate::platform::svm::{maps, tlb, window};
use crate::platform::vcpu::{SharedRunPage, Vcpu, place};
use crate::task::handle::{self, Object};
use crate::task::scheduler;
use crate::task::thread::Thread;

/// A vCPU that was named by a handle, when the process's table was at this epoch.
#[derive(Clone, Copy)]
struct Named {
    handle: Handle,
    epoch: u32,
}

/// What the entry code calls for a `SYS_RUN` that it cannot enter at once.
pub extern "C" fn run_slowly(handle: u64) -> Answer {
    back_to_user(run_handle(handle))
}

/// Whatever ended the run, an interrupt of the host's may have made another thread ready meanwhile, and the timer is not armed for it.
fn back_to_user(answer: Answer) -> Answer {
    if answer.status != Status::Ok as i64 || this_cpu().reschedule.load(Ordering::Relaxed) {
        // Nothing is held here any more: the thread may end.
        scheduler::before_user();
    }
    answer
}

fn run_handle(handle: u64) -> Answer {
    let Ok(handle) = Handle::try_from(handle) else { return Answer::new(Status::BadHandle, 0) };
    let cpu = this_cpu();
    let Some(thread) = scheduler::running(cpu) else { return Answer::new(Status::WrongState, 0) };
    let named = Named { handle, epoch: thread.process.handle_epoch.load(Ordering::Acquire) };
    let vcpu = match find(cpu, thread, named) {
        Ok(vcpu) => vcpu,
        Err(status) => return Answer::new(status, 0),
    };
    let count = vcpu.run_page.batch_count();
    if count != 0 {
        let (status, index) = batch::in_page(&thread.process, vcpu, count);
        if status != Status::Ok {
            return Answer::new(status, index);
        }
    }
    let status = run_named(cpu, vcpu, Some((thread, named))).err().unwrap_or(Status::Ok);
    Answer::new(status, count as usize)
}

/// What the entry code calls when the exit was the kernel's own: sees to it, and goes on with the run that it began.
pub extern "C" fn run_on(next: u32) -> Answer {
    let status = go_on(Next::from_code(next)).err().unwrap_or(Status::Ok);
    back_to_user(Answer::new(status, 0))
}

fn go_on(next: Next) -> Result<(), Status> {
    let cpu = this_cpu();
    // The handle was ready, so this thread has run the vCPU before, and no other since.
    let thread = scheduler::running(cpu).ok_or(Status::WrongState)?;
    let (vcpu, handle, epoch) = thread.run_cache.last().ok_or(Status::WrongState)?;
    let claim = vcpu.claim()?;
    let vmcb = claim.vmcb();
    let named = Some((thread, Named { handle, epoch }));
    let why = match see_to(cpu, vcpu, vmcb, next) {
        None => enter_until_exit(cpu, vcpu, vmcb, named),
        why => why,
    };
    conclude(vcpu, vmcb, why)
}

/// The vCPU behind a handle: the one of the last run, in most cases.
fn find<'a>(cpu: &PerCpu, thread: &'a Thread, named: Named) -> Result<&'a Vcpu, Status> {
    if let Some(vcpu) = thread.run_cache.get(named.handle, named.epoch) {
        return Ok(vcpu);
    }
    let object = handle::find(&thread.process, named.handle, ObjectKind::Vcpu, VcpuRun::RIGHTS)?;
    let Object::Vcpu(vcpu) = object else { return Err(Status::BadHandle) };
    // What is ready is what was run last: `go_on` relies on it, and this run may come to nothing.
    cpu.entry.ready.forget();
    thread.run_cache.set(named.handle, named.epoch, vcpu);
    thread.run_cache.get(named.handle, named.epoch).ok_or(Status::BadHandle)
}

/// Loads what most injections take, for a vCPU that may be entered at once. 0: done. Else nothing was done, and [`run_slowly`] is to.
///
/// # Safety
/// The page is a vCPU's, which the calling thread may run.
#[allow(unsafe_code, reason = "the entry code says by a pointer what it is about to enter")]
pub unsafe extern "C" fn load_marked(page: *mut RunPage) -> u32 {
    // SAFETY: the caller's promise.
    let page = unsafe { SharedRunPage::new(page) };
    let dirty = Groups::from_bits_retain(page.dirty());
    let usual = Groups::GENERAL | Groups::INJECTION | Groups::TPR;
    // An interrupt and a window share the VMCB's one virtual interrupt.
    let shared = dirty.contains(Groups::INJECTION) && page.window() != run_page::window::NONE;
    if !(dirty - usual).is_empty() || shared || state::load_usual(page.vmcb_beside(), page, dirty).is_err() {
        return 1;
    }
    page.set_dirty(0);
    0
}

/// Runs a vCPU until an exit that is the VMM's.
pub fn run(cpu: &PerCpu, vcpu: &Vcpu) -> Result<(), Status> {
    run_named(cpu, vcpu, None)
}

fn run_named(cpu: &PerCpu, vcpu: &Vcpu, named: Option<(&Thread, Named)>) -> Result<(), Status> {
    let page = vcpu.run_page;
    let claim = vcpu.claim()?;
    let vmcb = claim.vmcb();
    let dirty = Groups::from_bits_truncate(page.dirty());
    if !dirty.is_empty() {
        page.set_dirty(0);
        match state::load(vmcb, page, dirty) {
            Ok(()) => {}
            Err(LoadError::Refused(status)) => return Err(status),
            Err(LoadError::NotEnterable) => {
                refuse(vcpu, vmcb);
                exit::report(vmcb, page, reason::INVALID_STATE);
                return Ok(());
            }
        }
        if dirty.intersects(Groups::XCR0 | Groups::FPU) {
            load_fpu(vcpu, dirty)?;
        }
    }
    set_window(vcpu, vmcb);
    vmcb.control.intercept1.update(|bits| bits & !intercept1::IRET);
    if page.nmi_return() & 1 != 0 {
        vmcb.control.intercept1.update(|bits| bits | intercept1::IRET);
    }
    let why = match page.activity() {
        activity::HALTED => halt(vcpu),
        _ => enter_until_exit(cpu, vcpu, vmcb, named),
    };
    conclude(vcpu, vmcb, why)
}

/// The end of a run: `why` is a reason that is not the guest's own exit.
fn conclude(vcpu: &Vcpu, vmcb: &Vmcb, why: Option<u32>) -> Result<(), Status> {
    let page = vcpu.run_page;
    match why {
        Some(reason::NONE) => return Err(Status::WrongState),
        Some(why) => exit::report(vmcb, page, why),
        None => {}
    }
    let deliver = Groups::from_bits_truncate(page.deliver());
    if !deliver.is_empty() {
        state::store_requested(vmcb, page, deliver);
        // The page is the VMM's too: what it may have written there meanwhile, it gets back.
        page.set_exit_groups(page.exit_groups() | (deliver & state::REQUESTED).bits());
    }
    Ok(())
}

/// XCR0, and the FPU's registers, as the VMM wants them.
#[cold]
#[inline(never)]
fn load_fpu(vcpu: &Vcpu, dirty: Groups) -> Result<(), Status> {
    let page = vcpu.run_page;
    let taken = (!dirty.contains(Groups::XCR0) || vcpu.fpu.set_guest_xcr0(page.xcr0()))
        && (!dirty.contains(Groups::FPU) || vcpu.fpu.write(page.xsave()));
    if taken { Ok(()) } else { Err(Status::BadArgument) }
}

/// Enters the guest until there is a reason to go back to the VMM. Answers one that is not the guest's exit itself, NONE when the
/// process ends.
fn enter_until_exit(cpu: &PerCpu, vcpu: &Vcpu, vmcb: &Vmcb, named: Option<(&Thread, Named)>) -> Option<u32> {
    loop {
        if let Some(why) = prepare_entry(cpu, vcpu, vmcb, named) {
            return Some(why);
        }
        let next = enter_once(vcpu);
        tlb::is_flushed(vmcb);
        if next == Next::Return {
            return None;
        }
        if let Some(why) = see_to(cpu, vcpu, vmcb, next) {
            return Some(why);
        }
    }
}

/// Enters the guest of a vCPU that this thread has claimed and this processor is aimed at.
fn enter_once(vcpu: &Vcpu) -> Next {
    let page = vcpu.run_page.address();
    checks::tlb::guest_enters(vcpu.run_page.vmcb_beside());
    // SAFETY: the page is the vCPU's, which is claimed and aimed at.
    #[allow(unsafe_code, reason = "the way into the guest")]
    unsafe {
        enter(page);
        Next::from_code(exit::record(page))
    }
}

/// What an entry depends on, besides the registers. Afterwards the next `SYS_RUN` of the same handle finds all of it in order, unless
/// somebody says otherwise ([`ReadyVcpu`](crate::cpu::ready::ReadyVcpu)).
fn prepare_entry(cpu: &PerCpu, vcpu: &Vcpu, vmcb: &Vmcb, named: Option<(&Thread, Named)>) -> Option<u32> {
    let (page, ready) = (vcpu.run_page, &cpu.entry.ready);
    if cpu.reschedule.load(Ordering::Relaxed) && !scheduler::give_way() {
        return Some(reason::NONE);
    }
    scheduler::arm_timer(cpu, page.deadline_tsc());
    vcpu.fpu.load_for_guest(cpu);
    if ready.aim(page.address() as u64, vcpu.vmcb_physical) {
        // The other may be of the same VM, and so have the same ASID.
        tlb::ask_flush(vmcb);
    }
    ready.forget();
    if let Some((thread, named)) = named
        && page.deliver() == 0
        && vcpu.window.get() == page.window()
    {
        ready.allow(named.handle);
        // A handle that was closed since it was found had its processors told before.
        if thread.process.handle_epoch.load(Ordering::SeqCst) != named.epoch {
            ready.forget();
        }
    }
    // Looked at last: a kick from a thread that ran here meanwhile comes with no interrupt.
    if page.pending_work() != 0 {
        ready.forget();
        return Some(reason::WORK);
    }
    None
}

/// Sees to an exit that is the kernel's own. Answers why the run ends, if it does.
fn see_to(cpu: &PerCpu, vcpu: &Vcpu, vmcb: &Vmcb, next: Next) -> Option<u32> {
    match next {
        Next::Return => return None,
        Next::HostInterrupt => count(cpu, handled::HOST_INTERRUPT),
        Next::HostNmi => count(cpu, handled::HOST_NMI),
        Next::MachineCheck => exceptions::machine_check_in_guest(),
        Next::Refused => return after_refusal(cpu, vcpu, vmcb),
    }
    if let Some(event) = state::decode_event(vmcb.control.exit_int_info.get()) {
        // The host's interrupt came while an event was being delivered: it is delivered at the next entry.
        state::inject(vmcb, event);
    }
    // The run page says where the guest is, should the next VMRUN be refused (`state::repair`).
    state::store_general(vmcb, vcpu.run_page);
    interrupts::take_pending();
    (time::now() >= vcpu.run_page.deadline_tsc()).then_some(reason::DEADLINE)
}

/// The exit code of a refused VMRUN. QEMU's emulation also ends so the run of a guest that sets reserved bits
/// of CR3, instead of #GP. So VMRUN is asked again, with an interrupt pending, for which it exits before the
/// guest executes anything: a state that it refused, it refuses again.
#[cold]
fn after_refusal(cpu: &PerCpu, vcpu: &Vcpu, vmcb: &Vmcb) -> Option<u32> {
    const GENERAL_PROTECTION: u64 = 13;
    let is_entered = || {
        local_apic::kick(cpu.apic_id);
        let next = enter_once(vcpu);
        interrupts::take_pending();
        next != Next::Refused
    };
    if exit::holds_host_state(vmcb) {
        refuse(vcpu, vmcb);
        return Some(reason::INVALID_STATE);
    }
    if state::repair(vmcb, vcpu.run_page) {
        // The one virtual interrupt is gone as well.
        window::set(vmcb, vcpu.run_page.window());
        return None;
    }
    if is_entered() {
        exit::set_exception(vcpu.run_page, GENERAL_PROTECTION, 0);
        return Some(reason::EXCEPTION);
    }
    refuse(vcpu, vmcb);
    Some(reason::INVALID_STATE)
}

#[cold]
fn count(cpu: &PerCpu, what: u32) {
    if let Some(counter) = cpu.handled.get(what as usize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A refused VMRUN may have put the host's state in the VMCB: it is overwritten before anybody sees it.
#[cold]
fn refuse(vcpu: &Vcpu, vmcb: &Vmcb) {
    vcpu.window.set(run_page::window::NONE);
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
        if !me.unblock() {
            // Somebody woke us already: we are in the queue, and leave it by running once more.
            scheduler::schedule();
        }
    } else {
        scheduler::block(deadline);
    }
    vcpu.set_sleeper(None);
    // From here on a kick takes an IPI again. One that saw the place before has set its work before, which is looked at below.
    vcpu.set_place(place::AWAKE);
    if !scheduler::give_way() {
        return Some(reason::NONE);
    }
    Some(if page.pending_work() != 0 { reason::WORK } else { reason::DEADLINE })
}

/// Asks for the exit that the VMM wants to inject an interrupt at.
fn set_window(vcpu: &Vcpu, vmcb: &Vmcb) {
    let want = vcpu.run_page.window();
    // While an interrupt waits itself, the window's turn comes when that is delivered.
    let is_late = want != run_page::window::NONE && state::interrupt_requested(vmcb);
    if is_late || want != vcpu.window.get() {
        window::set(vmcb, want);
        vcpu.window.set(if is_late { u32::MAX } else { want });
    }
}

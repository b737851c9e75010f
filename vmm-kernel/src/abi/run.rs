//! A run of a vCPU: the guest, until its next exit that is the VMM's.
//!
//! Most exits do not come by here, but take the short way in `enter` of the platform's backend, which this
//! module lets them take.

use core::sync::atomic::Ordering;

use vcpu_abi::exit::reason;
use vcpu_abi::operation::{Handle, handled};
use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::activity;
use vcpu_abi::status::Status;

use crate::cpu::{PerCpu, masked_time, masking, time};
use crate::guest::vcpu::{Vcpu, place};
use crate::machine;
use crate::platform::backend::exit::Exit;
use crate::platform::backend::state::LoadError;
use crate::platform::backend::vcpu::BackendVcpu;
use crate::task::scheduler;
use crate::task::thread::Thread;

/// A vCPU that was named by a handle, when the process's table was at this epoch.
#[derive(Clone, Copy)]
pub struct Named {
    /// The handle.
    pub handle: Handle,
    /// [`Process::handle_epoch`](crate::task::process::Process::handle_epoch) then.
    pub epoch: u32,
}

/// Runs a vCPU until an exit that is the VMM's.
pub fn run(cpu: &PerCpu, vcpu: &Vcpu) -> Result<(), Status> {
    run_named(cpu, vcpu, None)
}

/// The same, of a vCPU that a thread has named: its next run may be entered at once.
pub fn run_named(cpu: &PerCpu, vcpu: &Vcpu, named: Option<(&Thread, Named)>) -> Result<(), Status> {
    let page = vcpu.run_page;
    let claim = vcpu.claim()?;
    let backend = claim.backend();
    let dirty = Groups::from_bits_truncate(page.dirty());
    if !dirty.is_empty() {
        page.set_dirty(0);
        match backend.load(dirty) {
            Ok(()) => {}
            Err(LoadError::Refused(status)) => return Err(status),
            // As if the processor had refused them: a VMM finds the same reason whoever noticed it.
            Err(LoadError::NotEnterable) => {
                backend.report(reason::INVALID_STATE);
                return Ok(());
            }
        }
        if dirty.intersects(Groups::XCR0 | Groups::FPU) {
            load_fpu(vcpu, backend, dirty)?;
        }
    }
    backend.set_windows();
    let why = match page.activity() {
        activity::HALTED => halt(cpu, vcpu),
        _ => enter_until_exit(cpu, vcpu, backend, named),
    };
    finish(vcpu, backend, why)
}

/// Handles an exit that is the kernel's own, and resumes the run that it interrupted.
pub fn resume(cpu: &PerCpu, vcpu: &Vcpu, named: Option<(&Thread, Named)>, exit: Exit) -> Result<(), Status> {
    let claim = vcpu.claim()?;
    let backend = claim.backend();
    let why = match handle_own(cpu, vcpu, backend, exit) {
        None => enter_until_exit(cpu, vcpu, backend, named),
        why => why,
    };
    finish(vcpu, backend, why)
}

/// The end of a run: `why` is a reason that is not the guest's own exit.
fn finish(vcpu: &Vcpu, backend: &BackendVcpu, why: Option<u32>) -> Result<(), Status> {
    let page = vcpu.run_page;
    match why {
        // The process ends: nobody will see the status.
        Some(reason::NONE) => return Err(Status::WrongState),
        Some(why) => backend.report(why),
        None => {}
    }
    let deliver = Groups::from_bits_truncate(page.deliver());
    if !deliver.is_empty() {
        let stored = backend.store(deliver);
        // The page is the VMM's too: what it may have written there meanwhile, it gets back.
        page.set_exit_groups(page.exit_groups() | stored.bits());
    }
    Ok(())
}

/// XCR0, and the FPU's registers, as the VMM wants them.
#[cold]
#[inline(never)]
fn load_fpu(vcpu: &Vcpu, backend: &BackendVcpu, dirty: Groups) -> Result<(), Status> {
    let page = vcpu.run_page;
    if dirty.contains(Groups::XCR0)
        && let Some(is_taken) = backend.set_own_xcr0(page.xcr0())
    {
        // The other registers are where the kernel does not reach for them.
        let has_rest = dirty.contains(Groups::FPU);
        return if is_taken && !has_rest { Ok(()) } else { Err(Status::BadArgument) };
    }
    let taken = (!dirty.contains(Groups::XCR0) || vcpu.fpu.set_guest_xcr0(page.xcr0()))
        && (!dirty.contains(Groups::FPU) || vcpu.fpu.write(page.xsave()));
    if taken { Ok(()) } else { Err(Status::BadArgument) }
}

/// Enters the guest until there is a reason to go back to the VMM. Returns one that is not the guest's exit
/// itself, NONE when the process ends.
fn enter_until_exit(
    cpu: &PerCpu,
    vcpu: &Vcpu,
    backend: &BackendVcpu,
    named: Option<(&Thread, Named)>,
) -> Option<u32> {
    loop {
        if let Some(why) = prepare_entry(cpu, vcpu, backend, named) {
            return Some(why);
        }
        masked_time::end();
        let exit = backend.enter();
        masked_time::begin();
        if exit == Exit::Vmm {
            return None;
        }
        if let Some(why) = handle_own(cpu, vcpu, backend, exit) {
            return Some(why);
        }
    }
}

/// What an entry depends on, besides the registers. Afterwards the next `SYS_RUN` of the same handle finds
/// all of it in order, unless somebody says otherwise ([`ReadyVcpu`](crate::cpu::ready::ReadyVcpu)).
fn prepare_entry(
    cpu: &PerCpu,
    vcpu: &Vcpu,
    backend: &BackendVcpu,
    named: Option<(&Thread, Named)>,
) -> Option<u32> {
    let (page, ready) = (vcpu.run_page, &cpu.entry.ready);
    // Comes first: what another thread does meanwhile may undo all that follows, the timer, the FPU and the
    // vCPU selected.
    if scheduler::wants_turn(cpu) && !scheduler::give_way() {
        return Some(reason::NONE);
    }
    scheduler::arm_timer(cpu, page.deadline_tsc());
    vcpu.fpu.load_for_guest(cpu);
    // From here to the entry no interrupt is taken: one that asks for a shootdown takes the selection back.
    backend.select();
    ready.forget();
    if let Some((thread, named)) = named
        && page.deliver() == 0
        && backend.has_windows()
    {
        ready.allow(thread.ticket(), named.handle);
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

/// Handles an exit that is the kernel's own. Returns why the run ends, if it does.
fn handle_own(cpu: &PerCpu, vcpu: &Vcpu, backend: &BackendVcpu, exit: Exit) -> Option<u32> {
    match exit {
        Exit::Vmm => return None,
        Exit::HostInterrupt => count(cpu, handled::HOST_INTERRUPT),
        Exit::HostNmi => count(cpu, handled::HOST_NMI),
        Exit::MachineCheck => machine::end_by_machine_check(),
        Exit::Refused => return backend.after_refusal(),
    }
    backend.redeliver();
    masking::take_pending();
    scheduler::look_at_time(cpu);
    // The deadline comes as an interrupt of the timer's, and that may be the one just taken.
    (time::now() >= vcpu.run_page.deadline_tsc()).then_some(reason::DEADLINE)
}

#[cold]
fn count(cpu: &PerCpu, what: u32) {
    if let Some(counter) = cpu.handled.get(what as usize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits, with the guest halted, for work or the deadline.
#[cold]
fn halt(cpu: &PerCpu, vcpu: &Vcpu) -> Option<u32> {
    let page = vcpu.run_page;
    let Some(me) = scheduler::running(cpu) else { return Some(reason::NONE) };
    // A kick sets its work and then looks at the place. Here it is the other way round, so that one of the
    // two sees the other and no kick is lost.
    vcpu.set_sleeper(Some(scheduler::current()));
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
    // From here on a kick takes an IPI again. One that saw the place before has set its work before, which is
    // looked at below.
    vcpu.set_place(place::AWAKE);
    if !scheduler::give_way() {
        return Some(reason::NONE);
    }
    Some(if page.pending_work() != 0 { reason::WORK } else { reason::DEADLINE })
}

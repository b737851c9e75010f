//! From an SVM exit to a neutral record. Nothing is decoded here but what the processor itself reports.
#![allow(unsafe_code, reason = "the entry code says by a pointer whose exit it was")]

use core::sync::atomic::Ordering;

use vcpu_abi::exit::{Access, ExitFlags, PortAccess, reason};
use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::RunPage;

use super::vmcb::{Vmcb, exit_code as code};
use super::{state, window};
use crate::cpu::this_cpu;
use crate::run_page::SharedRunPage;

/// Whose an exit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Exit {
    /// The VMM's: the record is filled. The entry code compares with 0.
    Vmm = 0,
    /// A host interrupt is pending.
    HostInterrupt,
    /// A host NMI is pending.
    HostNmi,
    /// A machine check: the host's processor is broken.
    MachineCheck,
    /// The exit code of a refused VMRUN ([`holds_host_state`]).
    Refused,
}

impl Exit {
    /// The value behind a code that the entry code passes on.
    pub fn from_code(code: u32) -> Self {
        [Self::Vmm, Self::HostInterrupt, Self::HostNmi, Self::MachineCheck]
            .into_iter()
            .find(|exit| *exit as u32 == code)
            .unwrap_or(Self::Refused)
    }
}

/// What the rare exits become.
fn simple_reason(code: u64) -> u32 {
    match code {
        code::VMMCALL => reason::HYPERCALL,
        code::XSETBV => reason::XSETBV,
        code::INVD | code::WBINVD => reason::CACHE_CONTROL,
        code::RDPMC | code::INVLPGA | code::VMRUN | code::VMLOAD..=code::SKINIT => reason::UNDEFINED,
        code::MONITOR | code::MWAIT | code::RDPRU => reason::UNDEFINED,
        code::SHUTDOWN => reason::SHUTDOWN,
        code::VINTR => reason::INTERRUPT_WINDOW,
        code::IRET => reason::NMI_RETURN,
        code::CR0_WRITE | code::CR0_SELECTIVE | code::CR4_WRITE | code::CR8_WRITE => reason::REGISTER_WRITE,
        code::EXCEPTION..=code::LAST_EXCEPTION => reason::EXCEPTION,
        _ => reason::UNKNOWN,
    }
}

/// Fills the record of the exit that the vCPU with this run page has just made, of whatever kind. Those that
/// there are most of have it filled by the entry code (`short_record`), in the same way.
///
/// # Safety
/// The page is a vCPU's that no other thread runs.
pub unsafe fn record(page: *const RunPage) -> Exit {
    // SAFETY: the caller's promise.
    let page = unsafe { SharedRunPage::new(page.cast_mut()) };
    // SAFETY: the caller's promise: a vCPU's pages are mapped for ever.
    let vmcb = unsafe { Vmcb::beside(page) };
    let control = &vmcb.control;
    let code = control.exit_code.get();
    match code {
        code::IOIO => {
            page.set_reason(reason::PORT);
            // A port's qualification has SVM's form.
            let qualification = control.exit_info1.get();
            page.set_qualification(qualification);
            // The one exit that says where the next instruction is on processors without NRIP-save too (APM
            // volume 2, 15.10.2).
            page.set_next_rip(control.exit_info2.get());
            // Of IN and OUT the qualification has everything; INS and OUTS also access memory, by segments
            // and addresses that only decoding tells.
            if qualification & PortAccess::STRING == 0 {
                return finish(vmcb, page, Groups::GENERAL, ExitFlags::NEXT_RIP);
            }
            return with_decoding(vmcb, page, ExitFlags::NEXT_RIP);
        }
        code::NPF => {
            page.set_reason(reason::MEMORY);
            page.set_memory(control.exit_info2.get(), access(control.exit_info1.get()).bits());
        }
        code::MSR => page.set_reason(reason::MSR_READ + (control.exit_info1.get() as u32 & 1)),
        code::CPUID => page.set_reason(reason::CPUID),
        code::HLT => page.set_reason(reason::HALT),
        // Nothing was acknowledged by the exit: the interrupt still pends, and comes when interrupts are
        // allowed.
        code::INTR => return Exit::HostInterrupt,
        code::NMI => return Exit::HostNmi,
        _ => return record_rare(vmcb, page, code),
    }
    with_decoding(vmcb, page, ExitFlags::empty())
}

/// The same for the entry code: an [`Exit`], and beside [`Exit::Vmm`] in the upper half what `SYS_RUN`
/// answers.
///
/// # Safety
/// As for [`record`].
pub unsafe extern "C" fn record_for_entry(page: *const RunPage) -> u64 {
    // SAFETY: the caller's promise.
    let (exit, page) = unsafe { (record(page), SharedRunPage::new(page.cast_mut())) };
    match exit {
        Exit::Vmm => u64::from(page.exit_summary()) << 32,
        other => other as u64,
    }
}

#[cold]
fn record_rare(vmcb: &Vmcb, page: SharedRunPage, code: u64) -> Exit {
    // QEMU before 10 writes 32 bits of it.
    if code as u32 == code::INVALID as u32 {
        return Exit::Refused;
    }
    if code == code::MC {
        return Exit::MachineCheck;
    }
    if code == code::CR8_WRITE {
        window::cr8_was_written(vmcb, page.window());
    }
    let why = simple_reason(code);
    page.set_reason(why);
    page.set_raw_code(code);
    let mut flags = ExitFlags::empty();
    if why == reason::EXCEPTION {
        set_exception(page, code - code::EXCEPTION, vmcb.control.exit_info1.get());
    }
    if code == code::PF {
        // CR2 is not written by a page fault that is intercepted (APM volume 2, 15.12.15).
        page.set_gva(vmcb.control.exit_info2.get());
        flags = ExitFlags::GVA;
    }
    finish(vmcb, page, store_for(vmcb, page, why), flags)
}

/// Records which exception it is, and its error code.
pub fn set_exception(page: SharedRunPage, vector: u64, error_code: u64) {
    page.set_qualification(vector | error_code << 32);
}

/// Stores what decoding takes, and with some reasons all of SYSTEM, which the VMM is to change or load then.
/// Returns which groups are stored.
fn store_for(vmcb: &Vmcb, page: SharedRunPage, why: u32) -> Groups {
    let whole = if matches!(why, reason::EXCEPTION | reason::REGISTER_WRITE) {
        Groups::SYSTEM
    } else {
        Groups::empty()
    };
    state::store_requested(vmcb, page, whole);
    state::store_decoding(vmcb, page);
    Groups::GENERAL | Groups::DECODING | whole
}

const _: () = assert!(reason::MSR_WRITE == reason::MSR_READ + 1);

/// After a refused VMRUN: whether the save area holds the host's state, as it does under TCG. A processor
/// leaves the area as it was. TCG also exits so from a running guest, whose state the area then holds, when
/// that sets reserved bits of CR3.
#[cold]
pub fn holds_host_state(vmcb: &Vmcb) -> bool {
    vmcb.save.cr3.get() & !0xfff == this_cpu().space.load(Ordering::Relaxed)
}

/// The rest of the record of an exit whose instruction the VMM has to decode.
fn with_decoding(vmcb: &Vmcb, page: SharedRunPage, flags: ExitFlags) -> Exit {
    state::store_decoding(vmcb, page);
    finish(vmcb, page, Groups::GENERAL | Groups::DECODING, flags)
}

/// The record of a run that ends for a reason that is not the guest's.
pub fn report(vmcb: &Vmcb, page: SharedRunPage, why: u32) {
    page.set_reason(why);
    finish(vmcb, page, store_for(vmcb, page, why), state::pending_injection(vmcb));
}

/// The part of a record that is the same for every reason.
fn finish(vmcb: &Vmcb, page: SharedRunPage, groups: Groups, mut flags: ExitFlags) -> Exit {
    state::store_general(vmcb, page);
    flags.set(ExitFlags::INTERRUPT_SHADOW, vmcb.control.interrupt_shadow.get() & 1 != 0);
    // The VMM is told of a change, so that it need not compare the task priority at each exit.
    let cr8 = vmcb.control.vintr.get() as u8 & 0xf;
    flags.set(ExitFlags::TASK_PRIORITY, cr8 != page.exit_cr8());
    page.set_cr8(cr8);
    if let Some(event) = state::decode_event(vmcb.control.exit_int_info.get()) {
        page.set_interrupted_event(event);
        flags |= ExitFlags::EVENT;
    }
    if window::interrupt_requested(vmcb) {
        flags |= ExitFlags::INJECTION_PENDING;
    }
    page.set_flags(flags.bits(), groups.bits());
    Exit::Vmm
}

/// EXITINFO1 of a nested page fault (APM volume 2, 15.25.6).
#[inline(always)]
fn access(info: u64) -> Access {
    const { assert!(Access::WRITE.bits() == 1 << 1 && Access::PROTECTION.bits() == 1 << 0) };
    const { assert!(Access::EXECUTE.bits() == 1 << 4 && Access::PAGE_WALK.bits() == 1 << 5) };
    // The bits are moved, not tested: that of a page walk from 33 to 5.
    Access::from_bits_retain(info as u32 & 0b1_0011 | (info >> 28) as u32 & Access::PAGE_WALK.bits())
}

#[cfg(test)]
mod tests;

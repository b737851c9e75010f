//! From what the processor has left in a VMSA to a neutral record (APM volume 2, 15.36.9, 15.35.4).

use plinth_snp_abi::exit::{self as code, NpfInfo};
use vcpu_abi::exit::{Access, ExitFlags, reason};
use vcpu_abi::registers::Groups;

use super::state::{self, UNTOUCHED};
use super::vmsa_page::VmsaPage;
use crate::run_page::SharedRunPage;

/// Whose an exit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The VMM's: the record is filled.
    Vmm,
    /// The host's own business; or the guest has not run at all.
    HostInterrupt,
    /// A host NMI.
    HostNmi,
    /// A machine check.
    MachineCheck,
    /// The host does not run the guest.
    Refused,
}

impl Exit {
    /// The value behind a code that the entry code passes on, which it never does.
    pub fn from_code(_: u32) -> Self {
        Self::Refused
    }
}

/// What the rest become.
fn simple_reason(code: u64) -> u32 {
    match code {
        code::CPUID => reason::CPUID,
        code::HLT => reason::HALT,
        code::VMMCALL => reason::HYPERCALL,
        code::XSETBV => reason::XSETBV,
        code::INVD | code::WBINVD => reason::CACHE_CONTROL,
        code::RDPMC | code::INVLPGA | code::VMRUN | code::VMLOAD..=code::SKINIT => reason::UNDEFINED,
        code::MONITOR | code::MWAIT | code::MWAIT_ARMED | code::RDPRU => reason::UNDEFINED,
        code::SHUTDOWN => reason::SHUTDOWN,
        _ => reason::UNKNOWN,
    }
}

/// How the guest touched memory, by EXITINFO1 of a nested page fault.
fn access(info: NpfInfo) -> Access {
    let mut access = Access::empty();
    access.set(Access::PROTECTION, info.contains(NpfInfo::PRESENT));
    access.set(Access::WRITE, info.contains(NpfInfo::WRITE));
    access.set(Access::EXECUTE, info.contains(NpfInfo::FETCH));
    access.set(Access::PAGE_WALK, info.contains(NpfInfo::TABLE_WALK));
    access
}

/// Whether a processor has run the guest since the last exit was taken.
pub fn has_run(vmsa: VmsaPage) -> bool {
    vmsa.exit_code() != UNTOUCHED
}

/// Whether the guest has met a page that is not validated.
pub fn is_not_validated(vmsa: VmsaPage) -> bool {
    vmsa.exit_code() == code::PAGE_NOT_VALIDATED
}

/// Fills the record of the exit that is in a VMSA, which no processor can enter now, and takes it from there.
pub fn record(vmsa: VmsaPage, page: SharedRunPage) -> Exit {
    let (exit_code, info_1) = (vmsa.exit_code(), vmsa.exit_info_1());
    vmsa.set_exit_code(UNTOUCHED);
    let mut flags = ExitFlags::empty();
    match exit_code {
        UNTOUCHED | code::INTR | code::SMI | code::INIT | code::VINTR | code::PAUSE => {
            return Exit::HostInterrupt;
        }
        // A call of the guest's to the host: between them, and the guest is behind it.
        code::VMGEXIT => return Exit::HostInterrupt,
        code::NMI => return Exit::HostNmi,
        code::MACHINE_CHECK => return Exit::MachineCheck,
        code::IOIO => {
            page.set_reason(reason::PORT);
            // A port's qualification has SVM's form.
            page.set_qualification(info_1);
            page.set_next_rip(vmsa.nrip());
            flags = ExitFlags::NEXT_RIP;
        }
        code::MSR => page.set_reason(reason::MSR_READ + (info_1 as u32 & 1)),
        code::NPF | code::PAGE_NOT_VALIDATED => {
            page.set_reason(reason::MEMORY);
            // Of a page that is not validated no more is known than where it is.
            let info =
                if exit_code == code::NPF { NpfInfo::from_bits_retain(info_1) } else { NpfInfo::empty() };
            page.set_memory(vmsa.exit_info_2(), access(info).bits());
        }
        code::HLT => {
            page.set_reason(reason::HALT);
            // Back to the instruction, whose last byte is all of it: a VMM completes it itself.
            vmsa.set_rip(vmsa.rip().wrapping_sub(1));
        }
        other => {
            page.set_reason(simple_reason(other));
            page.set_raw_code(other);
        }
    }
    finish(vmsa, page, flags)
}

/// The record of a run that ends for a reason that is not the guest's.
pub fn report(vmsa: VmsaPage, page: SharedRunPage, why: u32) -> Exit {
    page.set_reason(why);
    finish(vmsa, page, ExitFlags::empty())
}

/// The part of a record that is the same for every reason. Control registers change without an exit, so all
/// of SYSTEM is stored.
fn finish(vmsa: VmsaPage, page: SharedRunPage, mut flags: ExitFlags) -> Exit {
    state::store_general(vmsa, page);
    state::store_requested(vmsa, page, Groups::SYSTEM);
    page.set_cpl(vmsa.cpl());
    flags.set(ExitFlags::INTERRUPT_SHADOW, state::in_shadow(vmsa));
    let cr8 = state::task_priority(vmsa);
    flags.set(ExitFlags::TASK_PRIORITY, cr8 != page.exit_cr8());
    page.set_cr8(cr8);
    if let Some(event) = state::interrupted(vmsa) {
        page.set_interrupted_event(event);
        flags |= ExitFlags::EVENT;
    }
    state::take_interrupted(vmsa);
    flags.set(ExitFlags::INJECTION_PENDING, state::has_event(vmsa));
    page.set_flags(flags.bits(), (Groups::GENERAL | Groups::DECODING | Groups::SYSTEM).bits());
    Exit::Vmm
}

#[cfg(test)]
mod tests;

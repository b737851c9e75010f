//! From an SVM exit to a neutral record. Nothing is decoded here but what the processor itself reports.

use vcpu_abi::exit::{Access, ExitFlags, PortAccess, reason};
use vcpu_abi::registers::Groups;

use super::state;
use super::vmcb::{Vmcb, exit_code as code};
use crate::cpu::this_cpu;
use crate::platform::vcpu::SharedRunPage;

/// What the run loop does after an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go back to the VMM: the record is filled.
    Return,
    /// A host interrupt is pending.
    HostInterrupt,
    /// A host NMI is pending.
    HostNmi,
    /// VMRUN refused the state: the VMCB's save area may hold the host's.
    Invalid,
}

/// What each exit becomes, other than those with a qualification of their own.
fn simple_reason(code: u64) -> u32 {
    match code {
        code::CPUID => reason::CPUID,
        code::HLT => reason::HALT,
        code::VMMCALL => reason::HYPERCALL,
        code::XSETBV => reason::XSETBV,
        code::INVD | code::WBINVD => reason::CACHE_CONTROL,
        code::RDPMC | code::INVLPGA | code::VMRUN | code::VMLOAD..=code::SKINIT => reason::UNDEFINED,
        code::MONITOR | code::MWAIT | code::RDPRU => reason::UNDEFINED,
        code::SHUTDOWN => reason::SHUTDOWN,
        code::VINTR => reason::INTERRUPT_WINDOW,
        _ => reason::UNKNOWN,
    }
}

/// Fills the record.
#[inline(always)]
pub fn record(vmcb: &Vmcb, page: SharedRunPage) -> Next {
    let control = &vmcb.control;
    let code = control.exit_code;
    let mut groups = Groups::GENERAL | Groups::SYSTEM;
    let mut flags = ExitFlags::empty();
    match code {
        code::IOIO => {
            page.set_reason(reason::PORT);
            page.set_qualification(port_access(control.exit_info1).0);
            page.set_next_rip(control.exit_info2);
            flags |= ExitFlags::NEXT_RIP;
            if control.exit_info1 & (1 << 2) == 0 {
                groups = Groups::GENERAL;
            }
        }
        code::MSR => {
            page.set_reason(if control.exit_info1 & 1 == 0 { reason::MSR_READ } else { reason::MSR_WRITE })
        }
        code::NPF => {
            page.set_reason(reason::MEMORY);
            page.set_memory(control.exit_info2, access(control.exit_info1).bits());
        }
        code::INTR => return Next::HostInterrupt,
        code::NMI => return Next::HostNmi,
        // QEMU's TCG writes 32 bits of it.
        _ if code as u32 == code::INVALID as u32 => {
            if holds_host_state(vmcb) {
                return Next::Invalid;
            }
            page.set_reason(reason::UNKNOWN);
        }
        _ => page.set_reason(simple_reason(code)),
    }
    page.set_raw_code(code);
    finish(vmcb, page, groups, flags);
    Next::Return
}

/// After a refused VMRUN: whether the save area holds the host's state, as it does under TCG. TCG also exits so from a running guest, whose
/// state it then holds, when that sets reserved bits of CR4.
#[cold]
fn holds_host_state(vmcb: &Vmcb) -> bool {
    vmcb.save.cr3 & !0xfff == this_cpu().space.get().start_address().as_u64()
}

/// The part of a record that is the same for every reason.
#[inline(always)]
pub fn finish(vmcb: &Vmcb, page: SharedRunPage, groups: Groups, flags: ExitFlags) {
    state::store_general(vmcb, page);
    if groups.contains(Groups::SYSTEM) {
        state::store_decoding(vmcb, page);
    }
    let shadow = ExitFlags::INTERRUPT_SHADOW.bits() * (vmcb.control.interrupt_shadow as u32 & 1);
    let flags = if state::has_event(vmcb) {
        flags.bits() | shadow | store_event(vmcb, page)
    } else {
        flags.bits() | shadow
    };
    let flags =
        if state::interrupt_requested(vmcb) { flags | ExitFlags::INJECTION_PENDING.bits() } else { flags };
    page.set_cr8(vmcb.control.vintr as u8 & 0xf);
    page.set_flags(flags, groups.bits());
}

/// The event whose delivery the exit interrupted.
#[cold]
fn store_event(vmcb: &Vmcb, page: SharedRunPage) -> u32 {
    if let Some(event) = state::decode_event(vmcb.control.exit_int_info) {
        page.set_interrupted_event(event);
    }
    ExitFlags::EVENT.bits()
}

/// EXITINFO1 of an I/O exit (APM volume 2, 15.10.2).
#[inline(always)]
fn port_access(info: u64) -> PortAccess {
    // The bits are moved, not tested: IN from 0 to 16, STRING and REP from 2 and 3 to 17 and 18.
    const { assert!(PortAccess::IN == 1 << 16 && PortAccess::STRING == 1 << 17 && PortAccess::REP == 1 << 18) };
    let flags = (info & 1) << 16 | (info & 0b1100) << 15;
    PortAccess::new((info >> 16) as u16, (info >> 4 & 7) as u8, flags)
}

/// EXITINFO1 of a nested page fault (APM volume 2, 15.25.6).
fn access(info: u64) -> Access {
    let mut access = Access::empty();
    for (bit, flag) in
        [(0, Access::PROTECTION), (1, Access::WRITE), (4, Access::EXECUTE), (33, Access::PAGE_WALK)]
    {
        access.set(flag, info & 1 << bit != 0);
    }
    access
}

//! Model-specific registers: which are there, and what reading and writing each does.
//!
//! One static table for all vCPUs (`rules`), indexed by MSR number; one [`MsrFile`] a vCPU with the values
//! that are merely stored. An access ends in a typed outcome: the value is here, or it belongs to the local
//! APIC, the TSC or the state the hardware switches, or the guest gets #GP, or the register is unknown: then
//! it reads 0, a write is ignored and the VMM logs its number once, which keeps Linux and Windows alive on
//! registers that nobody has thought of.
//!
//! Registers that the kernel does not intercept (FS, GS and their kin) are listed all the same, as switched
//! state: which ones exit is the backend's choice.

mod efer;
mod mtrr;
mod rules;

use alloc::boxed::Box;
pub use efer::{EferError, check_efer};
pub use mtrr::pat_is_valid;
use rules::{Kind, Rule};

/// State that the hardware, or the kernel, switches with the vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VcpuMsr {
    /// C000_0080h. A write must pass [`check_efer`].
    Efer,
    /// 277h; the value has been checked.
    Pat,
    /// 174h.
    SysenterCs,
    /// 175h.
    SysenterEsp,
    /// 176h.
    SysenterEip,
    /// C000_0081h.
    Star,
    /// C000_0082h.
    Lstar,
    /// C000_0083h.
    Cstar,
    /// C000_0084h.
    SyscallMask,
    /// C000_0100h.
    FsBase,
    /// C000_0101h.
    GsBase,
    /// C000_0102h.
    KernelGsBase,
    /// C000_0103h.
    TscAux,
    /// 1D9h.
    DebugCtl,
}

/// Where a read is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsrRead {
    /// Here.
    Value(u64),
    /// By the local APIC: 1Bh (APIC base) and 800h to 8FFh (x2APIC).
    Lapic,
    /// By the VMM: the guest's TSC.
    Tsc,
    /// By the VMM: what the guest's TSC was moved by since power-on.
    TscAdjust,
    /// By the local APIC's timer, in either mode of the APIC.
    TscDeadline,
    /// By the vCPU's switched state.
    Vcpu(VcpuMsr),
    /// Nowhere: give 0, log once.
    Unknown,
}

/// What a write comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsrWrite {
    /// Done (or ignored on purpose).
    Done,
    /// For the local APIC.
    Lapic,
    /// For the VMM: sets the guest's TSC. To be accepted; Windows stops otherwise.
    Tsc,
    /// For the VMM: moves the guest's TSC by the difference to what was there.
    TscAdjust,
    /// For the local APIC's timer.
    TscDeadline,
    /// For the vCPU's switched state.
    Vcpu(VcpuMsr),
    /// The guest gets #GP(0).
    Fault,
    /// Ignore, log once.
    Unknown,
}

/// One vCPU's stored MSRs.
#[derive(Clone)]
pub struct MsrFile {
    values: Box<[u64; rules::STORED]>,
}

impl Default for MsrFile {
    fn default() -> Self {
        Self::new()
    }
}

impl MsrFile {
    /// The registers after reset, as firmware would leave them: the same on every vCPU, so that no guest
    /// finds the MTRRs of two CPUs different.
    pub fn new() -> Self {
        let mut file = Self { values: Box::new([0; rules::STORED]) };
        for rule in rules::RULES {
            if let Kind::Stored { reset, .. } | Kind::Mtrr { reset, .. } = rule.kind {
                for slot in file.values.iter_mut().skip(usize::from(rule.slot)).take(rule.count()) {
                    *slot = reset;
                }
            }
        }
        file
    }

    /// RDMSR.
    #[inline]
    pub fn read(&self, msr: u32) -> MsrRead {
        let Some(rule) = rules::find(msr) else { return MsrRead::Unknown };
        match rule.kind {
            Kind::Lapic => MsrRead::Lapic,
            Kind::Tsc => MsrRead::Tsc,
            Kind::TscAdjust => MsrRead::TscAdjust,
            Kind::TscDeadline => MsrRead::TscDeadline,
            Kind::Vcpu(register) => MsrRead::Vcpu(register),
            Kind::Constant(value) | Kind::Ignored(value) => MsrRead::Value(value),
            Kind::Stored { .. } | Kind::Mtrr { .. } => MsrRead::Value(self.stored(rule, msr)),
        }
    }

    /// WRMSR.
    #[inline]
    pub fn write(&mut self, msr: u32, value: u64) -> MsrWrite {
        let Some(rule) = rules::find(msr) else { return MsrWrite::Unknown };
        match rule.kind {
            Kind::Lapic => MsrWrite::Lapic,
            Kind::Tsc => MsrWrite::Tsc,
            Kind::TscAdjust => MsrWrite::TscAdjust,
            Kind::TscDeadline => MsrWrite::TscDeadline,
            // VMRUN refuses a PAT with a type that there is not, which would end the vCPU.
            Kind::Vcpu(VcpuMsr::Pat) if !pat_is_valid(value) => MsrWrite::Fault,
            Kind::Vcpu(register) => MsrWrite::Vcpu(register),
            // #GP, as for a write to a read-only register.
            Kind::Constant(_) => MsrWrite::Fault,
            Kind::Ignored(_) => MsrWrite::Done,
            Kind::Stored { writable, .. } => {
                // The other bits keep their value, without a fault: guests write back what they have read.
                let kept = self.stored(rule, msr) & !writable;
                self.store(rule, msr, kept | value & writable)
            }
            // As a processor does; a guest that probes for what is supported relies on the fault.
            Kind::Mtrr { register, .. } if !register.accepts(msr, value) => MsrWrite::Fault,
            Kind::Mtrr { .. } => self.store(rule, msr, value),
        }
    }

    fn slot(rule: &Rule, msr: u32) -> usize {
        usize::from(rule.slot) + msr.wrapping_sub(rule.first) as usize
    }

    fn stored(&self, rule: &Rule, msr: u32) -> u64 {
        self.values.get(Self::slot(rule, msr)).copied().unwrap_or(0)
    }

    fn store(&mut self, rule: &Rule, msr: u32, value: u64) -> MsrWrite {
        if let Some(slot) = self.values.get_mut(Self::slot(rule, msr)) {
            *slot = value;
        }
        MsrWrite::Done
    }
}

#[cfg(test)]
mod tests;

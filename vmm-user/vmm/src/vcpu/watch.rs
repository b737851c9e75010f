//! What looks at a vCPU's exits as they come: nothing, in an ordinary VMM.

use runtime::abi::exit::{NOTABLE, PortAccess, reason};

use super::{Shared, Vcpu};

/// Looks at exits. What it does comes on top of each.
pub trait Watch {
    /// An exit is about to be handled, of which `SYS_RUN` says this.
    fn exit(&mut self, vcpu: &Vcpu, summary: u32);
    /// The guest is about to be entered.
    fn entry(&mut self, vcpu: &Vcpu);
}

/// Nobody looks: no code at all.
pub struct Unwatched;

impl Watch for Unwatched {
    #[inline(always)]
    fn exit(&mut self, _: &Vcpu, _: u32) {}

    #[inline(always)]
    fn entry(&mut self, _: &Vcpu) {}
}

/// An exit, as far as it can be told without handling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenExit {
    /// Why the guest exited.
    pub reason: u32,
    /// Port, page of an address, MSR, or CPUID leaf.
    pub place: Option<u64>,
    /// The guest's RIP.
    pub rip: u64,
}

impl Vcpu {
    /// Which vCPU it is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What all vCPUs know.
    pub fn shared(&self) -> &'static Shared {
        self.shared
    }

    /// The exit in the run page, of which `SYS_RUN` has said this.
    pub fn seen_exit(&self, summary: u32) -> SeenExit {
        let reason = summary & !NOTABLE;
        SeenExit { reason, place: self.place(reason), rip: self.registers.page.rip() }
    }

    /// Port, page, MSR or leaf of an exit for a reason.
    pub(super) fn place(&self, why: u32) -> Option<u64> {
        match why {
            reason::PORT => Some(u64::from(PortAccess(self.registers.page.qualification()).port())),
            reason::MEMORY => Some(self.registers.page.gpa() & !0xfff),
            reason::CPUID => Some(self.registers.page.gpr(0) & 0xffff_ffff),
            reason::MSR_READ | reason::MSR_WRITE => Some(self.registers.page.gpr(1) & 0xffff_ffff),
            reason::REGISTER_WRITE => Some(self.registers.page.raw_code()),
            reason::EXCEPTION => Some(self.registers.page.qualification() & 0xff),
            _ => None,
        }
    }
}

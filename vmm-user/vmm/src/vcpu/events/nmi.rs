//! NMIs: while one is handled, until its IRET, no other is delivered (APM volume 2, 8.2.3).
//!
//! SVM does not keep that for a guest. So an exit is asked for when the handler is about to execute its IRET.
//! Before the IRET is not behind it: delivered there, the next NMI would take the stack of the one that has
//! not returned (IST), and destroy its frame. Nor does a window open behind it. So, if an NMI waits, the IRET
//! is emulated, and the NMI delivered at once. One that comes while the IRET is executed by the processor
//! waits for an exit that finds the guest elsewhere; the deadline makes one come soon. A guest that comes by
//! the same IRET with the same stack again, for another reason, only waits a little longer.
//!
//! Of those that come while one is handled, one waits; the others are lost, as on a processor.

use runtime::abi::registers::{EventInjection, Groups, event_kind};

use super::super::registers::{Kernel, Registers};
use super::Events;
use super::interrupts::is_in_shadow;

/// When to look again whether an NMI that waits can be delivered: long enough for an entry of an emulated
/// processor and some instructions.
pub const LOOK_AGAIN_NS: u64 = 500_000;

/// What the guest does with the last NMI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nmi {
    /// Nothing (any more).
    #[default]
    None,
    /// Its handler runs.
    Handled,
    /// Its handler's IRET is the next instruction, or was.
    Returns {
        /// Where it is.
        rip: u64,
        /// With which stack.
        rsp: u64,
    },
}

impl Events {
    /// Delivers the NMI that waits, if the guest can take it.
    #[cold]
    pub(super) fn plan_nmi(&mut self, registers: &mut Registers<impl Kernel>) {
        // Of those that come while one is handled, one waits; the others are lost, as on a processor.
        if self.nmi != Nmi::None {
            self.lapic.latch_one_nmi();
        }
        let is_over = match self.nmi {
            Nmi::None => true,
            Nmi::Handled => false,
            // Elsewhere than at the IRET, or with another stack: then the IRET has been executed.
            Nmi::Returns { rip, rsp } => (registers.page.rip(), registers.page.gpr(4)) != (rip, rsp),
        };
        if is_over && !self.is_injecting(registers) && !is_in_shadow(registers) && self.lapic.take_nmi() {
            self.inject(
                registers,
                EventInjection { kind: event_kind::NMI, vector: 2, ..EventInjection::default() },
            );
            self.set_nmi(registers, Nmi::Handled);
        }
    }

    /// The guest is about to execute the handler's IRET. Returns whether an NMI waits for that to be done.
    pub fn nmi_returns(&mut self, registers: &mut Registers<impl Kernel>) -> bool {
        self.set_nmi(registers, Nmi::Returns { rip: registers.page.rip(), rsp: registers.page.gpr(4) });
        // Before it is asked: an NMI that another vCPU posts is only seen by this.
        self.lapic.sync();
        self.lapic.nmi_pending()
    }

    /// The handler's IRET has been executed.
    pub fn nmi_has_returned(&mut self, registers: &mut Registers<impl Kernel>) {
        self.set_nmi(registers, Nmi::None);
    }

    /// Whether an NMI waits that no exit of the guest's will tell the moment of.
    pub fn nmi_needs_look(&self) -> bool {
        self.lapic.nmi_pending() && self.nmi != Nmi::Handled
    }

    /// Records what the guest does with an NMI.
    pub(super) fn set_nmi(&mut self, registers: &mut Registers<impl Kernel>, nmi: Nmi) {
        self.nmi = nmi;
        // Only while a handler runs: with IRET intercepted always, every return from an interrupt would exit.
        registers.page.set_nmi_return(u32::from(nmi == Nmi::Handled));
        registers.page.mark(Groups::CONTROLS);
    }
}

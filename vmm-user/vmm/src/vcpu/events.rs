//! A vCPU's events: its local APIC, what is on its way to the guest, and what wakes it.

mod interrupts;
mod nmi;

use bitflags::bitflags;
use devices::apic::{ApicShared, Apics, LocalApic, LocalApicConfig};
use runtime::abi::registers::EventInjection;

use alloc::sync::Arc;

use super::PHYSICAL_BITS;
use super::registers::{Kernel, Registers};
pub use nmi::LOOK_AGAIN_NS;
use nmi::Nmi;

bitflags! {
    /// What may have changed since the last entry, so that the next one looks at it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Attention: u8 {
        /// Which interrupt the guest can take.
        const INTERRUPTS = 1 << 0;
        /// Start-up IPIs, deadlines, activity, batch, the machine's end.
        const OTHERS = 1 << 1;
        /// Everything.
        const ALL = Self::INTERRUPTS.bits() | Self::OTHERS.bits();
    }
}

/// What a vCPU's thread knows of its events.
pub struct Events {
    /// The local APIC.
    pub lapic: LocalApic,
    /// What others post to it.
    posted: &'static ApicShared,
    /// What the next entry looks at anew.
    pub attention: Attention,
    /// The kernel has an event from before that it delivers at the next entry.
    kernel_has_one: bool,
    /// What the guest does with the last NMI.
    nmi: Nmi,
    /// The guest executed HLT.
    halted: bool,
}

impl Events {
    /// Of a vCPU after power-on, whose TSC has this frequency. `None` if there is no such vCPU.
    pub fn new(apics: &'static Arc<Apics>, index: usize, tsc_hz: u64) -> Option<Self> {
        let config = LocalApicConfig { physical_address_bits: PHYSICAL_BITS, tsc_deadline_hz: Some(tsc_hz) };
        Some(Self {
            lapic: LocalApic::new(apics.clone(), index, config)?,
            posted: apics.get(index)?,
            attention: Attention::ALL,
            kernel_has_one: false,
            nmi: Nmi::None,
            halted: false,
        })
    }

    /// Whether others have posted something that was not taken in yet.
    #[inline(always)]
    pub fn has_posted(&self) -> bool {
        self.posted.has_posted()
    }

    /// The guest's CR8 as the exit shows it. It is the guest's own; the local APIC must know it before it
    /// says which interrupts are pending.
    #[inline(always)]
    pub fn take_task_priority(&mut self, class: u8) {
        if class != self.lapic.tpr() >> 4 {
            self.lapic.set_cr8(class);
            self.attend_to_requests();
        }
    }

    /// What is requested may be what the guest can take now.
    #[inline(always)]
    fn attend_to_requests(&mut self) {
        // With nothing requested no interrupt can have become one that the guest takes, whatever has changed.
        if self.lapic.has_requests() {
            self.attention |= Attention::INTERRUPTS;
        }
    }

    /// After a write to the local APIC: CR8 shows its task priority, and interrupts or deadlines may be
    /// others.
    #[inline]
    pub fn lapic_written(&mut self, registers: &mut Registers<impl Kernel>) {
        if self.lapic.has_changed() {
            self.attention = Attention::ALL;
        }
        self.attend_to_requests();
        let class = self.lapic.tpr() >> 4;
        // Most writes are ends of interrupts, which leave CR8 as it is: no group is to be loaded for them.
        if class != registers.page.exit_cr8() {
            registers.set_task_priority(class);
        }
    }

    /// The guest has written CR8, which the VMM carries out.
    pub fn write_task_priority(&mut self, class: u8, registers: &mut Registers<impl Kernel>) {
        self.lapic.set_cr8(class);
        registers.set_task_priority(class);
        self.attention |= Attention::INTERRUPTS;
    }

    /// The offset in the local APIC's page, if that is where an address is.
    #[inline]
    pub fn lapic_offset(&self, gpa: u64) -> Option<u64> {
        self.lapic.mmio_offset(gpa)
    }

    /// The guest executes HLT.
    #[inline(always)]
    pub fn halt(&mut self, waits: bool) {
        self.halted = waits;
    }

    /// The guest does not halt after all.
    #[inline(always)]
    pub fn wake(&mut self) {
        self.halted = false;
    }

    /// HLT has been carried out. That may have injected an event (RFLAGS.TF, a fault), which ends the halt.
    #[inline(always)]
    pub fn halted(&mut self) {
        if self.halted {
            self.attention = Attention::ALL;
        }
    }

    /// Whether the vCPU waits, for an interrupt or to be started.
    #[inline(always)]
    pub fn is_stopped(&self) -> bool {
        self.halted || self.lapic.waits_for_sipi()
    }

    /// The guest was not entered, and the kernel still has its event: nothing else may be injected over it.
    pub fn kernel_has_one(&mut self) {
        self.kernel_has_one = true;
        self.attention = Attention::ALL;
    }

    /// After INIT and the like: whatever was on its way to the guest is not any more, be it here or with the
    /// kernel.
    pub fn reset(&mut self, registers: &mut Registers<impl Kernel>) {
        // No event is one too: it takes the place of what the kernel has.
        self.inject(registers, EventInjection::default());
        self.kernel_has_one = false;
        self.set_nmi(registers, Nmi::None);
    }
}

#[cfg(test)]
mod tests;

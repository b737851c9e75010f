//! Priorities: which requested vector the processor takes, and when.

use super::local::LocalApic;
use super::{ApicBus, spec};
use core::sync::atomic::Ordering;

impl LocalApic {
    /// The task priority register.
    #[inline]
    pub fn tpr(&self) -> u8 {
        self.tpr as u8
    }

    /// Sets the task priority register.
    #[inline]
    pub fn set_tpr(&mut self, tpr: u8) {
        self.tpr = u32::from(tpr);
        self.publish_priority();
    }

    /// Whether a register was written, since [`Self::attend`], that decides about more than priorities: the
    /// owner has to look at [`Self::deadline_ns`] anew, and at which interrupt the processor can take.
    #[inline]
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// Whether a vector is requested, of what was taken in already. After most writes to a task priority or
    /// EOI register none is, and there is nothing to inject.
    #[inline]
    pub fn has_requests(&self) -> bool {
        !self.irr.is_empty()
    }

    /// The owner is about to look.
    #[inline]
    pub fn attend(&mut self) {
        self.changed = false;
    }

    /// Takes over what the guest left in CR8 (V_TPR): TPR bits 7:4, which clears bits 3:0 if they differ.
    #[inline]
    pub fn set_cr8(&mut self, cr8: u8) {
        // CR8 has the class alone: an equal one must not clear the sub-class that was written to the TPR.
        if self.tpr >> 4 != u32::from(cr8 & 0xf) {
            self.set_tpr(cr8 << 4);
        }
    }

    #[inline]
    pub(super) fn publish_priority(&self) {
        if let Some(shared) = self.shared() {
            // Only who takes a lowest-priority interrupt hangs on it: an old value does no harm.
            shared.priority.store(self.tpr as u8, Ordering::Relaxed);
        }
    }

    /// The processor priority: the higher class of task priority and the highest vector in service.
    #[inline]
    pub(super) fn ppr(&self) -> u32 {
        let in_service = self.isr.highest().map_or(0, u32::from);
        // Of equal classes the TPR counts, with its lower bits.
        if self.tpr >> 4 >= in_service >> 4 { self.tpr } else { in_service & 0xf0 }
    }

    /// The highest requested vector that the processor priority lets through, after taking in what was
    /// posted.
    #[inline]
    pub fn pending_interrupt(&mut self) -> Option<u8> {
        self.sync();
        self.deliverable_interrupt()
    }

    /// The same, of what was taken in already.
    #[inline]
    pub fn deliverable_interrupt(&self) -> Option<u8> {
        let vector = self.irr.highest()?;
        // Classes are compared, not vectors (SDM 3, "Interrupt, Task, and Processor Priority").
        (u32::from(vector) >> 4 > self.ppr() >> 4).then_some(vector)
    }

    /// The highest requested vector that would get through were TPR 0: what an interrupt window is opened
    /// for, as the guest may lower CR8 without an exit. Call after [`Self::pending_interrupt`].
    #[inline]
    pub fn interrupt_above_service(&self) -> Option<u8> {
        let vector = self.irr.highest()?;
        // What is in service stays so whatever CR8 is, so that it does hold the vector back.
        (vector >> 4 > self.isr.highest().unwrap_or(0) >> 4).then_some(vector)
    }

    /// The processor takes `vector`: it goes from requested to in service.
    #[inline]
    pub fn acknowledge(&mut self, vector: u8) {
        self.irr.remove(vector);
        self.isr.insert(vector);
    }

    /// Requests an edge-triggered vector of this APIC's own.
    #[inline]
    pub(super) fn request(&mut self, vector: u8) {
        if vector < spec::FIRST_VECTOR {
            self.error(spec::ESR_RECEIVE_ILLEGAL);
            return;
        }
        // The APIC's own sources, and what it sends to itself, are edges.
        self.tmr.remove(vector);
        self.irr.insert(vector);
    }

    /// The EOI register was written: the highest vector in service is done.
    #[inline]
    pub(super) fn end_of_interrupt(&mut self, bus: &mut dyn ApicBus) {
        // A guest may write one EOI too many, of which nothing comes.
        let Some(vector) = self.isr.highest() else { return };
        self.isr.remove(vector);
        // With suppression the guest tells the I/O APIC itself (SDM 3, SVR bit 12).
        if self.tmr.contains(vector) && self.svr & spec::SVR_SUPPRESS_EOI == 0 {
            bus.end_of_interrupt(vector);
        }
    }
}

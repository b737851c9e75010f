//! Before an entry: what was posted, events, deadline, dirty groups.

use core::ops::ControlFlow;

use devices::apic::Startup;
use devices::capability::PowerEvent;
use runtime::abi::operation::end_reason;

use super::Vcpu;
use super::events::{Attention, LOOK_AGAIN_NS};
use super::registers::EntryRegisters;

impl Vcpu {
    /// Fills the run page for the next run. After most exits nothing that the local APIC or a timer asks for
    /// has changed.
    #[inline(always)]
    pub(super) fn prepare_entry(&mut self) -> ControlFlow<u32> {
        if self.events.attention.is_empty() && !self.events.has_posted() {
            return ControlFlow::Continue(());
        }
        self.plan()
    }

    #[inline(never)]
    fn plan(&mut self) -> ControlFlow<u32> {
        // With interrupts alone, deadline, halt and batch are as they were planned.
        if self.events.attention != Attention::INTERRUPTS || self.events.has_posted() {
            return self.plan_all();
        }
        self.plan_interrupts();
        // The PIC's acknowledgement may have been for others to see.
        if self.events.attention.is_empty() { ControlFlow::Continue(()) } else { self.plan_all() }
    }

    /// The machine's end, start-up IPIs, interrupts, deadline, halt, batch.
    #[cold]
    fn plan_all(&mut self) -> ControlFlow<u32> {
        // First, since whoever switched the machine off expects nothing more to happen.
        if let Some(event) = self.shared.board.power_event() {
            return ControlFlow::Break(match event {
                PowerEvent::Off => end_reason::POWER_OFF,
                PowerEvent::Reset => end_reason::RESET,
            });
        }
        // Before looking: what is posted from here on asks again.
        self.events.attention = Attention::empty();
        self.events.lapic.sync();
        self.events.lapic.attend();
        while let Some(startup) = self.events.lapic.take_startup() {
            self.start_up(startup);
        }
        // Behind the start-up: a reset throws away what waits to be injected, which would be acknowledged by
        // then.
        self.plan_interrupts();
        self.plan_deadline();
        // Behind the interrupts: one that is delivered wakes a halted vCPU.
        self.registers.plan_activity(self.events.is_stopped());
        // Last: acknowledging the PIC may have added kicks.
        self.registers.plan_batch();
        ControlFlow::Continue(())
    }

    /// What the guest can take now, or is to say when it can.
    #[inline(always)]
    fn plan_interrupts(&mut self) {
        if self.events.plan(&mut self.registers) {
            self.deliver_from_pic();
        }
        self.events.planned();
    }

    #[cold]
    fn deliver_from_pic(&mut self) {
        let board = &self.shared.board;
        let mut access = board.access();
        // This takes the request out of the PIC (the INTA cycles of an 8259A), so the vector must be
        // delivered now.
        let vector = board.acknowledge_pic(&mut access);
        self.events.deliver_from_pic(&mut self.registers, vector);
        self.finish(&access);
    }

    #[cold]
    fn start_up(&mut self, startup: Startup) {
        match startup {
            Startup::Init => self.registers.reset(),
            Startup::Sipi { vector } => self.registers.reset_to_page(vector),
        }
        // A reset writes the paging registers itself, so nobody has compared them with what was remembered.
        self.emulator.forget();
        self.events.reset(&mut self.registers);
    }

    /// The first vCPU's state at a guest kernel's entry.
    pub fn enter_kernel(&mut self, entry: &EntryRegisters) {
        self.registers.reset_to_kernel(entry);
        self.emulator.forget();
        self.events.reset(&mut self.registers);
        // As firmware leaves it: a kernel that does not set up its APIC gets the PIC's interrupts.
        self.events.lapic.enter_virtual_wire();
    }

    /// The earliest of this vCPU's timers and, on vCPU 0, the board's.
    #[inline]
    fn plan_deadline(&mut self) {
        let mut deadline = self.events.lapic.deadline_ns().unwrap_or(u64::MAX);
        // Not by a thread of the timers' own, which would need a processor or take one from a vCPU.
        if self.index == 0 {
            deadline = deadline.min(self.shared.board.deadline_ns());
        }
        if self.events.nmi_needs_look() {
            // No exit says that the processor has executed the handler's IRET, and a guest that computes
            // makes no other.
            deadline = deadline.min(self.shared.board.clock.now_ns() + LOOK_AGAIN_NS);
        }
        let clock = &self.shared.board.clock;
        self.registers.plan_deadline(deadline, |deadline| clock.tsc_at(deadline));
    }
}

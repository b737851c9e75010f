//! Before an entry: what was posted, events, deadline, dirty groups.

use devices::apic::Startup;
use devices::capability::PowerEvent;
use runtime::abi::operation::end_reason;
use runtime::abi::registers::EventInjection;

use super::nmi::{LOOK_AGAIN_NS, Nmi};
use super::registers::EntryRegisters;
use super::{Attention, Next, Vcpu};

impl Vcpu {
    /// Fills the run page for the next run. After most exits nothing that the local APIC or a timer asks for
    /// has changed.
    #[inline(always)]
    pub(super) fn prepare_entry(&mut self) -> Next {
        if self.attention.is_empty() && !self.apic_shared.has_posted() {
            return Next::Continue;
        }
        self.attend()
    }

    #[inline(never)]
    fn attend(&mut self) -> Next {
        if self.attention != Attention::INTERRUPTS || self.apic_shared.has_posted() {
            return self.look_around();
        }
        self.look_at_interrupts();
        // The PIC's acknowledgement may have been for others to see.
        if self.attention.is_empty() { Next::Continue } else { self.look_around() }
    }

    /// The machine's end, start-up IPIs, interrupts, deadline, halt, batch.
    #[cold]
    fn look_around(&mut self) -> Next {
        if let Some(event) = self.shared.board.power_event() {
            return Next::End(match event {
                PowerEvent::Off => end_reason::POWER_OFF,
                PowerEvent::Reset => end_reason::RESET,
            });
        }
        self.attention = Attention::empty();
        self.lapic.sync();
        self.lapic.attend();
        while let Some(startup) = self.lapic.take_startup() {
            self.start_up(startup);
        }
        self.look_at_interrupts();
        self.plan_deadline();
        let stopped = self.halted || self.lapic.waits_for_sipi();
        self.registers.plan_activity(stopped);
        self.registers.plan_batch();
        Next::Continue
    }

    /// What the guest can take now, or is to say when it can.
    #[inline(always)]
    fn look_at_interrupts(&mut self) {
        self.plan_interrupts();
        self.event_waits = false;
        self.attention.remove(Attention::INTERRUPTS);
        if self.nmi_needs_look() {
            self.attention = Attention::ALL;
        }
    }

    #[cold]
    fn start_up(&mut self, startup: Startup) {
        match startup {
            Startup::Init => self.registers.reset(),
            Startup::Sipi { vector } => self.registers.reset_to_page(vector),
        }
        self.reset_events();
    }

    /// Whatever was on its way to the guest is not any more, be it here or with the kernel.
    fn reset_events(&mut self) {
        self.inject(EventInjection::default());
        self.event_waits = false;
        self.set_nmi(Nmi::None);
    }

    /// The first vCPU's state at a guest kernel's entry.
    pub fn enter_kernel(&mut self, entry: &EntryRegisters) {
        self.registers.reset_to_kernel(entry);
        self.reset_events();
        self.lapic.enter_virtual_wire();
    }

    /// The earliest of this vCPU's timers and, on vCPU 0, the board's.
    #[inline]
    fn plan_deadline(&mut self) {
        let mut deadline = self.lapic.deadline_ns().unwrap_or(u64::MAX);
        if self.index == 0 {
            deadline = deadline.min(self.shared.board.deadline_ns());
        }
        if self.nmi_needs_look() {
            deadline = deadline.min(self.shared.board.clock.now_ns() + LOOK_AGAIN_NS);
        }
        let clock = &self.shared.board.clock;
        self.registers.plan_deadline(deadline, |deadline| clock.tsc_at(deadline));
    }
}

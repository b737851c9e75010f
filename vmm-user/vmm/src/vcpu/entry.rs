//! Before an entry: what was posted, events, deadline, dirty groups.

use devices::apic::Startup;
use devices::capability::PowerEvent;
use runtime::abi::operation::end_reason;
use runtime::abi::registers::Groups;
use runtime::abi::run_page::activity;

use super::nmi::LOOK_AGAIN_NS;
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
        let activity = if stopped { activity::HALTED } else { activity::RUNNING };
        if activity != self.page.activity() {
            self.page.set_activity(activity);
            self.page.mark(Groups::CONTROLS);
        }
        if self.batched != 0 {
            self.page.set_batch_count(self.batched);
            self.page.mark(Groups::CONTROLS);
            self.batched = 0;
        }
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
            Startup::Init => self.reset_processor(),
            Startup::Sipi { vector } => self.start_at_page(vector),
        }
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
        if deadline != self.deadline_ns {
            self.deadline_ns = deadline;
            let tsc = if deadline == u64::MAX { u64::MAX } else { self.shared.board.clock.tsc_at(deadline) };
            self.page.set_deadline_tsc(tsc);
            self.page.mark(Groups::CONTROLS);
        }
    }
}

//! Before an entry: what was posted, events, deadline, dirty groups.

use devices::apic::Startup;
use devices::capability::PowerEvent;
use runtime::abi::operation::end_reason;
use runtime::abi::registers::Groups;
use runtime::abi::run_page::activity;

use super::{Next, Vcpu};

impl Vcpu {
    /// Fills the run page for the next run. After most exits nothing that the local APIC or a timer asks for has changed.
    #[inline(always)]
    pub(super) fn prepare_entry(&mut self) -> Next {
        if self.attention || self.apic_shared.has_posted() { self.look_around() } else { Next::Continue }
    }

    /// The machine's end, start-up IPIs, interrupts, deadline, halt, batch.
    #[inline(never)]
    fn look_around(&mut self) -> Next {
        if let Some(event) = self.shared.board.power_event() {
            return Next::End(match event {
                PowerEvent::Off => end_reason::POWER_OFF,
                PowerEvent::Reset => end_reason::RESET,
            });
        }
        self.lapic.sync();
        while let Some(startup) = self.lapic.take_startup() {
            self.start_up(startup);
        }
        self.plan_interrupts();
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
        self.injecting = false;
        // An NMI that could not be injected has no window that says when it can.
        self.attention = self.lapic.nmi_pending();
        Next::Continue
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
        if deadline != self.deadline_ns {
            self.deadline_ns = deadline;
            let tsc = if deadline == u64::MAX { u64::MAX } else { self.shared.board.clock.tsc_at(deadline) };
            self.page.set_deadline_tsc(tsc);
            self.page.mark(Groups::CONTROLS);
        }
    }
}

//! Before an entry: what was posted, events, deadline, dirty groups.

use devices::apic::Startup;
use runtime::abi::registers::Groups;
use runtime::abi::run_page::activity;

use super::Vcpu;

impl Vcpu {
    /// Fills the run page for the next run. After most exits nothing that the local APIC or a timer asks for has changed.
    #[inline(always)]
    pub(super) fn prepare_entry(&mut self) {
        if self.attention || self.apic_shared.has_posted() {
            self.look_around();
        }
        self.page.set_dirty(self.dirty.bits());
        self.page.set_batch_count(self.batched);
        self.dirty = Groups::empty();
    }

    /// Start-up IPIs, interrupts, deadline, halt.
    #[inline(never)]
    fn look_around(&mut self) {
        self.lapic.sync();
        while let Some(startup) = self.lapic.take_startup() {
            self.start_up(startup);
        }
        self.plan_interrupts();
        self.plan_deadline();
        let stopped = self.halted || self.lapic.waits_for_sipi();
        self.page.set_activity(if stopped { activity::HALTED } else { activity::RUNNING });
        self.injecting = false;
        // An NMI that could not be injected has no window that says when it can.
        self.attention = self.lapic.nmi_pending();
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
        }
    }
}

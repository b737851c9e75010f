//! Before an entry: what was posted, events, deadline, dirty groups.

use devices::apic::Startup;
use runtime::abi::registers::Groups;
use runtime::abi::run_page::activity;

use super::Vcpu;

impl Vcpu {
    /// Fills the run page for the next run.
    #[inline]
    pub(super) fn prepare_entry(&mut self) {
        self.lapic.sync();
        while let Some(startup) = self.lapic.take_startup() {
            self.start_up(startup);
        }
        self.plan_interrupts();
        self.plan_deadline();
        let stopped = self.halted || self.lapic.waits_for_sipi();
        self.page.set_activity(if stopped { activity::HALTED } else { activity::RUNNING });
        self.page.set_dirty(self.dirty.bits());
        self.page.set_batch_count(self.batched);
        self.dirty = Groups::empty();
        self.injecting = false;
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
            deadline = deadline.min(self.console_deadline());
        }
        if deadline != self.deadline_ns {
            self.deadline_ns = deadline;
            let tsc = if deadline == u64::MAX { u64::MAX } else { self.shared.board.clock.tsc_at(deadline) };
            self.page.set_deadline_tsc(tsc);
        }
    }

    /// When output that the host did not take yet is to be tried again.
    fn console_deadline(&self) -> u64 {
        u64::MAX
    }
}

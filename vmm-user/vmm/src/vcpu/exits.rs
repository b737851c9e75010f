//! After an exit: who handles it.

use core::ops::ControlFlow;

use decoder::{Exception, Intercept};
use runtime::abi::exit::{ExitFlags, NOTABLE, PortAccess, reason};
use runtime::abi::operation::end_reason;
use runtime::abi::registers::Groups;
use runtime::abi::run_page::work;
use runtime::abi::xcr0;

use spin::Mutex;

use super::events::Attention;
use super::{Bus, HaltPolicy, Vcpu};
use crate::statistics::Statistics;

/// CR4.OSXSAVE.
const OSXSAVE: u64 = 1 << 18;

impl Vcpu {
    /// Handles the exit in the run page, with what `SYS_RUN` says of it. A break is the machine's end, for an
    /// `end_reason`.
    #[inline(always)]
    pub(super) fn handle_exit(&mut self, summary: u32, policy: &impl HaltPolicy) -> ControlFlow<u32> {
        // One comparison for the reason, and for whether there is something to be noted before.
        let mut why = summary | self.counts;
        loop {
            match why {
                reason::PORT => self.handle_port(PortAccess(self.registers.page.qualification())),
                reason::MEMORY => self.handle_memory(),
                reason::CPUID => self.handle_cpuid(),
                reason::MSR_READ => self.handle_msr_read(),
                reason::MSR_WRITE => self.handle_msr_write(),
                reason::HALT => self.handle_halt(policy),
                // The window stays asked for until the next entry is planned, which uses it or asks anew.
                reason::INTERRUPT_WINDOW => self.events.attention |= Attention::INTERRUPTS,
                reason::WORK => self.handle_work(),
                reason::DEADLINE => self.handle_deadline(),
                // With this bit none of the reasons above matches: an ordinary exit pays nothing for it.
                _ if why & NOTABLE != 0 => {
                    why &= !NOTABLE;
                    // An end leaves from here: where all others meet, nobody has to ask for one again.
                    match self.count_and_keep_event(why) {
                        ControlFlow::Continue(true) => continue,
                        ControlFlow::Continue(false) => {}
                        ControlFlow::Break(end) => return ControlFlow::Break(end),
                    }
                }
                _ => return self.handle_rare(why),
            }
            return ControlFlow::Continue(());
        }
    }

    /// What comes before the exit itself: it is counted, the guest's task priority may be another, and an
    /// event on its way to the guest. Continues with whether the exit itself is still to be handled.
    #[cold]
    fn count_and_keep_event(&mut self, why: u32) -> ControlFlow<u32, bool> {
        if let Some(statistics) = self.statistics {
            self.count(why, statistics);
        }
        let flags = ExitFlags::from_bits_retain(self.registers.page.flags());
        // First of all: what is asked of the local APIC, and what others post to it, comes behind it.
        if flags.contains(ExitFlags::DELIVERED) {
            self.events.window_interrupt_delivered(&self.registers);
        }
        if flags.contains(ExitFlags::TASK_PRIORITY) {
            self.events.take_task_priority(self.registers.page.exit_cr8());
        }
        if flags.intersects(ExitFlags::EVENT | ExitFlags::INJECTION_PENDING) {
            return self.keep_event(why, flags);
        }
        ControlFlow::Continue(true)
    }

    /// An event is not with the guest yet: it goes first.
    fn keep_event(&mut self, why: u32, flags: ExitFlags) -> ControlFlow<u32, bool> {
        if !flags.contains(ExitFlags::EVENT) {
            self.events.kernel_has_one();
            return ControlFlow::Continue(true);
        }
        let event = self.registers.page.interrupted_event();
        if why == reason::MEMORY {
            // Its gate, its stack or the like is not in RAM, so that the processor cannot deliver it.
            return self.deliver(event).map_continue(|()| false);
        }
        // It was lost in the exit, and is delivered again.
        self.events.inject(&mut self.registers, event);
        ControlFlow::Continue(true)
    }

    fn handle_halt(&mut self, policy: &impl HaltPolicy) {
        // Before HLT is completed: what that injects (a single step) must end the halt, not be covered by it.
        self.events.halt(policy.waits());
        // Another vCPU has changed the code, or it cannot be fetched: the guest goes on there instead of
        // waiting.
        if !self.complete(Intercept::Hlt) {
            self.events.wake();
        }
        self.events.halted();
    }

    fn handle_work(&mut self) {
        self.events.attention = Attention::ALL;
        // Taken before the devices are called: a bit that is set meanwhile ends the next run at once.
        let events = self.registers.page.take_work() >> work::FIRST_EVENT_BIT;
        if events != 0 {
            let board = &self.shared.board;
            let mut access = board.access();
            board.input(events, &mut access);
            self.finish(&access);
        }
        // The bit of a kick says only that something was posted, which the next entry looks at.
    }

    fn handle_deadline(&mut self) {
        let board = &self.shared.board;
        let mut access = board.access();
        self.events.lapic.expire(&Bus { board, access: &mut access });
        // One thread serves all timers of the board, so that two do not find the same one due.
        if self.index == 0 {
            board.expire(&mut access);
        }
        self.finish(&access);
        self.events.attention = Attention::ALL;
        self.registers.forget_deadline();
    }

    #[cold]
    fn handle_rare(&mut self, why: u32) -> ControlFlow<u32> {
        self.events.attention = Attention::ALL;
        match why {
            reason::XSETBV => self.handle_xsetbv(),
            reason::CACHE_CONTROL => {
                // The exit does not say which of the two it was. Caches are the host's: nothing is to be
                // done for either.
                if !self.complete(Intercept::Wbinvd) {
                    let _ = self.complete(Intercept::Invd);
                }
            }
            reason::NMI_RETURN => self.handle_nmi_return(),
            // What the guest executed is for hypervisors that it does not have.
            reason::HYPERCALL | reason::UNDEFINED => self.inject_exception(Exception::UNDEFINED_OPCODE),
            reason::REGISTER_WRITE => self.handle_register_write(),
            reason::EXCEPTION => self.handle_exception(),
            reason::SHUTDOWN => {
                self.report_registers("triple fault");
                return ControlFlow::Break(end_reason::TRIPLE_FAULT);
            }
            _ => {
                // The next entry would exit for the same reason.
                self.report_registers("an exit that has no handler");
                return ControlFlow::Break(end_reason::PROCESS_FAILED);
            }
        }
        ControlFlow::Continue(())
    }

    /// XSETBV (APM volume 4): CR4.OSXSAVE, else #UD; CPL 0, XCR0, and bits that CPUID offers, else #GP.
    fn handle_xsetbv(&mut self) {
        let value = self.registers.page.gpr(0) & 0xffff_ffff | self.registers.page.gpr(2) << 32;
        let legal = xcr0::is_valid(value, self.cpuid.allowed_xcr0());
        if self.registers.page.cr4() & OSXSAVE == 0 {
            self.inject_exception(Exception::UNDEFINED_OPCODE);
        } else if self.registers.page.gpr(1) as u32 != 0 || self.registers.cpl() != 0 || !legal {
            self.inject_exception(Exception::GENERAL_PROTECTION);
        } else if self.complete(Intercept::Xsetbv) {
            // Only if XSETBV is still what stands at RIP: other code runs again, with the XCR0 that it had.
            self.registers.page.set_xcr0(value);
            self.registers.page.mark(Groups::XCR0);
        }
    }

    fn count(&self, why: u32, statistics: &Mutex<Statistics>) {
        statistics.lock().count(why, self.place(why));
    }

    /// Logs why the guest cannot go on, and its registers.
    #[cold]
    pub(super) fn report_registers(&mut self, what: &str) {
        // The exit stored what decoding takes and no more: the rest would be shown as it was at another time.
        self.registers.need(Groups::SYSTEM | Groups::SEGMENTS);
        let (page, system, segments) =
            (&self.registers.page, self.registers.page.system(), self.registers.page.segments());
        let exit = page.exit();
        log::error!("vCPU {}: {what} (exit {} code {:#x})", self.index, exit.reason, exit.raw_code);
        log::error!("rip {:016x} rflags {:08x} cr2 {:016x}", page.rip(), page.rflags(), system.cr2);
        log::error!(
            "cr0 {:08x} cr3 {:016x} cr4 {:08x} efer {:04x}",
            system.cr0,
            system.cr3,
            system.cr4,
            system.efer
        );
        let names = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"];
        for (row, names) in names.chunks(4).enumerate() {
            let value = |column: usize| page.gpr(row * 4 + column);
            log::error!(
                "{} {:016x} {} {:016x} {} {:016x} {} {:016x}",
                names[0],
                value(0),
                names[1],
                value(1),
                names[2],
                value(2),
                names[3],
                value(3)
            );
        }
        for row in 2..4 {
            let n = row * 4;
            log::error!(
                "r{:<2} {:016x} r{:<2} {:016x} r{:<2} {:016x} r{:<2} {:016x}",
                n,
                page.gpr(n),
                n + 1,
                page.gpr(n + 1),
                n + 2,
                page.gpr(n + 2),
                n + 3,
                page.gpr(n + 3)
            );
        }
        let show = |name: &str, s: runtime::abi::registers::Segment| {
            log::error!(
                "{name:<4} {:04x} base {:016x} limit {:08x} attributes {:03x}",
                s.selector,
                s.base,
                s.limit,
                s.attributes
            );
        };
        show("cs", system.cs);
        show("ss", system.ss);
        show("ds", segments.ds);
        show("tr", segments.tr);
        show("gdtr", segments.gdtr);
        show("idtr", segments.idtr);
    }
}

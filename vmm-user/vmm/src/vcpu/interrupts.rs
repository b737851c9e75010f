//! Events for the guest: exceptions of the VMM's making, NMIs, and interrupts of local APIC and PIC, when the
//! guest can take them.

use decoder::Exception;
use runtime::abi::exit::ExitFlags;
use runtime::abi::registers::{EventInjection, Groups, event_kind};
use runtime::abi::run_page::window;

use super::Vcpu;

/// RFLAGS.IF.
const INTERRUPT_FLAG: u64 = 1 << 9;
/// CR0.PE.
const PROTECTED: u64 = 1;

impl Vcpu {
    /// Injects an event at the next entry, which wakes the guest.
    pub(super) fn inject(&mut self, event: EventInjection) {
        self.halted = false;
        self.registers.page.set_injection(event);
        self.registers.page.mark(Groups::INJECTION);
    }

    /// Whether an event is to be delivered at the next entry, so that no other can be.
    pub(super) fn is_injecting(&self) -> bool {
        self.event_waits || self.registers.page.dirty() & Groups::INJECTION.bits() != 0
    }

    /// Injects an exception. RIP stays at the instruction.
    pub(super) fn inject_exception(&mut self, exception: Exception) {
        if let Some(address) = exception.cr2 {
            self.registers.change_system(|system| system.cr2 = address);
        }
        let real_mode = self.registers.page.cr0() & PROTECTED == 0;
        let error_code = exception.error_code.filter(|_| !real_mode);
        self.inject(EventInjection {
            kind: event_kind::EXCEPTION,
            vector: exception.vector,
            has_error_code: u8::from(error_code.is_some()),
            reserved: 0,
            error_code: error_code.unwrap_or(0),
        });
    }

    fn inject_interrupt(&mut self, vector: u8) {
        self.inject(EventInjection { kind: event_kind::INTERRUPT, vector, ..EventInjection::default() });
    }

    /// Whether the instruction behind an STI or a MOV SS is still to be executed.
    pub(super) fn is_in_shadow(&self) -> bool {
        let completed = self.registers.page.dirty() & Groups::GENERAL.bits() != 0;
        self.registers.page.flags() & ExitFlags::INTERRUPT_SHADOW.bits() != 0 && !completed
    }

    /// Whether the guest could take an interrupt now, its priority aside.
    fn is_interruptible(&self) -> bool {
        !self.is_injecting() && !self.is_in_shadow() && self.registers.page.rflags() & INTERRUPT_FLAG != 0
    }

    /// Injects what waits, or asks for an exit when the guest can take it.
    #[inline(always)]
    pub(super) fn plan_interrupts(&mut self) {
        if self.lapic.nmi_pending() {
            self.plan_nmi();
        }
        let external = self.lapic.extint_pending();
        let pending = self.lapic.deliverable_interrupt();
        let window = match (external, pending) {
            (false, None) => self.window_for_masked(),
            _ => self.deliver(external, pending),
        };
        self.registers.plan_window(window);
    }

    /// Delivers one of two interrupts if the guest takes it; returns the window to ask for.
    fn deliver(&mut self, external: bool, pending: Option<u8>) -> u32 {
        if !self.is_interruptible() {
            return window::OPEN;
        }
        if external {
            self.deliver_from_pic();
            return if pending.is_some() { window::OPEN } else { self.window_for_masked() };
        }
        if let Some(vector) = pending {
            self.lapic.acknowledge(vector);
            self.inject_interrupt(vector);
        }
        match self.lapic.deliverable_interrupt() {
            Some(_) => window::OPEN,
            None => self.window_for_masked(),
        }
    }

    #[cold]
    fn deliver_from_pic(&mut self) {
        let board = &self.shared.board;
        let mut access = board.access();
        let vector = board.acknowledge_pic(&mut access);
        self.lapic.acknowledge_extint();
        self.finish(&access);
        self.inject_interrupt(vector);
    }

    /// The window for an interrupt that only CR8 holds back: the guest's next write to it may let the
    /// interrupt through.
    #[inline]
    fn window_for_masked(&self) -> u32 {
        if self.lapic.interrupt_above_service().is_some() { window::PRIORITY } else { window::NONE }
    }
}

//! Events for the guest: exceptions of the VMM's making, NMIs, and interrupts of local APIC and PIC, when the
//! guest can take them.

use decoder::Exception;
use runtime::abi::exit::ExitFlags;
use runtime::abi::registers::{EventInjection, Groups, event_kind};
use runtime::abi::run_page::window;

use super::super::registers::{Kernel, Registers};
use super::Events;

/// RFLAGS.IF.
const INTERRUPT_FLAG: u64 = 1 << 9;
/// CR0.PE.
const PROTECTED: u64 = 1;

/// Whether the instruction behind an STI or a MOV SS is still to be executed.
pub(super) fn is_in_shadow(registers: &Registers<impl Kernel>) -> bool {
    // What the VMM has carried out was the instruction in the shadow, which ends with it.
    let completed = registers.page.dirty() & Groups::GENERAL.bits() != 0;
    registers.page.flags() & ExitFlags::INTERRUPT_SHADOW.bits() != 0 && !completed
}

/// A window to ask for.
struct Window {
    /// Of [`window`].
    kind: u32,
    /// The vector that it is for; 0 if only an open window tells.
    vector: u8,
}

/// Asks for a window, and says what it is for.
#[inline(always)]
fn plan_window(registers: &mut Registers<impl Kernel>, window: Window) {
    if window.kind != window::NONE {
        registers.page.set_window_vector(window.vector.into());
    }
    registers.plan_window(window.kind);
}

impl Events {
    /// Injects an event at the next entry, which wakes the guest.
    #[inline]
    pub fn inject(&mut self, registers: &mut Registers<impl Kernel>, event: EventInjection) {
        // Whatever the event is, it ends HLT.
        self.halted = false;
        registers.page.set_injection(event);
        registers.page.mark(Groups::INJECTION);
    }

    /// Whether an event is to be delivered at the next entry, so that no other can be.
    pub(super) fn is_injecting(&self, registers: &Registers<impl Kernel>) -> bool {
        self.kernel_has_one || registers.page.dirty() & Groups::INJECTION.bits() != 0
    }

    /// Injects an exception. RIP stays at the instruction.
    pub fn inject_exception(&mut self, registers: &mut Registers<impl Kernel>, exception: Exception) {
        // Injecting a page fault does not load CR2: a processor writes it when it finds the fault itself.
        if let Some(address) = exception.cr2 {
            registers.change_system(|system| system.cr2 = address);
        }
        // Real mode pushes no error codes (APM volume 2, 8.1).
        let real_mode = registers.page.cr0() & PROTECTED == 0;
        let error_code = exception.error_code.filter(|_| !real_mode);
        let event = EventInjection {
            kind: event_kind::EXCEPTION,
            vector: exception.vector,
            has_error_code: u8::from(error_code.is_some()),
            reserved: 0,
            error_code: error_code.unwrap_or(0),
        };
        self.inject(registers, event);
    }

    #[inline]
    fn inject_interrupt(&mut self, registers: &mut Registers<impl Kernel>, vector: u8) {
        let event = EventInjection { kind: event_kind::INTERRUPT, vector, ..EventInjection::default() };
        self.inject(registers, event);
    }

    /// Whether the guest could take an interrupt now, its priority aside.
    #[inline]
    fn is_interruptible(&self, registers: &Registers<impl Kernel>) -> bool {
        !self.is_injecting(registers)
            && !is_in_shadow(registers)
            && registers.page.rflags() & INTERRUPT_FLAG != 0
    }

    /// Injects what waits, or asks for an exit when the guest can take it. Returns whether it is the PIC that
    /// interrupts: its vector goes to [`Self::deliver_from_pic`] then.
    #[inline(always)]
    #[must_use]
    pub fn plan(&mut self, registers: &mut Registers<impl Kernel>) -> bool {
        // NMIs come before interrupts (APM volume 2, 8.5).
        if self.lapic.nmi_pending() {
            self.plan_nmi(registers);
        }
        let external = self.lapic.extint_pending();
        // One event an entry: what comes second gets a window.
        let window = match self.lapic.deliverable_interrupt() {
            None if !external => self.window_for_masked(),
            // The PIC's has to be acknowledged to be known.
            pending if !self.is_interruptible(registers) => {
                Window { kind: window::OPEN, vector: pending.filter(|_| !external).unwrap_or(0) }
            }
            _ if external => return true,
            pending => self.deliver(registers, pending),
        };
        plan_window(registers, window);
        false
    }

    /// The kernel has delivered the interrupt that the window was for.
    #[cold]
    pub fn window_interrupt_delivered(&mut self, registers: &Registers<impl Kernel>) {
        self.lapic.acknowledge(registers.page.window_vector() as u8);
        self.attention |= super::Attention::INTERRUPTS;
    }

    /// Delivers an interrupt of the local APIC; returns the window to ask for.
    fn deliver(&mut self, registers: &mut Registers<impl Kernel>, pending: Option<u8>) -> Window {
        if let Some(vector) = pending {
            // Only now that nothing else goes with this entry: once in service it is requested no more.
            self.lapic.acknowledge(vector);
            self.inject_interrupt(registers, vector);
        }
        self.window_for_rest()
    }

    /// Delivers the PIC's interrupt, which it was asked for by [`Self::plan`].
    pub fn deliver_from_pic(&mut self, registers: &mut Registers<impl Kernel>, vector: u8) {
        self.lapic.acknowledge_extint();
        self.inject_interrupt(registers, vector);
        let window = self.window_for_rest();
        plan_window(registers, window);
    }

    /// The window for what is not delivered with this entry.
    #[inline]
    fn window_for_rest(&self) -> Window {
        match self.lapic.deliverable_interrupt() {
            Some(vector) => Window { kind: window::OPEN, vector },
            None => self.window_for_masked(),
        }
    }

    /// After [`Self::plan`]: what the next entry looks at without another reason.
    #[inline(always)]
    pub fn planned(&mut self) {
        self.kernel_has_one = false;
        self.attention.remove(super::Attention::INTERRUPTS);
        // No exit says when the handler's IRET is behind the guest: each entry compares where it is.
        if self.nmi_needs_look() {
            self.attention = super::Attention::ALL;
        }
    }

    /// The window for an interrupt that only CR8 holds back: the guest's next write to it may let the
    /// interrupt through.
    #[inline]
    fn window_for_masked(&self) -> Window {
        match self.lapic.interrupt_above_service() {
            Some(vector) => Window { kind: window::PRIORITY, vector },
            None => Window { kind: window::NONE, vector: 0 },
        }
    }
}

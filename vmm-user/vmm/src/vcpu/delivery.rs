//! Delivering an event that the processor cannot deliver, since its gate, its stack or what leads there is
//! not in RAM: the emulator does what the processor would.

use core::ops::ControlFlow;

use decoder::fetch::Code;
use decoder::{Combined, Event, Exception, Outcome, combine, vector};
use runtime::abi::operation::end_reason;
use runtime::abi::registers::{EventInjection, event_kind};

use super::events::Attention;
use super::{Vcpu, emulator};

/// #BP and #OF, which are those of INT3 and INTO.
const BREAKPOINT: u8 = 3;
const OVERFLOW: u8 = 4;

impl Vcpu {
    /// Delivers an event, or the exception that comes up instead.
    #[cold]
    pub(super) fn deliver(&mut self, injected: EventInjection) -> ControlFlow<u32> {
        // Delivering changes RFLAGS.IF and the like, by which it was planned what the guest can take.
        self.events.attention = Attention::ALL;
        let is_exception = injected.kind == event_kind::EXCEPTION;
        // The instruction that asked for it is complete then.
        let asks = injected.kind == event_kind::SOFTWARE
            || is_exception && matches!(injected.vector, BREAKPOINT | OVERFLOW);
        let before = self.registers.page.rip();
        if asks && !self.skip_interrupt_instruction() {
            return ControlFlow::Continue(());
        }
        let event = Event {
            vector: injected.vector,
            error_code: (injected.has_error_code != 0).then_some(injected.error_code),
            is_software: asks,
            is_exception,
        };
        let outcome = emulator::deliver(self, event);
        // The instruction has not happened: what comes next, an exception or another try, is at its own
        // address.
        if !matches!(outcome, Outcome::Done { .. }) {
            self.registers.page.change_rip(before);
        }
        match outcome {
            Outcome::Done { .. } => ControlFlow::Continue(()),
            Outcome::Exception(second) => self.deliver_instead(event, second),
            // Tables changed meanwhile: the processor tries again.
            Outcome::Retry => {
                self.events.inject(&mut self.registers, injected);
                ControlFlow::Continue(())
            }
            _ => self.cannot_deliver(event),
        }
    }

    /// An exception came up while an event was delivered.
    fn deliver_instead(&mut self, event: Event, second: Exception) -> ControlFlow<u32> {
        match combine(event, second.vector) {
            Combined::Second => self.inject_exception(second),
            Combined::DoubleFault => self.inject_exception(Exception {
                vector: vector::DOUBLE_FAULT,
                error_code: Some(0),
                cr2: None,
            }),
            Combined::Shutdown => return self.cannot_deliver(event),
        }
        ControlFlow::Continue(())
    }

    /// A processor shuts down; or the event leads to another task, which is not emulated.
    fn cannot_deliver(&mut self, event: Event) -> ControlFlow<u32> {
        let gpa = self.registers.page.gpa();
        log::error!("vCPU {}: event {} needs {gpa:#x}", self.index, event.vector);
        self.report_registers("an event cannot be delivered");
        ControlFlow::Break(end_reason::TRIPLE_FAULT)
    }

    /// Moves RIP behind INT n, INT3, INTO or INT1. `false` if there is none: the guest's code has changed,
    /// and is run again.
    fn skip_interrupt_instruction(&mut self) -> bool {
        let mut code = Code::EMPTY;
        match emulator::interrupt_length(self, &mut code) {
            Ok(Some(length)) => {
                let mask = self.registers.mode().linear_mask();
                let next = self.registers.page.rip().wrapping_add(length.into()) & mask;
                self.registers.page.change_rip(next);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.fetch_failed(error);
                false
            }
        }
    }
}

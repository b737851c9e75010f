//! The virtual interrupt (V_IRQ) of a VMSA below VMPL0 with alternate injection, and its EVENTINJ: how the
//! vCPU below has them delivered (APM 2, 15.36.16).
//!
//! The interrupt waits until the guest can take it, and until its priority is above the guest's task priority
//! if it minds that. The vCPU below knows no priorities: so while one waits that minds, each write of CR8
//! exits.

use plinth_snp_abi::vmsa::{EventInfo, EventType, SevFeatures, VintrCtrl, Vmsa};
use runtime::abi::exit::ExitFlags;
use runtime::abi::registers::{EventInjection, Groups, event_kind};
use runtime::abi::run_page::window;

use crate::end::Next;
use crate::exits::Simulator;

/// Above every task priority.
const ABOVE_ALL: u8 = 16;

/// The virtual interrupt (V_IRQ) of the VMSA that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Interrupt {
    /// None.
    #[default]
    None,
    /// It is the vCPU's to deliver.
    Loaded(u8),
    /// Something else comes first.
    Held(u8),
}

/// The interrupt that waits.
#[derive(Default)]
pub(crate) struct Interrupts {
    waiting: Interrupt,
    /// The task priorities below this let it come: [`ABOVE_ALL`] with V_IGN_TPR.
    priority: u8,
}

impl Interrupts {
    /// Whether it still waits at an exit. One that the vCPU was to deliver, and that neither pends nor was
    /// interrupted, has been delivered.
    pub fn waits(&self, flags: ExitFlags) -> bool {
        match self.waiting {
            Interrupt::None => false,
            Interrupt::Loaded(_) => flags.contains(ExitFlags::INJECTION_PENDING),
            Interrupt::Held(_) => true,
        }
    }
}

impl Simulator {
    /// What a VMSA has for the guest: EVENTINJ first, then V_IRQ (APM 2, 15.36.16).
    pub(crate) fn load_events(&mut self, vmsa: &Vmsa, event: Option<EventInfo>) {
        let control = VintrCtrl::from_bits_retain(vmsa.vintr_ctrl);
        let has_own = vmsa.features().contains(SevFeatures::ALTERNATE_INJECTION);
        let waits = has_own && control.contains(VintrCtrl::IRQ | VintrCtrl::GIF);
        self.vmpls.interrupts.waiting =
            if waits { Interrupt::Held(control.vector()) } else { Interrupt::None };
        let is_above_all = control.contains(VintrCtrl::IGNORE_TPR);
        self.vmpls.interrupts.priority = if is_above_all { ABOVE_ALL } else { control.priority() };
        self.vcpu.page.set_injection(event.map(from_info).unwrap_or_default());
        self.vcpu.page.mark(Groups::INJECTION);
        self.place_interrupt(control.tpr() & 0xf, event.is_none());
    }

    /// The virtual interrupt, where the guest's task priority is `class`: it is loaded if it may come and
    /// nothing else comes first, or waits for the window, or for a lower task priority.
    fn place_interrupt(&mut self, class: u8, is_first: bool) {
        let may_come = self.vmpls.interrupts.priority > class;
        let minds = self.vmpls.interrupts.priority < ABOVE_ALL;
        let waits = self.vmpls.interrupts.waiting != Interrupt::None;
        if may_come && is_first {
            self.load_interrupt();
        }
        let is_held = matches!(self.vmpls.interrupts.waiting, Interrupt::Held(_));
        let mut wanted = window::NONE;
        if is_held && may_come {
            wanted |= window::OPEN;
        }
        if waits && minds {
            wanted |= window::PRIORITY;
        }
        self.vcpu.page.set_window(wanted);
        self.vcpu.page.mark(Groups::CONTROLS);
    }

    /// The guest has another task priority from here on.
    pub(crate) fn task_priority_written(&mut self, class: u8) {
        let pends = self.vcpu.page.flags() & ExitFlags::INJECTION_PENDING.bits() != 0;
        if let Interrupt::Loaded(vector) = self.vmpls.interrupts.waiting {
            self.vmpls.interrupts.waiting = if pends { Interrupt::Held(vector) } else { Interrupt::None };
            if pends && self.vmpls.interrupts.priority <= class {
                // Nothing, in its place.
                self.vcpu.page.set_injection(EventInjection::default());
                self.vcpu.page.mark(Groups::INJECTION);
            }
        }
        self.place_interrupt(class, true);
    }

    /// Nothing else comes before the virtual interrupt any more.
    fn load_interrupt(&mut self) {
        if let Interrupt::Held(vector) = self.vmpls.interrupts.waiting {
            let interrupt = EventInjection { kind: event_kind::INTERRUPT, vector, ..Default::default() };
            self.vcpu.page.set_injection(interrupt);
            self.vcpu.page.mark(Groups::INJECTION);
            self.vmpls.interrupts.waiting = Interrupt::Loaded(vector);
        }
    }

    /// Another event is about to take the virtual interrupt's place.
    pub(crate) fn hold_interrupt(&mut self) {
        let pends = self.vcpu.page.flags() & ExitFlags::INJECTION_PENDING.bits() != 0;
        if let Interrupt::Loaded(vector) = self.vmpls.interrupts.waiting {
            self.vmpls.interrupts.waiting = if pends { Interrupt::Held(vector) } else { Interrupt::None };
        }
        self.place_interrupt(self.vcpu.page.exit_cr8(), false);
    }

    /// The guest can take the virtual interrupt now.
    pub(crate) fn window_opens(&mut self) -> Next {
        self.place_interrupt(self.vcpu.page.exit_cr8(), true);
        Ok(())
    }
}

/// An event as the processor writes it.
pub fn to_info(event: EventInjection) -> EventInfo {
    let kind = match event.kind {
        event_kind::INTERRUPT => EventType::Interrupt,
        event_kind::NMI => EventType::Nmi,
        event_kind::EXCEPTION => EventType::Exception,
        _ => EventType::Software,
    };
    EventInfo::new(kind, event.vector, (event.has_error_code != 0).then_some(event.error_code))
}

/// What is no event is none: a processor would refuse the VMSA.
fn from_info(event: EventInfo) -> EventInjection {
    let kind = match event.kind() {
        Some(EventType::Interrupt) => event_kind::INTERRUPT,
        Some(EventType::Nmi) => event_kind::NMI,
        Some(EventType::Exception) => event_kind::EXCEPTION,
        Some(EventType::Software) => event_kind::SOFTWARE,
        None => event_kind::NONE,
    };
    let (has_error_code, error_code) = match event.error_code() {
        Some(code) => (1, code),
        None => (0, 0),
    };
    EventInjection { kind, vector: event.vector(), has_error_code, reserved: 0, error_code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_both_ways() {
        for info in [
            EventInfo::new(EventType::Interrupt, 0x31, None),
            EventInfo::new(EventType::Nmi, 2, None),
            EventInfo::new(EventType::Exception, 13, Some(0x18)),
            EventInfo::new(EventType::Exception, 6, None),
            EventInfo::new(EventType::Software, 0x80, None),
        ] {
            assert_eq!(to_info(from_info(info)), info, "{info:x?}");
        }
        assert_eq!(from_info(EventInfo(0x8000_0731)).kind, event_kind::NONE);
    }
}

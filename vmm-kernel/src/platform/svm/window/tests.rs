use vcpu_abi::registers::{EventInjection, event_kind};

use super::*;
use crate::platform::svm::host_pages::VcpuPages;

#[test]
fn what_is_asked_for_is_intercepted_and_nothing_else() {
    let pages = VcpuPages::new();
    let (vmcb, _) = pages.parts();
    let control = &vmcb.control;
    let request = vintr::IRQ | vintr::IGNORE_TPR | 0xf << vintr::PRIORITY_SHIFT;
    let open = (request, intercept1::VINTR);
    for (want, (vintr_bits, intercept), cr8) in [
        (window::NONE, (0, 0), 0),
        (window::OPEN, open, intercept_cr::CR8_WRITE),
        (window::ALL & !window::OPEN, (0, 0), intercept_cr::CR8_WRITE),
        (window::ALL, open, intercept_cr::CR8_WRITE),
        (!window::ALL, (0, 0), 0),
    ] {
        control.vintr.set(vintr::MASKING | 7);
        control.intercept1.set(intercept1::NMI);
        control.intercept_cr.set(intercept_cr::CR4_WRITE);
        set(vmcb, want);
        assert_eq!(control.vintr.get(), vintr::MASKING | 7 | vintr_bits, "{want}");
        assert_eq!(control.intercept1.get(), intercept1::NMI | intercept, "{want}");
        assert_eq!(control.intercept_cr.get(), intercept_cr::CR4_WRITE | cr8, "{want}");
        set(vmcb, window::NONE);
        assert_eq!(control.vintr.get(), vintr::MASKING | 7, "{want}: taken back");
        assert_eq!(control.intercept_cr.get(), intercept_cr::CR4_WRITE, "{want}: taken back");
    }
}

#[test]
fn an_interrupt_that_waits_keeps_the_virtual_interrupt() {
    let pages = VcpuPages::new();
    let (vmcb, _) = pages.parts();
    let waiting = vintr::IRQ | 0x61 << vintr::VECTOR_SHIFT;
    vmcb.control.vintr.set(waiting);
    set(vmcb, window::ALL);
    assert_eq!((vmcb.control.vintr.get(), vmcb.control.intercept1.get()), (waiting, 0));
}

#[test]
fn under_emulation_an_interrupt_that_waits_has_cr8_exit_until_it_was_written() {
    let pages = VcpuPages::new();
    let (vmcb, _) = pages.parts();
    let (control, emulated) = (&vmcb.control, intercept_cr::CR0_WRITE);
    for (first, after) in [(0, 0), (emulated, emulated | intercept_cr::CR8_WRITE)] {
        control.intercept_cr.set(first);
        let interrupt = EventInjection { kind: event_kind::INTERRUPT, vector: 0x61, ..Default::default() };
        crate::platform::svm::state::inject(vmcb, interrupt);
        assert_eq!(control.intercept_cr.get(), after);
        set(vmcb, window::NONE);
        assert_eq!(control.intercept_cr.get(), after, "not delivered yet");
        cr8_was_written(vmcb, window::NONE);
        assert_eq!(control.intercept_cr.get(), after, "not delivered yet");
        control.vintr.update(|bits| bits & !vintr::IRQ);
        for want in [window::PRIORITY, window::OPEN] {
            cr8_was_written(vmcb, want);
            assert_eq!(control.intercept_cr.get(), after, "asked for: {want}");
        }
        cr8_was_written(vmcb, window::NONE);
        assert_eq!(control.intercept_cr.get(), first);
    }
}

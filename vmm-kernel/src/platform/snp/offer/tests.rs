use super::*;
use crate::platform::snp::testing_vcpu::Pages;

/// A vCPU with GIF and a task priority, for which the VMM asks for this window.
fn asking(window: u32, vector: u32) -> Pages {
    let pages = Pages::new();
    let (vmsa, _) = pages.parts();
    vmsa.set_vintr(VintrCtrl::GIF.with_tpr(3).bits());
    pages.set_window(window);
    pages.set_window_vector(vector);
    pages
}

#[test]
fn what_is_asked_for_is_offered_for_the_time_of_an_entry() {
    for (window, vector, is_offered) in [
        (window::OPEN, 0x41, true),
        (window::PRIORITY, 0xff, true),
        (window::OPEN, 16, true),
        (window::OPEN, 15, false),
        (window::OPEN, 0, false),
        (window::OPEN, 0x141, false),
        (window::NONE, 0x41, false),
        (!window::ALL, 0x41, false),
    ] {
        let (pages, offer) = (asking(window, vector), Offer::default());
        let (vmsa, page) = pages.parts();
        vmsa.set_vintr(vmsa.vintr() | VintrCtrl::IGNORE_TPR.bits());
        offer.make(vmsa, page);
        let made = control(vmsa);
        assert_eq!(made.contains(VintrCtrl::IRQ), is_offered, "{window} {vector:#x}");
        if is_offered {
            assert_eq!((u32::from(made.vector()), u32::from(made.priority())), (vector, vector >> 4));
            assert!(!made.contains(VintrCtrl::IGNORE_TPR), "the guest's task priority holds it back");
            assert!(made.contains(VintrCtrl::GIF) && made.tpr() == 3);
        }
        offer.withdraw(vmsa);
        assert!(!control(vmsa).contains(VintrCtrl::IRQ) && !offer.take_delivered(), "{window} {vector:#x}");
    }
}

#[test]
fn one_that_the_processor_has_taken_is_told_of_once_and_not_offered_before() {
    let (pages, offer) = (asking(window::OPEN, 0x41), Offer::default());
    let (vmsa, page) = pages.parts();
    offer.make(vmsa, page);
    vmsa.set_vintr(control(vmsa).difference(VintrCtrl::IRQ).bits());
    offer.withdraw(vmsa);
    // The host's interrupt: the guest is entered again, and the VMM asks as before.
    offer.make(vmsa, page);
    assert!(!control(vmsa).contains(VintrCtrl::IRQ), "it would be delivered twice");
    offer.withdraw(vmsa);
    assert!(offer.take_delivered());
    assert!(!offer.take_delivered());
    offer.make(vmsa, page);
    assert!(control(vmsa).contains(VintrCtrl::IRQ), "the next one of the same vector");
}

#[test]
fn an_interrupt_that_is_loaded_stays_when_another_is_asked_for() {
    let (pages, offer) = (asking(window::OPEN, 0x41), Offer::default());
    let (vmsa, page) = pages.parts();
    let loaded = control(vmsa).with_interrupt(0x52).union(VintrCtrl::IGNORE_TPR);
    vmsa.set_vintr(loaded.bits());
    offer.make(vmsa, page);
    assert_eq!(control(vmsa), loaded);
    offer.withdraw(vmsa);
    assert_eq!(control(vmsa), loaded);
    assert!(!offer.take_delivered());
}

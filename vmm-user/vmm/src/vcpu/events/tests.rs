use super::*;
use crate::vcpu::registers::fake::{FakeKernel, registers};
use alloc::boxed::Box;
use decoder::Exception;
use devices::apic::{ApicBus, DeliveryMode, InterruptMessage, Kick};
use devices::capability::Width;
use runtime::abi::exit::ExitFlags;
use runtime::abi::registers::{Groups, event_kind};
use runtime::abi::run_page::window;

/// Registers of an xAPIC.
const TPR: u64 = 0x80;
const EOI: u64 = 0xb0;
const ICR_LOW: u64 = 0x300;
const TIMER_COUNT: u64 = 0x380;
/// The processor that sends it.
const SELF: u64 = 1 << 18;
const IF: u64 = 0x200;
const TSC_HZ: u64 = 1_000_000_000;

/// Nothing besides the local APIC.
struct NoBus;

impl Kick for NoBus {
    fn kick(&mut self, _: usize) {}
}

impl ApicBus for NoBus {
    fn now_ns(&self) -> u64 {
        0
    }

    fn host_tsc(&self) -> u64 {
        0
    }

    fn end_of_interrupt(&mut self, _: u8) {}
}

/// A vCPU that takes interrupts, with an APIC that is switched on.
struct Vcpu {
    events: Events,
    registers: Registers<FakeKernel>,
    apics: &'static Arc<Apics>,
    apic: &'static ApicShared,
}

impl Vcpu {
    fn new() -> Self {
        let apics: &'static Arc<Apics> = Box::leak(Box::new(Arc::new(Apics::new(&[0]).unwrap())));
        let mut events = Events::new(apics, 0, TSC_HZ).unwrap();
        events.lapic.enter_virtual_wire();
        let mut registers = registers();
        registers.page.set_rflags(IF);
        registers.page.set_cr0(1);
        Self { events, registers, apics, apic: apics.get(0).unwrap() }
    }

    fn store(&mut self, register: u64, value: u64) {
        self.events.lapic.mmio_write(register, Width::Dword, value, &mut NoBus);
        self.events.lapic.sync();
    }

    fn request(&mut self, vector: u8) {
        self.store(ICR_LOW, SELF | u64::from(vector));
    }

    /// Plans the next entry. Returns whether the PIC is asked.
    fn plan(&mut self) -> bool {
        let asks_pic = self.events.plan(&mut self.registers);
        self.events.planned();
        asks_pic
    }

    /// The event of the next entry, if there is one, and the window; the guest has been entered afterwards.
    fn entered(&mut self) -> (Option<(u8, u8)>, u32) {
        let event = self.registers.page.injection();
        let is_injected = self.registers.page.dirty() & Groups::INJECTION.bits() != 0;
        self.registers.page.set_dirty(0);
        (is_injected.then_some((event.kind, event.vector)), self.registers.page.window())
    }

    fn plan_and_enter(&mut self) -> (Option<(u8, u8)>, u32) {
        assert!(!self.plan());
        self.entered()
    }
}

const fn interrupt(vector: u8) -> Option<(u8, u8)> {
    Some((event_kind::INTERRUPT, vector))
}

#[test]
fn an_interrupt_is_injected_once() {
    let mut vcpu = Vcpu::new();
    assert_eq!(vcpu.plan_and_enter(), (None, window::NONE));
    vcpu.request(0x61);
    assert_eq!(vcpu.plan_and_enter(), (interrupt(0x61), window::NONE));
    assert_eq!(vcpu.plan_and_enter(), (None, window::NONE));
}

/// What the guest cannot take now waits for a window.
#[test]
fn an_interrupt_waits_until_the_guest_takes_it() {
    const SHADOW: u32 = ExitFlags::INTERRUPT_SHADOW.bits();
    let general = Groups::GENERAL;
    for (rflags, flags, dirty, is_taken) in [
        (IF, 0, Groups::empty(), true),
        (0, 0, Groups::empty(), false),
        (IF, SHADOW, Groups::empty(), false),
        // The instruction in the shadow was completed by the VMM.
        (IF, SHADOW, general, true),
        (0, SHADOW, general, false),
    ] {
        let mut vcpu = Vcpu::new();
        vcpu.request(0x61);
        vcpu.registers.page.set_rflags(rflags);
        vcpu.registers.page.set_flags(flags);
        vcpu.registers.page.mark(dirty);
        let expected = if is_taken { (interrupt(0x61), window::NONE) } else { (None, window::OPEN) };
        assert_eq!(vcpu.plan_and_enter(), expected, "{rflags:x} {flags:x} {dirty:?}");
        // When the window opens, the guest can.
        vcpu.registers.page.set_rflags(IF);
        vcpu.registers.page.set_flags(0);
        let expected = if is_taken { None } else { interrupt(0x61) };
        assert_eq!(vcpu.plan_and_enter(), (expected, window::NONE));
    }
}

/// One event at a time: the one that is there already goes first.
#[test]
fn nothing_is_injected_over_another_event() {
    let mut vcpu = Vcpu::new();
    vcpu.request(0x61);
    vcpu.events.inject_exception(&mut vcpu.registers, Exception::UNDEFINED_OPCODE);
    assert_eq!(vcpu.plan_and_enter(), (Some((event_kind::EXCEPTION, 6)), window::OPEN));
    vcpu.events.kernel_has_one();
    assert_eq!(vcpu.events.attention, Attention::ALL);
    assert_eq!(vcpu.plan_and_enter(), (None, window::OPEN));
    assert_eq!(vcpu.plan_and_enter(), (interrupt(0x61), window::NONE));
}

#[test]
fn a_task_priority_that_holds_an_interrupt_back_asks_for_writes_of_cr8() {
    let mut vcpu = Vcpu::new();
    vcpu.request(0x61);
    vcpu.events.take_task_priority(6);
    assert_eq!(vcpu.plan_and_enter(), (None, window::PRIORITY));
    vcpu.events.attention = Attention::empty();
    vcpu.events.take_task_priority(6);
    assert_eq!(vcpu.events.attention, Attention::empty(), "it is the same");
    vcpu.events.take_task_priority(7);
    assert_eq!(vcpu.events.attention, Attention::INTERRUPTS, "it is another");
    vcpu.events.take_task_priority(6);
    vcpu.events.attention = Attention::empty();
    vcpu.events.write_task_priority(5, &mut vcpu.registers);
    assert_eq!(vcpu.events.attention, Attention::INTERRUPTS);
    assert_eq!((vcpu.registers.page.cr8(), vcpu.registers.page.exit_cr8()), (5, 5));
    assert_eq!(vcpu.plan_and_enter(), (interrupt(0x61), window::NONE));
}

/// The kernel may deliver what a window is for by itself: then it is in service, and requested no more.
#[test]
fn a_window_says_what_it_is_for_and_that_may_be_delivered_by_the_kernel() {
    for (rflags, class, window) in [(0, 0, window::OPEN), (IF, 6, window::PRIORITY)] {
        let mut vcpu = Vcpu::new();
        vcpu.request(0x61);
        vcpu.registers.page.set_rflags(rflags);
        vcpu.events.take_task_priority(class);
        assert_eq!(vcpu.plan_and_enter(), (None, window));
        assert_eq!(vcpu.registers.page.window_vector(), 0x61);
        vcpu.events.attention = Attention::empty();
        vcpu.events.window_interrupt_delivered(&vcpu.registers);
        assert_eq!(vcpu.events.attention, Attention::INTERRUPTS);
        // The same one again, which was posted behind that: it waits for the end of the first.
        vcpu.request(0x61);
        vcpu.registers.page.set_rflags(IF);
        vcpu.events.take_task_priority(0);
        assert_eq!(vcpu.plan_and_enter(), (None, window::NONE));
        vcpu.store(EOI, 0);
        assert_eq!(vcpu.plan_and_enter(), (interrupt(0x61), window::NONE));
    }
}

#[test]
fn of_two_interrupts_the_lower_one_waits_for_the_end_of_the_other() {
    let mut vcpu = Vcpu::new();
    vcpu.request(0x51);
    vcpu.request(0x61);
    assert_eq!(vcpu.plan_and_enter(), (interrupt(0x61), window::NONE));
    assert_eq!(vcpu.plan_and_enter(), (None, window::NONE));
    vcpu.store(EOI, 0);
    assert_eq!(vcpu.plan_and_enter(), (interrupt(0x51), window::NONE));
}

#[test]
fn the_pic_comes_first_and_gives_its_vector_only_when_the_guest_takes_it() {
    let mut vcpu = Vcpu::new();
    vcpu.request(0x61);
    assert!(vcpu.apic.set_lint0(true));
    vcpu.registers.page.set_rflags(0);
    assert_eq!(vcpu.plan_and_enter(), (None, window::OPEN));
    assert_eq!(vcpu.registers.page.window_vector(), 0, "the window is not for the local APIC's");
    vcpu.registers.page.set_rflags(IF);
    assert!(vcpu.plan(), "the PIC is asked");
    assert!(!vcpu.apic.set_lint0(false));
    vcpu.events.deliver_from_pic(&mut vcpu.registers, 0x31);
    assert_eq!(vcpu.entered(), (interrupt(0x31), window::OPEN));
    assert_eq!(vcpu.plan_and_enter(), (interrupt(0x61), window::NONE));
}

/// What the I/O APIC passes on from the PIC is taken once, and what waits behind it asks for a window.
#[test]
fn the_pics_interrupt_that_came_as_a_message_is_taken_once() {
    let mut vcpu = Vcpu::new();
    let (delivery, vector) = (DeliveryMode::ExtInt, 0);
    let message = InterruptMessage { destination: 0, logical: false, delivery, vector, level: false };
    assert!(vcpu.apics.deliver(&message, &mut NoBus));
    vcpu.events.lapic.sync();
    vcpu.request(0x61);
    assert!(vcpu.plan(), "the PIC is asked");
    vcpu.events.deliver_from_pic(&mut vcpu.registers, 0x31);
    assert_eq!(vcpu.entered(), (interrupt(0x31), window::OPEN));
    assert_eq!(vcpu.plan_and_enter(), (interrupt(0x61), window::NONE));
}

/// An NMI waits until the IRET of the last one's handler has been executed.
#[test]
fn nmis_come_one_at_a_time() {
    const NMI: Option<(u8, u8)> = Some((event_kind::NMI, 2));
    let mut vcpu = Vcpu::new();
    let post = |vcpu: &mut Vcpu| {
        assert!(vcpu.apic.post_nmi());
        vcpu.events.lapic.sync();
    };
    vcpu.registers.page.set_rflags(0);
    post(&mut vcpu);
    assert_eq!(vcpu.plan_and_enter().0, NMI);
    assert_eq!(vcpu.registers.page.nmi_return(), 1, "its IRET is to exit");
    post(&mut vcpu);
    assert_eq!(vcpu.plan_and_enter().0, None);
    assert!(!vcpu.events.nmi_needs_look(), "the exit will come");
    vcpu.registers.page.set_rip(0x1000);
    assert!(vcpu.events.nmi_returns(&mut vcpu.registers), "one waits");
    assert_eq!((vcpu.plan_and_enter().0, vcpu.registers.page.nmi_return()), (None, 0));
    assert!(vcpu.events.nmi_needs_look() && vcpu.events.attention == Attention::ALL);
    vcpu.registers.page.set_rip(0x2000);
    assert_eq!(vcpu.plan_and_enter().0, NMI);
    assert!(!vcpu.events.nmi_needs_look());
}

/// Two that come at once are delivered, one behind the other; of those that come meanwhile one is.
#[test]
fn one_nmi_is_latched_behind_another() {
    const NMI: Option<(u8, u8)> = Some((event_kind::NMI, 2));
    let mut vcpu = Vcpu::new();
    let post = |vcpu: &mut Vcpu, count: usize| {
        for _ in 0..count {
            let _ = vcpu.apic.post_nmi();
        }
        vcpu.events.lapic.sync();
    };
    let returns = |vcpu: &mut Vcpu| {
        let waits = vcpu.events.nmi_returns(&mut vcpu.registers);
        vcpu.events.nmi_has_returned(&mut vcpu.registers);
        waits
    };
    for (before, meanwhile) in [(2, 0), (3, 0), (2, 5), (1, 1), (1, 7)] {
        post(&mut vcpu, before);
        assert_eq!(vcpu.plan_and_enter().0, NMI, "{before} {meanwhile}");
        post(&mut vcpu, meanwhile);
        assert_eq!(vcpu.plan_and_enter().0, None);
        assert!(returns(&mut vcpu));
        assert_eq!(vcpu.plan_and_enter().0, NMI);
        assert!(!returns(&mut vcpu));
        assert_eq!(vcpu.plan_and_enter().0, None);
    }
}

#[test]
fn an_exception_has_an_error_code_in_protected_mode_and_sets_cr2() {
    for (cr0, error_code) in [(1, Some(2)), (0, None)] {
        let mut vcpu = Vcpu::new();
        vcpu.registers.page.set_cr0(cr0);
        vcpu.events.inject_exception(&mut vcpu.registers, Exception::page_fault(2, 0x5000));
        let event = vcpu.registers.page.injection();
        let found = (event.has_error_code != 0).then_some(event.error_code);
        assert_eq!((event.kind, event.vector, found), (event_kind::EXCEPTION, 14, error_code));
        assert_eq!(vcpu.registers.page.system().cr2, 0x5000);
        assert_eq!(vcpu.registers.page.dirty(), (Groups::INJECTION | Groups::SYSTEM).bits());
    }
}

/// One that waits for the end of an instruction's shadow, or of another event's delivery.
#[test]
fn an_nmi_waits_for_what_comes_first() {
    const NMI: Option<(u8, u8)> = Some((event_kind::NMI, 2));
    let waiting = || {
        let mut vcpu = Vcpu::new();
        assert!(vcpu.apic.post_nmi());
        vcpu.events.lapic.sync();
        vcpu
    };
    let mut vcpu = waiting();
    vcpu.registers.page.set_flags(ExitFlags::INTERRUPT_SHADOW.bits());
    assert_eq!(vcpu.plan_and_enter().0, None);
    vcpu.registers.page.set_flags(0);
    assert_eq!(vcpu.plan_and_enter().0, NMI);
    let mut vcpu = waiting();
    vcpu.events.inject_exception(&mut vcpu.registers, Exception::UNDEFINED_OPCODE);
    assert_eq!(vcpu.plan_and_enter().0, Some((event_kind::EXCEPTION, 6)));
    assert_eq!(vcpu.plan_and_enter().0, NMI);
    let _ = vcpu.events.nmi_returns(&mut vcpu.registers);
    vcpu.registers.page.set_rip(0x2000);
    assert_eq!(vcpu.plan_and_enter().0, None, "it is taken once");
}

/// The same address with another stack is another IRET.
#[test]
fn an_iret_is_known_by_its_stack_as_well() {
    let mut vcpu = Vcpu::new();
    let page = &mut vcpu.registers.page;
    page.set_rip(0x1000);
    page.set_gpr(4, 0x8000);
    let _ = vcpu.events.nmi_returns(&mut vcpu.registers);
    assert_eq!(vcpu.registers.page.dirty(), Groups::CONTROLS.bits());
    assert!(vcpu.apic.post_nmi());
    vcpu.events.lapic.sync();
    assert_eq!(vcpu.plan_and_enter().0, None);
    vcpu.registers.page.set_gpr(4, 0x9000);
    assert_eq!(vcpu.plan_and_enter().0, Some((event_kind::NMI, 2)));
}

#[test]
fn after_a_plan_there_is_nothing_to_look_at() {
    let mut vcpu = Vcpu::new();
    vcpu.request(0x61);
    vcpu.events.attention = Attention::INTERRUPTS;
    assert_eq!(vcpu.plan_and_enter().0, interrupt(0x61));
    assert_eq!(vcpu.events.attention, Attention::empty());
}

#[test]
fn the_apic_is_in_its_page_alone() {
    let vcpu = Vcpu::new();
    const BASE: u64 = 0xfee0_0000;
    for (gpa, offset) in
        [(BASE, Some(0)), (BASE + 0xfff, Some(0xfff)), (BASE + 0x1000, None), (BASE - 1, None), (0, None)]
    {
        assert_eq!(vcpu.events.lapic_offset(gpa), offset, "{gpa:x}");
    }
}

#[test]
fn an_event_ends_the_halt() {
    let mut vcpu = Vcpu::new();
    vcpu.events.attention = Attention::empty();
    vcpu.events.halt(true);
    vcpu.events.halted();
    assert!(vcpu.events.is_stopped() && vcpu.events.attention == Attention::ALL);
    vcpu.request(0x61);
    assert_eq!(vcpu.plan_and_enter().0, interrupt(0x61));
    assert!(!vcpu.events.is_stopped());
    vcpu.events.attention = Attention::empty();
    vcpu.events.halt(true);
    vcpu.events.wake();
    vcpu.events.halted();
    assert!(!vcpu.events.is_stopped() && vcpu.events.attention.is_empty());
}

#[test]
fn what_is_written_to_the_apic_is_looked_at() {
    let mut vcpu = Vcpu::new();
    vcpu.events.lapic.attend();
    vcpu.events.attention = Attention::empty();
    vcpu.store(TPR, 0x30);
    vcpu.events.lapic_written(&mut vcpu.registers);
    assert_eq!((vcpu.registers.page.cr8(), vcpu.registers.page.exit_cr8()), (3, 3));
    assert_eq!(vcpu.registers.page.dirty(), Groups::TPR.bits());
    assert_eq!(vcpu.events.attention, Attention::empty(), "nothing is requested");
    vcpu.store(TIMER_COUNT, 1000);
    vcpu.events.lapic_written(&mut vcpu.registers);
    assert_eq!(vcpu.events.attention, Attention::ALL, "there is a deadline");
    vcpu.events.lapic.attend();
    vcpu.events.attention = Attention::empty();
    vcpu.request(0x61);
    vcpu.events.lapic_written(&mut vcpu.registers);
    assert!(vcpu.events.attention.contains(Attention::INTERRUPTS));
}

#[test]
fn what_was_on_its_way_ends_with_a_reset() {
    let mut vcpu = Vcpu::new();
    vcpu.events.inject_exception(&mut vcpu.registers, Exception::UNDEFINED_OPCODE);
    vcpu.events.kernel_has_one();
    assert!(vcpu.apic.post_nmi());
    vcpu.events.lapic.sync();
    let _ = vcpu.events.nmi_returns(&mut vcpu.registers);
    vcpu.events.reset(&mut vcpu.registers);
    assert_eq!(vcpu.registers.page.injection(), EventInjection::default());
    vcpu.registers.page.set_dirty(0);
    // Neither the kernel's event nor the IRET keeps the NMI from its turn.
    assert_eq!(vcpu.plan_and_enter().0, Some((event_kind::NMI, 2)));
}

#[test]
fn a_processor_that_was_not_started_is_stopped() {
    let apics: &'static Arc<Apics> = Box::leak(Box::new(Arc::new(Apics::new(&[0, 1]).unwrap())));
    let stopped = [0, 1].map(|index| Events::new(apics, index, TSC_HZ).unwrap().is_stopped());
    assert_eq!(stopped, [false, true]);
    assert!(Events::new(apics, 2, TSC_HZ).is_none());
}

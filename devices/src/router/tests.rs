//! Lines through PIC and I/O APIC to the local APICs.

use super::*;
use crate::apic::{ApicBus, LocalApic, LocalApicConfig, spec};
use crate::capability::PowerEvent;
use crate::ioapic::IOAPIC_BASE;
use alloc::vec::Vec;

/// A platform whose only use is to exist.
struct Nowhere;

impl Platform for Nowhere {
    fn now_ns(&self) -> u64 {
        0
    }
    fn set_line(&mut self, _: u8, _: bool) {}
    fn power(&mut self, _: PowerEvent) {}
}

/// The surroundings of a local APIC: what the VMM does with a router behind a lock.
struct Bus<'a>(&'a mut Router);

impl Kick for Bus<'_> {
    fn kick(&mut self, vcpu: usize) {
        self.0.kicks.kick(vcpu);
    }
}

impl ApicBus for Bus<'_> {
    fn now_ns(&self) -> u64 {
        0
    }
    fn host_tsc(&self) -> u64 {
        0
    }
    fn end_of_interrupt(&mut self, vector: u8) {
        self.0.end_of_interrupt(vector);
    }
}

struct Machine {
    router: Router,
    local: Vec<LocalApic>,
}

impl Machine {
    fn new(vcpus: u32) -> Self {
        let ids: Vec<u32> = (0..vcpus).collect();
        let apics = Arc::new(Apics::new(&ids).unwrap());
        let mut router = Router::new(apics.clone());
        let config = LocalApicConfig { physical_address_bits: 40, tsc_deadline_hz: None };
        let mut local: Vec<_> =
            (0..ids.len()).map(|vcpu| LocalApic::new(apics.clone(), vcpu, config).unwrap()).collect();
        for apic in &mut local {
            apic.mmio_write(u64::from(spec::SVR) * 16, Width::Dword, 0x1ff, &mut Bus(&mut router));
        }
        Self { router, local }
    }

    fn out(&mut self, port: u16, value: u8) {
        self.router.port_write(port, Width::Byte, value.into(), &mut Nowhere);
    }

    fn pin(&mut self, pin: u64, entry: u64) {
        for (half, value) in [(1, entry >> 32), (0, entry & 0xffff_ffff)] {
            self.router.mmio_write(0x00, Width::Dword, 0x10 + 2 * pin + half, &mut Nowhere);
            self.router.mmio_write(0x10, Width::Dword, value, &mut Nowhere);
        }
    }

    fn store(&mut self, vcpu: usize, register: u32, value: u64) {
        self.local[vcpu].mmio_write(
            u64::from(register) * 16,
            Width::Dword,
            value,
            &mut Bus(&mut self.router),
        );
    }

    /// PIC vectors 30h and 38h, all inputs unmasked.
    fn initialize_pic(&mut self) {
        for (port, value) in [(0x20, 0x11), (0x21, 0x30), (0x21, 4), (0x21, 1)] {
            self.out(port, value);
        }
        for (port, value) in [(0xa0, 0x11), (0xa1, 0x38), (0xa1, 2), (0xa1, 1)] {
            self.out(port, value);
        }
    }

    fn pulse(&mut self, line: u8) {
        self.router.set_line(line, true);
        self.router.set_line(line, false);
    }

    fn kicked(&mut self) -> Vec<usize> {
        self.router.take_kicks().iter().collect()
    }
}

#[test]
fn lines_to_pins() {
    for (line, pin) in [(0, 2), (1, 1), (2, 2), (4, 4), (15, 15), (16, 16), (23, 23)] {
        let mut machine = Machine::new(2);
        for other in 0..24 {
            machine.pin(other, 1 << 56 | (0x40 + other));
        }
        machine.pulse(line);
        assert_eq!(machine.kicked(), [1], "line {line}");
        assert_eq!(machine.local[1].pending_interrupt(), Some(0x40 + pin), "line {line}");
    }
    let mut machine = Machine::new(1);
    machine.pulse(24);
    machine.pulse(255);
    assert_eq!(machine.kicked(), []);
}

#[test]
fn level_triggered_until_the_device_is_quiet() {
    let mut machine = Machine::new(1);
    machine.pin(16, 0x8051);
    machine.router.set_line(16, true);
    assert_eq!(machine.kicked(), [0]);
    for still_asserted in [true, false] {
        assert_eq!(machine.local[0].pending_interrupt(), Some(0x51));
        machine.local[0].acknowledge(0x51);
        machine.router.set_line(16, still_asserted);
        machine.store(0, spec::EOI, 0);
    }
    assert_eq!(machine.local[0].pending_interrupt(), None);
}

#[test]
fn virtual_wire() {
    let mut machine = Machine::new(2);
    machine.initialize_pic();
    machine.local[0].enter_virtual_wire();
    machine.pulse(4);
    assert_eq!(machine.kicked(), [0]);
    assert_eq!(machine.local[0].pending_interrupt(), None);
    assert!(machine.local[0].extint_pending());
    assert!(!machine.local[1].extint_pending());
    assert_eq!(machine.router.acknowledge_pic(), 0x34);
    machine.local[0].acknowledge_extint();
    assert!(!machine.local[0].extint_pending());
    // The next one, held back until the end of the first.
    machine.pulse(8);
    machine.pulse(7);
    assert_eq!(machine.kicked(), [0]);
    assert_eq!(machine.router.acknowledge_pic(), 0x38);
    machine.out(0xa0, 0x20);
    machine.out(0x20, 0x20);
    machine.out(0x20, 0x20);
    assert!(machine.local[0].extint_pending());
    assert_eq!(machine.router.acknowledge_pic(), 0x37);
}

#[test]
fn a_poll_takes_the_interrupt_from_the_processor() {
    let mut machine = Machine::new(1);
    machine.initialize_pic();
    machine.local[0].enter_virtual_wire();
    machine.pulse(4);
    assert!(machine.local[0].extint_pending());
    machine.out(0x20, 0x0c);
    assert_eq!(machine.router.port_read(0x20, Width::Byte, &mut Nowhere), 0x84);
    assert!(!machine.local[0].extint_pending());
}

#[test]
fn external_interrupt_through_pin_0() {
    let mut machine = Machine::new(2);
    machine.initialize_pic();
    machine.pin(0, 1 << 56 | 0x700);
    machine.pulse(4);
    assert!(machine.kicked().contains(&1));
    machine.local[1].sync();
    assert!(machine.local[1].extint_pending());
    assert_eq!(machine.router.acknowledge_pic(), 0x34);
    machine.local[1].acknowledge_extint();
    assert!(!machine.local[1].extint_pending());
}

/// check_timer: with the PIC masked and initialized, the timer's interrupt comes through pin 2, and no other.
#[test]
fn linux_checks_the_timer() {
    let mut machine = Machine::new(1);
    machine.initialize_pic();
    machine.out(0x21, 0xff);
    machine.out(0xa1, 0xff);
    machine.store(0, spec::LVT_LINT0, 0x1_0700);
    machine.pin(2, 0x0830 | 1 << 56);
    machine.store(0, spec::LDR, 1 << 24);
    for _ in 0..10 {
        machine.pulse(0);
        assert_eq!(machine.local[0].pending_interrupt(), Some(0x30));
        assert!(!machine.local[0].extint_pending());
        machine.local[0].acknowledge(0x30);
        machine.store(0, spec::EOI, 0);
    }
}

#[test]
fn the_ioapic_has_the_id_it_is_given() {
    let mut machine = Machine::new(1);
    machine.router.set_ioapic_id(9);
    assert_eq!(machine.router.mmio_read(0x10, Width::Dword, &mut Nowhere), 0x0900_0000);
}

#[test]
fn messages() {
    let mut machine = Machine::new(2);
    assert!(machine.router.send_msi(0xfee0_1000, 0x61));
    assert_eq!(machine.kicked(), [1]);
    assert!(!machine.router.send_msi(0xfee0_2000, 0x61));
    assert!(!machine.router.send_msi(IOAPIC_BASE, 0x61));
    assert_eq!(machine.kicked(), []);
}

#[test]
fn wide_port_accesses_are_several() {
    let mut machine = Machine::new(1);
    machine.router.port_write(0x20, Width::Word, 0x3011, &mut Nowhere);
    machine.router.port_write(0x21, Width::Byte, 4, &mut Nowhere);
    machine.router.port_write(0x21, Width::Byte, 1, &mut Nowhere);
    machine.router.port_write(0x20, Width::Word, 0xab0a, &mut Nowhere);
    assert_eq!(machine.router.port_read(0x20, Width::Word, &mut Nowhere), 0xab00);
    assert_eq!(machine.router.port_read(0x4d0, Width::Dword, &mut Nowhere), 0xffff_0000);
}

#[test]
fn functions_share_a_line() {
    let mut machine = Machine::new(1);
    machine.pin(17, 0x8051);
    // Raised once more it is not let go.
    for function in [3, 63, 63] {
        machine.router.set_intx(17, function, true);
    }
    // Neither of a number that there is not, nor on a line that is none of the pins'.
    for (line, function) in [(17, 64), (15, 0), (20, 0)] {
        machine.router.set_intx(line, function, true);
        machine.router.set_intx(line, function, false);
    }
    for function in [3, 63] {
        assert_eq!(machine.local[0].pending_interrupt(), Some(0x51), "{function} still holds it");
        machine.local[0].acknowledge(0x51);
        machine.router.set_intx(17, function, false);
        machine.store(0, spec::EOI, 0);
    }
    assert_eq!(machine.local[0].pending_interrupt(), None);
}

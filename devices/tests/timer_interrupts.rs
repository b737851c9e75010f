//! The interrupt controllers and timers wired up as a VMM does, by their public interface, under what Linux
//! does with them at boot.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use devices::apic::{ApicBus, Apics, Kick, LocalApic, LocalApicConfig, VcpuSet, spec};
use devices::capability::{MmioDevice, Platform, PortDevice, PowerEvent, TimedDevice, Width};
use devices::hpet::{Hpet, LegacyReplacement};
use devices::pit::{PIT_HZ, Pit};
use devices::router::Router;
use std::sync::{Arc, Mutex};

/// What the devices of one VM share.
struct Board {
    now_ns: u64,
    router: Mutex<Router>,
    kicks: VcpuSet,
}

impl Platform for Board {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn set_line(&mut self, line: u8, level: bool) {
        self.router.lock().unwrap().set_line(line, level);
    }

    fn power(&mut self, event: PowerEvent) {
        panic!("{event:?}");
    }
}

impl Kick for Board {
    fn kick(&mut self, vcpu: usize) {
        self.kicks.kick(vcpu);
    }
}

impl ApicBus for Board {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn host_tsc(&self) -> u64 {
        self.now_ns
    }

    fn end_of_interrupt(&mut self, vector: u8) {
        self.router.lock().unwrap().end_of_interrupt(vector);
    }
}

/// A machine with one vCPU, as Linux has it when it looks for its timer.
struct Machine {
    board: Board,
    apic: LocalApic,
    pit: Pit,
    hpet: Hpet,
}

const TIMER_VECTOR: u8 = 0x30;
const LAPIC_TIMER_VECTOR: u8 = 0xec;

impl Machine {
    fn new() -> Self {
        let apics = Arc::new(Apics::new(&[0]).unwrap());
        let config = LocalApicConfig { physical_address_bits: 40, tsc_deadline_hz: None };
        let apic = LocalApic::new(apics.clone(), 0, config).unwrap();
        let legacy = LegacyReplacement::default();
        let router = Mutex::new(Router::new(apics));
        let board = Board { now_ns: 0, router, kicks: VcpuSet::default() };
        let mut machine = Self { board, apic, pit: Pit::new(legacy.clone()), hpet: Hpet::new(legacy) };
        machine.apic.enter_virtual_wire();
        machine
    }

    /// As Linux sets up the PIC (vectors 30h to 3Fh), then masks it.
    fn initialize_pic(&mut self, masks: [u8; 2]) {
        let master = [(0x20, 0x11), (0x21, 0x30), (0x21, 0x04), (0x21, 0x01), (0x21, masks[0])];
        let slave = [(0xa0, 0x11), (0xa1, 0x38), (0xa1, 0x02), (0xa1, 0x01), (0xa1, masks[1])];
        for (port, value) in master.into_iter().chain(slave) {
            let mut router = self.board.router.lock().unwrap();
            router.port_write(port, Width::Byte, u32::from(value), &mut Nowhere);
        }
    }

    fn redirect_timer(&mut self) {
        let mut router = self.board.router.lock().unwrap();
        for (register, value) in [(0x15, 0), (0x14, u64::from(TIMER_VECTOR))] {
            router.mmio_write(0x00, Width::Dword, register, &mut Nowhere);
            router.mmio_write(0x10, Width::Dword, value, &mut Nowhere);
        }
    }

    fn apic_store(&mut self, register: u32, value: u32) {
        self.apic.mmio_write(u64::from(register) * 16, Width::Dword, value.into(), &mut self.board);
    }

    fn apic_load(&mut self, register: u32) -> u32 {
        self.apic.mmio_read(u64::from(register) * 16, Width::Dword, &self.board) as u32
    }

    fn program_pit(&mut self, control: u32, latch: u64) {
        for (port, value) in [(0x43, control), (0x40, latch as u32 & 0xff), (0x40, latch as u32 >> 8)] {
            self.pit.port_write(port, Width::Byte, value, &mut self.board);
        }
    }

    /// Goes to the next deadline, lets who wants it expire, and gives the interrupt that the processor then
    /// takes.
    fn step(&mut self) -> Option<u8> {
        let deadlines = [self.pit.deadline_ns(), self.hpet.deadline_ns(), self.apic.deadline_ns()];
        let next_ns = deadlines.into_iter().flatten().min()?;
        self.board.now_ns = self.board.now_ns.max(next_ns);
        self.pit.expire(&mut self.board);
        self.hpet.expire(&mut self.board);
        self.apic.expire(&self.board);
        if let Some(vector) = self.apic.pending_interrupt() {
            self.apic.acknowledge(vector);
            self.apic_store(spec::EOI, 0);
            return Some(vector);
        }
        let extint = self.apic.extint_pending();
        extint.then(|| {
            self.apic.acknowledge_extint();
            let mut router = self.board.router.lock().unwrap();
            let vector = router.acknowledge_pic();
            router.port_write(0x20, Width::Byte, 0x20, &mut Nowhere);
            vector
        })
    }

    /// The interrupts taken until `now_ns`, and when.
    fn run_until(&mut self, now_ns: u64) -> Vec<(u64, u8)> {
        let mut taken = Vec::new();
        loop {
            let vector = self.step();
            if self.board.now_ns > now_ns {
                return taken;
            }
            taken.extend(vector.map(|vector| (self.board.now_ns, vector)));
        }
    }
}

/// A platform for the router, which uses none.
struct Nowhere;

impl Platform for Nowhere {
    fn now_ns(&self) -> u64 {
        panic!("the router has no clock");
    }
    fn set_line(&mut self, _: u8, _: bool) {
        panic!("the router drives no line");
    }
    fn power(&mut self, _: PowerEvent) {
        panic!("the router has no power button");
    }
}

/// The latch for 250 Hz.
const LATCH: u64 = (PIT_HZ + 125) / 250;

#[test]
fn the_pit_through_the_io_apic() {
    let mut machine = Machine::new();
    machine.initialize_pic([0xff, 0xff]);
    machine.redirect_timer();
    machine.program_pit(0x34, LATCH);
    let taken = machine.run_until(1_000_000_000);
    assert_eq!(taken.len(), 249);
    assert!(taken.iter().all(|&(_, vector)| vector == TIMER_VECTOR));
}

#[test]
fn the_pit_through_the_pic() {
    let mut machine = Machine::new();
    machine.initialize_pic([0xfa, 0xff]);
    machine.program_pit(0x34, LATCH);
    let taken = machine.run_until(1_000_000_000);
    assert_eq!(taken.len(), 249);
    assert!(taken.iter().all(|&(_, vector)| vector == 0x30));
}

#[test]
fn the_hpet_in_place_of_the_pit() {
    let mut machine = Machine::new();
    machine.initialize_pic([0xff, 0xff]);
    machine.redirect_timer();
    machine.program_pit(0x34, LATCH);
    let period = 400_000;
    for (offset, value) in [(0x10, 2), (0x100, 0x14c), (0x108, period), (0x108, period), (0x10, 3)] {
        machine.hpet.mmio_write(offset, Width::Dword, value, &mut machine.board);
    }
    let taken = machine.run_until(1_000_000_000);
    assert_eq!(taken.len(), 250);
    assert_eq!(taken.last(), Some(&(1_000_000_000, TIMER_VECTOR)));
}

/// calibrate_APIC_clock: the local APIC's count between two of the other timer's interrupts, a tenth of a
/// second apart.
#[test]
fn linux_calibrates_the_local_apic_by_interrupts() {
    let mut machine = Machine::new();
    machine.initialize_pic([0xff, 0xff]);
    machine.redirect_timer();
    machine.program_pit(0x34, LATCH);
    machine.apic_store(spec::TIMER_DIVIDE, 3);
    machine.apic_store(spec::LVT_TIMER, u32::from(LAPIC_TIMER_VECTOR));
    machine.apic_store(spec::TIMER_INITIAL, u32::MAX);
    let mut counts = Vec::new();
    while counts.len() <= 25 {
        if machine.step() == Some(TIMER_VECTOR) {
            counts.push(machine.apic_load(spec::TIMER_CURRENT));
        }
    }
    let exact = 25 * LATCH * 25_000_000 / 16 / PIT_HZ;
    assert!(u64::from(counts[0] - counts[25]).abs_diff(exact) <= 1);
    // And then uses it: a period of 4 ms.
    machine.program_pit(0x30, 0);
    machine.apic_store(spec::LVT_TIMER, u32::from(LAPIC_TIMER_VECTOR) | 1 << 17);
    machine.apic_store(spec::TIMER_INITIAL, 25_000_000 / 16 / 250);
    let start_ns = machine.board.now_ns;
    let taken = machine.run_until(start_ns + 1_000_000_000);
    assert_eq!(taken.iter().filter(|&&(_, vector)| vector == LAPIC_TIMER_VECTOR).count(), 250);
}

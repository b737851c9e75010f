//! Interrupts that the guest can take, and such that it can't yet; MSRs.

use std::sync::Arc;

use devices::apic::Apics;
use devices::router::Router;
use spin::Mutex;
use vmm::clock::Clock;

use super::*;
use crate::pc::fw_cfg::FwCfg;

const LAPIC: u64 = 0xfee0_0000;
const NEVER: u64 = u64::MAX;
const NONE: Option<u8> = None;

fn pc() -> Pc {
    let apics = Arc::new(Apics::new(&[0]).unwrap());
    let router = Arc::new(Mutex::new(Router::new(apics.clone())));
    let parts = vmm::Builder::default().finish(&[]).unwrap();
    let board = Board::new(parts, Clock::new(1_000_000_000), apics.clone(), router);
    Pc { board, apics, fw_cfg: FwCfg::new(1) }
}

/// A vCPU with its part of the PC, whose local APIC is enabled.
struct Guest {
    pc: Pc,
    local: Local,
    vcpu: Vcpu,
}

impl Guest {
    fn new() -> Self {
        let pc = pc();
        let mut local = Local::new(&pc, 0).unwrap();
        local.write_device(&pc.board, LAPIC + 0xf0, Width::Dword, 0x1ff);
        Self { pc, local, vcpu: Vcpu::fake() }
    }

    /// Sends an IPI to itself.
    fn send(&mut self, vector: u8) {
        self.store(0x300, 1 << 18 | u64::from(vector));
    }

    fn store(&mut self, offset: u64, value: u64) {
        self.local.write_device(&self.pc.board, LAPIC + offset, Width::Dword, value);
    }

    /// Plans an entry; returns the vector that is injected, the window, and the activity.
    fn plan(&mut self) -> (Option<u8>, u32, u32) {
        self.local.plan(&mut self.vcpu, &self.pc.board, NEVER).unwrap();
        let page = &self.vcpu.page;
        let is_injected = Groups::from_bits_retain(page.dirty()).contains(Groups::INJECTION);
        (is_injected.then_some(page.injection().vector), page.window(), page.activity())
    }

    /// The guest was entered, and has left with these flags of the exit.
    fn ran(&mut self, rflags: u64, flags: ExitFlags) {
        self.vcpu.page.set_dirty(0);
        self.vcpu.page.set_rflags(rflags);
        self.vcpu.page.set_flags(flags.bits());
        self.local.exited(&mut self.vcpu, false);
    }
}

#[test]
fn an_interrupt_waits_for_a_guest_that_can_take_it() {
    let mut guest = Guest::new();
    guest.send(0x50);
    assert_eq!(guest.plan(), (NONE, window::OPEN, activity::RUNNING));
    guest.ran(INTERRUPT_FLAG, ExitFlags::INTERRUPT_SHADOW);
    assert_eq!(guest.plan(), (NONE, window::OPEN, activity::RUNNING));
    guest.ran(INTERRUPT_FLAG, ExitFlags::INJECTION_PENDING);
    assert_eq!(guest.plan(), (NONE, window::OPEN, activity::RUNNING));
    guest.ran(INTERRUPT_FLAG, ExitFlags::empty());
    assert_eq!(guest.plan(), (Some(0x50), window::NONE, activity::RUNNING));
    // It is in service: one of its class waits, one above it does not.
    guest.ran(INTERRUPT_FLAG, ExitFlags::empty());
    guest.send(0x51);
    assert_eq!(guest.plan(), (NONE, window::NONE, activity::RUNNING));
    guest.send(0x61);
    assert_eq!(guest.plan(), (Some(0x61), window::NONE, activity::RUNNING));
    guest.ran(INTERRUPT_FLAG, ExitFlags::empty());
    guest.store(0xb0, 0);
    guest.store(0xb0, 0);
    assert_eq!(guest.plan(), (Some(0x51), window::NONE, activity::RUNNING));
}

#[test]
fn two_interrupts_are_injected_one_after_the_other() {
    let mut guest = Guest::new();
    guest.send(0x50);
    guest.send(0x60);
    guest.ran(INTERRUPT_FLAG, ExitFlags::empty());
    assert_eq!(guest.plan(), (Some(0x60), window::NONE, activity::RUNNING));
    // An event that was lost in the exit goes first.
    guest.send(0x70);
    let lost = EventInjection { kind: event_kind::INTERRUPT, vector: 0x60, ..EventInjection::default() };
    guest.vcpu.page.set_interrupted_event(lost);
    guest.ran(INTERRUPT_FLAG, ExitFlags::EVENT);
    assert_eq!(guest.plan(), (Some(0x60), window::OPEN, activity::RUNNING));
}

#[test]
fn what_was_carried_out_ends_a_shadow() {
    let mut guest = Guest::new();
    guest.send(0x50);
    guest.ran(INTERRUPT_FLAG, ExitFlags::INTERRUPT_SHADOW);
    guest.vcpu.complete(1);
    assert_eq!(guest.plan().0, Some(0x50));
}

#[test]
fn an_interrupt_ends_a_halt_and_a_task_priority_holds_it_back() {
    let mut guest = Guest::new();
    guest.ran(INTERRUPT_FLAG, ExitFlags::empty());
    guest.local.halt();
    assert_eq!(guest.plan(), (NONE, window::NONE, activity::HALTED));
    guest.store(0x80, 0x60);
    guest.send(0x50);
    assert_eq!(guest.plan(), (NONE, window::PRIORITY, activity::HALTED));
    assert_eq!(guest.vcpu.page.cr8(), 6);
    // The guest has lowered it by MOV to CR8.
    guest.vcpu.page.set_exit_cr8(0);
    guest.ran(INTERRUPT_FLAG, ExitFlags::empty());
    assert_eq!(guest.plan(), (Some(0x50), window::NONE, activity::RUNNING));
}

#[test]
fn a_deadline_is_the_earliest() {
    let mut guest = Guest::new();
    guest.local.plan(&mut guest.vcpu, &guest.pc.board, 77).unwrap();
    assert_eq!(guest.vcpu.page.deadline_tsc(), 77);
    // One-shot, by the slowest divider.
    guest.store(0x320, 0x40);
    guest.store(0x380, 1000);
    guest.plan();
    assert_ne!(guest.vcpu.page.deadline_tsc(), NEVER);
}

#[test]
fn msrs_are_the_vmms_and_those_of_the_processor_are_no_hosts() {
    let Guest { pc, mut local, .. } = Guest::new();
    let board = &pc.board;
    assert_eq!(local.read_msr(board, 0x1b), Some(0xfee0_0900));
    assert!(local.write_msr(board, 0x2ff, 0xc00));
    assert_eq!(local.read_msr(board, 0x2ff), Some(0xc00));
    assert!(!local.write_msr(board, 0xfe, 1), "MTRRCAP can't be written");
    assert_eq!(local.own_register(0xc000_0080), Some(VcpuMsr::Efer));
    assert_eq!((local.own_register(0x2ff), local.own_register(0xc001_0130)), (None, None));
    assert_eq!((local.read_msr(board, 0xc000_0080), local.write_msr(board, 0xc000_0080, 0)), (None, false));
    assert!(local.write_msr(board, 0x3b, 5_000_000_000));
    assert_eq!(local.read_msr(board, 0x3b), Some(5_000_000_000));
    assert!(local.read_msr(board, 0x10).unwrap() >= 5_000_000_000);
}

#[test]
fn a_vcpu_that_waits_can_run_when_there_is_something_for_it() {
    let mut guest = Guest::new();
    assert!(guest.local.can_run(&guest.pc.board, 0));
    guest.local.halt();
    assert!(!guest.local.can_run(&guest.pc.board, 0));
    guest.store(0x320, 0x40);
    guest.store(0x380, 1000);
    assert!(!guest.local.can_run(&guest.pc.board, 0) && guest.local.can_run(&guest.pc.board, NEVER));
    guest.store(0x320, 0x1_0040);
    guest.send(0x50);
    assert!(guest.local.can_run(&guest.pc.board, 0));
    // Started anew it does not wait, and has nothing that was on its way.
    guest.local.halt();
    guest.local.start(&mut guest.vcpu);
    assert_eq!((guest.vcpu.page.injection().kind, guest.local.index()), (event_kind::NONE, 0));
}

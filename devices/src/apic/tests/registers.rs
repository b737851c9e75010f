//! Register accesses in both modes.

use super::*;
use crate::testing::Random;

const GP: Result<u64, GeneralProtection> = Err(GeneralProtection);

#[test]
fn x2apic_reset_values() {
    // Register, value or #GP.
    let table = [
        (0x00, GP),
        (0x01, GP),
        (spec::ID, Ok(1)),
        (spec::VERSION, Ok(0x0106_0014)),
        (spec::TPR, Ok(0)),
        (spec::APR, GP),
        (spec::PPR, Ok(0)),
        (spec::EOI, GP),
        (spec::RRD, GP),
        (spec::LDR, Ok(2)),
        (spec::DFR, GP),
        (spec::SVR, Ok(0x1ff)),
        (spec::ISR, Ok(0)),
        (spec::ISR_LAST, Ok(0)),
        (spec::TMR, Ok(0)),
        (spec::IRR_LAST, Ok(0)),
        (spec::ESR, Ok(0)),
        (0x29, GP),
        (0x2e, GP),
        (spec::LVT_CMCI, Ok(0x1_0000)),
        (spec::ICR, Ok(0)),
        (spec::ICR_HIGH, GP),
        (spec::LVT_TIMER, Ok(0x1_0000)),
        (spec::LVT_THERMAL, Ok(0x1_0000)),
        (spec::LVT_PERFORMANCE, Ok(0x1_0000)),
        (spec::LVT_LINT0, Ok(0x1_0000)),
        (spec::LVT_LINT1, Ok(0x1_0000)),
        (spec::LVT_ERROR, Ok(0x1_0000)),
        (spec::TIMER_INITIAL, Ok(0)),
        (spec::TIMER_CURRENT, Ok(0)),
        (0x3a, GP),
        (0x3d, GP),
        (spec::TIMER_DIVIDE, Ok(0)),
        (spec::SELF_IPI, GP),
        (0x40, GP),
        (0xff, GP),
    ];
    let mut machine = Machine::x2apic(2);
    for (register, value) in table {
        assert_eq!(machine.rdmsr(1, register), value, "register {register:x}");
    }
}

#[test]
fn x2apic_writes() {
    // Register, value, what it then reads, or #GP if the write is.
    let table = [
        (spec::TPR, 0xff, Ok(0xff)),
        (spec::TPR, 0x100, GP),
        (spec::TPR, 1 << 32, GP),
        (spec::SVR, 0x13ff, Ok(0x13ff)),
        (spec::SVR, 0x400, GP),
        (spec::ESR, 0, Ok(0)),
        (spec::ESR, 1, GP),
        (spec::LVT_TIMER, 0x2_00ef, Ok(0x2_00ef)),
        (spec::LVT_TIMER, 0x4_00ef, GP),
        (spec::LVT_TIMER, 0x7ef, GP),
        (spec::LVT_LINT0, 0x1_f7ff, Ok(0x1_a7ff)),
        (spec::LVT_LINT1, 0x400, Ok(0x400)),
        (spec::LVT_PERFORMANCE, 0x400, Ok(0x400)),
        (spec::LVT_PERFORMANCE, 0x2400, GP),
        (spec::LVT_ERROR, 0x100, GP),
        (spec::LVT_ERROR, 0xfe, Ok(0xfe)),
        (spec::LVT_CMCI, 0xf9, Ok(0xf9)),
        (spec::ICR, 0x1_0000_c0f1, Ok(0x1_0000_c0f1)),
        (spec::ICR, 0x0000_10f1, Ok(0x0000_00f1)),
        (spec::ICR, 0x0000_20f1, GP),
        (spec::ICR, 0x0010_00f1, GP),
        (spec::TIMER_INITIAL, 0xffff_ffff, Ok(0xffff_ffff)),
        (spec::TIMER_INITIAL, 1 << 32, GP),
        (spec::TIMER_DIVIDE, 0xb, Ok(0xb)),
        (spec::TIMER_DIVIDE, 0x4, GP),
    ];
    for (register, value, expected) in table {
        let mut machine = Machine::x2apic(1);
        let result = machine.wrmsr(0, register, value).and_then(|()| machine.rdmsr(0, register));
        assert_eq!(result, expected, "register {register:x} = {value:x}");
    }
    let mut machine = Machine::x2apic(1);
    for register in
        [0, spec::ID, spec::VERSION, spec::PPR, spec::LDR, spec::DFR, spec::ISR, spec::IRR_LAST, 0x29]
            .into_iter()
            .chain([spec::ICR_HIGH, spec::TIMER_CURRENT, 0x40, 0xff])
    {
        assert_eq!(machine.wrmsr(0, register, 0), Err(GeneralProtection), "register {register:x}");
    }
    for (register, value, legal) in [
        (spec::EOI, 0, true),
        (spec::EOI, 1, false),
        (spec::SELF_IPI, 0xf1, true),
        (spec::SELF_IPI, 0x1f1, false),
    ] {
        assert_eq!(machine.wrmsr(0, register, value).is_ok(), legal, "register {register:x} = {value:x}");
    }
}

#[test]
fn msrs_need_x2apic_mode() {
    let mut machine = Machine::xapic(1);
    assert_eq!(machine.rdmsr(0, spec::TPR), GP);
    assert_eq!(machine.wrmsr(0, spec::TPR, 0), Err(GeneralProtection));
}

#[test]
fn xapic_registers() {
    // Register, value stored, value loaded.
    let table = [
        (spec::ID, 0xff00_0000, 0x0100_0000),
        (spec::VERSION, 0, 0x0106_0014),
        (spec::TPR, 0x1234_5678, 0x78),
        (spec::APR, 0xff, 0),
        (spec::PPR, 0xff, 0),
        (spec::EOI, 0, 0),
        (spec::RRD, 0xff, 0),
        (spec::LDR, 0x12ff_ffff, 0x1200_0000),
        (spec::DFR, 0, 0x0fff_ffff),
        (spec::DFR, 0xffff_ffff, 0xffff_ffff),
        (spec::SVR, 0xffff_ffff, 0x13ff),
        (spec::ISR, 0xff, 0),
        (spec::ICR, 0xfff3_30f1, 0x0000_00f1),
        (spec::ICR_HIGH, 0x12ff_ffff, 0x1200_0000),
        (spec::LVT_TIMER, 0xffff_ffff, 0x0003_00ff),
        (spec::LVT_LINT0, 0xffff_ffff, 0x0001_a7ff),
        (spec::LVT_ERROR, 0xffff_ffff, 0x0001_00ff),
        (spec::TIMER_DIVIDE, 0xffff_ffff, 0xb),
    ];
    for (register, stored, loaded) in table {
        let mut machine = Machine::xapic(2);
        machine.store(1, register, stored);
        assert_eq!(machine.load(1, register), loaded, "register {register:x}");
        machine.store(1, spec::ESR, 0);
        assert_eq!(machine.load(1, spec::ESR), 0, "register {register:x}");
    }
}

#[test]
fn xapic_illegal_registers() {
    for register in [0, 0x29, 0x3a, spec::SELF_IPI, 0x40, 0xff] {
        for access in [Machine::load as fn(&mut Machine, usize, u32) -> u32, |machine, vcpu, register| {
            machine.store(vcpu, register, 0);
            0
        }] {
            let mut machine = Machine::xapic(1);
            assert_eq!(access(&mut machine, 0, register), 0);
            machine.store(0, spec::ESR, 0);
            assert_eq!(machine.load(0, spec::ESR), spec::ESR_ILLEGAL_REGISTER, "register {register:x}");
        }
    }
}

#[test]
fn xapic_parts_of_registers() {
    let mut machine = Machine::xapic(1);
    machine.store(0, spec::SVR, 0x1ab);
    let apic = &mut machine.local[0];
    // Offset, width, value loaded.
    for (offset, width, value) in [
        (0xf0, Width::Byte, 0xab),
        (0xf1, Width::Byte, 0x01),
        (0xf0, Width::Word, 0x1ab),
        (0xf0, Width::Qword, 0x1ab),
        (0xf4, Width::Dword, 0),
        (0xff, Width::Byte, 0),
        (0x0f, Width::Dword, 0),
    ] {
        assert_eq!(apic.mmio_read(offset, width, &machine.bus), value, "{offset:x} {width:?}");
    }
    for (offset, width) in
        [(0xf0, Width::Byte), (0xf0, Width::Word), (0xf2, Width::Dword), (0xf4, Width::Dword)]
    {
        apic.mmio_write(offset, width, 0, &mut machine.bus);
        assert_eq!(apic.mmio_read(0xf0, Width::Dword, &machine.bus), 0x1ab, "{offset:x} {width:?}");
    }
    // None of these was an error of the guest's.
    machine.store(0, spec::ESR, 0);
    assert_eq!(machine.load(0, spec::ESR), 0);
}

#[test]
fn the_halves_of_the_command_are_two_registers() {
    let mut machine = Machine::xapic(1);
    for (register, value, halves) in [
        (spec::ICR, 0x0000_44f1, (0x0000_44f1, 0)),
        (spec::ICR_HIGH, 0x1200_0000, (0x0000_44f1, 0x1200_0000)),
        (spec::ICR, 0x0008_08f2, (0x0008_08f2, 0x1200_0000)),
        (spec::ICR_HIGH, 0x0300_0000, (0x0008_08f2, 0x0300_0000)),
    ] {
        machine.store(0, register, value);
        assert_eq!((machine.load(0, spec::ICR), machine.load(0, spec::ICR_HIGH)), halves);
    }
}

#[test]
fn every_access_is_survived() {
    let mut machine = Machine::xapic(2);
    for value in [0, 1, 0xff, 0x5555_5555, u64::MAX] {
        for offset in 0..0x1000 {
            machine.local[0].mmio_write(offset, Width::Dword, value & 0xffff_ffff, &mut machine.bus);
            machine.local[0].mmio_read(offset, Width::Qword, &machine.bus);
        }
    }
    let mut machine = Machine::x2apic(2);
    for value in [0, 1, 0xff, 0x5555_5555, u64::MAX] {
        for register in 0..0x100 {
            let _ = machine.wrmsr(0, register, value);
            let _ = machine.rdmsr(0, register);
        }
    }
    machine.bus.now_ns = u64::MAX;
    machine.local[0].expire(&machine.bus);
}

#[test]
fn disabled_by_software_keeps_entries_masked() {
    let mut machine = Machine::xapic(1);
    machine.store(0, spec::LVT_LINT0, 0x700);
    machine.store(0, spec::SVR, 0xff);
    assert_eq!(machine.load(0, spec::LVT_LINT0), 0x1_0700);
    machine.store(0, spec::LVT_LINT0, 0x700);
    assert_eq!(machine.load(0, spec::LVT_LINT0), 0x1_0700);
    machine.store(0, spec::SVR, 0x1ff);
    machine.store(0, spec::LVT_LINT0, 0x700);
    assert_eq!(machine.load(0, spec::LVT_LINT0), 0x700);
}

#[test]
fn local_pins() {
    // LVT of the pin, then (vector pending, NMI, ExtINT) after it rose.
    let table = [
        (0x0_0031, (Some(0x31), false, false)),
        (0x1_0031, (None, false, false)),
        (0x0_0400, (None, true, false)),
        (0x1_0400, (None, false, false)),
        (0x0_0700, (None, false, true)),
        (0x1_0700, (None, false, false)),
    ];
    for (lvt, expected) in table {
        let mut machine = Machine::xapic(1);
        machine.store(0, spec::LVT_LINT0, lvt);
        assert!(machine.apics.get(0).unwrap().set_lint0(true));
        let apic = &mut machine.local[0];
        assert_eq!(
            (apic.pending_interrupt(), apic.take_nmi(), apic.extint_pending()),
            expected,
            "LVT {lvt:x}"
        );
        // No news while it stays.
        assert!(!machine.apics.get(0).unwrap().set_lint0(true));
        assert!(!machine.apics.get(0).unwrap().has_posted());
        assert!(!machine.apics.get(0).unwrap().set_lint0(false));
        assert!(!machine.local[0].extint_pending());
    }
    let mut machine = Machine::xapic(1);
    machine.store(0, spec::LVT_LINT1, 0x400);
    assert!(machine.apics.get(0).unwrap().pulse_lint1());
    machine.local[0].sync();
    assert!(machine.local[0].take_nmi());
    machine.store(0, spec::LVT_LINT1, 0x500);
    assert!(machine.apics.get(0).unwrap().pulse_lint1());
    machine.local[0].sync();
    assert_eq!(machine.local[0].take_startup(), Some(crate::apic::Startup::Init));
}

#[test]
fn virtual_wire_and_no_apic_at_all() {
    for prepare in [LocalApic::enter_virtual_wire as fn(&mut LocalApic), |apic| {
        apic.set_base(spec::DEFAULT_BASE).unwrap();
    }] {
        let mut machine = Machine::reset(2, CONFIG);
        assert!(machine.apics.get(0).unwrap().set_lint0(true));
        assert!(!machine.local[0].extint_pending());
        for local in &mut machine.local {
            prepare(local);
        }
        let pending: Vec<_> = machine.local.iter().map(LocalApic::extint_pending).collect();
        assert_eq!(pending, [true, false]);
    }
}

/// Whatever is programmed, a deadline met is a deadline gone, and what is pending can be taken and ended.
#[test]
fn random_programs() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut machine = Machine::xapic(3);
    for round in 0..100_000_u64 {
        if round % 1000 == 0 {
            machine = if round % 2000 == 0 { Machine::xapic(3) } else { Machine::x2apic(3) };
        }
        let (vcpu, value) = (random.below(3) as usize, random.next() >> random.below(64));
        let register = random.below(0x40) as u32;
        if machine.local[vcpu].is_x2apic() {
            let _ = machine.wrmsr(vcpu, register, value);
            let _ = machine.rdmsr(vcpu, register);
        } else {
            machine.store(vcpu, register, value as u32);
            machine.load(vcpu, register);
        }
        if random.below(64) == 0 {
            let _ = machine.local[vcpu].set_base(value);
        }
        machine.bus.now_ns += random.next() >> random.below(64).max(34);
        if let Some(deadline_ns) = machine.local[vcpu].deadline_ns() {
            machine.bus.now_ns = machine.bus.now_ns.max(deadline_ns);
            machine.local[vcpu].expire(&machine.bus);
            assert!(machine.local[vcpu].deadline_ns().is_none_or(|next_ns| next_ns > machine.bus.now_ns));
        }
        if let Some(vector) = machine.local[vcpu].pending_interrupt() {
            machine.local[vcpu].acknowledge(vector);
            assert_ne!(machine.local[vcpu].pending_interrupt(), Some(vector));
        }
        let _ = (machine.local[vcpu].take_startup(), machine.local[vcpu].take_nmi());
    }
}

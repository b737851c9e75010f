//! What an emulated instruction accesses: ports, segments, pages that are remembered.

use super::*;
use decoder::walk::{Access, Kind};

/// OUTSB that comes up where another instruction has exited, or where another access was checked: the
/// processor has not checked this one.
#[test]
fn a_port_is_accessed_only_as_the_processor_has_checked_it() {
    let mut machine = Machine::new(Features::all());
    machine.put(CODE, &[0x6e]);
    machine.registers.page.set_gpr(2, 0x80);
    machine.registers.page.set_gpr(6, DATA);
    let instruction = machine.fetch().unwrap();
    let checked = PortRequest { port: 0x80, size: decoder::Size::B1, is_in: false, is_repeated: false };
    for refused in [
        None,
        Some(PortRequest { port: 0x81, ..checked }),
        Some(PortRequest { is_in: true, ..checked }),
        Some(PortRequest { is_repeated: true, ..checked }),
        Some(PortRequest { size: decoder::Size::B2, ..checked }),
    ] {
        machine.checked = refused;
        let outcome = emulate(&mut machine, &instruction, 1);
        assert!(!matches!(outcome, Outcome::Done { .. }), "{refused:?}: {outcome:?}");
        assert_eq!((machine.ports, machine.registers.page.rip()), (0, CODE), "{refused:?}");
    }
    machine.checked = Some(checked);
    assert_eq!(emulate(&mut machine, &instruction, 1), Outcome::Done { single_step: false });
    assert_eq!((machine.ports, machine.registers.page.rip()), (1, CODE + 1));
}

/// What is emulated is loaded again, and its segments are the guest's.
#[test]
fn flags_are_marked_and_segments_asked_for() {
    let mut machine = Machine::new(Features::all());
    // add byte fs:[rdi], al
    machine.put(CODE, &[0x64, 0x00, 0x07]);
    machine.registers.page.set_gpr(0, 0xa6);
    machine.registers.page.set_exit_groups((Groups::GENERAL | Groups::SYSTEM).bits());
    let instruction = machine.fetch().unwrap();
    assert_eq!(emulate(&mut machine, &instruction, 1), Outcome::Done { single_step: false });
    assert_eq!(machine.registers.kernel.0.borrow().fetched, [Groups::SEGMENTS]);
    assert_eq!(machine.written, [(DEVICE, 0)]);
    assert_eq!(machine.registers.page.rflags() & 0x41, 0x41);
    assert_eq!(machine.registers.page.dirty(), Groups::GENERAL.bits());
}

/// What is forgotten is not known, however good it was.
#[test]
fn everything_is_forgotten() {
    let mut machine = knowing(&STORE);
    let instruction = machine.fetch().unwrap();
    assert_eq!(emulate(&mut machine, &instruction, 1), Outcome::Done { single_step: false });
    machine.registers.page.set_rip(OTHER);
    machine.put(OTHER, &[0x0f, 0xa2]);
    assert_eq!(find_length(&mut machine, Intercept::Cpuid), Ok(Some(2)));
    let page = machine.registers.page.view();
    let store = Access::explicit(Kind::Write, 0, 2);
    assert_eq!(machine.emulator.pages.find(page, DEVICE + 8, store), Some(DEVICE + 8));
    machine.emulator.forget();
    assert_eq!(machine.known_length(Intercept::Cpuid), None);
    machine.registers.page.set_rip(CODE);
    assert!(!machine.is_known());
    let page = machine.registers.page.view();
    assert_eq!(machine.emulator.pages.find(page, DEVICE + 8, store), None);
}

/// A page is known for the access, and in the address space, in which it was found.
#[test]
fn everything_that_a_page_depends_on_is_compared() {
    let mut machine = knowing(&STORE);
    let instruction = machine.fetch().unwrap();
    assert_eq!(emulate(&mut machine, &instruction, 1), Outcome::Done { single_step: false });
    let find = |machine: &Machine, linear, access| {
        machine.emulator.pages.find(machine.registers.page.view(), linear, access)
    };
    let (store, linear) = (Access::explicit(Kind::Write, 0, 2), DEVICE + 8);
    assert_eq!(find(&machine, linear, store), Some(linear));
    for access in [Access::explicit(Kind::Read, 0, 2), Access::explicit(Kind::Write, 3, 2), Access::fetch(0)]
    {
        assert_eq!(find(&machine, linear, access), None, "{access:?}");
    }
    // The cache's place is the same: 64 pages on.
    assert_eq!(find(&machine, linear + 64 * 0x1000, store), None);
    machine.registers.page.set_cr3(PDPT);
    assert_eq!(find(&machine, linear, store), None);
    machine.registers.page.set_cr3(PML4);
    for entry in [PML4, PDPT, DIRECTORY, TABLE + DEVICE / 0x1000 * 8] {
        let value = machine.ram.read(entry, decoder::Size::B8).unwrap();
        machine.put(entry, &(value ^ 1 << 9).to_le_bytes());
        assert_eq!(find(&machine, linear, store), None, "entry {entry:x}");
        machine.put(entry, &value.to_le_bytes());
        assert_eq!(find(&machine, linear, store), Some(linear), "entry {entry:x}");
    }
}

/// Code of other modes is never remembered: its address depends on CS as well.
#[test]
fn only_64_bit_code_is_remembered() {
    let mut machine = Machine::new(Features::all());
    // In compatibility mode: mov [edi], eax.
    machine.registers.page.set_cs_attributes(0xc9b);
    machine.put(CODE, &[0x89, 0x07]);
    let mut system = machine.registers.page.system();
    system.cs.limit = u32::MAX;
    machine.registers.page.set_system(system);
    assert!(machine.fetch().is_ok());
    assert!(!machine.is_known());
}

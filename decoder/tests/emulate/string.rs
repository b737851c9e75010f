//! MOVS, CMPS, STOS, LODS, SCAS, INS and OUTS.

use decoder::{Exception, Mode, Outcome, PortRequest, Size};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

fn machine() -> TestMachine {
    let mut machine = TestMachine::new(Mode::Bits64);
    machine.put(0x8000, &core::array::from_fn::<u8, 64, _>(|index| index as u8));
    machine.gprs[0] = 0xaabb_ccdd;
    machine.gprs[1] = 4;
    machine.gprs[6] = 0x8000;
    machine.gprs[7] = 0x8020;
    machine
}

#[test]
fn rep_movs_copies_and_counts() {
    let mut machine = machine();
    machine.complete(&[0xf3, 0xa5]);
    assert_eq!(machine.get(0x8020, 16), machine.get(0x8000, 16));
    assert_eq!((machine.gprs[1], machine.gprs[6], machine.gprs[7]), (0, 0x8010, 0x8030));
    assert_eq!(machine.rip, 0x1002);
}

#[test]
fn a_repetition_can_be_left_and_taken_up() {
    let mut machine = machine();
    assert_eq!(machine.run(&[0xf3, 0xab], 3), Outcome::Repeat { single_step: false });
    assert_eq!((machine.gprs[1], machine.gprs[7], machine.rip), (1, 0x802c, 0x1000));
    assert_eq!(machine.run(&[0xf3, 0xab], 3), Outcome::Done { single_step: false });
    assert_eq!((machine.gprs[1], machine.gprs[7], machine.rip), (0, 0x8030, 0x1002));
    assert_eq!(machine.get(0x8020, 16), [0xdd, 0xcc, 0xbb, 0xaa].repeat(4));
}

#[test]
fn each_moves_its_registers() {
    // Code, rCX before; steps of rSI and rDI.
    let table: &[(&[u8], u64, i64, i64)] = &[
        (&[0xa4], 4, 1, 1),
        (&[0x66, 0xa5], 4, 2, 2),
        (&[0x48, 0xa5], 4, 8, 8),
        (&[0xaa], 4, 0, 1),
        (&[0xac], 4, 1, 0),
        (&[0xa7], 4, 4, 4),
        (&[0xaf], 4, 0, 4),
        (&[0xf3, 0xaa], 3, 0, 3),
        (&[0xf2, 0xac], 3, 3, 0),
        (&[0xf3, 0xa5], 0, 0, 0),
    ];
    for down in [false, true] {
        for &(code, count, si, di) in table {
            let mut machine = machine();
            machine.gprs[1] = count;
            machine.rflags |= u64::from(down) << 10;
            machine.complete(code);
            let sign = if down { -1 } else { 1 };
            let expected =
                (0x8000_u64.wrapping_add_signed(sign * si), 0x8020_u64.wrapping_add_signed(sign * di));
            assert_eq!((machine.gprs[6], machine.gprs[7]), expected, "{code:02x?}");
        }
    }
}

#[test]
fn comparisons_end_repetitions() {
    // Code, the byte scanned for, iterations done, whether equal at the end. Memory at rSI counts up from 0,
    // at rDI from 20h.
    let table: &[(&[u8], u64, u64, bool)] = &[
        (&[0xf2, 0xae], 0x23, 4, true),
        (&[0xf2, 0xae], 0x77, 8, false),
        (&[0xf3, 0xae], 0x20, 2, false),
        (&[0xf3, 0xa6], 0, 1, false),
        (&[0xf2, 0xa6], 0, 8, false),
    ];
    for &(code, al, iterations, is_equal) in table {
        let mut machine = machine();
        machine.gprs[0] = al;
        machine.gprs[1] = 8;
        machine.complete(code);
        assert_eq!(machine.gprs[1], 8 - iterations, "{code:02x?} {al:x}");
        assert_eq!(machine.gprs[7], 0x8020 + iterations, "{code:02x?} {al:x}");
        assert_eq!(machine.rflags & 0x40 != 0, is_equal, "{code:02x?} {al:x}");
    }
}

/// INSB at port 1F0h.
const INSB: PortRequest = PortRequest { port: 0x1f0, size: Size::B1, is_in: true, is_repeated: false };

/// What the processor has checked, INS and OUTS, and whether they are carried out. The bytes behind an exit
/// may be others than those it was for: then the guest is run again, and the processor checks what is there
/// now.
#[test]
fn ports_are_only_touched_as_the_processor_has_checked() {
    let insb = Some(INSB);
    let rep_outsd = Some(PortRequest { size: Size::B4, is_in: false, is_repeated: true, ..INSB });
    let table: &[(Option<PortRequest>, &[u8], bool)] = &[
        (insb, &[0x6c], true),
        (insb, &[0x48, 0x6c], true),
        (insb, &[0x67, 0x6c], true),
        // Behind a memory exit.
        (None, &[0x6c], false),
        (None, &[0x6e], false),
        (None, &[0xf3, 0x6f], false),
        // Another port, size, direction, and another prefix.
        (Some(PortRequest { port: 0x1f1, ..INSB }), &[0x6c], false),
        (insb, &[0x6d], false),
        (insb, &[0x66, 0x6d], false),
        (insb, &[0x6e], false),
        (insb, &[0xf3, 0x6c], false),
        (insb, &[0xf2, 0x6c], false),
        (rep_outsd, &[0xf3, 0x6f], true),
        (rep_outsd, &[0xf2, 0x48, 0x6f], true),
        (rep_outsd, &[0xf3, 0x6e], false),
        (rep_outsd, &[0xf3, 0x66, 0x6f], false),
        (rep_outsd, &[0xf3, 0x6d], false),
        (rep_outsd, &[0x6f], false),
    ];
    for &(checked, code, is_done) in table {
        let mut machine = machine();
        machine.gprs[2] = 0x1f0;
        machine.port_exit = checked;
        let before = machine.clone();
        if is_done {
            machine.complete(code);
            assert!(!machine.port_log.is_empty(), "{checked:x?} {code:02x?}");
        } else {
            assert_eq!(machine.run(code, 9), Outcome::Retry, "{checked:x?} {code:02x?}");
            assert_eq!((machine.gprs, machine.rip), (before.gprs, before.rip));
            assert!(machine.port_log.is_empty(), "{checked:x?} {code:02x?}");
            assert!(machine.ram == before.ram && machine.device_log.is_empty(), "{checked:x?} {code:02x?}");
        }
    }
}

/// The right to the port comes before the operand (APM 3, INS): not even an accessed bit is set.
#[test]
fn the_right_to_a_port_comes_first() {
    let mut machine = machine();
    machine.gprs[7] = 1 << 63;
    machine.gprs[6] = 1 << 63;
    for code in [[0x6c], [0x6e]] {
        assert_eq!(machine.run(&code, 1), Outcome::Retry);
    }
    // Nor does it matter that there are no iterations.
    machine.gprs[1] = 0;
    assert_eq!(machine.run(&[0xf3, 0x6e], 1), Outcome::Retry);
}

#[test]
fn ports() {
    let mut machine = machine();
    machine.gprs[2] = 0xffff_01f0;
    machine.port_value = 0x1234_5678;
    machine.port_exit = Some(PortRequest { size: Size::B2, is_in: true, is_repeated: true, ..INSB });
    machine.complete(&[0xf3, 0x66, 0x6d]);
    assert_eq!(machine.get(0x8020, 8), [0x78, 0x56].repeat(4));
    assert_eq!(machine.port_log.len(), 4);
    assert!(machine.port_log.iter().all(|access| access.address == 0x1f0 && access.written.is_none()));
    machine.port_log.clear();
    machine.gprs[1] = 2;
    machine.port_exit = Some(PortRequest { is_in: false, is_repeated: true, ..INSB });
    machine.complete(&[0xf3, 0x6e]);
    let written: Vec<_> = machine.port_log.iter().map(|access| access.written).collect();
    assert_eq!(written, [Some(0), Some(1)]);
}

#[test]
fn a_port_is_not_read_for_nothing() {
    let mut machine = machine();
    machine.gprs[2] = 0x1f0;
    machine.port_exit = Some(INSB);
    machine.gprs[7] = 1 << 63;
    assert_eq!(machine.fault(&[0x6c]), Exception::GENERAL_PROTECTION);
    assert!(machine.port_log.is_empty());
}

#[test]
fn segments_of_both_operands() {
    let mut machine = TestMachine::new(Mode::Bits32);
    machine.segments[0].base = 0x1_0000;
    machine.segments[3].base = 0x2_0000;
    machine.segments[5].base = 0x3_0000;
    machine.gprs[6] = 0x100;
    machine.gprs[7] = 0x200;
    machine.complete(&[0xa4]);
    machine.complete(&[0x65, 0xa4]);
    let addresses: Vec<_> = machine.device_log.iter().map(|access| access.address).collect();
    assert_eq!(addresses, [0x2_0100, 0x1_0200, 0x3_0101, 0x1_0201]);
}

#[test]
fn counting_with_fewer_bits() {
    let mut machine = machine();
    machine.gprs[1] = 0xffff_ffff_0000_0002;
    machine.complete(&[0x67, 0xf3, 0xaa]);
    assert_eq!(machine.gprs[1], 0);
    let mut machine = TestMachine::new(Mode::Bits16);
    machine.put(0xfff0, &[0; 16]);
    machine.put(0, &[0; 16]);
    machine.gprs[1] = 0x5555_0004;
    machine.gprs[7] = 0x6666_fffe;
    machine.gprs[0] = 0xeeee;
    machine.complete(&[0xf3, 0xaa]);
    assert_eq!((machine.gprs[1], machine.gprs[7]), (0x5555_0000, 0x6666_0002));
    assert_eq!(machine.get(0, 3), [0xee, 0xee, 0]);
}

#[test]
fn a_fault_keeps_what_was_done() {
    let mut machine = machine();
    let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
    tables.map(&mut machine, 0x8000, 0x8000, 7, 4);
    machine.put(0x8ff8, &[0; 8]);
    machine.gprs[7] = 0x8ff8;
    assert_eq!(machine.fault(&[0xf3, 0xab]), Exception::page_fault(2, 0x9000));
    assert_eq!((machine.gprs[1], machine.gprs[7], machine.rip), (2, 0x9000, 0x1000));
}

/// Found against the processor: of two bad operands of CMPS, rDI's faults; on others it is rSI's.
#[test]
fn cmps_looks_at_its_destination_first() {
    let mut machine = machine();
    Builder::new(&mut machine, Style::Four, 0x10_0000);
    assert_eq!(machine.fault(&[0xa6]), Exception::page_fault(0, 0x8020));
    assert_eq!(machine.fault(&[0xa4]), Exception::page_fault(0, 0x8000));
}

#[test]
fn single_step_stops_after_each_iteration() {
    let mut machine = machine();
    machine.gprs[1] = 2;
    machine.rflags |= 0x100;
    assert_eq!(machine.run(&[0xf3, 0xaa], 100), Outcome::Repeat { single_step: true });
    assert_eq!((machine.gprs[1], machine.rip), (1, 0x1000));
    assert_eq!(machine.run(&[0xf3, 0xaa], 100), Outcome::Done { single_step: true });
}

/// Elements in two pages that lie apart, with whole ones before and behind, in either half of addresses.
#[test]
fn elements_in_two_pages() {
    for (code, size) in [(&[0xf3, 0x66, 0xa5][..], 2), (&[0xf3, 0xa5], 4), (&[0xf3, 0x48, 0xa5], 8)] {
        for (offset, half) in (0..size).zip([0, 0xffff_8000_0000_0000].into_iter().cycle()) {
            let mut machine = TestMachine::new(Mode::Bits64);
            let mut tables = Builder::new(&mut machine, Style::Four, 0x10_0000);
            for (linear, physical) in
                [(0x40_0000, 0x2_0000), (0x40_1000, 0x4_0000), (0x50_0000, 0x6_0000), (0x50_1000, 0x8_0000)]
            {
                tables.map(&mut machine, half + linear, physical, 7, 4);
                machine.put(physical, &[0; 4096]);
            }
            let whole: Vec<u8> = (1..=4 * size as u8).collect();
            let (front, back) = whole.split_at((2 * size - offset) as usize);
            machine.put(0x2_1000 - front.len() as u64, front);
            machine.put(0x4_0000, back);
            machine.gprs[6] = half + 0x40_1000 - front.len() as u64;
            // The destination crosses with another element.
            let (front, back) = whole.split_at((3 * size - offset) as usize);
            machine.gprs[7] = half + 0x50_1000 - front.len() as u64;
            machine.gprs[1] = 4;
            machine.complete(code);
            assert_eq!(machine.get(0x6_1000 - front.len() as u64, front.len()), front, "{size} {offset}");
            assert_eq!(machine.get(0x8_0000, back.len() + 1), [back, &[0]].concat(), "{size} {offset}");
        }
    }
}

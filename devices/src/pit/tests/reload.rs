//! A count that is written while another one counts.

use super::*;

#[test]
fn a_new_period_starts_after_the_old_one() {
    let mut fixture = Fixture::new();
    fixture.program(0, 0x04, 1000);
    fixture.at_clock(501);
    fixture.out(0x40, 100);
    fixture.out(0x40, 0);
    assert_eq!(fixture.pit.deadline_ns(), Some(clock::ns_of(1001)));
    assert_eq!(fixture.run_until(clock::ns_of(1301)), 4);
}

/// 8254 datasheet, "Mode Definitions": when a count written while another one counts takes over.
#[test]
fn a_new_count_while_one_counts() {
    let program = |mode: u8| {
        let mut fixture = Fixture::new();
        fixture.at_clock(700);
        fixture.out(0x61, spec::GATE2);
        fixture.program(2, mode << 1, 1000);
        fixture
    };
    let write = |fixture: &mut Fixture, count: u16| {
        count.to_le_bytes().into_iter().for_each(|byte| fixture.out(0x42, byte));
    };
    // Mode 2, loaded at clock 701: with the next period. Clock of the write; clock, count, OUT.
    for (written, clock, count, output) in [
        (1201, 1202, 499, true),
        (1201, 1700, 1, false),
        (1201, 1701, 110, true),
        (1201, 1731, 80, true),
        (1201, 1810, 1, false),
        (2000, 2650, 51, true),
        (2000, 2701, 110, true),
    ] {
        let mut fixture = program(2);
        fixture.at_clock(written);
        write(&mut fixture, 110);
        fixture.at_clock(clock);
        let output_then = fixture.out2();
        assert_eq!((fixture.count(2), output_then), (count, output), "clock {clock}");
    }
    // While the gate is low: mode, count right after, and with the first clock behind the gate's rise.
    for (mode, stopped, on) in [(0, 100, 99), (4, 100, 99), (2, 900, 100), (3, 800, 100)] {
        let mut fixture = program(mode);
        fixture.at_clock(801);
        fixture.out(0x61, 0);
        write(&mut fixture, 100);
        assert_eq!(fixture.count(2), stopped, "mode {mode}");
        fixture.at_clock(901);
        fixture.out(0x61, spec::GATE2);
        fixture.at_clock(902);
        assert_eq!(fixture.count(2), on, "mode {mode}");
    }
}

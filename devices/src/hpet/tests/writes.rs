//! Writes to a timer that is armed, or holds its line.

use super::*;

/// Lines as they changed since the last call.
fn driven(fixture: &mut Fixture) -> Vec<(u8, bool)> {
    core::mem::take(&mut fixture.board.lines)
}

#[test]
fn a_line_held_high_goes_where_its_timer_goes() {
    // Timer 1 holds line 21. A write, what it does to lines, and the status then.
    type Row = (u64, u64, &'static [(u8, bool)], u64);
    let table: &[Row] = &[
        (0x120, INTERRUPT | LEVEL | 21 << 9, &[], 2),
        (0x120, INTERRUPT | LEVEL | 22 << 9, &[(21, false)], 0),
        (0x120, INTERRUPT | 21 << 9, &[(21, false)], 0),
        (0x120, LEVEL | 21 << 9, &[(21, false)], 0),
        (0x128, 77, &[], 2),
        // The others hold none.
        (0x100, INTERRUPT | 20 << 9, &[], 2),
        (0x100, LEVEL | 20 << 9, &[], 2),
        (0x140, LEVEL | 20 << 9, &[], 2),
        // Legacy replacement, and what changes no line.
        (0x010, ENABLE | LEGACY, &[(21, false), (8, true)], 2),
        (0x010, ENABLE, &[], 2),
        (0x010, 0, &[], 2),
    ];
    for &(offset, value, lines, status) in table {
        let mut fixture = Fixture::new();
        fixture.store(0x100, INTERRUPT | LEVEL | 20 << 9);
        fixture.store(0x120, INTERRUPT | LEVEL | 21 << 9);
        fixture.store(0x128, 10);
        fixture.store(0x10, ENABLE);
        assert_eq!(fixture.run_until(100), [21]);
        driven(&mut fixture);
        fixture.store(offset, value);
        assert_eq!(
            (driven(&mut fixture), fixture.load(0x20)),
            (lines.to_vec(), status),
            "{offset:x} {value:x}"
        );
    }
    // And back.
    let mut fixture = Fixture::new();
    fixture.store(0x100, INTERRUPT | LEVEL | 20 << 9);
    fixture.store(0x108, 10);
    fixture.store(0x10, ENABLE | LEGACY);
    assert_eq!(fixture.run_until(100), [0]);
    driven(&mut fixture);
    fixture.store(0x10, ENABLE);
    assert_eq!(driven(&mut fixture), [(0, false), (20, true)]);
}

#[test]
fn a_comparator_keeps_what_its_width_has() {
    let mut fixture = Fixture::new();
    // In any order: the value, in halves, and then the configuration.
    fixture.store32(0x108, 0x9abc_def0);
    fixture.store32(0x10c, 0x1234_5678);
    fixture.store(0x100, INTERRUPT | 20 << 9);
    assert_eq!(fixture.load(0x108), 0x1234_5678_9abc_def0);
    // With 32 bits the others are gone.
    fixture.store(0x100, INTERRUPT | NARROW | 20 << 9);
    assert_eq!(fixture.load(0x108), 0x9abc_def0);
    fixture.store(0x108, 0x1_0000_03e8);
    fixture.store(0x100, INTERRUPT | 20 << 9);
    assert_eq!(fixture.load(0x108), 0x3e8);
}

#[test]
fn a_period_outlives_a_mask() {
    let mut fixture = Fixture::new();
    fixture.store(0x100, INTERRUPT | PERIODIC | SET_VALUE | 20 << 9);
    fixture.store(0x108, 1000);
    fixture.store32(0x108, 500);
    fixture.store(0x10, ENABLE);
    assert_eq!(fixture.run_until(16_000), [20, 20]);
    fixture.store(0x100, PERIODIC | 20 << 9);
    fixture.store(0x100, INTERRUPT | PERIODIC | 20 << 9);
    assert_eq!(fixture.run_until(26_000), [20, 20]);
    // The half that is not written is the period's as well.
    fixture.store32(0x10c, 1);
    assert_eq!((fixture.load(0x108), fixture.run_until(30_000)), (3000, alloc::vec![20]));
    assert_eq!(fixture.load(0x108), 3000 + (1 << 32 | 500));
}

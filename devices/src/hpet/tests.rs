//! The HPET: its counter, one-shot and periodic comparators, routing, and how Linux uses it.

use super::*;
use crate::capability::PowerEvent;
use crate::testing::Random;
use alloc::vec::Vec;

mod writes;

/// Time, and what was driven.
#[derive(Default)]
struct Board {
    now_ns: u64,
    lines: Vec<(u8, bool)>,
}

impl Platform for Board {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn set_line(&mut self, line: u8, level: bool) {
        self.lines.push((line, level));
    }

    fn power(&mut self, _: PowerEvent) {}
}

struct Fixture {
    hpet: Hpet,
    board: Board,
}

const ENABLE: u64 = 1;
const LEGACY: u64 = 2;
const LEVEL: u64 = 1 << 1;
const INTERRUPT: u64 = 1 << 2;
const PERIODIC: u64 = 1 << 3;
const SET_VALUE: u64 = 1 << 6;
const NARROW: u64 = 1 << 8;

impl Fixture {
    fn new() -> Self {
        Self { hpet: Hpet::new(LegacyReplacement::default()), board: Board::default() }
    }

    fn store(&mut self, offset: u64, value: u64) {
        self.hpet.mmio_write(offset, Width::Qword, value, &mut self.board);
    }

    fn store32(&mut self, offset: u64, value: u32) {
        self.hpet.mmio_write(offset, Width::Dword, value.into(), &mut self.board);
    }

    fn load(&mut self, offset: u64) -> u64 {
        self.hpet.mmio_read(offset, Width::Qword, &mut self.board)
    }

    /// Lets time pass as the VMM does. Returns the lines that rose.
    fn run_until(&mut self, now_ns: u64) -> Vec<u8> {
        self.board.lines.clear();
        while let Some(deadline_ns) = self.hpet.deadline_ns().filter(|&at| at <= now_ns) {
            self.board.now_ns = self.board.now_ns.max(deadline_ns);
            self.hpet.expire(&mut self.board);
        }
        self.board.now_ns = now_ns;
        self.board.lines.iter().filter(|line| line.1).map(|line| line.0).collect()
    }
}

#[test]
fn registers() {
    // Offset, value stored, value loaded.
    let table = [
        (0x000, u64::MAX, 0x0098_9680_8086_a201),
        (0x008, u64::MAX, 0),
        (0x010, !ENABLE, LEGACY),
        (0x020, u64::MAX, 0),
        (0x0f0, 0x1234_5678_9abc_def0, 0x1234_5678_9abc_def0),
        (0x100, 0, 0x00f0_0000_0000_0030),
        (0x100, u64::MAX, 0x00f0_0000_0000_017e),
        (0x140, 11 << 9, 0x00f0_0800_0000_1630),
        (0x140, 10 << 9, 0x00f0_0800_0000_0030),
        (0x108, 0x1234_5678_9abc_def0, 0x1234_5678_9abc_def0),
        (0x110, u64::MAX, 0),
        (0x160, u64::MAX, 0),
        (0x3f8, u64::MAX, 0),
    ];
    for (offset, stored, loaded) in table {
        let mut fixture = Fixture::new();
        fixture.store(offset, stored);
        assert_eq!(fixture.load(offset), loaded, "offset {offset:x}");
    }
}

#[test]
fn halves() {
    let mut fixture = Fixture::new();
    fixture.store32(0xf0, 0x9abc_def0);
    fixture.store32(0xf4, 0x1234_5678);
    for (offset, width, value) in [
        (0xf0, Width::Qword, 0x1234_5678_9abc_def0),
        (0xf0, Width::Dword, 0x9abc_def0),
        (0xf4, Width::Dword, 0x1234_5678),
        (0xf5, Width::Byte, 0x56),
        (0xf4, Width::Qword, 0x1234_5678),
    ] {
        assert_eq!(fixture.hpet.mmio_read(offset, width, &mut fixture.board), value, "{offset:x} {width:?}");
    }
    // Not stores of a half or the whole.
    for (offset, width) in
        [(0xf0, Width::Byte), (0xf0, Width::Word), (0xf2, Width::Dword), (0xf4, Width::Qword)]
    {
        fixture.hpet.mmio_write(offset, width, 0, &mut fixture.board);
        assert_eq!(fixture.load(0xf0), 0x1234_5678_9abc_def0, "{offset:x} {width:?}");
    }
}

#[test]
fn the_counter_runs_while_enabled() {
    let mut fixture = Fixture::new();
    fixture.board.now_ns = 1000;
    assert_eq!(fixture.load(0xf0), 0);
    fixture.store(0x10, ENABLE);
    fixture.board.now_ns = 2005;
    assert_eq!(fixture.load(0xf0), 100);
    fixture.store(0x10, 0);
    fixture.board.now_ns = 9000;
    assert_eq!(fixture.load(0xf0), 100);
    fixture.store(0xf0, u64::MAX);
    fixture.store(0x10, ENABLE);
    fixture.board.now_ns = 9020;
    assert_eq!(fixture.load(0xf0), 1);
}

#[test]
fn when_comparators_match() {
    // Timer 2's configuration, comparator, the counter at 0 ns, then how often it matched by 100 µs (10000
    // ticks).
    let table = [
        (INTERRUPT | 20 << 9, 1000, 0, 1),
        (INTERRUPT | 20 << 9, 10_000, 0, 1),
        (INTERRUPT | 20 << 9, 10_001, 0, 0),
        (20 << 9, 1000, 0, 0),
        // The past, and a match across the wrap, in 64 bits and in 32.
        (INTERRUPT | 20 << 9, 1000, 2000, 0),
        (INTERRUPT | 20 << 9, 1000, u64::MAX - 99, 1),
        (INTERRUPT | NARROW | 20 << 9, 1000, 0xffff_ff9c, 1),
        (INTERRUPT | 20 << 9, 1000, 0xffff_ff9c, 0),
        (INTERRUPT | 20 << 9, 1000, 1000, 0),
    ];
    for (configuration, comparator, counter, matches) in table {
        let mut fixture = Fixture::new();
        fixture.store(0xf0, counter);
        fixture.store(0x140, configuration);
        fixture.store(0x148, comparator);
        fixture.store(0x10, ENABLE);
        let rises = fixture.run_until(100_000);
        assert_eq!(rises.len(), matches, "{configuration:x}, {comparator}, {counter:x}");
        assert!(rises.iter().all(|&line| line == 20));
    }
}

#[test]
fn a_stop_or_a_jump_moves_the_match() {
    let mut fixture = Fixture::new();
    fixture.store(0x100, INTERRUPT | 20 << 9);
    fixture.store(0x108, 1000);
    fixture.store(0x10, ENABLE);
    assert_eq!(fixture.run_until(4_000), []);
    fixture.store(0x10, 0);
    assert_eq!((fixture.run_until(50_000), fixture.hpet.deadline_ns()), (Vec::new(), None));
    fixture.store(0x10, ENABLE);
    assert_eq!(fixture.hpet.deadline_ns(), Some(56_000));
    fixture.store(0xf0, 900);
    assert_eq!(fixture.hpet.deadline_ns(), Some(51_000));
    assert_eq!(fixture.run_until(51_000), [20]);
}

#[test]
fn a_distant_match_is_no_deadline() {
    let mut fixture = Fixture::new();
    fixture.store(0x10, ENABLE);
    fixture.board.now_ns = 5_000;
    fixture.store(0x100, INTERRUPT | 20 << 9);
    // Now, and just before it: next when 64 bits have wrapped.
    for comparator in [500, 499] {
        fixture.store(0x108, comparator);
        assert_eq!(fixture.hpet.deadline_ns(), None, "comparator {comparator}");
    }
}

#[test]
fn periodic_as_linux_programs_it() {
    // hpet_clkevt_set_state_periodic: standing, SET_VALUE, the first time, then the period.
    let mut fixture = Fixture::new();
    fixture.store32(0x10, LEGACY as u32);
    fixture.store32(0x100, (INTERRUPT | PERIODIC | SET_VALUE | NARROW) as u32);
    fixture.store32(0x108, 1500);
    fixture.store32(0x108, 1000);
    fixture.store32(0x10, (ENABLE | LEGACY) as u32);
    assert_eq!(fixture.hpet.deadline_ns(), Some(15_000));
    assert_eq!(fixture.run_until(14_999), []);
    assert_eq!(fixture.run_until(15_000), [0]);
    assert_eq!(fixture.load(0x108), 2500);
    assert_eq!(fixture.run_until(1_000_000).len(), 98);
    // Late: once, and on the beat.
    fixture.board.now_ns = 2_000_000;
    fixture.hpet.expire(&mut fixture.board);
    assert_eq!(fixture.hpet.deadline_ns(), Some(2_005_000));
}

#[test]
fn a_period_across_the_wrap_of_32_bits() {
    let mut fixture = Fixture::new();
    fixture.store(0xf0, 0xffff_f000);
    fixture.store(0x100, INTERRUPT | PERIODIC | SET_VALUE | NARROW | 20 << 9);
    fixture.store(0x108, 0xffff_fc00);
    fixture.store(0x108, 0x1000);
    fixture.store(0x10, ENABLE);
    assert_eq!(fixture.run_until(0x2c00 * 10), [20, 20, 20]);
    assert_eq!(fixture.load(0x108), 0x2c00);
}

#[test]
fn one_shot_as_linux_programs_it() {
    // hpet_clkevt_set_next_event: the counter plus a delta; the counter must then be short of it.
    let mut fixture = Fixture::new();
    fixture.store32(0x10, (ENABLE | LEGACY) as u32);
    fixture.store32(0x100, (INTERRUPT | NARROW) as u32);
    for _ in 0..5 {
        fixture.board.now_ns += 12_340;
        let now = fixture.load(0xf0) as u32;
        fixture.store32(0x108, now + 500);
        assert!((fixture.load(0x108) as u32).wrapping_sub(fixture.load(0xf0) as u32) <= 500);
        let at_ns = fixture.board.now_ns + 5_000;
        assert_eq!(fixture.run_until(at_ns), [0]);
    }
}

#[test]
fn routes() {
    // Configuration, timer, route asked for, line driven.
    let table: &[(u64, u64, u64, &[u8])] = &[
        (0, 0, 20, &[20]),
        (0, 1, 23, &[23]),
        (0, 2, 11, &[11]),
        (0, 1, 11, &[]),
        (0, 0, 0, &[]),
        (LEGACY, 0, 20, &[0]),
        (LEGACY, 0, 0, &[0]),
        (LEGACY, 1, 20, &[8]),
        (LEGACY, 2, 20, &[20]),
    ];
    for &(configuration, timer, route, lines) in table {
        let mut fixture = Fixture::new();
        fixture.store(0x100 + 0x20 * timer, INTERRUPT | route << 9);
        fixture.store(0x108 + 0x20 * timer, 10);
        fixture.store(0x10, ENABLE | configuration);
        assert_eq!(fixture.run_until(1000), lines, "{configuration}, timer {timer}, route {route}");
        assert_eq!(fixture.hpet.legacy.is_on(), configuration == LEGACY);
    }
}

#[test]
fn level_triggered_until_cleared() {
    let mut fixture = Fixture::new();
    fixture.store(0x120, INTERRUPT | LEVEL | 21 << 9);
    fixture.store(0x128, 10);
    fixture.store(0x10, ENABLE);
    assert_eq!(fixture.run_until(1000), [21]);
    assert_eq!((fixture.load(0x20), fixture.board.lines.last()), (2, Some(&(21, true))));
    fixture.store(0x20, 1);
    assert_eq!(fixture.load(0x20), 2);
    fixture.store(0x20, 2);
    assert_eq!((fixture.load(0x20), fixture.board.lines.last()), (0, Some(&(21, false))));
    // Switched off while asserted.
    fixture.store(0x128, 1_000);
    assert_eq!(fixture.run_until(10_000), [21]);
    fixture.store(0x120, LEVEL | 21 << 9);
    assert_eq!((fixture.load(0x20), fixture.board.lines.last()), (0, Some(&(21, false))));
}

#[test]
fn every_access_is_survived() {
    let mut fixture = Fixture::new();
    for value in [0, 1, 0xffff_ffff, u64::MAX, 0x8000_0000_0000_0000] {
        for offset in 0..HPET_BYTES {
            for width in [Width::Byte, Width::Word, Width::Dword, Width::Qword] {
                fixture.hpet.mmio_write(offset, width, value & width.mask(), &mut fixture.board);
                fixture.hpet.mmio_read(offset, width, &mut fixture.board);
                fixture.board.now_ns += 1 << 40;
                fixture.hpet.deadline_ns();
            }
        }
    }
}

/// Whatever is programmed, a deadline met is a deadline gone: the VMM's loop never spins.
#[test]
fn random_programs_make_no_endless_deadlines() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut fixture = Fixture::new();
    for _ in 0..100_000 {
        let offset = [0x10, 0x20, 0xf0, 0x100, 0x108, 0x120, 0x128, 0x140, 0x148][random.below(9) as usize];
        let value = random.next() >> random.below(64);
        match random.below(3) {
            0 => fixture.store(offset, value),
            1 => fixture.store32(offset + 4 * random.below(2), value as u32),
            _ => fixture.store(0x10, 1 | value & 2),
        }
        fixture.board.now_ns += random.next() >> random.below(44).max(24);
        if let Some(deadline_ns) = fixture.hpet.deadline_ns() {
            fixture.board.now_ns = fixture.board.now_ns.max(deadline_ns.min(1 << 62));
            fixture.hpet.expire(&mut fixture.board);
            let next_ns = fixture.hpet.deadline_ns();
            assert!(next_ns.is_none_or(|next_ns| next_ns > fixture.board.now_ns), "{:x?}", fixture.hpet);
        }
        if fixture.board.now_ns > 1 << 61 {
            fixture = Fixture::new();
        }
        fixture.board.lines.clear();
    }
}

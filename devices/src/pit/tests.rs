//! The interval timer: modes, reads, port 61h, and what Linux does with them.

use super::*;
use crate::capability::PowerEvent;
use crate::testing::Random;
use alloc::vec::Vec;

mod reload;

/// Time, and how often line 0 rose.
#[derive(Default)]
struct Board {
    now_ns: u64,
    rises: u32,
}

impl Platform for Board {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn set_line(&mut self, line: u8, level: bool) {
        assert_eq!(line, 0);
        self.rises += u32::from(level);
    }

    fn power(&mut self, _: PowerEvent) {}
}

struct Fixture {
    pit: Pit,
    board: Board,
    legacy: LegacyReplacement,
}

impl Fixture {
    fn new() -> Self {
        let legacy = LegacyReplacement::default();
        Self { pit: Pit::new(legacy.clone()), board: Board::default(), legacy }
    }

    fn out(&mut self, port: u16, value: u8) {
        self.pit.port_write(port, Width::Byte, value.into(), &mut self.board);
    }

    fn inb(&mut self, port: u16) -> u8 {
        self.pit.port_read(port, Width::Byte, &mut self.board) as u8
    }

    /// A control word for counter `index`, both bytes, and the count.
    fn program(&mut self, index: u16, mode_and_bcd: u8, count: u16) {
        self.out(0x43, (index as u8) << 6 | 0x30 | mode_and_bcd);
        self.out(0x40 + index, count as u8);
        self.out(0x40 + index, (count >> 8) as u8);
    }

    /// Goes to the first nanosecond at which so many clocks have passed.
    fn at_clock(&mut self, clock: u64) {
        self.board.now_ns = clock::ns_of(clock);
    }

    fn count(&mut self, index: u16) -> u16 {
        self.out(0x43, (index as u8) << 6);
        u16::from_le_bytes([self.inb(0x40 + index), self.inb(0x40 + index)])
    }

    fn out2(&mut self) -> bool {
        self.inb(0x61) & spec::OUT2 != 0
    }

    /// Lets time pass as the VMM does. Returns how often line 0 rose.
    fn run_until(&mut self, now_ns: u64) -> u32 {
        let before = self.board.rises;
        while let Some(deadline_ns) = self.pit.deadline_ns().filter(|&at| at <= now_ns) {
            self.board.now_ns = deadline_ns;
            self.pit.expire(&mut self.board);
        }
        self.board.now_ns = now_ns;
        self.board.rises - before
    }
}

#[test]
fn clocks_are_exact_both_ways() {
    for clocks in [0, 1, 2, 1_193_181, 1_193_182, 1_193_183, 1_193_182 * 86_400 * 365 + 17] {
        let ns = clock::ns_of(clocks);
        assert_eq!(clock::clocks_of(ns), clocks);
        assert!(ns == 0 || clock::clocks_of(ns - 1) == clocks - 1);
    }
    assert_eq!(clock::clocks_of(3_600_000_000_000), 1_193_182 * 3600);
    clock::ns_of(clock::clocks_of(u64::MAX));
}

#[test]
fn counts_and_outputs() {
    // Mode, BCD, count, then (clocks since loaded, value read, OUT) of counter 2 with its gate high.
    type Row = (u8, u16, &'static [(u64, u16, bool)]);
    let table: &[Row] = &[
        (0, 5, &[(0, 5, false), (4, 1, false), (5, 0, true), (6, 0xffff, true), (0x1_0005, 0, true)]),
        (0, 0, &[(0, 0, false), (1, 0xffff, false), (0xffff, 1, false), (0x1_0000, 0, true)]),
        (2, 4, &[(0, 4, true), (2, 2, true), (3, 1, false), (4, 4, true), (7, 1, false)]),
        (2, 1, &[(0, 2, true), (1, 1, false), (2, 2, true)]),
        (3, 6, &[(0, 6, true), (1, 4, true), (2, 2, true), (3, 6, false), (5, 2, false), (6, 6, true)]),
        (3, 5, &[(0, 4, true), (1, 2, true), (2, 0, true), (3, 4, false), (4, 2, false), (5, 4, true)]),
        // The upper bit of the mode means nothing for these.
        (6, 4, &[(0, 4, true), (2, 2, true), (3, 1, false), (4, 4, true), (7, 1, false)]),
        (7, 6, &[(0, 6, true), (1, 4, true), (2, 2, true), (3, 6, false), (5, 2, false), (6, 6, true)]),
        (4, 3, &[(0, 3, true), (2, 1, true), (3, 0, false), (4, 0xffff, true), (9, 0xfffa, true)]),
    ];
    for &(mode, count, moments) in table {
        for &(elapsed, value, output) in moments {
            let mut fixture = Fixture::new();
            fixture.out(0x61, spec::GATE2);
            fixture.program(2, mode << 1, count);
            fixture.at_clock(1 + elapsed);
            assert_eq!(fixture.count(2), value, "mode {mode}, count {count}, after {elapsed}");
            assert_eq!(fixture.out2(), output, "mode {mode}, count {count}, after {elapsed}");
        }
    }
}

#[test]
fn triggered_by_the_gate() {
    // Mode, then (clocks since the trigger, OUT).
    for (mode, moments) in [
        (1, [(0, false), (2, false), (3, true), (9, true)]),
        (5, [(0, true), (2, true), (3, false), (4, true)]),
    ] {
        for (elapsed, output) in moments {
            let mut fixture = Fixture::new();
            fixture.program(2, mode << 1, 3);
            fixture.at_clock(100);
            assert!(fixture.out2(), "mode {mode} before the trigger");
            fixture.out(0x61, spec::GATE2);
            // The gate may fall again.
            fixture.out(0x61, 0);
            fixture.at_clock(101 + elapsed);
            assert_eq!(fixture.out2(), output, "mode {mode}, after {elapsed}");
        }
    }
}

#[test]
fn the_gate_stops_or_restarts() {
    // Mode, count 10 at clock 101, after a gate low from clock 5 to clock 100.
    for (mode, count) in [(0, 5), (2, 10), (3, 10), (4, 5)] {
        let mut fixture = Fixture::new();
        fixture.out(0x61, spec::GATE2);
        fixture.program(2, mode << 1, 10);
        fixture.at_clock(5);
        fixture.out(0x61, 0);
        fixture.at_clock(50);
        assert_eq!(fixture.count(2), if mode == 3 { 2 } else { 6 }, "mode {mode}");
        assert_eq!(fixture.out2(), mode != 0, "mode {mode}");
        fixture.at_clock(100);
        fixture.out(0x61, spec::GATE2);
        fixture.at_clock(101);
        assert_eq!(fixture.count(2), count, "mode {mode}");
    }
}

#[test]
fn binary_coded_decimal() {
    let mut fixture = Fixture::new();
    fixture.program(0, 0x01, 0x1000);
    for (elapsed, value) in [(0, 0x1000), (1, 0x0999), (990, 0x0010), (1000, 0), (1001, 0x9999)] {
        fixture.at_clock(1 + elapsed);
        assert_eq!(fixture.count(0), value, "after {elapsed}");
    }
    let mut fixture = Fixture::new();
    fixture.program(0, 0x05, 0);
    fixture.at_clock(2);
    assert_eq!(fixture.count(0), 0x9999);
}

#[test]
fn halves() {
    // Access bits, bytes written, count.
    for (access, bytes, count) in [(1, &[0x34][..], 0x0034), (2, &[0x12], 0x1200), (3, &[0x34, 0x12], 0x1234)]
    {
        let mut fixture = Fixture::new();
        fixture.out(0x43, access << 4 | 4);
        for &byte in bytes {
            fixture.out(0x40, byte);
        }
        fixture.at_clock(1);
        fixture.out(0x43, 0xd2);
        fixture.at_clock(2);
        let read: Vec<_> = bytes.iter().map(|_| fixture.inb(0x40)).collect();
        assert_eq!(read, bytes, "access {access}");
        // Unlatched, it goes on.
        let low_or_high = fixture.inb(0x40);
        let expected = (count - 1_u16).to_le_bytes()[usize::from(access == 2)];
        assert_eq!(low_or_high, expected, "access {access}");
    }
}

#[test]
fn latches_hold_until_read() {
    let mut fixture = Fixture::new();
    fixture.program(0, 0x04, 0x1000);
    fixture.at_clock(1 + 0x234);
    fixture.out(0x43, 0x00);
    fixture.at_clock(1 + 0x300);
    // A second latch command does not replace the first.
    fixture.out(0x43, 0x00);
    assert_eq!((fixture.inb(0x40), fixture.inb(0x40)), (0xcc, 0x0d));
    assert_eq!((fixture.inb(0x40), fixture.inb(0x40)), (0x00, 0x0d));
}

#[test]
fn read_back() {
    let mut fixture = Fixture::new();
    fixture.program(0, 0x04, 0x1000);
    // Status and count of counters 0 and 2: the status is read first. Not loaded yet: null count.
    fixture.out(0x43, 0xca);
    assert_eq!((fixture.inb(0x40), fixture.inb(0x40), fixture.inb(0x40)), (0xf4, 0x00, 0x10));
    fixture.at_clock(2);
    fixture.out(0x43, 0xe2);
    assert_eq!(fixture.inb(0x40), 0xb4);
    // A new count waits for the end of the period.
    fixture.out(0x40, 0x00);
    fixture.out(0x40, 0x20);
    fixture.out(0x43, 0xe2);
    assert_eq!(fixture.inb(0x40), 0xf4);
    fixture.at_clock(1 + 0x1000);
    fixture.out(0x43, 0xe2);
    assert_eq!(fixture.inb(0x40), 0xb4);
    assert_eq!(fixture.count(0), 0x2000);
    // Counter 1, status of mode 6, which is mode 2.
    fixture.program(1, 0x0c, 18);
    fixture.out(0x43, 0xe4);
    assert_eq!(fixture.inb(0x41), 0xf4);
    assert_eq!(fixture.inb(0x43), 0xff);
    // Only those that are named: counter 0's count is held, the others go on.
    let mut fixture = Fixture::new();
    (0..2).for_each(|index| fixture.program(index, 0x04, 0x1000));
    fixture.at_clock(1 + 0x10);
    fixture.out(0x43, 0xd2);
    fixture.at_clock(1 + 0x20);
    assert_eq!([0x40, 0x40, 0x41, 0x41].map(|port| fixture.inb(port)), [0xf0, 0x0f, 0xe0, 0x0f]);
}

#[test]
fn a_periodic_interrupt_does_not_drift() {
    for (mode, count) in [(2, 4773), (3, 4773), (2, 0), (3, 2)] {
        let mut fixture = Fixture::new();
        fixture.program(0, mode << 1, count);
        let period = if count == 0 { 0x1_0000 } else { u64::from(count) };
        let seconds = if count == 2 { 1 } else { 600 };
        let clocks = clock::clocks_of(seconds * 1_000_000_000);
        let fired = fixture.run_until(seconds * 1_000_000_000);
        assert_eq!(u64::from(fired), (clocks - 1) / period, "mode {mode}, count {count}");
    }
}

#[test]
fn a_late_interrupt_comes_once_and_on_the_beat() {
    let mut fixture = Fixture::new();
    fixture.program(0, 0x04, 1000);
    fixture.at_clock(3_500);
    fixture.pit.expire(&mut fixture.board);
    assert_eq!(fixture.board.rises, 1);
    assert_eq!(fixture.pit.deadline_ns(), Some(clock::ns_of(4001)));
    fixture.pit.expire(&mut fixture.board);
    assert_eq!(fixture.board.rises, 1);
}

#[test]
fn one_shot_interrupts() {
    // Mode, count, the clock at which the output rises.
    for (mode, count, clock) in
        [(0, 1000, Some(1001)), (4, 1000, Some(1002)), (1, 1000, None), (5, 1000, None)]
    {
        let mut fixture = Fixture::new();
        fixture.program(0, mode << 1, count);
        assert_eq!(fixture.pit.deadline_ns(), clock.map(clock::ns_of), "mode {mode}");
        assert_eq!(fixture.run_until(1_000_000_000), u32::from(clock.is_some()), "mode {mode}");
        assert_eq!(fixture.pit.deadline_ns(), None);
    }
    // A control word, or the first byte of a count in mode 0, stops it.
    let mut fixture = Fixture::new();
    fixture.program(0, 0, 1000);
    fixture.out(0x40, 0);
    assert_eq!(fixture.pit.deadline_ns(), None);
    fixture.out(0x40, 1);
    assert_eq!(fixture.pit.deadline_ns(), Some(clock::ns_of(257)));
    fixture.out(0x43, 0x30);
    assert_eq!(fixture.pit.deadline_ns(), None);
}

#[test]
fn the_hpet_can_have_line_0() {
    use crate::capability::MmioDevice;
    let mut fixture = Fixture::new();
    let mut hpet = crate::hpet::Hpet::new(fixture.legacy.clone());
    fixture.program(0, 0x04, 1000);
    for (configuration, fired) in [(2, 0), (0, 1)] {
        hpet.mmio_write(0x10, Width::Dword, configuration, &mut fixture.board);
        let next = fixture.pit.deadline_ns().unwrap();
        assert_eq!(fixture.run_until(next), fired, "configuration {configuration}");
    }
}

#[test]
fn port_61h() {
    let mut fixture = Fixture::new();
    fixture.out(0x61, 0xff);
    assert_eq!(fixture.inb(0x61) & !spec::REFRESH, 0x0f);
    // The refresh bit changes about every 15 µs.
    let mut changes = 0;
    let mut before = fixture.inb(0x61) & spec::REFRESH;
    assert_eq!(before, 0);
    for ns in (0..1_000_000).step_by(500) {
        fixture.board.now_ns = ns;
        let now = fixture.inb(0x61) & spec::REFRESH;
        changes += u32::from(now != before);
        before = now;
    }
    assert_eq!(changes, 1_193_182 / 1000 / 18);
}

/// pit_calibrate_tsc: counter 2 in mode 0 without speaker, polled through port 61h until its output rises.
#[test]
fn linux_calibrates_by_the_output() {
    for ms in [10, 50] {
        let mut fixture = Fixture::new();
        fixture.board.now_ns = 987_654_321;
        let latch = (PIT_HZ / (1000 / ms)) as u16;
        let control = fixture.inb(0x61) & !0x02 | 0x01;
        fixture.out(0x61, control);
        fixture.program(2, 0, latch);
        let start_ns = fixture.board.now_ns;
        while !fixture.out2() {
            fixture.board.now_ns += 700;
        }
        let took_ns = fixture.board.now_ns - start_ns;
        assert!(took_ns.abs_diff(ms * 1_000_000) < 3_000, "{took_ns} ns for {ms} ms");
    }
}

/// quick_pit_calibrate: the high byte of counter 2, read without latching, falls by one every 256 clocks.
#[test]
fn linux_calibrates_by_the_high_byte() {
    let mut fixture = Fixture::new();
    fixture.out(0x61, 0x01);
    fixture.program(2, 0, 0xffff);
    let mut high_byte = || {
        fixture.board.now_ns += 1_000;
        fixture.inb(0x42);
        (fixture.inb(0x42), fixture.board.now_ns)
    };
    let mut began_ns = Vec::new();
    for expected in (0xe0..=0xff).rev() {
        let mut reads = 0;
        while let (value, now_ns) = high_byte()
            && value == expected
        {
            if reads == 0 {
                began_ns.push(now_ns);
            }
            reads += 1;
        }
        assert!(reads > 100, "{reads} reads of {expected:x}");
    }
    let (first, last) = (began_ns[1], began_ns[31]);
    assert!((last - first).abs_diff(30 * 256 * 1_000_000_000 / PIT_HZ) < 2_500);
}

/// Whatever is programmed, a deadline met is a deadline gone: the VMM's loop never spins.
#[test]
fn random_programs_make_no_endless_deadlines() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut fixture = Fixture::new();
    for _ in 0..100_000 {
        let port = [0x40, 0x41, 0x42, 0x43, 0x43, 0x61][random.below(6) as usize];
        let width = [Width::Byte, Width::Word, Width::Dword][random.below(8).saturating_sub(5) as usize];
        if random.below(4) == 0 {
            fixture.pit.port_read(port, width, &mut fixture.board);
        } else {
            fixture.pit.port_write(port, width, random.next() as u32, &mut fixture.board);
        }
        fixture.board.now_ns += random.next() >> random.below(64).max(20);
        if let Some(deadline_ns) = fixture.pit.deadline_ns() {
            fixture.board.now_ns = fixture.board.now_ns.max(deadline_ns);
            fixture.pit.expire(&mut fixture.board);
            let next_ns = fixture.pit.deadline_ns();
            assert!(next_ns.is_none_or(|next_ns| next_ns > fixture.board.now_ns), "{:?}", fixture.pit);
        }
        if fixture.board.now_ns > 1 << 61 {
            fixture = Fixture::new();
        }
    }
}

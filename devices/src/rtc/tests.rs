use super::{
    calendar::{Alarm, DAY_S, Fields},
    spec::*,
    *,
};
use crate::testing::{Bench, Random};

/// 2026-11-22 01:02:03, a Sunday.
const NOW_S: i64 = 1_795_309_323;
const MS: u64 = 1_000_000;

struct Guest {
    rtc: Rtc,
    bench: Bench,
}

impl Guest {
    fn at(unix_s: i64) -> Self {
        Self { rtc: Rtc::new(unix_s, &CmosConfig::default()), bench: Bench::default() }
    }

    fn read(&mut self, index: u8) -> u8 {
        self.rtc.port_write(INDEX, Width::Byte, index.into(), &mut self.bench);
        self.rtc.port_read(DATA, Width::Byte, &mut self.bench) as u8
    }

    fn write(&mut self, index: u8, value: u8) {
        // Index and data in one word write, as the bus allows.
        let both = u32::from(index) | u32::from(value) << 8;
        self.rtc.port_write(INDEX, Width::Word, both, &mut self.bench);
    }

    fn time(&mut self) -> [u8; 8] {
        [CENTURY, YEAR, MONTH, DAY, WEEKDAY, HOURS, MINUTES, SECONDS].map(|index| self.read(index))
    }

    /// Runs deadlines up to `end_ns`, acknowledging each interrupt; how many there were.
    fn run_until(&mut self, end_ns: u64) -> u32 {
        let mut interrupts = 0;
        while let Some(deadline) = self.rtc.deadline_ns().filter(|at| *at <= end_ns) {
            self.bench.now_ns = self.bench.now_ns.max(deadline);
            self.rtc.expire(&mut self.bench);
            assert!(self.bench.line(LINE), "a deadline is when an interrupt comes");
            assert!(self.read(REGISTER_C) & C_IRQF != 0);
            assert!(!self.bench.line(LINE));
            interrupts += 1;
        }
        self.bench.now_ns = end_ns;
        interrupts
    }
}

#[test]
fn calendar_knows_the_dates() {
    // Unix time; century, year, month, day, weekday, hour, minute, second.
    let cases = [
        (0, (19, 70, 1, 1, 5, 0, 0, 0)),
        (-1, (19, 69, 12, 31, 4, 23, 59, 59)),
        (951_782_400, (20, 0, 2, 29, 3, 0, 0, 0)),
        (951_868_800, (20, 0, 3, 1, 4, 0, 0, 0)),
        (1_709_164_800, (20, 24, 2, 29, 5, 0, 0, 0)),
        (4_107_542_400, (21, 0, 3, 1, 2, 0, 0, 0)),
        (NOW_S, (20, 26, 11, 22, 1, 1, 2, 3)),
        (253_402_300_799, (99, 99, 12, 31, 6, 23, 59, 59)),
    ];
    for (unix_s, (century, year, month, day, weekday, hour, minute, second)) in cases {
        let fields = Fields { second, minute, hour, weekday, day, month, year, century };
        assert_eq!((Fields::from_unix(unix_s), fields.to_unix()), (fields, unix_s));
    }
}

#[test]
fn calendar_goes_there_and_back() {
    let mut random = Random(11);
    let last = Fields::from_unix(253_402_300_799).to_unix() as u64;
    for day in 0..last / DAY_S as u64 / 97 {
        let unix_s = (day * 97 * DAY_S as u64 + random.below(DAY_S as u64)) as i64;
        assert_eq!(Fields::from_unix(unix_s).to_unix(), unix_s);
    }
}

/// As a guest may write them: what is too much counts on, and months and days begin at 1.
#[test]
fn fields_out_of_range_count_on() {
    let fields = |month, day, hour, minute, second| Fields {
        second,
        minute,
        hour,
        weekday: 1,
        day,
        month,
        year: 70,
        century: 19,
    };
    for (fields, unix_s) in [
        (fields(1, 1, 0, 0, 0), 0),
        (fields(0, 0, 0, 0, 0), 0),
        (fields(1, 1, 25, 61, 61), 86_400 + 3600 + 3660 + 61),
        (fields(13, 1, 0, 0, 0), 365 * 86_400),
        (fields(14, 1, 0, 0, 0), (365 + 31) * 86_400),
        (fields(24, 32, 0, 0, 0), 2 * 365 * 86_400),
    ] {
        assert_eq!(fields.to_unix(), unix_s, "{fields:?}");
    }
}

#[test]
fn alarms_match_next() {
    // Second of the day now; alarm; second of the day then.
    let alarm = |hour, minute, second| Alarm { hour, minute, second };
    let cases = [
        (0, alarm(None, None, None), Some(1)),
        (0, alarm(None, None, Some(0)), Some(60)),
        (59, alarm(None, None, Some(0)), Some(60)),
        (60, alarm(None, None, Some(0)), Some(120)),
        (0, alarm(Some(7), Some(30), Some(15)), Some(27_015)),
        (27_015, alarm(Some(7), Some(30), Some(15)), Some(27_015 + 86_400)),
        (27_015, alarm(Some(7), None, None), Some(27_016)),
        (100, alarm(None, Some(0), None), Some(3600)),
        (0, alarm(Some(24), None, None), None),
        (0, alarm(None, Some(60), None), None),
        (0, alarm(None, None, Some(99)), None),
    ];
    for (now, alarm, then) in cases {
        let base = 20_000 * DAY_S;
        assert_eq!(alarm.next_after(base + now), then.map(|then: i64| base + then), "{alarm:?} after {now}");
    }
}

#[test]
fn time_reads_in_every_format() {
    // Register B, hour of the day, registers.
    let cases = [
        (B_24_HOUR, 1, [0x20, 0x26, 0x11, 0x22, 0x01, 0x01, 0x02, 0x03]),
        (B_24_HOUR | B_BINARY, 13, [20, 26, 11, 22, 1, 13, 2, 3]),
        (0, 0, [0x20, 0x26, 0x11, 0x22, 0x01, 0x12, 0x02, 0x03]),
        (0, 12, [0x20, 0x26, 0x11, 0x22, 0x01, 0x92, 0x02, 0x03]),
        (0, 23, [0x20, 0x26, 0x11, 0x22, 0x01, 0x91, 0x02, 0x03]),
        (B_BINARY, 15, [20, 26, 11, 22, 1, 0x83, 2, 3]),
    ];
    for (format, hour, expected) in cases {
        let mut guest = Guest::at(NOW_S + (hour - 1) * 3600);
        guest.write(REGISTER_B, format);
        assert_eq!(guest.time(), expected, "{format:#x} {hour}");
        // What is read may be written back and changes nothing.
        guest.write(REGISTER_B, format | B_SET);
        for (index, value) in
            [CENTURY, YEAR, MONTH, DAY, WEEKDAY, HOURS, MINUTES, SECONDS].into_iter().zip(expected)
        {
            guest.write(index, value);
        }
        guest.write(REGISTER_B, format);
        assert_eq!(guest.time(), expected, "{format:#x} {hour}");
    }
}

#[test]
fn time_goes_on_and_stops() {
    let mut guest = Guest::at(NOW_S);
    guest.bench.now_ns = 57_999 * MS;
    assert_eq!(guest.read(MINUTES), 0x03);
    assert_eq!(guest.read(SECONDS), 0x00);
    guest.bench.now_ns = 86_400_000 * MS;
    assert_eq!((guest.read(DAY), guest.read(WEEKDAY), guest.read(HOURS)), (0x23, 0x02, 0x01));
    guest.write(REGISTER_B, B_24_HOUR | B_SET);
    guest.bench.now_ns += 10_000 * MS;
    assert_eq!(guest.read(SECONDS), 0x03, "inhibited");
    guest.write(SECONDS, 0x30);
    guest.write(REGISTER_B, B_24_HOUR);
    guest.bench.now_ns += 999 * MS;
    assert_eq!(guest.read(SECONDS), 0x30);
    guest.bench.now_ns += MS;
    assert_eq!(guest.read(SECONDS), 0x31);
}

#[test]
fn fields_are_set_one_by_one() {
    let mut guest = Guest::at(NOW_S);
    guest.write(REGISTER_B, B_24_HOUR | B_SET);
    let new = [0x21, 0x31, 0x07, 0x15, 0x01, 0x22, 0x44, 0x55];
    for (index, value) in [CENTURY, YEAR, MONTH, DAY, HOURS, MINUTES, SECONDS]
        .into_iter()
        .zip([0x21, 0x31, 0x07, 0x15, 0x22, 0x44, 0x55])
    {
        guest.write(index, value);
    }
    // The day of the week follows, whatever is written there.
    guest.write(WEEKDAY, 0x07);
    assert_eq!(guest.time(), new);
}

/// SET stops the clock where it is, and a second begins as it goes; a new rate stops nothing.
#[test]
fn what_stops_the_clock_and_what_does_not() {
    let mut guest = Guest::at(NOW_S);
    guest.bench.now_ns = 5_300 * MS;
    guest.write(REGISTER_A, 0x2a);
    assert_eq!(guest.read(SECONDS), 0x08);
    // Seconds end when they would have ended.
    for (now_ms, seconds) in [(5_999, 0x08), (6_000, 0x09), (6_999, 0x09), (7_400, 0x10)] {
        guest.bench.now_ns = now_ms * MS;
        assert_eq!(guest.read(SECONDS), seconds, "{now_ms} ms");
    }
    guest.write(REGISTER_B, B_24_HOUR | B_SET);
    for now_ms in [8_000, 9_700] {
        guest.bench.now_ns = now_ms * MS;
        // Once more changes nothing.
        guest.write(REGISTER_B, B_24_HOUR | B_SET);
        assert_eq!(guest.read(SECONDS), 0x10, "{now_ms} ms");
    }
    guest.bench.now_ns = 9_900 * MS;
    guest.write(REGISTER_B, B_24_HOUR);
    // Nor does what is no change of SET.
    guest.bench.now_ns = 10_200 * MS;
    guest.write(REGISTER_B, B_24_HOUR | B_PIE);
    for (now_ms, seconds) in [(10_899, 0x10), (10_900, 0x11), (11_900, 0x12)] {
        guest.bench.now_ns = now_ms * MS;
        assert_eq!(guest.read(SECONDS), seconds, "{now_ms} ms");
    }
}

/// How Linux sets the clock half a second before the full one.
#[test]
fn first_update_after_a_divider_reset_takes_half_a_second() {
    let mut guest = Guest::at(NOW_S);
    guest.bench.now_ns = 5_300 * MS;
    guest.write(REGISTER_B, B_24_HOUR | B_SET);
    guest.write(REGISTER_A, A_RESET | A_DIVIDER_RESET);
    guest.write(SECONDS, 0x40);
    guest.write(REGISTER_B, B_24_HOUR);
    guest.bench.now_ns += 3_000 * MS;
    assert_eq!(guest.read(SECONDS), 0x40, "the divider stands still");
    guest.write(REGISTER_A, A_RESET);
    guest.bench.now_ns += 499 * MS;
    assert_eq!(guest.read(SECONDS), 0x40);
    guest.bench.now_ns += MS;
    assert_eq!(guest.read(SECONDS), 0x41);
}

#[test]
fn update_in_progress_shows_before_each_second() {
    // Nanoseconds into the second, register A.
    for (phase, register_a) in
        [(0, 0x26), (500 * MS, 0x26), (1_000 * MS - UIP_NS, 0xa6), (1_000 * MS - 1, 0xa6)]
    {
        let mut guest = Guest::at(NOW_S);
        guest.bench.now_ns = 3_000 * MS + phase;
        assert_eq!(guest.read(REGISTER_A), register_a, "{phase}");
    }
    let mut guest = Guest::at(NOW_S);
    guest.write(REGISTER_B, B_SET);
    guest.bench.now_ns = 1_000 * MS - 1;
    assert_eq!(guest.read(REGISTER_A), 0x26, "no update, no UIP");
}

#[test]
fn flags_are_set_without_their_interrupts() {
    let mut guest = Guest::at(NOW_S);
    guest.write(REGISTER_A, 0x20);
    assert_eq!(guest.read(REGISTER_C), 0);
    guest.bench.now_ns = 1_000 * MS;
    assert_eq!(guest.rtc.deadline_ns(), None);
    assert_eq!((guest.read(REGISTER_C), guest.read(REGISTER_C)), (C_UF, 0));
    guest.write(REGISTER_A, A_RESET);
    guest.bench.now_ns += MS;
    assert_eq!(guest.read(REGISTER_C), C_PF);
    assert_eq!(guest.bench.edges, 0);
}

#[test]
fn periodic_interrupts_come_at_the_rate_set() {
    // Rate, interrupts a second.
    let rates = [(0, 0), (1, 256), (2, 128), (3, 8192), (4, 4096), (6, 1024), (10, 64), (14, 4), (15, 2)];
    for (rate, expected) in rates {
        let mut guest = Guest::at(NOW_S);
        guest.write(REGISTER_A, 0x20 | rate);
        guest.write(REGISTER_B, B_24_HOUR | B_PIE);
        assert_eq!(guest.run_until(1_000 * MS), expected, "rate {rate}");
        assert_eq!(guest.run_until(3_000 * MS), 2 * expected, "rate {rate}");
    }
}

#[test]
fn update_and_alarm_interrupts() {
    let mut guest = Guest::at(NOW_S);
    guest.write(REGISTER_B, B_24_HOUR | B_UIE);
    assert_eq!(guest.run_until(10_500 * MS), 10);
    // Every minute at second 5; it is second 13.
    guest.write(SECONDS_ALARM, 0x05);
    guest.write(MINUTES_ALARM, 0xff);
    guest.write(HOURS_ALARM, 0xc0);
    guest.write(REGISTER_B, B_24_HOUR | B_AIE);
    assert_eq!(guest.rtc.deadline_ns(), Some(62_000 * MS));
    assert_eq!(guest.run_until(200_000 * MS), 3);
    // At 02:00:00, in 12-hour mode.
    guest.write(REGISTER_B, B_AIE);
    for (index, value) in [(SECONDS_ALARM, 0), (MINUTES_ALARM, 0), (HOURS_ALARM, 0x02)] {
        guest.write(index, value);
    }
    assert_eq!(guest.rtc.deadline_ns(), Some((3600 - 123) * 1_000 * MS));
    // An hour that is none: no alarm, and no search without end.
    guest.write(HOURS_ALARM, 0x30);
    assert_eq!(guest.rtc.deadline_ns(), None);
}

#[test]
fn a_pending_interrupt_is_one_edge_until_acknowledged() {
    let mut guest = Guest::at(NOW_S);
    guest.write(REGISTER_B, B_24_HOUR | B_UIE);
    for second in 1..5 {
        guest.bench.now_ns = second * 1_000 * MS;
        guest.rtc.expire(&mut guest.bench);
        assert_eq!(guest.rtc.deadline_ns(), None);
    }
    assert_eq!(guest.bench.edges, 1);
    assert_eq!(guest.read(REGISTER_C) & (C_IRQF | C_UF), C_IRQF | C_UF);
    assert_eq!(guest.rtc.deadline_ns(), Some(5_000 * MS));
}

#[test]
fn set_inhibits_and_clears_the_update_interrupt() {
    let mut guest = Guest::at(NOW_S);
    guest.write(REGISTER_B, B_24_HOUR | B_UIE | B_SET);
    assert_eq!(guest.read(REGISTER_B), B_24_HOUR | B_SET);
    assert_eq!(guest.rtc.deadline_ns(), None);
}

#[test]
fn memory_and_its_sizes() {
    let config = CmosConfig { low_ram_bytes: 0x8000_0000, high_ram_bytes: 5 << 30, cpus: 4 };
    let mut guest = Guest { rtc: Rtc::new(NOW_S, &config), bench: Bench::default() };
    // Index, value.
    let cases = [
        (0x15, 0x80),
        (0x16, 0x02),
        (0x17, 0xff),
        (0x18, 0xff),
        (0x30, 0xff),
        (0x34, 0x00),
        (0x35, 0x7f),
        (0x5b, 0x00),
        (0x5c, 0x40),
        (0x5d, 0x01),
        (0x5f, 3),
        (REGISTER_D, D_VRT),
        (REGISTER_B, B_24_HOUR),
    ];
    for (index, value) in cases {
        assert_eq!(guest.read(index), value, "{index:#x}");
    }
    let small = CmosConfig { low_ram_bytes: 8 << 20, high_ram_bytes: 0, cpus: 0 };
    let mut small = Guest { rtc: Rtc::new(NOW_S, &small), bench: Bench::default() };
    for (index, value) in [(0x17, 0x00), (0x18, 0x1c), (0x31, 0x1c), (0x35, 0), (0x5c, 0), (0x5f, 0)] {
        assert_eq!(small.read(index), value, "{index:#x}");
    }
    guest.write(0x0f, 0x5a);
    guest.write(REGISTER_C, 0xff);
    guest.write(REGISTER_D, 0);
    assert_eq!((guest.read(0x0f), guest.read(REGISTER_C), guest.read(REGISTER_D)), (0x5a, 0, D_VRT));
}

#[test]
fn ports_and_the_nmi_mask() {
    let mut guest = Guest::at(NOW_S);
    guest.rtc.port_write(INDEX, Width::Byte, 0x8b, &mut guest.bench);
    assert!(guest.rtc.nmi_masked());
    assert_eq!(guest.rtc.port_read(DATA, Width::Byte, &mut guest.bench), B_24_HOUR.into());
    assert_eq!(guest.rtc.port_read(INDEX, Width::Byte, &mut guest.bench), 0xff);
    guest.rtc.port_write(INDEX, Width::Byte, 0x0b, &mut guest.bench);
    assert!(!guest.rtc.nmi_masked());
    // The upper bank is its own memory, registers and all.
    let bytes = [(0x00, 0x11), (0x0b, 0x22), (0x7f, 0x33), (0x8c, 0x44)];
    for (index, value) in bytes {
        guest.rtc.port_write(EXTENDED_INDEX, Width::Byte, index, &mut guest.bench);
        guest.rtc.port_write(EXTENDED_DATA, Width::Byte, value, &mut guest.bench);
    }
    for (index, value) in bytes {
        guest.rtc.port_write(EXTENDED_INDEX, Width::Byte, index, &mut guest.bench);
        assert_eq!(guest.rtc.port_read(EXTENDED_DATA, Width::Byte, &mut guest.bench), value);
    }
    assert_eq!(guest.read(REGISTER_B), B_24_HOUR);
}

/// Whatever a guest writes, at whatever time: no panic, and never a deadline that has passed and stays.
#[test]
fn survives_anything() {
    let mut random = Random(5);
    let mut guest = Guest::at(i64::MIN);
    for _ in 0..200_000 {
        guest.bench.now_ns = guest.bench.now_ns.saturating_add(random.next() >> (20 + random.below(44)));
        let index = random.below(16) as u8;
        match random.below(3) {
            0 => guest.write(index, random.next() as u8),
            1 => drop(guest.read(index)),
            _ => guest.rtc.expire(&mut guest.bench),
        }
        if let Some(deadline) = guest.rtc.deadline_ns() {
            assert!(deadline > guest.bench.now_ns || deadline == u64::MAX);
        }
    }
}

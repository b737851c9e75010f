use super::{spec::*, *};
use crate::testing::{Bench, Random};

fn pm() -> Pm {
    Pm::new(TimerWidth::Bits24, true)
}

fn write(pm: &mut Pm, port: u16, width: Width, value: u32, bench: &mut Bench) {
    pm.port_write(port, width, value, bench);
}

#[test]
fn ticks_are_exact() {
    let exact = |ns: u64| (u128::from(ns) * u128::from(TIMER_HZ) / 1_000_000_000) as u64;
    let mut random = Random(7);
    let edges = [0, 1, 279, 280, 999_999_999, 1_000_000_000, 1_000_000_001, u64::MAX / 4, u64::MAX];
    for ns in edges.into_iter().chain((0..10_000).map(|i| random.next() >> (i % 60))) {
        assert_eq!(ticks(ns), exact(ns), "{ns}");
    }
}

#[test]
fn carry_deadlines_are_the_first_nanosecond() {
    for width in [TimerWidth::Bits24, TimerWidth::Bits32] {
        for count in [1, 2, 3, 1000, 123_456] {
            let at = width.carry_ns(count);
            assert_eq!((width.carries(at - 1), width.carries(at)), (count - 1, count), "{width:?} {count}");
        }
        assert_eq!(width.carry_ns(u64::MAX), u64::MAX);
    }
}

#[test]
fn timer_reads_at_any_width() {
    let mut bench = Bench { now_ns: 40_000_000_000, ..Bench::default() };
    let all = ticks(bench.now_ns) as u32;
    let cases = [
        (TimerWidth::Bits24, PM_TIMER, Width::Dword, all & 0xff_ffff),
        (TimerWidth::Bits32, PM_TIMER, Width::Dword, all),
        (TimerWidth::Bits32, PM_TIMER, Width::Byte, all & 0xff),
        (TimerWidth::Bits32, PM_TIMER + 1, Width::Byte, all >> 8 & 0xff),
        // A dword that is not the timer's: the control register, and what is not there.
        (TimerWidth::Bits32, PM1A_CONTROL, Width::Dword, 1),
        (TimerWidth::Bits24, PM_TIMER + 2, Width::Word, all >> 16 & 0xff),
    ];
    for (width, port, size, expected) in cases {
        assert_eq!(Pm::new(width, true).port_read(port, size, &mut bench), expected, "{width:?} {port:#x}");
    }
}

#[test]
fn timer_overflow_raises_the_sci_until_cleared() {
    let (mut pm, mut bench) = (pm(), Bench::default());
    assert_eq!(pm.deadline_ns(), None);
    write(&mut pm, PM1A_EVENT + 2, Width::Word, 1, &mut bench);
    let deadline = pm.deadline_ns().unwrap();
    assert_eq!(ticks(deadline), 1 << 23);
    // Without an SCI nobody waits.
    let mut without = Pm::new(TimerWidth::Bits24, false);
    write(&mut without, PM1A_EVENT + 2, Width::Word, 1, &mut bench);
    assert_eq!(without.deadline_ns(), None);
    bench.now_ns = deadline - 1;
    pm.expire(&mut bench);
    assert!(!bench.line(SCI_LINE));
    bench.now_ns = deadline;
    pm.expire(&mut bench);
    assert!(bench.line(SCI_LINE));
    assert_eq!(pm.deadline_ns(), None);
    assert_eq!(pm.port_read(PM1A_EVENT, Width::Word, &mut bench), 1);
    write(&mut pm, PM1A_EVENT, Width::Word, 1, &mut bench);
    assert!(!bench.line(SCI_LINE));
    assert_eq!(ticks(pm.deadline_ns().unwrap()), 2 << 23);
}

#[test]
fn status_is_cleared_by_the_ones_written() {
    // Width and value of the write to the status register after the button; what is left of bit 8.
    let cases = [
        (0, Width::Word, 0x0100, 0),
        (0, Width::Word, 0xfeff, 0x100),
        (1, Width::Byte, 1, 0),
        (0, Width::Byte, 0xff, 0x100),
    ];
    for (offset, width, value, left) in cases {
        let (mut pm, mut bench) = (pm(), Bench::default());
        pm.press_power_button(&mut bench);
        write(&mut pm, PM1A_EVENT + offset, width, value, &mut bench);
        assert_eq!(pm.port_read(PM1A_EVENT, Width::Word, &mut bench), left);
    }
}

#[test]
fn power_button_needs_sci_en_and_its_enable_bit() {
    // SCI enabled, button enabled, line.
    for (sci, button, line) in [(true, true, true), (true, false, false), (false, true, false)] {
        let (mut pm, mut bench) = (Pm::new(TimerWidth::Bits32, sci), Bench::default());
        write(&mut pm, PM1A_EVENT + 2, Width::Word, u32::from(button) << 8, &mut bench);
        pm.press_power_button(&mut bench);
        assert_eq!(bench.line(SCI_LINE), line, "{sci} {button}");
    }
    let (mut pm, mut bench) = (Pm::new(TimerWidth::Bits32, false), Bench::default());
    write(&mut pm, PM1A_EVENT + 3, Width::Byte, 1, &mut bench);
    pm.press_power_button(&mut bench);
    write(&mut pm, SMI_COMMAND, Width::Byte, ACPI_ENABLE.into(), &mut bench);
    assert!(bench.line(SCI_LINE));
    assert_eq!(pm.port_read(PM1A_CONTROL, Width::Word, &mut bench), 1);
    write(&mut pm, SMI_COMMAND, Width::Byte, ACPI_DISABLE.into(), &mut bench);
    assert!(!bench.line(SCI_LINE));
}

#[test]
fn sleep_and_reset() {
    let s5 = u32::from(SLEEP_TYPE_S5) << 10;
    let (off, reset) = (PowerEvent::Off, PowerEvent::Reset);
    type Write = (u16, Width, u32);
    // Writes, events.
    let cases: [(&[Write], &[PowerEvent]); 8] = [
        (&[(PM1A_CONTROL, Width::Word, s5 | 0x2000)], &[off]),
        (&[(PM1A_CONTROL, Width::Word, s5)], &[]),
        (&[(PM1A_CONTROL + 1, Width::Byte, (s5 | 0x2000) >> 8)], &[off]),
        (&[(PM1A_CONTROL, Width::Word, 0x2000)], &[]),
        (&[(RESET_CONTROL, Width::Byte, RESET_VALUE.into())], &[reset]),
        (&[(RESET_CONTROL, Width::Byte, 2), (RESET_CONTROL, Width::Byte, 6)], &[reset]),
        (&[(RESET_CONTROL, Width::Byte, 6), (RESET_CONTROL, Width::Byte, 6)], &[reset]),
        (&[(RESET_CONTROL, Width::Byte, 2)], &[]),
    ];
    for (writes, events) in cases {
        let (mut pm, mut bench) = (pm(), Bench::default());
        for (port, width, value) in writes {
            write(&mut pm, *port, *width, *value, &mut bench);
        }
        assert_eq!(bench.power, events, "{writes:x?}");
    }
}

#[test]
fn registers_keep_only_their_bits() {
    // Port, what is read after writing all-ones. SCI_EN is not the guest's to clear or set.
    let cases = [
        (PM1A_EVENT + 2, 0x0721),
        (PM1A_CONTROL, 0x1c03),
        (PM1A_CONTROL + 2, 0),
        (SMI_COMMAND, 0x0000),
        (RESET_CONTROL, 0x0e),
    ];
    for (port, expected) in cases {
        let (mut pm, mut bench) = (pm(), Bench::default());
        write(
            &mut pm,
            port,
            if port == RESET_CONTROL { Width::Byte } else { Width::Word },
            0xdfff,
            &mut bench,
        );
        let width = if port == RESET_CONTROL || port == SMI_COMMAND { Width::Byte } else { Width::Word };
        assert_eq!(pm.port_read(port, width, &mut bench), expected, "{port:#x}");
    }
}

#[test]
fn bytes_of_a_register_are_written_alone() {
    // Register, then bytes written (offset, value) and what the register is after each.
    type Write = (u16, u32, u32);
    let cases: [(u16, [Write; 5]); 2] = [
        (PM1A_EVENT + 2, [(0, 0xff, 0x21), (1, 0xff, 0x721), (0, 0x20, 0x720), (1, 1, 0x120), (0, 0, 0x100)]),
        // SCI_EN is neither set nor cleared.
        (PM1A_CONTROL, [(1, 0x14, 0x1400), (0, 3, 0x1402), (1, 8, 0x802), (0, 0, 0x800), (1, 0, 0)]),
    ];
    for (register, writes) in cases {
        for sci in [false, true] {
            let (mut pm, mut bench) = (Pm::new(TimerWidth::Bits24, sci), Bench::default());
            let fixed = u32::from(sci && register == PM1A_CONTROL);
            for (offset, value, expected) in writes {
                write(&mut pm, register + offset, Width::Byte, value, &mut bench);
                assert_eq!(
                    pm.port_read(register, Width::Word, &mut bench),
                    expected | fixed,
                    "{offset} {value:x}"
                );
            }
        }
    }
    // The SMI's data port is memory.
    let (mut pm, mut bench) = (pm(), Bench::default());
    write(&mut pm, SMI_COMMAND + 1, Width::Byte, 0x5a, &mut bench);
    assert_eq!(pm.port_read(SMI_COMMAND, Width::Word, &mut bench), 0x5a00);
}

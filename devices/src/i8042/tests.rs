use super::*;
use crate::testing::Bench;
use alloc::vec::Vec;

struct Guest {
    device: I8042,
    bench: Bench,
}

impl Guest {
    fn new() -> Self {
        Self { device: I8042::new(), bench: Bench::default() }
    }

    fn read(&mut self, port: u16) -> u8 {
        self.device.port_read(port, Width::Byte, &mut self.bench) as u8
    }

    fn write(&mut self, port: u16, value: u8) {
        self.device.port_write(port, Width::Byte, value.into(), &mut self.bench);
    }

    /// Sends a command and its data, reads what comes back.
    fn command(&mut self, command: u8, data: &[u8]) -> Option<u8> {
        self.write(COMMAND, command);
        data.iter().for_each(|byte| self.write(DATA, *byte));
        (self.read(COMMAND) & 1 != 0).then(|| self.read(DATA))
    }
}

#[test]
fn commands_and_answers() {
    let cases: [(u8, &[u8], Option<u8>); 16] = [
        (0x20, &[], Some(0x65)),
        (0x3f, &[], Some(0x00)),
        (0xaa, &[], Some(0x55)),
        (0xab, &[], Some(0x00)),
        (0xa9, &[], Some(0x01)),
        (0xc0, &[], Some(0xa0)),
        (0xd0, &[], Some(0x03)),
        (0xd2, &[0x5a], Some(0x5a)),
        (0xd3, &[0x5a], Some(0xa5)),
        (0xa7, &[], None),
        (0xa8, &[], None),
        (0xad, &[], None),
        (0xae, &[], None),
        (0xd1, &[0x03], None),
        (0xff, &[], None),
        (0x00, &[], None),
    ];
    for (command, data, answer) in cases {
        let mut guest = Guest::new();
        assert_eq!(guest.command(command, data), answer, "{command:#x}");
        assert!(guest.bench.power.is_empty(), "{command:#x}");
        assert_eq!(guest.read(COMMAND) & 1, 0);
    }
}

/// The order in which Linux's driver probes the controller.
#[test]
fn linux_finds_a_controller_and_no_devices() {
    let mut guest = Guest::new();
    assert_eq!(guest.read(COMMAND) & 1, 0, "nothing to flush");
    let config = guest.command(0x20, &[]).unwrap();
    assert_eq!(guest.command(0x60, &[config & !0x01 | 0x10]), None);
    assert_eq!(guest.command(0x20, &[]), Some(0x74));
    assert_eq!(guest.command(0xaa, &[]), Some(0x55));
    assert_ne!(guest.command(0xd3, &[0x5a]), Some(0x5a));
    assert_eq!(guest.command(0xa9, &[]), Some(0x01), "no auxiliary port");
    assert_eq!(guest.command(0x60, &[0x45]), None);
    // "Get ID" to a keyboard that is not there: refused at once, with an interrupt.
    guest.write(DATA, 0xf2);
    assert!(guest.bench.line(KEYBOARD_LINE));
    assert_eq!(guest.read(COMMAND) & 0x61, 0x41);
    assert_eq!(guest.read(DATA), 0xfe);
    assert!(!guest.bench.line(KEYBOARD_LINE));
    guest.write(COMMAND, 0xd4);
    guest.write(DATA, 0xf2);
    assert_eq!(guest.read(COMMAND) & 0x61, 0x61);
    assert!(!guest.bench.line(KEYBOARD_LINE), "not the keyboard's");
}

#[test]
fn resets_and_a20() {
    type Write = (u16, u8);
    // Port writes; resets; A20 as port 92h reads.
    let cases: [(&[Write], usize, u8); 11] = [
        (&[(COMMAND, 0xfe)], 1, 2),
        (&[(COMMAND, 0xf0)], 1, 2),
        (&[(COMMAND, 0xf1)], 0, 2),
        (&[(COMMAND, 0xd1), (DATA, 0xfe)], 1, 2),
        (&[(COMMAND, 0xd1), (DATA, 0xdd)], 0, 0),
        (&[(COMMAND, 0xd1), (DATA, 0xdf)], 0, 2),
        (&[(COMMAND, 0xdd)], 0, 0),
        (&[(COMMAND, 0xdd), (COMMAND, 0xdf)], 0, 2),
        (&[(SYSTEM_CONTROL_A, 0x00)], 0, 0),
        (&[(SYSTEM_CONTROL_A, 0x02)], 0, 2),
        (&[(SYSTEM_CONTROL_A, 0x03)], 1, 2),
    ];
    for (writes, resets, a20) in cases {
        let mut guest = Guest::new();
        writes.iter().for_each(|(port, value)| guest.write(*port, *value));
        let expected: Vec<PowerEvent> = (0..resets).map(|_| PowerEvent::Reset).collect();
        assert_eq!(guest.bench.power, expected, "{writes:x?}");
        assert_eq!(guest.read(SYSTEM_CONTROL_A), a20, "{writes:x?}");
    }
}

#[test]
fn ram_keeps_what_is_written() {
    let mut guest = Guest::new();
    for (index, value, kept) in [(0, 0xff, 0x77), (1, 0xff, 0xff), (0x1f, 0x12, 0x12)] {
        guest.command(0x60 | index, &[value]);
        assert_eq!(guest.command(0x20 | index, &[]), Some(kept));
    }
}

#[test]
fn a_command_drops_the_data_byte_awaited() {
    let mut guest = Guest::new();
    guest.write(COMMAND, 0xd1);
    guest.write(COMMAND, 0xd2);
    guest.write(DATA, 0x00);
    assert!(guest.bench.power.is_empty());
    assert_eq!(guest.read(DATA), 0x00);
}

/// What a driver reads of a command's or a byte's effect: the status register's upper bits, and the
/// configuration byte.
#[test]
fn status_and_configuration() {
    type Write = (u16, u8);
    // Port writes; status; the configuration byte.
    let cases: [(&[Write], u8, u8); 9] = [
        (&[], 0x14, 0x65),
        (&[(COMMAND, 0xa8)], 0x1c, 0x45),
        (&[(COMMAND, 0xa8), (COMMAND, 0xa7)], 0x1c, 0x65),
        (&[(COMMAND, 0xad)], 0x1c, 0x75),
        (&[(COMMAND, 0xad), (COMMAND, 0xae)], 0x1c, 0x65),
        // A byte for the keyboard switches it on again, and is answered.
        (&[(COMMAND, 0xad), (DATA, 0xf4)], 0x55, 0x65),
        (&[(COMMAND, 0xd4), (DATA, 0xf4)], 0x75, 0x65),
        (&[(COMMAND, 0x60), (DATA, 0x00)], 0x10, 0x00),
        // The self test has passed.
        (&[(COMMAND, 0x60), (DATA, 0x00), (COMMAND, 0xaa)], 0x1d, 0x04),
    ];
    for (writes, status, config) in cases {
        let mut guest = Guest::new();
        writes.iter().for_each(|(port, value)| guest.write(*port, *value));
        assert_eq!(guest.read(COMMAND), status, "{writes:x?}");
        guest.read(DATA);
        assert_eq!(guest.command(0x20, &[]), Some(config), "{writes:x?}");
    }
}

#[test]
fn the_interrupt_can_be_off() {
    for (config, line) in [(0x65, true), (0x64, false)] {
        let mut guest = Guest::new();
        guest.command(0x60, &[config]);
        guest.write(DATA, 0xf2);
        assert_eq!(guest.bench.line(KEYBOARD_LINE), line, "{config:x}");
    }
}

//! The I/O APIC as its pins, its registers and the local APICs' EOIs drive it.

use super::*;
use alloc::vec::Vec;

/// Takes all messages, or refuses them.
#[derive(Default)]
struct Sink {
    vectors: Vec<u8>,
    refuses: bool,
}

impl MessageSink for Sink {
    fn deliver(&mut self, message: &InterruptMessage) -> bool {
        self.vectors.push(message.vector);
        !self.refuses
    }
}

#[derive(Default)]
struct Fixture {
    ioapic: IoApic,
    sink: Sink,
}

impl Fixture {
    fn store(&mut self, register: u8, value: u32) {
        self.ioapic.write(spec::IOREGSEL, register.into(), &mut self.sink);
        self.ioapic.write(spec::IOWIN, value, &mut self.sink);
    }

    fn load(&mut self, register: u8) -> u32 {
        self.ioapic.write(spec::IOREGSEL, register.into(), &mut self.sink);
        self.ioapic.read(spec::IOWIN)
    }

    /// Writes a redirection entry.
    fn entry(&mut self, pin: u8, value: u64) {
        self.store(spec::REDIRECTION + 2 * pin + 1, (value >> 32) as u32);
        self.store(spec::REDIRECTION + 2 * pin, value as u32);
    }

    fn pin(&mut self, pin: u8, asserted: bool) {
        self.ioapic.set_pin(pin, asserted, &mut self.sink);
    }

    fn eoi(&mut self, vector: u8) {
        self.ioapic.end_of_interrupt(vector, &mut self.sink);
    }

    /// The vectors sent since the last call.
    fn sent(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.sink.vectors)
    }

    fn remote_irr(&mut self, pin: u8) -> bool {
        self.load(spec::REDIRECTION + 2 * pin) & spec::REMOTE_IRR as u32 != 0
    }
}

const LEVEL: u64 = spec::LEVEL;
const MASKED: u64 = spec::MASKED;
const NOTHING: &[u8] = &[];

#[test]
fn registers() {
    // Register, value stored, value loaded.
    let table = [
        (0x00, 0xffff_ffff, 0x0f00_0000),
        (0x01, 0xffff_ffff, 0x0017_0020),
        (0x02, 0xffff_ffff, 0),
        (0x03, 0xffff_ffff, 0),
        (0x10, 0xffff_ffff, 0x0001_afff),
        (0x11, 0xffff_ffff, 0xff00_0000),
        (0x3f, 0x1234_5678, 0x1200_0000),
        (0x40, 0xffff_ffff, 0),
        (0xff, 0xffff_ffff, 0),
    ];
    for (register, stored, loaded) in table {
        let mut fixture = Fixture::default();
        fixture.store(register, stored);
        assert_eq!(fixture.load(register), loaded, "register {register:x}");
    }
    let mut fixture = Fixture::default();
    assert_eq!(fixture.load(0x10), 0x1_0000);
    assert_eq!(fixture.ioapic.read(spec::IOREGSEL), 0x10);
    assert_eq!(fixture.ioapic.read(0x20), 0);
}

#[test]
fn entries_as_messages() {
    use DeliveryMode::*;
    // Entry, then (destination, logical, delivery, vector, level).
    let table = [
        (0x0000_0000_0000_0031, Some((0, false, Fixed, 0x31, false))),
        (0x0300_0000_0000_8031, Some((3, false, Fixed, 0x31, true))),
        (0xff00_0000_0000_0931, Some((u32::MAX, true, LowestPriority, 0x31, false))),
        (0x0100_0000_0000_8400, Some((1, false, Nmi, 0, false))),
        (0x0100_0000_0000_0700, Some((1, false, ExtInt, 0, false))),
        (0x0100_0000_0000_0500, Some((1, false, Init, 0, false))),
        (0x0100_0000_0000_0300, None),
        (0x0100_0000_0000_0600, None),
    ];
    for (entry, expected) in table {
        let message = message_of(entry).map(|m| (m.destination, m.logical, m.delivery, m.vector, m.level));
        assert_eq!(message, expected, "{entry:x}");
    }
}

#[test]
fn edges() {
    let mut fixture = Fixture::default();
    fixture.pin(4, true);
    fixture.entry(4, 0x34);
    // The edge came while the pin was masked, and is lost.
    assert_eq!(fixture.sent(), NOTHING);
    fixture.pin(4, true);
    assert_eq!(fixture.sent(), NOTHING);
    fixture.pin(4, false);
    fixture.pin(4, true);
    fixture.pin(4, false);
    fixture.pin(4, true);
    assert_eq!(fixture.sent(), [0x34, 0x34]);
    assert!(!fixture.remote_irr(4));
    fixture.pin(24, true);
    fixture.pin(255, true);
    assert_eq!(fixture.sent(), NOTHING);
}

#[test]
fn levels() {
    let mut fixture = Fixture::default();
    fixture.entry(9, 0x39 | LEVEL | MASKED);
    fixture.pin(9, true);
    assert_eq!(fixture.sent(), NOTHING);
    fixture.entry(9, 0x39 | LEVEL);
    assert_eq!((fixture.sent(), fixture.remote_irr(9)), (alloc::vec![0x39], true));
    // No more until the EOI; then again, as the pin is still asserted.
    fixture.pin(9, true);
    fixture.pin(9, false);
    fixture.pin(9, true);
    assert_eq!(fixture.sent(), NOTHING);
    fixture.eoi(0x38);
    assert_eq!(fixture.sent(), NOTHING);
    fixture.eoi(0x39);
    assert_eq!((fixture.sent(), fixture.remote_irr(9)), (alloc::vec![0x39], true));
    fixture.pin(9, false);
    fixture.ioapic.write(spec::EOIR, 0x39, &mut fixture.sink);
    assert_eq!((fixture.sent(), fixture.remote_irr(9)), (alloc::vec![], false));
}

#[test]
fn an_end_while_masked_is_an_end() {
    let mut fixture = Fixture::default();
    fixture.entry(9, 0x39 | LEVEL);
    fixture.pin(9, true);
    fixture.entry(9, 0x39 | LEVEL | MASKED);
    fixture.eoi(0x39);
    assert_eq!((fixture.sent(), fixture.remote_irr(9)), (alloc::vec![0x39], false));
    fixture.entry(9, 0x39 | LEVEL);
    assert_eq!(fixture.sent(), [0x39]);
}

#[test]
fn edge_and_back_ends_as_linux_does_without_eoi_register() {
    let mut fixture = Fixture::default();
    fixture.entry(9, 0x39 | LEVEL);
    fixture.pin(9, true);
    fixture.pin(9, false);
    fixture.entry(9, 0x39 | MASKED);
    fixture.entry(9, 0x39 | LEVEL);
    assert_eq!((fixture.sent(), fixture.remote_irr(9)), (alloc::vec![0x39], false));
}

#[test]
fn a_level_nobody_takes_does_not_block_the_pin() {
    let mut fixture = Fixture::default();
    fixture.sink.refuses = true;
    fixture.entry(9, 0x39 | LEVEL);
    fixture.pin(9, true);
    assert_eq!((fixture.sent(), fixture.remote_irr(9)), (alloc::vec![0x39], false));
    fixture.sink.refuses = false;
    // There is nothing that could have ended.
    fixture.eoi(0x39);
    assert_eq!(fixture.sent(), NOTHING);
    fixture.entry(9, 0x39 | LEVEL);
    assert!(fixture.remote_irr(9));
}

#[test]
fn polarity_changes_nothing() {
    let mut fixture = Fixture::default();
    fixture.entry(9, 0x39 | LEVEL | 1 << 13);
    assert_eq!(fixture.sent(), NOTHING);
    fixture.pin(9, true);
    assert_eq!(fixture.sent(), [0x39]);
}

#[test]
fn two_pins_with_one_vector_end_together() {
    let mut fixture = Fixture::default();
    for pin in [16, 17] {
        fixture.entry(pin, 0x50 | LEVEL);
        fixture.pin(pin, true);
    }
    assert_eq!(fixture.sent(), [0x50, 0x50]);
    fixture.pin(16, false);
    fixture.eoi(0x50);
    assert_eq!(fixture.sent(), [0x50]);
    assert_eq!((fixture.remote_irr(16), fixture.remote_irr(17)), (false, true));
}

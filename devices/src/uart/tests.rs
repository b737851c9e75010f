use super::{spec::*, *};
use crate::testing::{Bench, Random};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

const BASE: u16 = 0x3f8;
const LINE: u8 = 4;

#[derive(Default)]
struct Output(Vec<u8>, VecDeque<u8>);

impl SerialBackend for Output {
    fn transmit(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn receive(&mut self) -> Option<u8> {
        self.1.pop_front()
    }
}

struct Guest {
    uart: Uart<Output>,
    bench: Bench,
}

impl Guest {
    fn new() -> Self {
        Self { uart: Uart::new(COM[0], Output::default()), bench: Bench::default() }
    }

    fn read(&mut self, register: u16) -> u8 {
        self.uart.port_read(BASE + register, Width::Byte, &mut self.bench) as u8
    }

    fn write(&mut self, register: u16, value: u8) {
        self.uart.port_write(BASE + register, Width::Byte, value.into(), &mut self.bench);
    }

    fn feed(&mut self, bytes: &[u8]) -> usize {
        self.uart.backend.1.extend(bytes);
        self.uart.input(&mut self.bench);
        // What there was no room for is taken back.
        bytes.len() - self.uart.backend.1.drain(..).count()
    }

    fn line(&self) -> bool {
        self.bench.line(LINE)
    }
}

/// What Linux's 8250 driver does to find out what the port is.
#[test]
fn is_found_to_be_a_16550a() {
    let mut guest = Guest::new();
    guest.write(IER_DLM, 0);
    assert_eq!(guest.read(IER_DLM), 0);
    guest.write(IER_DLM, 0xff);
    assert_eq!(guest.read(IER_DLM), 0x0f, "the upper bits do not exist");
    guest.write(IER_DLM, 0);
    guest.write(MCR, 0x1a);
    assert_eq!(guest.read(MSR) & 0xf0, 0x90, "loopback of RTS and OUT2");
    guest.write(MCR, 0);
    guest.write(LCR, 0xbf);
    guest.write(IIR_FCR, 0);
    guest.write(LCR, 0);
    guest.write(IIR_FCR, 1);
    assert_eq!(guest.read(IIR_FCR) & 0xc0, 0xc0);
    for value in [0x00, 0x5a, 0xff] {
        guest.write(SCR, value);
        assert_eq!(guest.read(SCR), value);
    }
}

#[test]
fn registers_after_reset() {
    let expected = [0, 0, 0x01, 0, 0, 0x60, 0xb0, 0];
    let mut guest = Guest::new();
    for (register, expected) in expected.into_iter().enumerate() {
        assert_eq!(guest.read(register as u16), expected, "{register}");
    }
}

#[test]
fn divisor_latch_hides_data_and_ier() {
    let mut guest = Guest::new();
    guest.write(IER_DLM, 1);
    guest.write(LCR, 0x83);
    guest.write(RBR_THR_DLL, 0x34);
    guest.write(IER_DLM, 0x12);
    assert_eq!((guest.read(RBR_THR_DLL), guest.read(IER_DLM)), (0x34, 0x12));
    guest.write(LCR, 3);
    assert_eq!((guest.read(RBR_THR_DLL), guest.read(IER_DLM), guest.read(LCR)), (0, 1, 3));
    assert!(guest.uart.backend.0.is_empty());
}

#[test]
fn output_arrives_in_order_and_the_transmitter_is_never_full() {
    let mut guest = Guest::new();
    for byte in 0..=255 {
        guest.write(RBR_THR_DLL, byte);
        assert_eq!(guest.read(LSR) & 0x60, 0x60);
    }
    assert_eq!(guest.uart.backend.0, (0..=255).collect::<Vec<u8>>());
}

#[test]
fn transmitter_interrupt_comes_and_goes() {
    let mut guest = Guest::new();
    guest.write(MCR, 0x0b);
    guest.write(IER_DLM, 2);
    assert!(guest.line(), "enabling it with THR empty raises it");
    assert_eq!(guest.read(IIR_FCR), 0x02);
    assert!(!guest.line(), "reading IIR takes it back");
    assert_eq!(guest.read(IIR_FCR), 0x01);
    guest.write(IER_DLM, 3);
    assert_eq!(guest.read(IIR_FCR), 0x01, "it was enabled before");
    guest.write(RBR_THR_DLL, b'x');
    assert!(guest.line());
    guest.write(IER_DLM, 0);
    assert!(!guest.line());
    guest.write(IER_DLM, 2);
    assert_eq!(guest.read(IIR_FCR), 0x02, "again by enabling it again");
}

#[test]
fn trigger_levels() {
    // FCR, bytes in the FIFO, IIR.
    let cases = [
        (0x01, 0, 0xc1),
        (0x01, 1, 0xc4),
        (0x41, 3, 0xcc),
        (0x41, 4, 0xc4),
        (0x81, 7, 0xcc),
        (0x81, 8, 0xc4),
        (0xc1, 13, 0xcc),
        (0xc1, 14, 0xc4),
        (0x00, 1, 0x04),
        (0xc0, 1, 0x04),
    ];
    for (fcr, bytes, iir) in cases {
        let mut guest = Guest::new();
        guest.write(MCR, 0x08);
        guest.write(IER_DLM, 1);
        guest.write(IIR_FCR, fcr);
        assert_eq!(guest.feed(&[b'a'; 16][..bytes]), bytes);
        assert_eq!((guest.read(IIR_FCR), guest.line()), (iir, bytes > 0), "{fcr:#x} {bytes}");
    }
}

#[test]
fn interrupts_have_priorities() {
    let mut guest = Guest::new();
    guest.write(IIR_FCR, 1);
    guest.write(IER_DLM, 0x0f);
    // In loopback: overrun, data, transmitter and modem status all at once.
    guest.write(MCR, 0x10);
    for _ in 0..17 {
        guest.write(RBR_THR_DLL, b'x');
    }
    assert_eq!(guest.read(IIR_FCR), 0xc6);
    assert_eq!(guest.read(LSR), 0x63);
    assert_eq!(guest.read(LSR), 0x61, "reading clears the overrun");
    assert_eq!(guest.read(IIR_FCR), 0xc4);
    guest.write(IIR_FCR, 3);
    assert_eq!(guest.read(IIR_FCR), 0xc2);
    assert_eq!(guest.read(IIR_FCR), 0xc0);
    assert_eq!(guest.read(MSR), 0x0b, "CTS, DSR and DCD went off");
    assert_eq!(guest.read(IIR_FCR), 0xc1);
    assert!(guest.uart.backend.0.is_empty() && !guest.line());
}

#[test]
fn out2_gates_the_line() {
    for (mcr, line) in [(0x00, false), (0x08, true), (0x0b, true), (0x03, false), (0x18, false)] {
        let mut guest = Guest::new();
        guest.write(IER_DLM, 2);
        guest.write(MCR, mcr);
        assert_eq!(guest.line(), line, "{mcr:#x}");
    }
}

#[test]
fn ring_is_reported_when_it_ends() {
    let mut guest = Guest::new();
    guest.write(MCR, 0x1f);
    assert_eq!(guest.read(MSR), 0xf0);
    guest.write(MCR, 0x1b);
    assert_eq!(guest.read(MSR), 0xb4);
}

#[test]
fn a_slow_guest_loses_no_input() {
    let (mut guest, mut random) = (Guest::new(), Random(3));
    let sent: Vec<u8> = (0..5000u32).map(|i| i as u8).collect();
    let (mut at, mut got) = (0, Vec::new());
    guest.write(IIR_FCR, 0x81);
    while got.len() < sent.len() {
        let burst = random.below(40) as usize;
        at += guest.feed(&sent[at..(at + burst).min(sent.len())]);
        assert!(guest.uart.can_receive() == (guest.uart.rx.len < 16));
        for _ in 0..random.below(20) {
            if guest.read(LSR) & 1 != 0 {
                got.push(guest.read(RBR_THR_DLL));
            }
        }
    }
    assert_eq!(got, sent);
    assert_eq!(guest.read(LSR) & 2, 0);
}

#[test]
fn no_input_in_loopback() {
    let mut guest = Guest::new();
    guest.write(MCR, 0x10);
    assert!(!guest.uart.can_receive());
    assert_eq!(guest.feed(b"x"), 0);
}

#[test]
fn wide_accesses_are_bytes() {
    let mut guest = Guest::new();
    guest.uart.port_write(BASE + LCR, Width::Word, 0x0803, &mut guest.bench);
    assert_eq!(guest.uart.port_read(BASE + LCR, Width::Dword, &mut guest.bench), 0xb060_0803);
}

#[test]
fn what_empties_the_receiver() {
    // FCR as it was and as it is written then; the bytes left of five.
    for (before, after, left) in
        [(0x01, 0x01, 5), (0x01, 0xc1, 5), (0x01, 0x00, 0), (0x01, 0x03, 0), (0x81, 0x05, 5), (0x01, 0xc0, 0)]
    {
        let mut guest = Guest::new();
        guest.write(IIR_FCR, before);
        guest.feed(b"abcde");
        guest.write(IIR_FCR, after);
        assert_eq!(guest.uart.rx.len, left, "{before:#x} {after:#x}");
    }
}

/// In loopback each output drives an input (datasheet, 8.6.7 and 8.6.8).
#[test]
fn modem_lines_one_by_one() {
    // MCR's bit; MSR's bits of the line and of its change.
    for (output, line, delta) in
        [(0x02, 0x10, 0x01), (0x01, 0x20, 0x02), (0x04, 0x40, 0x04), (0x08, 0x80, 0x08)]
    {
        let mut guest = Guest::new();
        guest.write(MCR, 0x1f);
        guest.read(MSR);
        guest.write(IER_DLM, 8);
        guest.write(MCR, 0x1f & !output);
        assert_eq!(guest.read(IIR_FCR), 0x00, "{output:x}: an interrupt of its own");
        // Remembered, whatever comes then.
        guest.write(MCR, 0x1f & !output);
        assert_eq!((guest.read(MSR), guest.read(MSR)), (0xf0 & !line | delta, 0xf0 & !line), "{output:x}");
        assert_eq!(guest.read(IIR_FCR), 0x01);
        // Of the ring indicator the end alone counts.
        guest.write(MCR, 0x1f);
        assert_eq!(guest.read(MSR), 0xf0 | if output == 0x04 { 0 } else { delta }, "{output:x}");
    }
}

#[test]
fn each_port_has_its_name_and_no_input_of_its_own() {
    for (number, port) in (1..).zip(COM) {
        let mut uart = Uart::new(port, |_: u8| {});
        let entries = uart.acpi();
        let [AcpiEntry::Isa(device)] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((device.name(), device.number()), ([b'C', b'O', b'M', b'0' + number], Some(number)));
        let mut bench = Bench::default();
        uart.input(&mut bench);
        assert_eq!(uart.port_read(port.base + LSR, Width::Byte, &mut bench), 0x60);
    }
}

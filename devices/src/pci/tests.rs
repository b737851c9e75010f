use super::{
    config::{ConfigSpace, Identity},
    *,
};
use crate::testing::Bench;

struct Guest {
    host: PciHost,
    bench: Bench,
}

impl Guest {
    fn new() -> Self {
        Self { host: PciHost::q35(), bench: Bench::default() }
    }

    fn inp(&mut self, port: u16, width: Width) -> u32 {
        self.host.port_read(port, width, &mut self.bench)
    }

    fn out(&mut self, port: u16, width: Width, value: u32) {
        self.host.port_write(port, width, value, &mut self.bench);
    }

    fn select(&mut self, bus: u32, slot: u32, function: u32, register: u32) {
        self.out(0xcf8, Width::Dword, 1 << 31 | bus << 16 | slot << 11 | function << 8 | register);
    }
}

#[test]
fn both_ways_lead_to_the_same_registers() {
    // Slot, register, width, value.
    let cases = [
        (0x00, 0x00, Width::Dword, 0x29c0_8086),
        (0x00, 0x02, Width::Word, 0x29c0),
        (0x00, 0x0a, Width::Word, 0x0600),
        (0x00, 0x0e, Width::Byte, 0x00),
        (0x00, 0x60, Width::Dword, 0xe000_0001),
        (0x1f, 0x00, Width::Dword, 0x2918_8086),
        (0x1f, 0x08, Width::Dword, 0x0601_0002),
        (0x1f, 0x40, Width::Dword, 0x0000_0601),
        (0x1f, 0x44, Width::Byte, 0x80),
        (0x01, 0x00, Width::Dword, 0xffff_ffff),
        (0x01, 0x00, Width::Word, 0xffff),
        (0x02, 0x0e, Width::Byte, 0xff),
    ];
    let mut guest = Guest::new();
    for (slot, register, width, value) in cases {
        guest.select(0, slot, 0, register & 0xfc);
        assert_eq!(guest.inp(0xcfc + (register & 3) as u16, width), value, "{slot:#x} {register:#x}");
        let offset = u64::from(slot << 15 | register);
        assert_eq!(guest.host.mmio_read(offset, width, &mut guest.bench), value.into(), "{offset:#x}");
    }
}

#[test]
fn nothing_is_elsewhere() {
    let mut guest = Guest::new();
    for (bus, slot, function) in [(1, 0, 0), (255, 31, 7), (0, 0, 1), (0, 31, 3)] {
        guest.select(bus, slot, function, 0);
        assert_eq!(guest.inp(0xcfc, Width::Dword), u32::MAX);
        guest.out(0xcfc, Width::Dword, 0);
    }
    // Disabled.
    guest.out(0xcf8, Width::Dword, 0);
    assert_eq!(guest.inp(0xcfc, Width::Dword), u32::MAX);
    // Beyond the last bus, and across a dword.
    assert_eq!(guest.host.mmio_read(1 << 20, Width::Qword, &mut guest.bench), u64::MAX);
    assert_eq!(guest.host.mmio_read(3, Width::Word, &mut guest.bench), 0xffff);
    assert_eq!(guest.host.mmio_read(0, Width::Qword, &mut guest.bench), 0x0000_0000_29c0_8086);
    // Extended space of a function that has none.
    assert_eq!(guest.host.mmio_read(0x100, Width::Dword, &mut guest.bench), 0);
}

/// Linux's check for mechanism #1, and then for #2, which must not be found.
#[test]
fn only_mechanism_1_is_found() {
    let mut guest = Guest::new();
    guest.out(0xcfb, Width::Byte, 1);
    assert_eq!(guest.inp(0xcf8, Width::Dword), 0);
    guest.out(0xcf8, Width::Dword, 0x8000_0000);
    assert_eq!(guest.inp(0xcf8, Width::Dword), 0x8000_0000);
    guest.out(0xcf8, Width::Byte, 0);
    guest.out(0xcfa, Width::Byte, 0);
    assert_eq!((guest.inp(0xcf8, Width::Byte), guest.inp(0xcfa, Width::Byte)), (0xff, 0xff));
    guest.out(0xcf8, Width::Dword, u32::MAX);
    assert_eq!(guest.inp(0xcf8, Width::Dword), 0x80ff_fffc, "reserved bits read as 0");
}

#[test]
fn only_writable_bits_are_written() {
    // Slot, register, width, written, read back.
    let cases = [
        (0x00, 0x00, Width::Dword, 0, 0x29c0_8086),
        (0x00, 0x04, Width::Word, 0xffff, 0x0547),
        (0x00, 0x3c, Width::Byte, 0x0b, 0x0b),
        (0x00, 0x60, Width::Dword, 0, 0xe000_0001),
        (0x1f, 0x40, Width::Dword, 0, 0x0000_0601),
        (0x1f, 0x60, Width::Byte, 0x0a, 0x0a),
        (0x00, 0x10, Width::Dword, u32::MAX, 0),
    ];
    for (slot, register, width, written, read) in cases {
        let mut guest = Guest::new();
        guest.select(0, slot, 0, register);
        guest.out(0xcfc, width, written);
        assert_eq!(guest.inp(0xcfc, width), read, "{slot:#x} {register:#x}");
    }
}

#[test]
fn a_plugged_function_and_its_bar() {
    let identity = Identity {
        vendor: 0x1af4,
        device: 0x1042,
        revision: 1,
        class: 0x01_8000,
        subsystem_vendor: 0,
        subsystem: 2,
    };
    let mut space = ConfigSpace::new(&identity);
    // A 64-bit memory BAR of 16 KiB.
    space.set(0x10, &[0x04]);
    space.allow(0x10, &[0x00, 0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let mut guest = Guest::new();
    guest.host.plug(3 << 3, Box::new(PlainFunction::new(space.clone()))).unwrap();
    assert_eq!(
        guest.host.plug(3 << 3, Box::new(PlainFunction::new(space))),
        Err(SlotTaken { devfn: 3 << 3 })
    );
    let bar = (3 << 15) + 0x10;
    guest.host.mmio_write(bar, Width::Qword, u64::MAX, &mut guest.bench);
    assert_eq!(guest.host.mmio_read(bar, Width::Qword, &mut guest.bench), 0xffff_ffff_ffff_c004);
    guest.host.mmio_write(bar, Width::Qword, 0x80_1234_5678, &mut guest.bench);
    assert_eq!(guest.host.mmio_read(bar, Width::Qword, &mut guest.bench), 0x80_1234_4004);
    assert_eq!(guest.host.mmio_read(bar + 0x1c, Width::Dword, &mut guest.bench), 0x0002_0000);
}

#[test]
fn interrupt_lines_are_the_io_apics() {
    for (slot, pin, line) in [(0, 0, 16), (0, 3, 19), (1, 0, 17), (7, 1, 16), (31, 3, 18), (255, 255, 22)] {
        assert_eq!(spec::intx_line(slot, pin), line);
    }
}

use super::{
    config::{ConfigSpace, Identity},
    *,
};
use crate::testing::Bench;
use alloc::{boxed::Box, collections::BTreeMap};

/// A bus with the functions of a test.
struct Functions {
    functions: BTreeMap<u8, Box<dyn PciFunction>>,
    bench: Bench,
}

impl Bus for Functions {
    fn config_read(&mut self, devfn: u8, offset: u16, width: Width) -> Option<u32> {
        Some(self.functions.get_mut(&devfn)?.config_read(offset, width, &mut self.bench))
    }

    fn config_write(&mut self, devfn: u8, offset: u16, width: Width, value: u32) {
        if let Some(function) = self.functions.get_mut(&devfn) {
            function.config_write(offset, width, value, &mut self.bench);
        }
    }
}

struct Guest {
    host: PciHost,
    bus: Functions,
}

impl Guest {
    fn new() -> Self {
        let mut functions: BTreeMap<u8, Box<dyn PciFunction>> = BTreeMap::new();
        functions.insert(HOST_BRIDGE_DEVFN, Box::new(host_bridge()));
        functions.insert(LPC_DEVFN, Box::new(lpc_bridge()));
        Self { host: PciHost::default(), bus: Functions { functions, bench: Bench::default() } }
    }

    fn inp(&mut self, port: u16, width: Width) -> u32 {
        self.host.port_read(port, width, &mut self.bus)
    }

    fn out(&mut self, port: u16, width: Width, value: u32) {
        self.host.port_write(port, width, value, &mut self.bus);
    }

    fn load(&mut self, offset: u64, width: Width) -> u64 {
        PciHost::ecam_read(offset, width, &mut self.bus)
    }

    fn store(&mut self, offset: u64, width: Width, value: u64) {
        PciHost::ecam_write(offset, width, value, &mut self.bus);
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
        assert_eq!(guest.load(offset, width), value.into(), "{offset:#x}");
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
    assert_eq!(guest.load(1 << 20, Width::Qword), u64::MAX);
    assert_eq!(guest.load(3, Width::Word), 0xffff);
    assert_eq!(guest.load(1, Width::Dword), 0xffff_ffff);
    assert_eq!(guest.load(0, Width::Qword), 0x0000_0000_29c0_8086);
    // Extended space of a function that has none.
    assert_eq!(guest.load(0x100, Width::Dword), 0);
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

const IDENTITY: Identity = Identity {
    vendor: 0x1af4,
    device: 0x1042,
    revision: 1,
    class: 0x01_8000,
    subsystem_vendor: 0,
    subsystem: 2,
};

#[test]
fn a_function_and_its_bars() {
    let wide = Bar { kind: BarKind::Memory64, bytes: 0x4000 };
    let narrow = Bar { kind: BarKind::Memory32, bytes: 0x1000 };
    let space = ConfigSpace::new(&IDENTITY).with_bar(0, wide).with_bar(2, narrow);
    assert_eq!(space.bars().collect::<Vec<_>>(), [(0, wide), (2, narrow)]);
    let mut guest = Guest::new();
    guest.bus.functions.insert(3 << 3, Box::new(PlainFunction::new("test", space)));
    let header = 3 << 15;
    let bases = |guest: &Guest| {
        let space = guest.bus.functions[&(3 << 3)].space();
        [0, 1, 2].map(|bar| space.bar_base(bar))
    };
    guest.store(header + 0x10, Width::Qword, u64::MAX);
    guest.store(header + 0x18, Width::Dword, u64::MAX);
    assert_eq!(guest.load(header + 0x10, Width::Qword), 0xffff_ffff_ffff_c004);
    assert_eq!(guest.load(header + 0x18, Width::Dword), 0xffff_f000);
    guest.store(header + 0x10, Width::Qword, 0x80_1234_5678);
    guest.store(header + 0x18, Width::Dword, 0xf123_4567);
    assert_eq!(guest.load(header + 0x10, Width::Qword), 0x80_1234_4004);
    assert_eq!(guest.load(header + 0x2c, Width::Dword), 0x0002_0000);
    assert_eq!(bases(&guest), [None; 3], "memory is not decoded yet");
    guest.store(header + 4, Width::Word, 2);
    assert_eq!(bases(&guest), [Some(0x80_1234_4000), None, Some(0xf123_4000)]);
    // One half of the address at a time.
    guest.store(header + 0x14, Width::Dword, 0);
    assert_eq!(bases(&guest), [Some(0x1234_4000), None, Some(0xf123_4000)]);
    guest.store(header + 4, Width::Word, 0);
    assert_eq!(bases(&guest), [None; 3]);
}

#[test]
fn firmware_places_bars_too() {
    let wide = Bar { kind: BarKind::Memory64, bytes: 0x4000 };
    let mut space = ConfigSpace::new(&IDENTITY).with_bar(4, wide);
    space.place_bar(4, 0x12_f000_4000);
    space.write(spec::COMMAND, Width::Word, 2);
    assert_eq!(space.bar_base(4), Some(0x12_f000_4000));
}

#[test]
fn bars_that_none_can_have_are_left_out() {
    let bar = |kind, bytes| Bar { kind, bytes };
    let space = ConfigSpace::new(&IDENTITY)
        .with_bar(0, bar(BarKind::Memory32, 0x1800))
        .with_bar(1, bar(BarKind::Memory32, 0x800))
        .with_bar(2, bar(BarKind::Memory64, 1 << 32))
        .with_bar(5, bar(BarKind::Memory64, 0x1000))
        .with_bar(6, bar(BarKind::Memory32, 0x1000));
    assert_eq!(space.bars().count(), 0);
    let largest = bar(BarKind::Memory64, 1 << 31);
    assert_eq!(ConfigSpace::new(&IDENTITY).with_bar(4, largest).bars().count(), 1);
}

#[test]
fn a_plain_function_has_nothing_behind_its_bars() {
    let mut bench = Bench::default();
    for (mut function, name) in [(host_bridge(), "PCI host bridge"), (lpc_bridge(), "LPC bridge")] {
        assert_eq!(function.name(), name);
        function.bar_write(0, 0, Width::Dword, 1, &mut bench);
        assert_eq!(function.bar_read(0, 0, Width::Dword, &mut bench), 0);
    }
}

#[test]
fn capabilities_are_a_list() {
    let mut space = ConfigSpace::new(&IDENTITY);
    assert_eq!(space.read(0x06, Width::Word), 0);
    let first = space.add_capability(0x09, &[16, 1, 2]).unwrap();
    let second = space.add_capability(0x11, &[0; 10]).unwrap();
    assert_eq!((first, second), (0x40, 0x48));
    assert_eq!(space.read(0x06, Width::Word), 0x10);
    assert_eq!(space.read(0x34, Width::Byte), 0x40);
    assert_eq!(space.read(0x40, Width::Dword), 0x0110_4809);
    assert_eq!(space.read(0x48, Width::Word), 0x0011);
    assert_eq!(space.add_capability(1, &[0; 200]), None, "there is no room");
    assert_eq!(space.read(0x49, Width::Byte), 0);
    // Up to the last byte there is.
    let last = space.add_capability(1, &[0; 256 - 0x54 - 2]);
    assert_eq!((last, space.add_capability(1, &[])), (Some(0x54), None));
}

#[test]
fn interrupt_lines_are_the_io_apics() {
    for (slot, pin, line) in [(0, 0, 16), (0, 3, 19), (1, 0, 17), (7, 1, 16), (31, 3, 18), (255, 255, 18)] {
        assert_eq!(spec::intx_line(slot, pin), line);
    }
}

use super::*;
use crate::pci::config::Identity;
use crate::testing::Bench;

const IDENTITY: Identity =
    Identity { vendor: 0x1af4, device: 0x1042, revision: 1, class: 0, subsystem_vendor: 0, subsystem: 0 };

struct Function {
    space: ConfigSpace,
    msix: MsiX,
    bench: Bench,
}

impl Function {
    fn new(vectors: u16) -> Self {
        let mut space = ConfigSpace::new(&IDENTITY);
        let (table, pending) = (Place { bar: 0, offset: 0x4000 }, Place { bar: 2, offset: 0x5000 });
        let msix = MsiX::add(&mut space, vectors, table, pending).unwrap();
        space.write(spec::COMMAND, Width::Word, spec::COMMAND_BUS_MASTER.into());
        Self { space, msix, bench: Bench::default() }
    }

    fn config(&mut self, offset: u16, value: u16) {
        self.space.write(offset, Width::Word, value.into());
        self.msix.config_written(&self.space, &mut self.bench);
    }

    fn table(&mut self, offset: u64, width: Width, value: u64) {
        self.msix.table_write(offset, width, value, &self.space, &mut self.bench);
    }

    fn signal(&mut self, vector: u16) -> Vec<(u64, u32)> {
        self.msix.signal(vector, &self.space, &mut self.bench);
        core::mem::take(&mut self.bench.messages)
    }

    fn sent(&mut self) -> Vec<(u64, u32)> {
        core::mem::take(&mut self.bench.messages)
    }
}

#[test]
fn the_capability_says_where_table_and_pending_bits_are() {
    let function = Function::new(3);
    assert_eq!((function.msix.vectors(), function.msix.is_enabled()), (3, false));
    for (offset, value) in [(0x40, 0x0002_0011), (0x44, 0x4000), (0x48, 0x5002)] {
        assert_eq!(function.space.read(offset, Width::Dword), value);
    }
    let mut space = ConfigSpace::new(&IDENTITY);
    let place = Place { bar: 0, offset: 0 };
    assert!(MsiX::add(&mut space, 0, place, place).is_none());
    assert!(MsiX::add(&mut space, 2049, place, place).is_none());
}

#[test]
fn the_table_keeps_what_it_has_room_for() {
    let mut function = Function::new(2);
    assert_eq!(function.msix.table_read(12, Width::Dword), 1, "masked at first");
    function.table(0, Width::Qword, u64::MAX);
    function.table(8, Width::Dword, 0x1234_5678);
    function.table(12, Width::Dword, u64::from(u32::MAX));
    function.table(16, Width::Word, 0xffff);
    function.table(18, Width::Dword, 0xffff);
    function.table(32, Width::Dword, 0xffff);
    for (offset, width, value) in [
        (0, Width::Qword, u64::MAX - 3),
        (4, Width::Dword, 0xffff_ffff),
        (8, Width::Word, 0x5678),
        (9, Width::Byte, 0x56),
        (8, Width::Qword, 0x1_1234_5678),
        (16, Width::Dword, 0),
        (32, Width::Qword, 0),
        (u64::MAX, Width::Qword, 0),
    ] {
        assert_eq!(function.msix.table_read(offset, width), value, "{offset}");
    }
}

#[test]
fn masks_hold_messages_back_until_they_are_taken_away() {
    let mut function = Function::new(2);
    function.table(16, Width::Qword, 0xfee0_1000);
    function.table(24, Width::Dword, 0x4041);
    let message = [(0xfee0_1000, 0x4041)];
    // Not enabled: nothing is sent, nothing is remembered.
    assert_eq!((function.signal(1), function.msix.pending_read(0, Width::Qword)), (Vec::new(), 0));
    function.config(0x42, 0xc000);
    assert!(function.msix.is_enabled());
    assert_eq!((function.signal(1), function.msix.pending_read(0, Width::Qword)), (Vec::new(), 2));
    // Masked for all, and then for itself.
    function.table(28, Width::Dword, 0);
    assert_eq!(function.sent(), []);
    function.table(28, Width::Dword, 1);
    function.config(0x42, 0x8000);
    assert_eq!(function.sent(), []);
    function.table(28, Width::Dword, 0);
    assert_eq!((function.sent(), function.msix.pending_read(0, Width::Byte)), (message.into(), 0));
    assert_eq!(function.signal(1), message);
    assert_eq!(function.signal(2), []);
    // Without being a master of the bus it can't write.
    function.space.write(spec::COMMAND, Width::Word, 0);
    assert_eq!(function.signal(1), []);
    assert_eq!(function.msix.pending_read(u64::MAX, Width::Qword), 0);
}

#[test]
fn an_address_has_two_halves() {
    let mut function = Function::new(1);
    // Half written, value, both halves.
    for (offset, value, address) in [
        (4, 0x12, 0x12_0000_0000),
        (0, 0xfee0_1003, 0x12_fee0_1000),
        (0, 0xfee0_0000, 0x12_fee0_0000),
        (4, 0x21, 0x21_fee0_0000),
    ] {
        function.table(offset, Width::Dword, value);
        assert_eq!(function.msix.table_read(0, Width::Qword), address);
    }
}

#[test]
fn pending_bits_at_any_width() {
    let mut function = Function::new(70);
    function.config(0x42, 0x8000);
    for vector in [0, 8, 16, 33, 69] {
        assert_eq!(function.signal(vector), []);
    }
    for (offset, width, bits) in [
        (0, Width::Byte, 0x01),
        (1, Width::Byte, 0x01),
        (0, Width::Word, 0x0101),
        (0, Width::Dword, 0x0001_0101),
        (0, Width::Qword, 0x2_0001_0101),
        (4, Width::Qword, 0x20_0000_0002),
        (8, Width::Qword, 0x20),
    ] {
        assert_eq!(function.msix.pending_read(offset, width), bits, "{offset} {width:?}");
    }
}

//! What the configuration says of ranges is what an access finds, and conflicts are refused by name.

use alloc::sync::Arc;

use devices::egg_timer::EggTimer;
use devices::hpet::{HPET_BASE, Hpet, LegacyReplacement};
use devices::pci::spec;
use spin::Mutex;

use super::super::pci::Host;
use super::super::tests::{Probe, finished};
use super::*;
use crate::guest_memory::Range;

/// Writes to the host's ports: offset, bytes, value.
type Written = Arc<Mutex<Vec<(u32, u64, u32)>>>;

/// The host's ports: each reads its offset in every byte, but the fourth, which may not be read.
#[derive(Clone, Default)]
struct Ports(Written);

impl HostRange for Ports {
    fn read(&mut self, offset: u32, _: Width) -> Option<u32> {
        (offset != 3).then_some(offset * 0x0101_0101)
    }

    fn write(&mut self, offset: u32, width: Width, value: u32) {
        self.0.lock().push((offset, width.bytes(), value));
    }
}

fn range(text: &str) -> GuestRange {
    GuestRange::parse(&text.split_whitespace().collect::<Vec<_>>()).unwrap()
}

/// A board's devices: an egg timer at ports 520h to 524h, an HPET at FED0_0000h, a BAR at F000_0000h.
fn builder(ranges: &[&str]) -> Builder {
    let mut builder = Builder::default();
    builder.add(EggTimer::new(10));
    builder.add(Hpet::new(LegacyReplacement::default()));
    builder.insert(Box::new(Host::default()));
    builder.add_function_at(8, Probe::new());
    for text in ranges {
        let range = range(text);
        builder.set_range(range, (range.policy == Policy::Forwarded).then(Ports::default));
    }
    builder
}

#[test]
fn conflicts_name_both() {
    let timer = "egg timer";
    let overlap = |what, at, first, second| Some(BoardError::Overlap { what, at, first, second });
    for (ranges, error) in [
        (&["ports 0x520 5 emulated"][..], None),
        (&["ports 0x520 5 emulated", "ports 0x525 4 absent", "ports 0xf4 4 forwarded"], None),
        (&["memory 0xfed00000 0x400 emulated", "memory 0xfee00000 4K emulated"], None),
        (&["memory 0xd0000000 0x10000000 absent", "memory 0xfed40000 4K absent"], None),
        (&["ports 0x524 2 absent"], overlap("port", 0x524, timer, "range ports 0x524 0x2 absent")),
        (&["ports 0x51f 2 forwarded"], overlap("port", 0x520, timer, "range ports 0x51f 0x2 forwarded")),
        (
            &["ports 0xf4 4 forwarded", "ports 0xf7 1 absent"],
            overlap("port", 0xf7, "range ports 0xf4 0x4 forwarded", "range ports 0xf7 0x1 absent"),
        ),
        (
            &["ports 0x523 1 absent", "ports 0x520 5 emulated"],
            overlap("port", 0x523, "range ports 0x523 0x1 absent", "range ports 0x520 0x5 emulated"),
        ),
        (
            &["memory 0xfed00000 1 absent"],
            overlap("address", HPET_BASE, "HPET", "range memory 0xfed00000 0x1 absent"),
        ),
        (
            &["memory 0xf0003fff 1 absent"],
            overlap("address", 0xf000_3fff, "probe", "range memory 0xf0003fff 0x1 absent"),
        ),
        (
            &["memory 0xfee00800 1 absent"],
            overlap("address", 0xfee0_0800, "local APIC", "range memory 0xfee00800 0x1 absent"),
        ),
        (
            &["memory 0xd0000 0x10001 absent"],
            overlap("address", 0xe_0000, "firmware area", "range memory 0xd0000 0x10001 absent"),
        ),
        (
            &["memory 0x1000 1 absent"],
            Some(BoardError::Memory { device: "range memory 0x1000 0x1 absent", gpa: 0x1000 }),
        ),
        (
            &["ports 0x520 6 emulated"],
            Some(BoardError::Unclaimed { range: "range ports 0x520 0x6 emulated", at: 0x525 }),
        ),
        (
            &["memory 0xfed00000 0x401 emulated"],
            Some(BoardError::Unclaimed { range: "range memory 0xfed00000 0x401 emulated", at: 0xfed0_0400 }),
        ),
    ] {
        let made = builder(ranges).finish(&[Range { gpa: 0, bytes: 0xa_0000 }]);
        assert_eq!(made.err(), error, "{ranges:?}");
    }
    let text = format!("{}", BoardError::Unclaimed { range: "range ports 0x1 0x2 emulated", at: 2 });
    assert_eq!(text, "no device is at 0x2 of 'range ports 0x1 0x2 emulated'");
}

#[test]
fn what_is_forwarded_reaches_the_host_alone() {
    let mut builder = builder(&["ports 0xf8 4 absent"]);
    let ports = Ports::default();
    builder.set_range(range("ports 0xf4 4 forwarded"), Some(ports.clone()));
    let board = finished(builder);
    let access = &mut board.access();
    for (port, width, expected) in [
        (0xf5, Width::Byte, 0x01),
        (0xf6, Width::Word, 0x0202),
        (0xf4, Width::Dword, 0),
        (0xf7, Width::Byte, 0xff),
        // Half of it is no more the host's.
        (0xf6, Width::Dword, 0xffff_ff02),
        (0xf3, Width::Word, 0x00ff),
        (0xf8, Width::Dword, 0xffff_ffff),
        (0xfc, Width::Byte, 0xff),
    ] {
        assert_eq!(board.port_read(port, width, access), expected, "{port:#x} {width:?}");
    }
    for (port, width, value) in [
        (0xf4, Width::Dword, 0x1234_5678),
        (0xf5, Width::Byte, 0x12),
        (0xf7, Width::Word, 0x3456),
        (0xf8, Width::Byte, 1),
        (0xf3, Width::Byte, 1),
    ] {
        board.port_write(port, width, value, access);
    }
    assert_eq!(*ports.0.lock(), [(0, 4, 0x1234_5678), (1, 1, 0x12), (3, 1, 0x56)]);
}

/// A BAR that the guest moves there is not seen.
#[test]
fn what_is_absent_stays_so() {
    let board = finished(builder(&["memory 0xd0000000 4K absent"]));
    let access = &mut board.access();
    let bar = spec::ECAM_GPA + (8 << 12) + 0x10;
    for (gpa, expected) in [(0xd000_0123, 0xff), (0xd000_1123, 0x23)] {
        board.mmio_write(bar, Width::Qword, 0xd000_0000, access);
        board.mmio_write(gpa, Width::Byte, 1, access);
        assert_eq!(board.mmio_read(gpa, Width::Byte, access), expected, "{gpa:#x}");
    }
}

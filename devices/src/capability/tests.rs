//! What each device claims, and what a device has that lacks a capability.

use super::*;
use crate::absent::Absent;
use crate::debugport::{DebugPort, PostPort};
use crate::egg_timer::{self, EggTimer};
use crate::testing::Bench;
use crate::{apic, hpet, i8042, pit, pm, router, rtc, uart};
use alloc::{sync::Arc, vec, vec::Vec};

/// Ports (first, number), addresses (first, bytes) and lines.
type Claims = (Vec<(u16, u16)>, Vec<(u64, u64)>, Vec<u8>);

fn claims<D: Device>(device: &D) -> Claims {
    let ports = D::Ports::claims(device).iter().map(|range| (range.first, range.count));
    let mmio = D::Mmio::claims(device).iter().map(|range| (range.gpa, range.bytes));
    (ports.collect(), mmio.collect(), D::Lines::claims(device).to_vec())
}

/// Where a PC has them: the ICH9's datasheet, "Fixed I/O Address Ranges" and "Memory Address Ranges", and for
/// the debug ports what firmware expects.
#[test]
fn devices_are_where_a_pc_has_them() {
    let legacy = hpet::LegacyReplacement::default();
    let cmos = rtc::CmosConfig { low_ram_bytes: 0, high_ram_bytes: 0, cpus: 1 };
    let router = router::Router::new(Arc::new(apic::Apics::new(&[0]).unwrap()));
    let absent = Absent {
        ports: vec![PortRange { first: 0x300, count: 3 }],
        ranges: vec![MmioRange { gpa: 0x1000, bytes: 0x2000 }],
    };
    let table: [(Claims, Claims); 11] = [
        (claims(&pit::Pit::new(legacy.clone())), (vec![(0x40, 4), (0x61, 1)], vec![], vec![0])),
        (claims(&hpet::Hpet::new(legacy)), (vec![], vec![(0xfed0_0000, 0x400)], vec![])),
        (claims(&rtc::Rtc::new(0, &cmos)), (vec![(0x70, 4)], vec![], vec![8])),
        (
            claims(&pm::Pm::new(pm::TimerWidth::Bits24, true)),
            (vec![(0x600, 12), (0xb2, 2), (0xcf9, 1)], vec![], vec![9]),
        ),
        (claims(&i8042::I8042::new()), (vec![(0x60, 1), (0x64, 1), (0x92, 1)], vec![], vec![1])),
        (claims(&uart::Uart::new(uart::spec::COM[1], |_: u8| {})), (vec![(0x2f8, 8)], vec![], vec![3])),
        (claims(&router), (vec![(0x20, 2), (0xa0, 2), (0x4d0, 2)], vec![(0xfec0_0000, 0x1000)], vec![])),
        (claims(&DebugPort::new(|_: u8| {})), (vec![(0xe9, 1), (0x402, 1)], vec![], vec![])),
        (claims(&PostPort::default()), (vec![(0x80, 1)], vec![], vec![])),
        (claims(&EggTimer::new(10)), (vec![(0x520, 5)], vec![], vec![10])),
        (claims(&absent), (vec![(0x300, 3)], vec![(0x1000, 0x2000)], vec![])),
    ];
    for (made, expected) in table {
        assert_eq!(made, expected);
    }
}

/// By the traits alone, as a board does it.
fn ports<D: Device>(device: &mut D, port: u16, width: Width, written: Option<u32>, bench: &mut Bench) -> u32 {
    if let Some(value) = written {
        D::Ports::write(device, port, width, value, bench);
    }
    D::Ports::read(device, port, width, bench)
}

/// The same for memory.
fn memory<D: Device>(device: &mut D, offset: u64, width: Width, written: u64, bench: &mut Bench) -> u64 {
    D::Mmio::write(device, offset, width, written, bench);
    D::Mmio::read(device, offset, width, bench)
}

#[test]
fn a_device_is_reached_by_what_it_has() {
    let (mut timer, mut bench) = (EggTimer::new(10), Bench::default());
    assert_eq!(ports(&mut timer, egg_timer::COUNT, Width::Dword, Some(3), &mut bench), 3);
    let deadline = |timer: &EggTimer| <EggTimer as Device>::Timer::deadline_ns(timer);
    assert_eq!(deadline(&timer), Some(3_000_000));
    bench.now_ns = 3_000_000;
    <EggTimer as Device>::Timer::expire(&mut timer, &mut bench);
    assert_eq!((bench.line(10), deadline(&timer)), (true, None));
    // Only the bit ends it.
    assert_eq!(ports(&mut timer, egg_timer::STATUS, Width::Byte, Some(0xfe), &mut bench), 1);
    assert!(bench.line(10));
    assert_eq!(ports(&mut timer, egg_timer::STATUS, Width::Byte, Some(1), &mut bench), 0);
    assert!(!bench.line(10));
    // It has no memory, the HPET nothing else.
    assert_eq!(memory(&mut timer, 0, Width::Word, 0, &mut bench), 0xffff);
    let mut hpet = hpet::Hpet::new(hpet::LegacyReplacement::default());
    assert_eq!(memory(&mut hpet, 0xf0, Width::Dword, 0x1234, &mut bench), 0x1234);
    assert_eq!(ports(&mut hpet, 0x40, Width::Byte, Some(0), &mut bench), 0xff);
    // The POST port has no time.
    type Never = <PostPort as Device>::Timer;
    assert_eq!(Never::deadline_ns(&PostPort::default()), None);
}

/// A back end with one byte, once the host's signal has reached it.
#[derive(Default)]
struct Signalled(Option<u8>);

impl uart::SerialBackend for Signalled {
    fn transmit(&mut self, _: u8) {}

    fn collect(&mut self) {
        self.0 = Some(b'a');
    }

    fn receive(&mut self) -> Option<u8> {
        self.0.take()
    }
}

#[test]
fn input_comes_to_the_device() {
    let (mut port, mut bench) = (uart::Uart::new(uart::spec::COM[0], Signalled::default()), Bench::default());
    // Interrupt for received data, and the gate on the line.
    ports(&mut port, 0x3f9, Width::Byte, Some(1), &mut bench);
    ports(&mut port, 0x3fc, Width::Byte, Some(8), &mut bench);
    assert!(!bench.line(4));
    <uart::Uart<Signalled> as Device>::Input::input(&mut port, &mut bench);
    assert!(bench.line(4));
}

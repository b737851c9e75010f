//! Claims that exclude each other are refused by name; everything that was claimed is there.

use alloc::vec::Vec;

use devices::capability::{
    InputDevice, LineDevice, MmioDevice, Platform, PortDevice, PortRange, TimedDevice, Width,
};

use super::*;

/// A device that has every capability but input, with the claims of a test.
#[derive(Default)]
struct Everything<const NAME: usize> {
    ports: Vec<PortRange>,
    ranges: Vec<MmioRange>,
    lines: Vec<u8>,
}

impl<const NAME: usize> Device for Everything<NAME> {
    const NAME: &'static str = ["first", "second"][NAME];
    type Ports = Present;
    type Mmio = Present;
    type Timer = Present;
    type Lines = Present;
    type Input = Missing;

    fn acpi(&self) -> Vec<AcpiEntry> {
        AcpiEntry::isa(b"TEST", b"PNP0C02", &[])
    }
}

impl<const NAME: usize> PortDevice for Everything<NAME> {
    fn ports(&self) -> &[PortRange] {
        &self.ports
    }

    fn port_read(&mut self, _: u16, _: Width, _: &mut dyn Platform) -> u32 {
        0
    }

    fn port_write(&mut self, _: u16, _: Width, _: u32, _: &mut dyn Platform) {}
}

impl<const NAME: usize> MmioDevice for Everything<NAME> {
    fn ranges(&self) -> &[MmioRange] {
        &self.ranges
    }

    fn mmio_read(&mut self, _: u64, _: Width, _: &mut dyn Platform) -> u64 {
        0
    }

    fn mmio_write(&mut self, _: u64, _: Width, _: u64, _: &mut dyn Platform) {}
}

impl<const NAME: usize> TimedDevice for Everything<NAME> {
    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    fn expire(&mut self, _: &mut dyn Platform) {}
}

impl<const NAME: usize> LineDevice for Everything<NAME> {
    fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// A device that has input from the host and nothing else.
struct Ear;

impl Device for Ear {
    const NAME: &'static str = "ear";
    type Ports = Missing;
    type Mmio = Missing;
    type Timer = Missing;
    type Lines = Missing;
    type Input = Present;

    fn acpi(&self) -> Vec<AcpiEntry> {
        Vec::new()
    }
}

impl InputDevice for Ear {
    fn input(&mut self, _: &mut dyn Platform) {}
}

/// Memory of the guest.
const RAM: [Range; 1] = [Range { gpa: 0x1000_0000, bytes: 0x1000_0000 }];

/// Ports, addresses and lines of one device.
type Wanted = (&'static [(u16, u16)], &'static [(u64, u64)], &'static [u8]);

fn device<const NAME: usize>((ports, ranges, lines): Wanted) -> Everything<NAME> {
    Everything {
        ports: ports.iter().map(|&(first, count)| PortRange { first, count }).collect(),
        ranges: ranges.iter().map(|&(gpa, bytes)| MmioRange { gpa, bytes }).collect(),
        lines: lines.to_vec(),
    }
}

#[test]
fn conflicts_name_both_devices() {
    let (first, second) = ("first", "second");
    let cases: [(Wanted, Wanted, BoardError); 7] = [
        (
            (&[(0x70, 4)], &[], &[]),
            (&[(0x60, 1), (0x73, 1)], &[], &[]),
            BoardError::Overlap { what: "port", at: 0x73, first, second },
        ),
        (
            (&[], &[(0x1000, 0x1000)], &[]),
            (&[], &[(0x1fff, 1)], &[]),
            BoardError::Overlap { what: "address", at: 0x1fff, first, second },
        ),
        ((&[], &[], &[4]), (&[], &[], &[3, 4]), BoardError::Line { line: 4, first, second }),
        ((&[], &[], &[]), (&[], &[], &[24]), BoardError::NoLine { line: 24, device: second }),
        (
            (&[], &[(0xfff_f000, 0x1000)], &[]),
            (&[], &[(0x1fff_ffff, 1)], &[]),
            BoardError::Memory { device: second, gpa: 0x1fff_ffff },
        ),
        ((&[(0x10, 0)], &[], &[]), (&[], &[], &[]), BoardError::Range { device: first }),
        ((&[], &[], &[]), (&[], &[(u64::MAX, 2)], &[]), BoardError::Range { device: second }),
    ];
    for (one, other, error) in cases {
        let mut board = Builder::default();
        board.add(device::<0>(one));
        board.add(device::<1>(other));
        assert_eq!(board.finish(&RAM).err(), Some(error));
    }
    let text = alloc::format!("{}", BoardError::Line { line: 4, first, second });
    assert_eq!(text, "the devices 'first' and 'second' both own interrupt line 4");
}

#[test]
fn what_is_claimed_is_there() {
    let mut board = Builder::default();
    board.add_with_input(Ear, Some(7));
    board.add(device::<0>((&[(0x70, 4)], &[(0x1000, 0x1000)], &[8])));
    let parts = board.finish(&RAM).ok().unwrap();
    assert_eq!(parts.ports.owner(0x73), Some(DeviceId(1)));
    assert_eq!(parts.mmio.find(0x1800).map(|hit| hit.device), Some(DeviceId(1)));
    assert_eq!((parts.timed.as_slice(), parts.acpi.len()), (&[DeviceId(1)][..], 1));
    let inputs: Vec<_> = parts.inputs.iter().map(|input| (input.device, input.signal)).collect();
    assert!(matches!(inputs[..], [(DeviceId(0), Some(Signal::Interrupt(7)))]));
}

//! The PCI bus on the board: functions are found, their BARs are where the guest puts them, and their
//! interrupts arrive.

use alloc::vec;

use devices::apic::{LocalApic, LocalApicConfig};
use devices::pci::config::Identity;
use devices::pci::{Bar, BarKind, ConfigSpace, PciFunction, PciPlatform, spec};

use super::*;

/// Where the probe is on the bus.
const DEVFN: u8 = 1 << 3;

/// A function whose BAR reads its own offset; what is written goes out as an interrupt.
pub(super) struct Probe(ConfigSpace);

impl Probe {
    pub(super) fn new() -> Self {
        let identity = Identity {
            vendor: 0x1af4,
            device: 0x1042,
            revision: 1,
            class: 0xff_0000,
            subsystem_vendor: 0,
            subsystem: 0,
        };
        let mut space =
            ConfigSpace::new(&identity).with_bar(0, Bar { kind: BarKind::Memory64, bytes: 0x4000 });
        space.set(spec::INTERRUPT_PIN, &[1]);
        Self(space)
    }
}

impl PciFunction for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn space(&self) -> &ConfigSpace {
        &self.0
    }

    fn space_mut(&mut self) -> &mut ConfigSpace {
        &mut self.0
    }

    fn config_read(&mut self, offset: u16, width: Width, _: &mut dyn PciPlatform) -> u32 {
        self.0.read(offset, width)
    }

    fn config_write(&mut self, offset: u16, width: Width, value: u32, _: &mut dyn PciPlatform) {
        self.0.write(offset, width, value);
    }

    fn bar_read(&mut self, _: u8, offset: u64, width: Width, _: &mut dyn PciPlatform) -> u64 {
        offset & width.mask()
    }

    fn bar_write(&mut self, _: u8, offset: u64, _: Width, value: u64, platform: &mut dyn PciPlatform) {
        match offset {
            0 => platform.set_intx(value != 0),
            _ => platform.send_msi(0xfee0_0000, value as u32),
        }
    }

    fn input(&mut self, platform: &mut dyn PciPlatform) {
        platform.send_msi(0xfee0_0000, 0x400);
    }
}

fn board() -> Board {
    let mut builder = Builder::default();
    builder.insert(Box::new(pci::Host::default()));
    builder.add_function_at(0, devices::pci::host_bridge());
    builder.add_function_with_input(Probe::new(), runtime::event::Event(7));
    finished(builder)
}

pub(super) fn finished(mut builder: Builder) -> Board {
    let apics = Arc::new(Apics::new(&[0, 1]).unwrap());
    // With their owners they are reached.
    let config = LocalApicConfig { physical_address_bits: 40, tsc_deadline_hz: None };
    (0..2).for_each(|vcpu| drop(LocalApic::new(apics.clone(), vcpu, config).unwrap()));
    let router = Arc::new(Mutex::new(Router::new(apics.clone())));
    builder.insert(Box::new(device::SharedRouter(router.clone())));
    Board::new(builder.finish(&[]).ok().unwrap(), Clock::new(1_000_000_000), apics, router)
}

fn store(board: &Board, gpa: u64, width: Width, value: u64) -> Vec<usize> {
    let mut access = board.access();
    board.mmio_write(gpa, width, value, &mut access);
    access.kicks().into_iter().flat_map(VcpuSet::iter).collect()
}

fn load(board: &Board, gpa: u64, width: Width) -> u64 {
    board.mmio_read(gpa, width, &mut board.access())
}

const ECAM: u64 = spec::ECAM_GPA + ((DEVFN as u64) << 12);

#[test]
fn functions_are_found_by_both_ways() {
    let board = board();
    let access = &mut board.access();
    board.port_write(0xcf8, Width::Dword, 1 << 31 | u32::from(DEVFN) << 8, access);
    assert_eq!(board.port_read(0xcfc, Width::Dword, access), 0x1042_1af4);
    assert_eq!(load(&board, ECAM, Width::Dword), 0x1042_1af4);
    assert_eq!(load(&board, ECAM + (8 << 12), Width::Dword), u64::from(u32::MAX));
    // Line 17, as _PRT has it.
    assert_eq!(load(&board, ECAM + 0x3c, Width::Word), 0x0111);
}

#[test]
fn a_bar_follows_the_guest() {
    let board = board();
    let first = u64::from(spec::WINDOW_GPA);
    assert_eq!(load(&board, first + 0x123, Width::Word), 0x123, "firmware has placed it");
    store(&board, ECAM + 0x10, Width::Qword, 0x70_0000_4000);
    for (gpa, width, value) in [
        (first + 0x123, Width::Word, 0xffff),
        (0x70_0000_4000, Width::Qword, 0),
        (0x70_0000_7ffe, Width::Word, 0x3ffe),
        // Half of it is outside.
        (0x70_0000_7ffe, Width::Dword, 0xffff_fffe),
        (0x70_0000_8000, Width::Byte, 0xff),
    ] {
        assert_eq!(load(&board, gpa, width), value, "{gpa:#x}");
    }
    // Over the I/O APIC, which stays.
    store(&board, ECAM + 0x10, Width::Qword, 0xfec0_0000);
    store(&board, 0xfec0_0000, Width::Dword, 1);
    assert_eq!(load(&board, 0xfec0_0010, Width::Dword), 0x0017_0020);
    assert_eq!(load(&board, 0xfec0_1000, Width::Dword), 0x1000);
    store(&board, ECAM + 4, Width::Word, 0);
    assert_eq!(load(&board, 0xfec0_1000, Width::Dword), u64::from(u32::MAX));
}

#[test]
fn a_functions_interrupts_arrive() {
    let board = board();
    let bar = u64::from(spec::WINDOW_GPA);
    // An NMI to vCPU 0: its APIC is not enabled, and would take no vector.
    assert_eq!(store(&board, bar + 8, Width::Dword, 0x400), [0]);
    assert!(board.apics.get(0).unwrap().has_posted());
    // The pin: I/O APIC input 17, an NMI to vCPU 1.
    for (register, value) in [(0x33, 1 << 24), (0x32, 0x400)] {
        store(&board, 0xfec0_0000, Width::Dword, register);
        store(&board, 0xfec0_0010, Width::Dword, value);
    }
    assert_eq!(store(&board, bar, Width::Dword, 1), [1]);
    assert_eq!(store(&board, bar, Width::Dword, 0), vec![]);
}

#[test]
fn a_pin_leads_to_the_line_of_its_slot() {
    let mut builder = Builder::default();
    builder.insert(Box::new(pci::Host::default()));
    builder.add_function_at(0, devices::pci::host_bridge());
    let mut last = Probe::new();
    last.0.set(spec::INTERRUPT_PIN, &[4]);
    for (devfn, function) in [(DEVFN, Probe::new()), (DEVFN + 1, Probe::new()), (DEVFN + 2, last)] {
        builder.add_function_at(devfn, function);
    }
    let board = finished(builder);
    let line = |devfn: u8| load(&board, spec::ECAM_GPA + (u64::from(devfn) << 12) + 0x3c, Width::Byte);
    let slot = DEVFN >> 3;
    let [inta, intd] = [0, 3].map(|pin| u64::from(spec::intx_line(slot, pin)));
    assert_eq!([DEVFN, DEVFN + 1, DEVFN + 2].map(line), [inta, inta, intd]);
}

#[test]
fn a_place_on_the_bus_is_one_functions() {
    let mut builder = Builder::default();
    builder.add_function_at(DEVFN, Probe::new());
    builder.add_function_at(DEVFN, Probe::new());
    let error = builder.finish(&[]).err().unwrap();
    assert_eq!(error, BoardError::Slot { devfn: DEVFN, function: "probe" });
    let text = alloc::format!("{error}");
    assert_eq!(text, "the place 01.0 of 'probe' on the PCI bus is taken");
    let mut builder = Builder::default();
    (0..33).for_each(|_| builder.add_function(Probe::new()));
    assert_eq!(builder.finish(&[]).err(), Some(BoardError::BusFull { function: "probe" }));
}

#[test]
fn input_reaches_a_function() {
    let board = board();
    assert!(matches!(board.signals().next(), Some(Some(Signal::Event(runtime::event::Event(7))))));
    for (bits, expected) in [(0, None), (2, None), (1, Some(0))] {
        let mut access = board.access();
        board.input(bits, &mut access);
        assert_eq!(access.kicks().into_iter().flat_map(VcpuSet::iter).next(), expected, "{bits}");
    }
}

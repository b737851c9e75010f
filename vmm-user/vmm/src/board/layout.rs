//! What is on the board, and where.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicBool;

use devices::bus::{ClaimError, DeviceId, MmioClaim, MmioMap, PortClaim, PortMap, PortRange};
use devices::debugport::{PORT_POST, PostPort};
use devices::hpet::{HPET_BASE, HPET_BYTES, Hpet, LegacyReplacement};
use devices::i8042::{self, I8042};
use devices::pci::{self, PciHost};
use devices::pit::{PORT_PIT, PORT_SYSTEM_CONTROL, Pit};
use devices::pm::{self, Pm, TimerWidth};
use devices::router::Router;
use devices::rtc::{self, CmosConfig, Rtc};
use devices::uart::{self, Uart};
use devices::{acpi, ioapic};
use runtime::abi::operation::Handle;
use spin::Mutex;

use super::bench::{self, BenchDevice, ExtraDevice};
use super::device::{BoardDevice, SharedRouter, SharedUart};
use super::memory::{self, MemoryDevice};
use crate::console::Output;

/// What the board is built from.
#[derive(Clone, Copy, Debug)]
pub struct BoardConfig {
    /// Memory and CPUs, as the CMOS says them.
    pub cmos: CmosConfig,
    /// Seconds since 1970.
    pub unix_s: i64,
    /// The host's serial port.
    pub serial_ports: Option<Handle>,
    /// The exit benchmark's device is there.
    pub bench: bool,
    /// The device that behaves like memory is there.
    pub memory_device: bool,
    /// So many more devices are there, to see that their number does not matter; at most [`bench::EXTRA_MAX`].
    pub extra_devices: u16,
}

/// The result.
pub struct Layout {
    pub devices: Vec<Box<dyn BoardDevice>>,
    pub ports: PortMap,
    pub mmio: MmioMap,
    pub uart: Arc<Mutex<Uart<Output>>>,
    pub halt_ends: Arc<AtomicBool>,
}

/// Collects devices and their claims.
#[derive(Default)]
struct Builder {
    devices: Vec<Box<dyn BoardDevice>>,
    ports: Vec<PortClaim>,
    mmio: Vec<MmioClaim>,
}

impl Builder {
    fn add(&mut self, device: impl BoardDevice + 'static, ports: &[PortRange], mmio: &[(u64, u64)]) {
        let id = DeviceId(self.devices.len() as u16);
        self.devices.push(Box::new(device));
        self.ports.extend(PortClaim::each(id, ports));
        self.mmio.extend(mmio.iter().map(|(gpa, bytes)| MmioClaim { device: id, gpa: *gpa, bytes: *bytes }));
    }
}

const fn ports(first: u16, count: u16) -> PortRange {
    PortRange { first, count }
}

/// The router's place among the devices.
pub const ROUTER: DeviceId = DeviceId(1);
/// The PIC's ports: master, slave, edge/level control.
const PIC_PORTS: [PortRange; 3] = [ports(0x20, 2), ports(0xa0, 2), ports(0x4d0, 2)];
const IO_APIC: (u64, u64) = (acpi::IO_APIC_GPA as u64, ioapic::IOAPIC_BYTES);

/// Puts everything on the board.
pub fn lay_out(config: &BoardConfig, router: &Arc<Mutex<Router>>) -> Result<Layout, ClaimError> {
    let legacy = LegacyReplacement::default();
    let com1 = uart::spec::COM[0];
    let uart = Arc::new(Mutex::new(Uart::new(com1, Output::default())));
    let mut board = Builder::default();
    board.add(SharedUart(uart.clone()), &[ports(com1.base, uart::spec::PORTS_EACH)], &[]);
    board.add(SharedRouter(router.clone()), &PIC_PORTS, &[IO_APIC]);
    board.add(Pit::new(legacy.clone()), &[ports(PORT_PIT, 4), ports(PORT_SYSTEM_CONTROL, 1)], &[]);
    board.add(Hpet::new(legacy), &[], &[(HPET_BASE, HPET_BYTES)]);
    board.add(Rtc::new(config.unix_s, &config.cmos), rtc::spec::PORTS, &[]);
    board.add(Pm::new(TimerWidth::Bits32, false), pm::spec::PORTS, &[]);
    board.add(I8042::new(), i8042::PORTS, &[]);
    board.add(PciHost::q35(), pci::spec::PORTS, &[(pci::spec::ECAM_GPA, pci::spec::ECAM_BYTES)]);
    board.add(PostPort::default(), &[ports(PORT_POST, 1)], &[]);
    let halt_ends = Arc::<AtomicBool>::default();
    if config.bench {
        board.add(BenchDevice { halt_ends: halt_ends.clone() }, &bench::PORTS, &bench::MMIO);
    }
    if config.memory_device {
        board.add(MemoryDevice::new(), &memory::PORTS, &memory::MMIO);
    }
    for number in 0..config.extra_devices.min(bench::EXTRA_MAX) {
        let (ports, mmio) = bench::extra(number);
        board.add(ExtraDevice::default(), &[ports], &[mmio]);
    }
    Ok(Layout {
        ports: PortMap::new(&board.ports)?,
        mmio: MmioMap::new(&board.mmio)?,
        devices: board.devices,
        uart,
        halt_ends,
    })
}

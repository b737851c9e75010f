//! What is on the board of a PC. Where each device is, it says itself.

use alloc::boxed::Box;
use alloc::sync::Arc;

use devices::debugport::PostPort;
use devices::hpet::{Hpet, LegacyReplacement};
use devices::i8042::I8042;
use devices::pci;
use devices::pit::Pit;
use devices::pm::Pm;
use devices::router::Router;
use devices::rtc::{CmosConfig, Rtc};
use devices::uart::{self, Uart};
use runtime::Start;
use runtime::abi::operation::Handle;
use spin::Mutex;

use super::TIMER_WIDTH;
use super::builder::Builder;
use super::device::SharedRouter;
use super::pci::Host;
use super::remote::{self, Place, place};
use crate::console::HostSerial;
use crate::host_clock;

/// What the board is built from.
#[derive(Clone, Copy, Debug)]
pub struct BoardConfig {
    /// Memory and CPUs, as the CMOS says them.
    pub cmos: CmosConfig,
    /// The host's real-time clock.
    pub clock_ports: Option<Handle>,
    /// The host's serial port.
    pub serial_ports: Option<Handle>,
    /// Its interrupt.
    pub serial_interrupt: Option<Handle>,
    /// The TSC's frequency.
    pub tsc_hz: u64,
}

/// Puts everything on the board that every guest has.
///
/// What the configuration wants in a process of its own is there instead.
pub fn lay_out(start: &Start, config: &BoardConfig, router: &Arc<Mutex<Router>>, board: &mut Builder) {
    let is_inside = |name| place(start, name) != Place::Process;
    let legacy = LegacyReplacement::default();
    remote::add_all(start, config.tsc_hz, board);
    if is_inside("serial-port") {
        let console = HostSerial::open(config.serial_ports);
        board.add_with_input(Uart::new(uart::spec::COM[0], console), config.serial_interrupt);
    }
    board.insert(Box::new(SharedRouter(router.clone())));
    board.add(Pit::new(legacy.clone()));
    board.add(Hpet::new(legacy));
    if is_inside("rtc") {
        board.add(Rtc::new(host_clock::unix_s(config.clock_ports), &config.cmos));
    }
    board.add(Pm::new(TIMER_WIDTH, false));
    board.add(I8042::new());
    board.insert(Box::new(Host::default()));
    board.add_function_at(pci::HOST_BRIDGE_DEVFN, pci::host_bridge());
    board.add_function_at(pci::LPC_DEVFN, pci::lpc_bridge());
    board.add(PostPort::default());
}

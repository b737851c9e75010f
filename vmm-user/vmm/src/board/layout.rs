//! What is on the board of a PC. Where each device is, it says itself.

use alloc::boxed::Box;
use alloc::sync::Arc;

use devices::debugport::PostPort;
use devices::hpet::{Hpet, LegacyReplacement};
use devices::i8042::I8042;
use devices::pci::PciHost;
use devices::pit::Pit;
use devices::pm::Pm;
use devices::router::Router;
use devices::rtc::{CmosConfig, Rtc};
use devices::uart::{self, Uart};
use runtime::abi::operation::Handle;
use spin::Mutex;

use super::TIMER_WIDTH;
use super::builder::Builder;
use super::device::SharedRouter;
use crate::console::HostSerial;

/// What the board is built from.
#[derive(Clone, Copy, Debug)]
pub struct BoardConfig {
    /// Memory and CPUs, as the CMOS says them.
    pub cmos: CmosConfig,
    /// Seconds since 1970.
    pub unix_s: i64,
    /// The host's serial port.
    pub serial_ports: Option<Handle>,
    /// Its interrupt.
    pub serial_interrupt: Option<Handle>,
}

/// Puts everything on the board that every guest has.
pub fn lay_out(config: &BoardConfig, router: &Arc<Mutex<Router>>, board: &mut Builder) {
    let legacy = LegacyReplacement::default();
    let console = HostSerial::open(config.serial_ports);
    board.add_with_input(Uart::new(uart::spec::COM[0], console), config.serial_interrupt);
    board.insert(Box::new(SharedRouter(router.clone())));
    board.add(Pit::new(legacy.clone()));
    board.add(Hpet::new(legacy));
    board.add(Rtc::new(config.unix_s, &config.cmos));
    board.add(Pm::new(TIMER_WIDTH, false));
    board.add(I8042::new());
    board.add(PciHost::q35());
    board.add(PostPort::default());
}

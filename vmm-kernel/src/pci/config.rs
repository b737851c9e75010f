//! Configuration space of bus 0, by the ports CF8h and CFCh (PCI local bus specification 3.0, 3.2.2.3.2).

use vcpu_abi::status::Status;

use crate::cpu::ports;
use crate::sync::SpinLock;

/// Vendor and device ID.
pub const ID: u8 = 0x00;
/// Command, and status in the upper half, whose bits are cleared by writing ones.
pub const COMMAND: u8 = 0x04;
/// Revision, and class in the upper three bytes.
pub const CLASS: u8 = 0x08;
/// Cache line, latency, header type in bits 22:16, self test.
pub const HEADER: u8 = 0x0c;
/// The first BAR.
pub const BAR0: u8 = 0x10;
/// Where the list of capabilities begins.
pub const CAPABILITIES: u8 = 0x34;

/// In the command register.
pub mod command {
    /// Decode ports.
    pub const PORTS: u32 = 1 << 0;
    /// Decode memory.
    pub const MEMORY: u32 = 1 << 1;
    /// Access memory: bus master.
    pub const MASTER: u32 = 1 << 2;
    /// Drive no interrupt line.
    pub const NO_LINE: u32 = 1 << 10;
}

/// In the status register: there is a list of capabilities.
pub const HAS_CAPABILITIES: u32 = 1 << 20;

const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// A function of bus 0, and its configuration space as the host answers for it.
pub trait Config {
    /// A double word at a multiple of 4.
    fn read(&self, offset: u8) -> u32;
    /// Writes one.
    fn write(&self, offset: u8, value: u32);

    /// Changes the command register, whatever the status says.
    fn set_command(&self, bits: u32) {
        // Zeros for the status: a bit there is cleared by a one.
        self.write(COMMAND, bits & 0xffff);
    }
}

/// Device and function: `device << 3 | function`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(u8);

/// The address and the data register belong together.
static LOCK: SpinLock<()> = SpinLock::new(());

impl Address {
    /// The function that a process names.
    ///
    /// # Errors
    /// NotFound: beyond bus 0.
    pub fn new(function: u32) -> Result<Self, Status> {
        u8::try_from(function).map(Self).map_err(|_| Status::NotFound)
    }

    fn select(self, offset: u8) {
        ports::write_u32(ADDRESS_PORT, ENABLE | u32::from(self.0) << 8 | u32::from(offset & !3));
    }
}

impl Config for Address {
    fn read(&self, offset: u8) -> u32 {
        let _guard = LOCK.lock();
        self.select(offset);
        ports::read_u32(DATA_PORT)
    }

    fn write(&self, offset: u8, value: u32) {
        let _guard = LOCK.lock();
        self.select(offset);
        ports::write_u32(DATA_PORT, value);
    }
}

/// The offset of a double word that a process names.
///
/// # Errors
/// BadArgument: there is none.
pub fn offset(offset: u32) -> Result<u8, Status> {
    u8::try_from(offset).ok().filter(|offset| offset.is_multiple_of(4)).ok_or(Status::BadArgument)
}

/// Whether a function may be claimed: it is there, and neither a bridge nor the platform's.
///
/// # Errors
/// NotFound: it is not there. BadArgument: it is a bridge.
pub fn check(config: &impl Config) -> Result<(), Status> {
    const BRIDGES: u32 = 6;
    // Where no function is, reads give all ones, and no vendor has that number.
    if config.read(ID) & 0xffff == 0xffff {
        return Err(Status::NotFound);
    }
    // Bit 7 says that the device has more functions, and nothing of the type.
    let is_plain = config.read(HEADER) >> 16 & 0x7f == 0;
    if is_plain && config.read(CLASS) >> 24 != BRIDGES { Ok(()) } else { Err(Status::BadArgument) }
}

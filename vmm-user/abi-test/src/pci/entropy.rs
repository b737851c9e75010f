//! Random bytes of a virtio entropy device (virtio 1.2, 5.4): by its registers, memory that is shared with
//! it, and a message when it is done.

use core::sync::atomic::{Ordering, fence};

use runtime::abi::status::Status;
use runtime::event::Event;
use runtime::host_function::{DeviceMemory, HostFunction};
use runtime::window::Window;

use super::{PAGE, REGISTER_BAR};
use crate::suite::Suite;

/// Registers of the common configuration (4.1.4.3), which QEMU has at the beginning of the BAR.
mod register {
    pub const DRIVER_FEATURE_SELECT: u64 = 0x08;
    pub const DRIVER_FEATURE: u64 = 0x0c;
    pub const STATUS: u64 = 0x14;
    pub const QUEUE_SELECT: u64 = 0x16;
    pub const QUEUE_SIZE: u64 = 0x18;
    pub const QUEUE_VECTOR: u64 = 0x1a;
    pub const QUEUE_ENABLE: u64 = 0x1c;
    pub const QUEUE_NOTIFY: u64 = 0x1e;
    pub const QUEUE_ADDRESSES: [u64; 3] = [0x20, 0x28, 0x30];
    /// Notifications, four bytes for each queue.
    pub const NOTIFY: u64 = 0x3000;
}

/// Device status: acknowledged, driven, features agreed on, ready.
const ACKNOWLEDGED: u8 = 1;
const DRIVEN: u8 = 2;
const READY: u8 = 4;
const AGREED: u8 = 8;
/// How many bytes are asked for.
const WANTED: u32 = 64;
const ENTRIES: u16 = 8;
/// Where things are in the shared page: descriptors, available ring, used ring, bytes.
const AVAILABLE: u64 = 0x400;
const USED: u64 = 0x600;
const BYTES: u64 = 0x800;
/// The device writes the buffer.
const WRITABLE: u16 = 2;

/// A device and the page that it shares with us.
struct Device {
    registers: Window,
    memory: DeviceMemory,
    notify: u64,
}

impl Device {
    /// Resets it and sets it up, with one queue that sends the first message.
    fn start(registers: Window, memory: DeviceMemory) -> Self {
        registers.write_u8(register::STATUS, 0);
        (0..PAGE).step_by(8).for_each(|at| memory.window.write_u64(at, 0));
        registers.write_u8(register::STATUS, ACKNOWLEDGED | DRIVEN);
        // Bits 32 and 33: virtio 1, and memory is accessed as the bus lets it, and not otherwise.
        for (half, features) in [(0, 0), (1, 3)] {
            registers.write_u32(register::DRIVER_FEATURE_SELECT, half);
            registers.write_u32(register::DRIVER_FEATURE, features);
        }
        registers.write_u8(register::STATUS, ACKNOWLEDGED | DRIVEN | AGREED);
        registers.write_u16(register::QUEUE_SELECT, 0);
        registers.write_u16(register::QUEUE_SIZE, ENTRIES);
        registers.write_u16(register::QUEUE_VECTOR, 0);
        for (place, offset) in register::QUEUE_ADDRESSES.into_iter().zip([0, AVAILABLE, USED]) {
            let address = memory.physical + offset;
            registers.write_u32(place, address as u32);
            registers.write_u32(place + 4, (address >> 32) as u32);
        }
        registers.write_u16(register::QUEUE_ENABLE, 1);
        registers.write_u8(register::STATUS, ACKNOWLEDGED | DRIVEN | AGREED | READY);
        let notify = register::NOTIFY + 4 * u64::from(registers.read_u16(register::QUEUE_NOTIFY));
        Self { registers, memory, notify }
    }

    /// Asks for bytes; `times` is how often that was done, with this.
    fn ask(&self, times: u16) {
        let window = self.memory.window;
        window.write_u64(0, self.memory.physical + BYTES);
        window.write_u32(8, WANTED);
        window.write_u16(12, WRITABLE);
        window.write_u16(AVAILABLE + 2, times);
        fence(Ordering::SeqCst);
        self.registers.write_u16(self.notify, 0);
    }

    /// How often it has written bytes.
    fn done(&self) -> u16 {
        self.memory.window.read_u16(USED + 2)
    }
}

/// Asks for random bytes: before the device may access memory, and after, by a message that signals one
/// event, then another.
pub fn test(suite: &mut Suite<'_>, function: HostFunction) -> Result<(), Status> {
    let registers = function.map(REGISTER_BAR, 0, 4 * PAGE)?;
    let memory = function.allocate(PAGE)?;
    let event = Event::try_new()?;
    function.bind(0, event)?;
    let device = Device::start(registers, memory);
    device.ask(1);
    let early = event.wait_until(suite.in_us(50_000));
    suite.check(early == Err(Status::TimedOut), format_args!("a message without leave: {early:?}"));
    suite.check(device.done() == 0, format_args!("memory accessed without leave"));
    function.enable(true)?;
    let device = Device::start(registers, memory);
    device.ask(1);
    event.wait_until(suite.in_us(5_000_000))?;
    let bytes = (0..u64::from(WANTED)).step_by(8).map(|at| memory.window.read_u64(BYTES + at));
    let are_random = bytes.filter(|word| *word != 0).count() > 4;
    suite.check(are_random && device.done() == 1, format_args!("no random bytes"));
    let other = Event::try_new()?;
    function.bind(0, other)?;
    device.ask(2);
    other.wait_until(suite.in_us(5_000_000))?;
    suite.check(event.wait_until(0) == Err(Status::TimedOut), format_args!("an event that is bound no more"));
    function.enable(false)
}

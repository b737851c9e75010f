//! One trait for what the board keeps: a device with whichever capabilities it has.

use alloc::sync::Arc;

use devices::capability::{MmioDevice, Platform, PortDevice, TimedDevice, Width};
use devices::router::Router;
use devices::uart::Uart;
use spin::Mutex;

use crate::console::Output;

/// A device on the board. What it does not have is absent.
pub trait BoardDevice: Send {
    /// IN.
    fn port_read(&mut self, _: u16, width: Width, _: &mut dyn Platform) -> u32 {
        width.mask() as u32
    }
    /// OUT.
    fn port_write(&mut self, _: u16, _: Width, _: u32, _: &mut dyn Platform) {}
    /// A load.
    fn mmio_read(&mut self, _: u64, width: Width, _: &mut dyn Platform) -> u64 {
        width.mask()
    }
    /// A store.
    fn mmio_write(&mut self, _: u64, _: Width, _: u64, _: &mut dyn Platform) {}
    /// Whether it has a timer.
    fn is_timed(&self) -> bool {
        false
    }
    /// When [`Self::expire`] is wanted.
    fn deadline_ns(&self) -> Option<u64> {
        None
    }
    /// The deadline has come.
    fn expire(&mut self, _: &mut dyn Platform) {}
}

macro_rules! capability {
    (ports) => {
        fn port_read(&mut self, port: u16, width: Width, platform: &mut dyn Platform) -> u32 {
            PortDevice::port_read(self, port, width, platform)
        }
        fn port_write(&mut self, port: u16, width: Width, value: u32, platform: &mut dyn Platform) {
            PortDevice::port_write(self, port, width, value, platform);
        }
    };
    (mmio) => {
        fn mmio_read(&mut self, offset: u64, width: Width, platform: &mut dyn Platform) -> u64 {
            MmioDevice::mmio_read(self, offset, width, platform)
        }
        fn mmio_write(&mut self, offset: u64, width: Width, value: u64, platform: &mut dyn Platform) {
            MmioDevice::mmio_write(self, offset, width, value, platform);
        }
    };
    (timer) => {
        fn is_timed(&self) -> bool {
            true
        }
        fn deadline_ns(&self) -> Option<u64> {
            TimedDevice::deadline_ns(self)
        }
        fn expire(&mut self, platform: &mut dyn Platform) {
            TimedDevice::expire(self, platform);
        }
    };
}

/// Says which capabilities each device has.
macro_rules! board_devices {
    ($($device:ty: $($capability:ident)*;)*) => {
        $(impl BoardDevice for $device { $(capability!($capability);)* })*
    };
}

board_devices! {
    devices::rtc::Rtc: ports timer;
    devices::pm::Pm: ports timer;
    devices::i8042::I8042: ports;
    devices::pit::Pit: ports timer;
    devices::hpet::Hpet: mmio timer;
    devices::pci::PciHost: ports mmio;
    devices::debugport::PostPort: ports;
}

/// The router, which the board reaches by other ways than accesses as well. Lines that it drives itself are done when it returns:
/// its kicks are taken by whoever locks it next for a line, so they are taken here at once.
pub struct SharedRouter(pub Arc<Mutex<Router>>);

macro_rules! shared {
    ($name:ident, $($method:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl BoardDevice for $name {
            $(fn $method(&mut self, $($argument: $type,)* platform: &mut dyn Platform) $(-> $result)? {
                self.0.lock().$method($($argument,)* platform)
            })*
        }
    };
}

shared! { SharedRouter,
    port_read(port: u16, width: Width) -> u32;
    port_write(port: u16, width: Width, value: u32);
    mmio_read(offset: u64, width: Width) -> u64;
    mmio_write(offset: u64, width: Width, value: u64);
}

/// The first serial port, which the console's input reaches as well.
pub struct SharedUart(pub Arc<Mutex<Uart<Output>>>);

shared! { SharedUart,
    port_read(port: u16, width: Width) -> u32;
    port_write(port: u16, width: Width, value: u32);
}

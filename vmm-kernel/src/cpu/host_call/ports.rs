//! The host's I/O ports.
#![allow(unsafe_code, reason = "port instructions have effects the compiler does not know")]

use x86_64::instructions::port::Port;

use super::calls;

macro_rules! access {
    ($read:ident, $write:ident, $type:ty) => {
        /// Reads a port.
        pub fn $read(port: u16) -> $type {
            if let Some(calls) = calls::get() {
                return (calls.read_port)(port, size_of::<$type>() as u8) as $type;
            }
            // SAFETY: an IN does not touch memory; what the device does is the caller's business.
            unsafe { Port::<$type>::new(port).read() }
        }

        /// Writes a port.
        pub fn $write(port: u16, value: $type) {
            if let Some(calls) = calls::get() {
                return (calls.write_port)(port, size_of::<$type>() as u8, u32::from(value));
            }
            // SAFETY: the kernel programs no host device to write to memory, so an OUT does not touch it.
            unsafe { Port::<$type>::new(port).write(value) }
        }
    };
}

access!(read_u8, write_u8, u8);
access!(read_u16, write_u16, u16);
access!(read_u32, write_u32, u32);

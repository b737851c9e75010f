//! The host's I/O ports.
#![allow(unsafe_code, reason = "port instructions have effects the compiler does not know")]

use x86_64::instructions::port::Port;

macro_rules! access {
    ($read:ident, $write:ident, $type:ty) => {
        /// Reads a port.
        pub fn $read(port: u16) -> $type {
            // SAFETY: an IN does not touch memory; what the device does is the caller's business.
            unsafe { Port::<$type>::new(port).read() }
        }

        /// Writes a port.
        pub fn $write(port: u16, value: $type) {
            // SAFETY: the kernel programs no host device to write to memory, so an OUT does not touch it.
            unsafe { Port::<$type>::new(port).write(value) }
        }
    };
}

access!(read_u8, write_u8, u8);
access!(read_u16, write_u16, u16);
access!(read_u32, write_u32, u32);

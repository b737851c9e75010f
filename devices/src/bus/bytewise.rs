//! Wide accesses to devices whose registers are bytes, as the ISA bridge does them: one byte cycle after the
//! other, lowest address first.

use crate::capability::Width;

/// Reads `width` bytes at `port` and on with a reader of single bytes.
#[inline]
pub fn read_bytes(port: u16, width: Width, mut read: impl FnMut(u16) -> u8) -> u32 {
    let mut value = 0;
    // The port number wraps, as the address lines of the bus do.
    for i in 0..(width.bytes() as u16).min(4) {
        value |= u32::from(read(port.wrapping_add(i))) << (8 * i);
    }
    value
}

/// Writes `width` bytes at `port` and on with a writer of single bytes.
#[inline]
pub fn write_bytes(port: u16, width: Width, value: u32, mut write: impl FnMut(u16, u8)) {
    for i in 0..(width.bytes() as u16).min(4) {
        write(port.wrapping_add(i), (value >> (8 * i)) as u8);
    }
}

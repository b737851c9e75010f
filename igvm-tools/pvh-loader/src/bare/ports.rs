//! Port I/O and halting.
#![allow(unsafe_code, reason = "port I/O and HLT have no safe form")]

use core::arch::asm;

/// QEMU's `isa-debug-exit` at its usual port.
const DEBUG_EXIT: u16 = 0xf4;

/// Reads a byte from a port. No port of a PC has an effect on memory the compiler knows of, but for DMA,
/// which this program does not start.
pub fn read(port: u16) -> u8 {
    let value;
    // SAFETY: reading a port changes no memory and no register but AL.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes a byte to a port.
pub fn write(port: u16, value: u8) {
    // SAFETY: see `read`.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) };
}

/// Writes a 16-bit word to a port.
pub fn write_u16(port: u16, value: u16) {
    // SAFETY: see `read`.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) };
}

/// Ends QEMU with this value if it can, else halts for good, interrupts off.
pub fn end(value: u8) -> ! {
    write(DEBUG_EXIT, value);
    loop {
        // SAFETY: stops the processor; nothing is expected to wake it.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

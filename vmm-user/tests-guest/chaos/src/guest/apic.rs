//! The local APIC and the I/O APIC, as far as the supervisor needs them.

use super::layout::{APIC, IO_APIC};
use super::machine::{read, write};
use super::watch;

const ID: u64 = 0x20;
const PRIORITY: u64 = 0x80;
const END: u64 = 0xb0;
const SPURIOUS: u64 = 0xf0;
const COMMAND: u64 = 0x300;
const COMMAND_HIGH: u64 = 0x310;
const TIMER: u64 = 0x320;
const MASKED: u32 = 1 << 16;

/// ICR, low half.
pub const FIXED: u32 = 0x4000;
pub const NMI: u32 = 0x4400;
pub const INIT: u32 = 0x4500;
pub const STARTUP: u32 = 0x4600;
pub const TO_SELF: u32 = 1 << 18;

pub fn register(offset: u64) -> u32 {
    read(APIC + offset)
}

pub fn set_register(offset: u64, value: u32) {
    write(APIC + offset, value);
}

pub fn end_interrupt() {
    set_register(END, 0);
}

/// Ends all that may be in service.
pub fn end_all_interrupts() {
    for _ in 0..15 {
        end_interrupt();
    }
}

/// Nothing but the watch interrupts, from here on.
pub fn restore(index: u64) {
    restore_number(index);
    set_register(SPURIOUS, 0x1ff);
    set_register(PRIORITY, 0);
    for entry in 0..6 {
        set_register(TIMER + entry * 0x10, MASKED);
    }
    set_register(0xd0, 0);
    set_register(0xe0, !0);
}

/// An interrupt of the highest priority class in a tenth of a second, once. It ends the wait of a snippet
/// that has stopped the watch and then halts with interrupts on.
pub fn arm_rescue() {
    const DIVIDE_BY_1: u32 = 0xb;
    const RESCUE_VECTOR: u32 = 0xfe;
    // The timer runs at 25 MHz.
    const COUNT: u32 = 2_500_000;
    set_register(0x3e0, DIVIDE_BY_1);
    set_register(TIMER, RESCUE_VECTOR);
    set_register(0x380, COUNT);
}

/// Sends an interrupt to the other processor.
pub fn send_to(destination: u64, low: u32) {
    set_register(COMMAND_HIGH, (destination as u32) << 24);
    set_register(COMMAND, low);
}

pub fn send_to_self(vector: u64) {
    set_register(COMMAND, FIXED | TO_SELF | vector as u32);
}

/// Starts processor 1, or starts a processor again. After an INIT, processor 1 waits for a SIPI. Processor 0
/// begins where firmware would be: there is none, what it reads there is no instruction, and the interrupt
/// table leads from real mode to the start page.
pub fn start(destination: u64) {
    watch::restore();
    send_to(destination, INIT);
    watch::wait_us(200);
    if destination == 0 {
        return;
    }
    for _ in 0..2 {
        send_to(destination, STARTUP | (super::layout::TRAMPOLINE >> 12) as u32);
        watch::wait_us(200);
    }
}

/// Reads a register of the I/O APIC.
pub fn io_register(index: u32) -> u32 {
    write(IO_APIC, index);
    read(IO_APIC + 0x10)
}

/// Has the I/O APIC's window show a register that is read-only.
pub fn select_io_version() {
    write(IO_APIC, 1u32);
}

/// Writes a register of the I/O APIC.
pub fn set_io_register(index: u32, value: u32) {
    write(IO_APIC, index);
    write(IO_APIC + 0x10, value);
}

/// The local APIC's number, which snippets may have changed.
fn restore_number(index: u64) {
    if register(ID) >> 24 != index as u32 {
        set_register(ID, (index as u32) << 24);
    }
}

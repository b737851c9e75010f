//! The host's I/O APIC: only to bring host interrupts to the first processor (Intel 82093AA).
#![allow(unsafe_code, reason = "device registers in memory")]

use super::{local_apic, ports};
use crate::layout;
use crate::sync::SpinLock;

/// Where the registers are, to be mapped at [`layout::IO_APIC`].
pub const PHYSICAL: u64 = 0xfec0_0000;
/// Lines of the host that may be bound: the ISA interrupts.
pub const LINES: u8 = 16;
/// Vector of line 0; the others follow.
pub const FIRST_VECTOR: u8 = 0xd0;

static LOCK: SpinLock<()> = SpinLock::new(());

fn write(register: u32, value: u32) {
    // They come together.
    if local_apic::ABSENT {
        return;
    }
    let select = layout::IO_APIC as *mut u32;
    // SAFETY: the page is mapped uncached before `start`, the first access; select and window are 10h apart.
    unsafe {
        select.write_volatile(register);
        select.byte_add(0x10).write_volatile(value);
    }
}

/// Masks every line, of the PIC too: firmware may have left it delivering the PIT's interrupt. Once, when the
/// registers are mapped.
pub fn start() {
    for data_port in [0x21, 0xa1] {
        ports::write_u8(data_port, 0xff);
    }
    let _guard = LOCK.lock();
    for line in 0..24 {
        write(0x10 + line * 2, 1 << 16);
    }
}

/// Opens a line: edge-triggered, active high, to the processor with this APIC ID.
pub fn open(line: u8, apic_id: u32) {
    let _guard = LOCK.lock();
    // ISA line 0 is wired to pin 2.
    let pin = u32::from(if line == 0 { 2 } else { line });
    // The destination first: the other half unmasks the line.
    write(0x11 + pin * 2, apic_id << 24);
    write(0x10 + pin * 2, u32::from(FIRST_VECTOR) + u32::from(line));
}

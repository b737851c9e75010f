//! The processor's instructions and memory by address, as functions.
//!
//! They are safe to call in the sense that matters here: the guest has no data but in the areas of
//! [`super::layout`], reads and writes those only through this module, and what it breaks is its own.
#![allow(
    unsafe_code,
    reason = "a machine without an operating system: memory by address, privileged instructions"
)]

use core::arch::asm;

/// Reads memory.
pub fn read<T: Copy>(address: u64) -> T {
    // SAFETY: all addresses that the supervisor uses are mapped; any bytes make the integers that T is.
    unsafe { (address as *const T).read_volatile() }
}

/// Writes memory.
pub fn write<T: Copy>(address: u64, value: T) {
    // SAFETY: as for `read`; no Rust object is there.
    unsafe { (address as *mut T).write_volatile(value) }
}

/// Writes memory if it holds something else; returns whether it did. A needless write would have the
/// processor forget what it has translated of the page.
pub fn correct<T: Copy + PartialEq>(address: u64, value: T) -> bool {
    let differs = read::<T>(address) != value;
    if differs {
        write(address, value);
    }
    differs
}

pub fn out8(port: u16, value: u8) {
    // SAFETY: a port write changes no memory of Rust's.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

pub fn out16(port: u16, value: u16) {
    // SAFETY: as above.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) }
}

pub fn in8(port: u16) -> u8 {
    let value;
    // SAFETY: as above.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) }
    value
}

pub fn in32(port: u16) -> u32 {
    let value;
    // SAFETY: as above.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) }
    value
}

pub fn write_msr(msr: u32, value: u64) {
    // SAFETY: only values that are legal, of registers that Rust's code does not depend on.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
}

pub fn pause() {
    core::hint::spin_loop();
}

/// Forgets a translation.
pub fn invalidate(address: u64) {
    // SAFETY: changes nothing but the TLB.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) }
}

/// Sets CR8.
pub fn set_priority(class: u64) {
    // SAFETY: holds interrupts back, or lets them come, which the handlers are for.
    unsafe { asm!("mov cr8, {}", in(reg) class, options(nostack, preserves_flags)) }
}

/// Lets interrupts come for the time of one instruction, once.
pub fn open_window() {
    // SAFETY: the handlers return with all registers as they were.
    unsafe { asm!("sti", "nop", "nop", "cli", options(nostack)) }
}

/// Halts with interrupts on, until one has come.
pub fn halt_until_interrupt() {
    // SAFETY: as above; the interrupt of the watch comes in any case.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) }
}

/// Registers as each round begins with them, whatever the last has left. EFER and XCR0 are left alone.
pub struct Order {
    pub root: u64,
    pub gdt: u64,
    pub idt: u64,
    pub task: u16,
}

impl Order {
    /// Puts the processor in order.
    pub fn restore(&self) {
        let gdt = [0xffff_0000_0000_0000u64 | 0x1ff << 48, self.gdt];
        let idt = [0xfff << 48, self.idt];
        // SAFETY: the tables are there and map what runs now; nothing in Rust's code depends on what changes.
        unsafe {
            asm!(
                "xor eax, eax",
                "mov dr7, rax",
                "mov cr3, {root}",
                "mov eax, 0x80050033",
                "mov cr0, rax",
                "mov eax, 0x620",
                "mov cr4, rax",
                "lgdt [{gdt}]",
                "lidt [{idt}]",
                "push 0x08",
                "lea rax, [rip + 2f]",
                "push rax",
                "retfq",
                "2: mov eax, 0x10",
                "mov ss, eax",
                "xor eax, eax",
                "mov ds, eax",
                "mov es, eax",
                "mov fs, eax",
                "mov gs, eax",
                "lldt ax",
                "ltr {task:x}",
                "xor eax, eax",
                "mov cr8, rax",
                root = in(reg) self.root,
                gdt = in(reg) (&raw const gdt).cast::<u8>().wrapping_add(6),
                idt = in(reg) (&raw const idt).cast::<u8>().wrapping_add(6),
                task = in(reg) self.task,
                out("rax") _,
            );
        }
    }
}

/// No IDT and a fault: the machine's end, where nothing else is left.
pub fn triple_fault() -> ! {
    let nothing = [0u64; 2];
    // SAFETY: does not return.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &raw const nothing, options(noreturn)) }
}

//! The host's local APIC, in xAPIC or x2APIC mode (APM volume 2, chapter 16).
#![allow(unsafe_code, reason = "device registers in memory, and MSRs")]

use core::sync::atomic::{AtomicBool, Ordering};

use super::{cpuid, msr, time};
use crate::layout::{self, PAGE};

/// Vector of the timer.
pub const TIMER_VECTOR: u8 = 0xf0;
/// Vector of the IPI that makes another processor look at its run queue, or its vCPU come back.
pub const KICK_VECTOR: u8 = 0xf1;
/// Vector of the IPI that asks another processor to forget translations.
pub const FORGET_VECTOR: u8 = 0xf2;
/// Vector of spurious interrupts.
pub const SPURIOUS_VECTOR: u8 = 0xff;

/// Where the registers are in xAPIC mode, to be mapped at [`layout::LOCAL_APIC`].
pub const PHYSICAL: u64 = 0xfee0_0000;
/// Register numbers: xAPIC offset / 16.
const ID: u32 = 0x02;
const TASK_PRIORITY: u32 = 0x08;
const EOI: u32 = 0x0b;
const SPURIOUS: u32 = 0x0f;
const ICR_LOW: u32 = 0x30;
const ICR_HIGH: u32 = 0x31;
const LVT_TIMER: u32 = 0x32;
const INITIAL_COUNT: u32 = 0x38;
const CURRENT_COUNT: u32 = 0x39;
const DIVIDE: u32 = 0x3e;
const LVT_MASKED: u32 = 1 << 16;
/// Keeps interrupts of the vectors below 32 away: local APICs deliver 16 to 31 if somebody asks for them, and
/// they would look like exceptions, some of them without the error code that belongs to the frame.
const ABOVE_EXCEPTIONS: u32 = 0x10;

/// The platform has no local APIC for the kernel: nothing comes of what is written, and no interrupt comes.
pub const ABSENT: bool = cfg!(feature = "snp");

static X2APIC: AtomicBool = AtomicBool::new(false);

fn register_address(number: u32) -> *mut u32 {
    (layout::LOCAL_APIC + u64::from(number) * 16) as *mut u32
}

fn read(number: u32) -> u32 {
    if ABSENT {
        return 0;
    }
    if X2APIC.load(Ordering::Relaxed) {
        msr::read(msr::X2APIC + number) as u32
    } else {
        // SAFETY: the page is mapped uncached before `enable`, the first access, and the number is one of the
        // above.
        unsafe { register_address(number).read_volatile() }
    }
}

fn write(number: u32, value: u32) {
    if ABSENT {
        return;
    }
    if X2APIC.load(Ordering::Relaxed) {
        // SAFETY: APIC registers do not touch memory; the vectors written are ones the IDT handles.
        unsafe { msr::write(msr::X2APIC + number, u64::from(value)) }
    } else {
        // SAFETY: as in `read`.
        unsafe { register_address(number).write_volatile(value) }
    }
}

/// Chooses the mode; once, before the first [`enable`]. Returns whether registers have to be mapped for it.
pub fn choose_mode() -> bool {
    let has_x2apic = cpuid(1, 0).ecx & 1 << 21 != 0;
    X2APIC.store(has_x2apic, Ordering::Relaxed);
    !has_x2apic
}

/// Enables this processor's APIC, its timer masked.
pub fn enable() {
    let mode = if X2APIC.load(Ordering::Relaxed) { 3 << 10 } else { 1 << 11 };
    // The host may have put it elsewhere, over memory; the flag of the boot processor stays.
    let flags = msr::read(msr::APIC_BASE) & (PAGE - 1);
    // SAFETY: enables the APIC at the address that is mapped and never memory, in the mode chosen.
    unsafe { msr::write(msr::APIC_BASE, PHYSICAL | flags | mode) };
    write(TASK_PRIORITY, ABOVE_EXCEPTIONS);
    write(LVT_TIMER, LVT_MASKED);
    write(DIVIDE, 0b1011);
    // Last: bit 8 switches the APIC on, and the low vectors have to be kept away by then.
    write(SPURIOUS, 1 << 8 | u32::from(SPURIOUS_VECTOR));
}

/// This processor's APIC ID.
pub fn id() -> u32 {
    if X2APIC.load(Ordering::Relaxed) { read(ID) } else { read(ID) >> 24 }
}

/// Ends the interrupt in service.
pub fn end_of_interrupt() {
    write(EOI, 0);
}

/// Starts the timer counting down from its maximum, masked.
pub fn start_counting() {
    write(LVT_TIMER, LVT_MASKED);
    write(INITIAL_COUNT, u32::MAX);
}

/// How far it has counted since [`start_counting`].
pub fn counted() -> u32 {
    u32::MAX - read(CURRENT_COUNT)
}

/// Stops it.
pub fn stop_counting() {
    write(INITIAL_COUNT, 0);
}

/// Makes the timer interrupt once, at a TSC value (at once when it has passed).
pub fn arm_timer(deadline_tsc: u64) {
    let ticks = deadline_tsc.saturating_sub(time::now());
    write(LVT_TIMER, u32::from(TIMER_VECTOR));
    // Behind the vector: the timer counts from this write on, and one tick may be all there is.
    write(INITIAL_COUNT, time::apic_count(ticks));
}

fn send(apic_id: u32, command: u32) {
    // One write is the whole command, and there is no delivery status to wait for (Intel SDM volume 3,
    // 12.12.9).
    if X2APIC.load(Ordering::Relaxed) {
        // What was written before is to be seen by who is called, and this write to an MSR does not wait for
        // it by itself (Intel SDM volume 3, 12.12.3).
        // SAFETY: fences change nothing.
        unsafe { core::arch::asm!("mfence", "lfence", options(nostack, preserves_flags)) };
        // SAFETY: sends an interrupt to a processor of ours.
        unsafe { msr::write(msr::X2APIC + ICR_LOW, u64::from(apic_id) << 32 | u64::from(command)) };
        return;
    }
    // The low half sends, so it comes second (Intel SDM volume 3, 12.6.1). A command that is still on its way
    // must not be overwritten by the next one.
    write(ICR_HIGH, apic_id << 24);
    write(ICR_LOW, command);
    while read(ICR_LOW) & 1 << 12 != 0 {
        core::hint::spin_loop();
    }
}

/// Sends the kick IPI.
pub fn kick(apic_id: u32) {
    send(apic_id, 1 << 14 | u32::from(KICK_VECTOR));
}

/// Asks another processor to forget translations.
pub fn ask_to_forget(apic_id: u32) {
    send(apic_id, 1 << 14 | u32::from(FORGET_VECTOR));
}

/// Sends an NMI.
pub fn send_nmi(apic_id: u32) {
    send(apic_id, 0x0000_4400);
}

/// Starts a processor at a page below 1 MiB: INIT, then two start-up IPIs (MP specification, B.4).
pub fn start_processor(apic_id: u32, page: u8) {
    send(apic_id, 0x0000_4500);
    time::spin_us(10_000);
    for _ in 0..2 {
        send(apic_id, 0x0000_4600 | u32::from(page));
        time::spin_us(200);
    }
}

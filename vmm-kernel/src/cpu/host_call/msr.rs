//! Model-specific registers the kernel uses (APM volume 2, appendix A).
#![allow(unsafe_code, reason = "an MSR can change anything")]

use x86_64::registers::model_specific::Msr;

use super::calls;

/// Local APIC base and mode.
pub const APIC_BASE: u32 = 0x1b;
/// Commands to the branch predictors.
pub const PRED_CMD: u32 = 0x49;
/// Extended features.
pub const EFER: u32 = 0xc000_0080;
/// Selectors of SYSCALL and SYSRET.
pub const STAR: u32 = 0xc000_0081;
/// RIP of SYSCALL.
pub const LSTAR: u32 = 0xc000_0082;
/// RFLAGS cleared by SYSCALL.
pub const SFMASK: u32 = 0xc000_0084;
/// GS base in use.
pub const GS_BASE: u32 = 0xc000_0101;
/// GS base that SWAPGS exchanges.
pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
/// What RDTSCP and RDPID return besides the time.
pub const TSC_AUX: u32 = 0xc000_0103;
/// First MSR of the x2APIC.
pub const X2APIC: u32 = 0x800;

/// Reads an MSR that exists.
pub fn read(number: u32) -> u64 {
    if let Some(calls) = calls::get() {
        return (calls.read_msr)(number);
    }
    // SAFETY: reading has no side effect; the kernel only reads MSRs that the processor has.
    unsafe { Msr::new(number).read() }
}

/// Writes an MSR.
///
/// # Safety
/// The value must keep every invariant of the running kernel that the register is part of.
pub unsafe fn write(number: u32, value: u64) {
    if let Some(calls) = calls::get() {
        return (calls.write_msr)(number, value);
    }
    // SAFETY: the caller's promise.
    unsafe { Msr::new(number).write(value) }
}

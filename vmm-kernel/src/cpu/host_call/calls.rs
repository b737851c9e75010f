//! The calls to the host that a platform makes in the place of instructions, in a kernel for one whose host
//! does not see the kernel's registers: there each of the instructions is an exception.
#![allow(unsafe_code, reason = "a reference that is kept as a pointer")]

use core::sync::atomic::{AtomicPtr, Ordering};

/// What CPUID answers.
#[derive(Clone, Copy, Debug)]
pub struct Cpuid {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// What the platform gives. Each function ends the machine where the host does not do as it is asked.
#[derive(Debug)]
pub struct Calls {
    /// CPUID of a leaf and subleaf.
    pub cpuid: fn(u32, u32) -> Cpuid,
    /// RDMSR.
    pub read_msr: fn(u32) -> u64,
    /// WRMSR.
    pub write_msr: fn(u32, u64),
    /// IN of so many bytes.
    pub read_port: fn(u16, u8) -> u32,
    /// OUT of so many bytes.
    pub write_port: fn(u16, u8, u32),
}

static CALLS: AtomicPtr<Calls> = AtomicPtr::new(core::ptr::null_mut());

/// Sets them; at boot, before anything is asked of the host.
pub fn start(calls: &'static Calls) {
    CALLS.store(core::ptr::from_ref(calls).cast_mut(), Ordering::Release);
}

/// The calls, where there are any: never in a kernel whose instructions the host sees, which has no code for
/// them.
#[inline(always)]
pub(super) fn get() -> Option<&'static Calls> {
    if cfg!(not(feature = "snp")) {
        return None;
    }
    // SAFETY: null, or what was stored in `start`, which lives for ever and is never written.
    unsafe { CALLS.load(Ordering::Acquire).as_ref() }
}

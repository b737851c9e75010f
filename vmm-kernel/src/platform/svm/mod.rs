//! The SVM backend: nested virtualization on AMD processors (APM volume 2, chapter 15), which QEMU's TCG
//! emulates.
#![allow(unsafe_code, reason = "turns SVM on, and saves the processor's state where VMRUN wants it")]

pub mod enter;
pub mod exit;
#[cfg(not(target_os = "none"))]
pub mod fuzz_target;
#[cfg(not(target_os = "none"))]
pub mod host_pages;
pub mod nested;
pub mod permissions;
mod short_record;
pub mod short_way;
pub mod state;
pub mod tlb;
pub mod tlb_model;
mod tsc_aux;
pub mod vcpu;
pub mod vmcb;
pub mod window;

use core::arch::asm;

use vcpu_abi::boot::BootPage;

use crate::cpu::features::{Feature, Place};
use crate::cpu::interrupts::Frame;
use crate::cpu::{cpuid, msr, this_cpu};
use crate::memory::entry::Marks;
use crate::memory::host_map::Range;
use crate::memory::{MemoryError, frames};
use crate::sync::SpinLock;

/// What this backend needs of a processor.
pub const NEEDED: [Feature; 2] =
    [("SVM", Place::ExtendedC(2)), ("NPT (nested paging)", Place::OfBackendD(0x8000_000a, 0))];

/// MSR: lock and disable bits.
const VM_CR: u32 = 0xc001_0114;
/// MSR: where VMRUN saves the host's state.
const VM_HSAVE_PA: u32 = 0xc001_0117;
/// EFER.SVME.
pub const EFER_SVME: u64 = 1 << 12;
const VM_CR_SVMDIS: u64 = 1 << 4;

/// Why the platform cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// Firmware or host switched it off.
    Disabled,
    /// No memory for the backend's own pages.
    Memory(MemoryError),
}

impl core::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Disabled => write!(
                f,
                "the processor's SVM cannot be used: firmware or host has switched it off (VM_CR.SVMDIS)"
            ),
            Self::Memory(error) => write!(f, "SVM cannot be used: no memory for its own pages: {error:?}"),
        }
    }
}

/// The physical addresses of the I/O and MSR permission maps, shared by all guests.
static MAPS: SpinLock<Option<(u64, u64)>> = SpinLock::new(None);

/// The permission maps.
pub fn maps() -> Option<(u64, u64)> {
    *MAPS.lock()
}

/// Makes what all processors share; once, at boot, where the processor has what is [`NEEDED`].
pub fn start() -> Result<(), Unsupported> {
    // CPUID offers SVM even then; setting EFER.SVME would fault (APM volume 2, 15.4).
    if msr::read(VM_CR) & VM_CR_SVMDIS != 0 {
        return Err(Unsupported::Disabled);
    }
    tlb::start();
    tsc_aux::start();
    let (io, msr_map) = permissions::build().map_err(Unsupported::Memory)?;
    *MAPS.lock() = Some((io.start_address().as_u64(), msr_map.start_address().as_u64()));
    Ok(())
}

/// Intercepts of CR0 besides the selective one, which a processor applies to all of the register and QEMU's
/// emulation only to the lower half: there every write exits.
pub fn cr0_intercept() -> u32 {
    // "TCGTCGTCGTCG", by which QEMU's emulation names itself.
    const EMULATOR: [u32; 3] = [0x5447_4354, 0x4354_4743, 0x4743_5447];
    let leaf = cpuid(0x4000_0000, 0);
    if [leaf.ebx, leaf.ecx, leaf.edx] == EMULATOR { vmcb::intercept_cr::CR0_WRITE } else { 0 }
}

/// What an image for this backend says in `BootPage::platform`.
pub const IMAGE: u32 = vcpu_abi::boot::platform::NATIVE;

/// How page-table entries tell private pages from shared ones: the host sees all of them.
pub fn marks(_: &BootPage) -> Marks {
    Marks::NONE
}

/// The most processors that the kernel runs on.
pub const CPUS_MAX: usize = crate::layout::MAX_CPUS;

/// Whether the host's APICs and PIT serve the kernel.
pub const HAS_HOST_CLOCKS: bool = true;

/// What comes before anything is asked of the host: nothing.
///
/// # Errors
/// None.
pub fn begin(_: &BootPage) -> Result<(), Unsupported> {
    Ok(())
}

/// Makes memory usable that the host says is there, before it is used for the first time. All of it is.
///
/// # Errors
/// None.
pub fn accept_memory(_: Range) -> Result<(), Unsupported> {
    Ok(())
}

/// Asks the host to end the machine, in the platform's own way: there is none.
pub fn end_machine(_: u8) {}

/// Handles an exception by which the platform says that an instruction needs the host: there is none.
/// Returns whether the frame's instruction is done.
pub fn host_call(_: &mut Frame) -> bool {
    false
}

/// How fast the TSC counts, in Hz, if that is known without the host, whose PIT is measured else.
pub fn trusted_tsc_hz() -> Option<u64> {
    None
}

/// Turns SVM on, on this processor. Its segments and SYSCALL MSRs must be the final ones.
pub fn init_cpu() -> Result<(), MemoryError> {
    let cpu = this_cpu();
    let hsave = frames::allocate_zeroed()?.start_address().as_u64();
    let host = frames::allocate_zeroed()?.start_address().as_u64();
    // The entry code loads the processor's own FS, GS, TR and SYSCALL MSRs from there.
    cpu.entry.ready.of_processor.set(host);
    // SAFETY: both pages are ours for good; SVME only enables instructions.
    unsafe {
        msr::write(msr::EFER, msr::read(msr::EFER) | EFER_SVME);
        msr::write(VM_HSAVE_PA, hsave);
        asm!("vmsave rax", in("rax") host, options(nostack));
    }
    Ok(())
}

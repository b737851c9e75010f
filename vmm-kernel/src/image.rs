//! What the image says of the kernel that it starts.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use vcpu_abi::boot::BOOT_FLAG_NO_SHORTCUTS;
use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

static KERNEL_ROOT: AtomicU64 = AtomicU64::new(0);
static BOOT_FLAGS: AtomicU32 = AtomicU32::new(0);

/// Remembers what the image says; once, at boot.
pub fn start(kernel_root: PhysFrame, boot_flags: u32) {
    KERNEL_ROOT.store(kernel_root.start_address().as_u64(), Ordering::Relaxed);
    BOOT_FLAGS.store(boot_flags, Ordering::Relaxed);
}

/// The kernel's own page tables, with nothing in the lower half.
pub fn kernel_root() -> PhysFrame {
    PhysFrame::containing_address(PhysAddr::new(KERNEL_ROOT.load(Ordering::Relaxed)))
}

/// `BOOT_FLAG_*` of the image.
pub fn boot_flags() -> u32 {
    BOOT_FLAGS.load(Ordering::Relaxed)
}

/// Whether runs and operations may go a shorter way than the general one.
pub fn takes_shortcuts() -> bool {
    boot_flags() & BOOT_FLAG_NO_SHORTCUTS == 0
}

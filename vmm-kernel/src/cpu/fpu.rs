//! The FPU: whose registers are in the processor.
//!
//! Kernel and ordinary processes are soft-float, so a guest's registers stay in the processor across its
//! exits, and are saved only when another owner wants it. CR0.TS is set whenever neither an owner of the
//! FPU's own process nor the kernel's swap runs: a process that has not asked for the FPU faults on its first
//! FPU instruction instead of reading a guest's registers.
#![allow(unsafe_code, reason = "XSAVE, XRSTOR, XSETBV and CR0.TS")]

use core::arch::asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use vcpu_abi::run_page::{XSAVE_BYTES, xsave};
use vcpu_abi::xcr0;

use super::{PerCpu, cpuid, per_cpu, this_cpu, xsave_image};

/// Size of an XSAVE area: x87, SSE, AVX and what lies between (APM volume 2, 11.5).
pub const AREA_BYTES: usize = 4096;
/// Pages of a guest's area: one more, for copies of what its VMM wrote.
pub const FPU_PAGES: u64 = 2;
/// MXCSR after reset: no exception is delivered (APM volume 2, 14.1.3).
const RESET_MXCSR: u32 = 0x1f80;

/// A page that holds an owner's registers while another has the processor's.
pub struct FpuArea {
    address: u64,
    /// The page behind it, for a guest's: too large for a kernel stack.
    copy: Option<u64>,
    /// The processor that its owner runs on.
    cpu: u32,
    /// The registers were never loaded from here yet.
    fresh: Cell<bool>,
}

/// What the host's processor can save, of what a run page's area takes (CPUID leaf 0Dh).
pub fn supported_states() -> u64 {
    /// As CPUID said it when it was first asked, which takes a host long enough; 0 before.
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    if KNOWN.load(Ordering::Relaxed) == 0 {
        let states = xcr0::states_that_fit(|subleaf| {
            let leaf = cpuid(0xd, subleaf);
            [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]
        });
        KNOWN.store(states, Ordering::Relaxed);
    }
    KNOWN.load(Ordering::Relaxed)
}

fn get_xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a register; CR4.OSXSAVE is set.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nostack, nomem)) };
    u64::from(high) << 32 | u64::from(low)
}

fn set_xcr0(value: u64) {
    // SAFETY: the value is a subset of what CPUID offers, with x87 set: checked where it comes in.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack))
    };
}

fn save(area: u64) {
    // SAFETY: the area is a mapped page of the kernel's own, aligned, and large enough for the states in
    // XCR0.
    unsafe { asm!("xsave64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack)) };
}

fn restore(area: u64) {
    // SAFETY: the area was written by `save` and perhaps `xsave_image::merge`, or is the initial state.
    unsafe { asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack)) };
}

/// Where an area keeps its owner's XCR0: its last word, behind the largest XSAVE area.
fn xcr0_place(area: u64) -> *mut u64 {
    (area + AREA_BYTES as u64 - 8) as *mut u64
}

fn keep_xcr0(area: u64, value: u64) {
    // SAFETY: within the area's page.
    unsafe { xcr0_place(area).write(value) };
}

/// XCR0 of an owner that is not in the processor; a fresh one has x87 alone.
fn kept_xcr0(area: u64) -> u64 {
    // SAFETY: within the area's page.
    unsafe { xcr0_place(area).read() }.max(1)
}

/// Saves or restores all of a guest's registers, which are in the processor.
fn with_all_states<R>(work: impl FnOnce() -> R) -> R {
    let xcr0 = get_xcr0();
    set_task_switched(false);
    set_xcr0(supported_states());
    let result = work();
    set_xcr0(xcr0);
    set_task_switched(true);
    result
}

fn set_task_switched(on: bool) {
    use x86_64::registers::control::{Cr0, Cr0Flags};
    let mut flags = Cr0::read();
    flags.set(Cr0Flags::TASK_SWITCHED, on);
    // SAFETY: TS only decides whether FPU instructions fault.
    unsafe { Cr0::write(flags) };
    this_cpu().fpu.is_open.set(!on);
}

impl FpuArea {
    /// An area in a page, in the initial state.
    ///
    /// # Safety
    /// The page at `address` is mapped for ever and used for nothing else as long as the area lives.
    pub unsafe fn new(address: u64, cpu: u32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { (address as *mut [u8; AREA_BYTES]).write_bytes(0, 1) };
        // XRSTOR takes MXCSR from here even for a state that is initial (SDM volume 1, 13.8.1).
        // SAFETY: within the page.
        unsafe { ((address + xsave::MXCSR as u64) as *mut u32).write(RESET_MXCSR) };
        Self { address, copy: None, cpu, fresh: Cell::new(true) }
    }

    /// The same with a page behind it, so that [`Self::write`] may be called.
    ///
    /// # Safety
    /// As for [`Self::new`], for [`FPU_PAGES`] pages.
    pub unsafe fn with_copy(address: u64, cpu: u32) -> Self {
        // SAFETY: the caller's promise.
        let mut area = unsafe { Self::new(address, cpu) };
        area.copy = Some(address + AREA_BYTES as u64);
        area
    }

    /// Makes the processor's registers this owner's. Leaves CR0.TS clear.
    fn load(&self) {
        let owner = &this_cpu().fpu;
        set_task_switched(false);
        if owner.area() != self.address || self.fresh.get() {
            // Whose registers are in the processor may end just now on another one, and its page become
            // somebody else's.
            let _guard = owner.changing.lock();
            let before = get_xcr0();
            // XSAVE and XRSTOR pass over states that XCR0 leaves out: what an owner has switched off, and
            // filled before, would be there for the next one to switch on and read.
            set_xcr0(supported_states());
            if owner.area() != 0 && owner.area() != self.address {
                save(owner.area());
                keep_xcr0(owner.area(), before);
            }
            restore(self.address);
            set_xcr0(kept_xcr0(self.address));
            owner.area.store(self.address, Ordering::Relaxed);
            // The vCPU that may be entered at once has its registers here no more, and that way does not
            // look.
            this_cpu().entry.ready.forget();
            self.fresh.set(false);
        }
    }

    /// Makes the registers a guest's, before it runs: nothing to do when they are already.
    #[inline]
    pub fn load_for_guest(&self, cpu: &PerCpu) {
        if cpu.fpu.area() != self.address || self.fresh.get() {
            self.swap_for_guest();
        }
    }

    #[cold]
    fn swap_for_guest(&self) {
        // TS again at once: neither the kernel nor a VMM that has not asked for the FPU may touch what is the
        // guest's now.
        self.load();
        set_task_switched(true);
    }

    /// Sets XCR0 as the guest wants it. `false`: not a value the processor takes.
    pub fn set_guest_xcr0(&self, value: u64) -> bool {
        if !xcr0::is_valid(value, supported_states()) {
            return false;
        }
        self.load_for_guest(this_cpu());
        set_xcr0(value);
        true
    }

    /// Whether the registers in the processor are this owner's.
    fn is_loaded(&self) -> bool {
        this_cpu().fpu.area() == self.address && !self.fresh.get()
    }

    /// XCR0 as the owner has it. It is asked for, not remembered: not every emulated processor lets XSETBV
    /// exit.
    pub fn xcr0(&self) -> u64 {
        if self.is_loaded() { get_xcr0() } else { kept_xcr0(self.address) }
    }

    /// The registers, for the run page, in the standard form.
    pub fn words(&self) -> impl Iterator<Item = u64> {
        if self.is_loaded() {
            with_all_states(|| save(self.address));
        }
        let words = self.address as *const u64;
        // SAFETY: the page is the area's own and mapped, and only its vCPU's thread, which is here, reaches
        // it.
        (0..AREA_BYTES / 8).map(move |index| unsafe { words.add(index).read_volatile() })
    }

    /// Replaces the guest's registers by those of an area whose words a process wrote. `false`, with nothing
    /// changed: XRSTOR would refuse it, or this is no guest's area.
    pub fn write(&self, alleged: impl Iterator<Item = u64>) -> bool {
        let Some(copy) = self.copy else { return false };
        // Copied before it is looked at: the process may change its page at any time.
        for (index, word) in alleged.take(XSAVE_BYTES / 8).enumerate() {
            // SAFETY: within the page for copies, which is the area's own and mapped.
            unsafe { (copy as *mut u64).add(index).write(word) };
        }
        // SAFETY: as above; only its vCPU's thread, which is here, reaches it.
        let alleged = unsafe { &*(copy as *const [u8; XSAVE_BYTES]) };
        self.load_for_guest(this_cpu());
        with_all_states(|| {
            // First, so that the header is the processor's, and what the process may not load keeps its
            // value.
            save(self.address);
            // SAFETY: the page is the area's own and mapped, and only its vCPU's thread, which is here,
            // reaches it.
            let own = unsafe { core::slice::from_raw_parts_mut(self.address as *mut u8, AREA_BYTES) };
            let merged = xsave_image::merge(alleged, own, supported_states(), |state| cpuid(0xd, state));
            if merged.is_some() {
                restore(self.address);
            }
            merged.is_some()
        })
    }
}

impl Drop for FpuArea {
    fn drop(&mut self) {
        let Some(cpu) = per_cpu::of(self.cpu) else { return };
        let _guard = cpu.fpu.changing.lock();
        // Whose registers are still there is nobody now: they are not saved to a page that will be another's.
        let _ = cpu.fpu.area.compare_exchange(self.address, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A thread is about to run: gives it the FPU if its process asked for it, and keeps it from the FPU if not.
#[inline(always)]
pub fn switch_to(cpu: &PerCpu, area: &FpuArea, uses_fpu: bool) {
    if uses_fpu {
        area.load();
    } else if cpu.fpu.is_open.get() {
        close();
    }
}

#[cold]
fn close() {
    set_task_switched(true);
}

/// Prepares this processor: XSAVE on, nobody the owner.
pub fn enable() {
    use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
    let mut cr0 = Cr0::read();
    cr0.remove(Cr0Flags::EMULATE_COPROCESSOR);
    // With MP an FWAIT faults by TS as well; with NE an x87 error is #MF, and no interrupt of the board's.
    cr0.insert(Cr0Flags::MONITOR_COPROCESSOR | Cr0Flags::NUMERIC_ERROR);
    // SAFETY: enables instructions that nothing of the kernel's depends on.
    unsafe {
        Cr0::write(cr0);
        Cr4::write(Cr4::read() | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE | Cr4Flags::OSXSAVE);
    }
    set_task_switched(true);
}

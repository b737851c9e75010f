//! Where things are in the kernel's half of the address space, and how many of each there may be. All of it
//! is in one PML4 slot, shared by every process's tables; the image is in slot 511, the self-map in 510, the
//! boot page in 509.

/// The most processors Plinth runs on.
pub const MAX_CPUS: usize = 64;
/// The most VMs there are.
pub const VMS_MAX: usize = 4;
/// The most vCPUs there are.
pub const VCPUS_MAX: usize = 64;
/// The most functions of the host's PCI bus that are claimed.
pub const FUNCTIONS_MAX: usize = 8;

/// Size of a page.
pub const PAGE: u64 = 4096;
/// First address of the kernel's area: PML4 slot 508.
pub const KERNEL_AREA: u64 = 0xffff_fe00_0000_0000;
/// The host's local APIC.
pub const LOCAL_APIC: u64 = KERNEL_AREA + 0x1000_0000;
/// The host's I/O APIC.
pub const IO_APIC: u64 = KERNEL_AREA + 0x1000_1000;
/// The files of the RAM file system, read-only, one behind the other.
pub const FILES: u64 = KERNEL_AREA + 0x8000_0000;
/// End of what a process may map. The page below the non-canonical hole stays unmapped.
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;
/// Lowest address a process may map: null pointers fault.
pub const USER_START: u64 = 0x1_0000;
/// Top of a process's first stack.
pub const USER_STACK_TOP: u64 = 0x0000_7fff_fff0_0000;
/// Size of a process's first stack.
pub const USER_STACK_BYTES: u64 = 64 * 1024;
/// Where a process finds its start page.
pub const USER_START_PAGE: u64 = 0x0000_7fff_fff8_0000;

const CPU_AREA_BYTES: u64 = 0x10_0000;
const THREAD_STACKS: u64 = KERNEL_AREA + 0x2000_0000;
const THREAD_STRIDE: u64 = 0x1_0000;
/// Size of a thread's kernel stack.
pub const THREAD_STACK_BYTES: u64 = 0x4000;
const VCPU_AREAS: u64 = KERNEL_AREA + 0x4000_0000;
const VCPU_STRIDE: u64 = 0x8000;

/// The addresses of one processor's area. Between its parts are unmapped pages.
#[derive(Clone, Copy)]
pub struct CpuArea(u64);

impl CpuArea {
    /// The area of a processor.
    pub const fn of(number: u32) -> Self {
        Self(KERNEL_AREA + number as u64 * CPU_AREA_BYTES)
    }
    /// How deep temporary mappings may nest: tables within tables, and a copy between two frames.
    pub const TEMPORARY_PAGES: usize = 8;
    /// The pages for temporary mappings.
    pub const fn temporary(self) -> u64 {
        self.0
    }
    /// The per-CPU structure.
    pub const fn per_cpu(self) -> u64 {
        self.0 + 0x1_0000
    }
    /// Top of the idle (and boot) stack.
    pub const fn idle_stack_top(self) -> u64 {
        self.0 + 0x4_0000
    }
    /// Size of the idle stack.
    pub const IDLE_STACK_BYTES: u64 = 0x4000;
    /// Top of an interrupt stack.
    pub const fn ist_stack_top(self, index: usize) -> u64 {
        self.0 + 0x5_0000 + index as u64 * 0x1_0000
    }
    /// How many interrupt stacks there are.
    pub const IST_STACKS: usize = 6;
    /// Size of each interrupt stack.
    pub const IST_STACK_BYTES: u64 = 0x2000;
}

const _: () = assert!(0x5_0000 + CpuArea::IST_STACKS as u64 * 0x1_0000 <= CPU_AREA_BYTES);

/// Top of the kernel stack of a thread.
pub const fn thread_stack_top(slot: usize) -> u64 {
    THREAD_STACKS + (slot as u64 + 1) * THREAD_STRIDE
}

/// The pages of a vCPU: its backend's, run page, batch page; behind a gap its FPU registers and a page for
/// copies.
pub const fn vcpu_area(slot: usize) -> u64 {
    VCPU_AREAS + slot as u64 * VCPU_STRIDE
}

#[cfg(test)]
mod tests;

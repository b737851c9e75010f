//! Operations on guest memory, virtual machines and virtual processors.

macro_rules! guest_operations {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => { $next! { [$($rest)*] $($before)*
    /// A range of the guest's memory.
    MemoryRange(GuestMemory, 1, READ) {
        /// In: which, from 0; NotFound past the last.
        index: u64,
        /// Out: first byte.
        gpa: u64,
        /// Out: size in bytes.
        bytes: u64,
    }
    /// Maps guest memory into the calling process, readable and writable.
    MemoryMap(GuestMemory, 2, MAP) {
        /// In: where, page-aligned.
        address: u64,
        /// In: first byte, page-aligned; all of the range must be guest memory.
        gpa: u64,
        /// In: size, in whole pages.
        bytes: u64,
    }
    /// Makes a handle for a part of what this one is for, with the same rights.
    MemoryNarrow(GuestMemory, 3, GRANT) {
        /// In: first byte, page-aligned.
        gpa: u64,
        /// In: size, in whole pages.
        bytes: u64,
        /// Out: the new handle.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// Maps guest memory into the VM's nested tables, with its own address: all that a range says.
    VmMap(Vm, 1, MAP) {
        /// In: a guest memory handle of the caller's.
        memory: Handle,
        /// Zero.
        reserved: u32,
        /// In: first byte, page-aligned.
        gpa: u64,
        /// In: size, in whole pages.
        bytes: u64,
    }
    /// Gives the VM pages of its own, zeroed, at an address that is not guest memory (a ROM), and maps them
    /// in the calling process.
    VmAllocate(Vm, 2, MAP) {
        /// In: guest physical address, page-aligned.
        gpa: u64,
        /// In: size, in whole pages, at most 256 of them in all.
        bytes: u64,
        /// In: where in the caller, page-aligned.
        address: u64,
        /// In: 1 when the guest may write it.
        writable: u64,
    }
    /// Creates a vCPU and maps its run page and batch page in the calling process.
    VcpuCreate(Vm, 3, CREATE) {
        /// In: where the two pages go, page-aligned.
        address: u64,
        /// In: the processor that it runs on.
        cpu: u32,
        /// Out: the vCPU, with all rights.
        handle: Handle,
    }
    /// Takes memory out of the VM's nested tables, but for pages of its own: when it comes back, no vCPU
    /// reaches it any more.
    VmUnmap(Vm, 4, MAP) {
        /// In: first byte, page-aligned.
        gpa: u64,
        /// In: size, in whole pages.
        bytes: u64,
    }
    /// Says what the guest may do with a range that is mapped: when it comes back, no vCPU does otherwise.
    VmProtect(Vm, 5, MAP) {
        /// In: first byte, page-aligned.
        gpa: u64,
        /// In: size, in whole pages.
        bytes: u64,
        /// In: [`Permissions`].
        permissions: u32,
        /// Zero.
        reserved: u32,
    }
    /// Maps guest memory into the VM's nested tables at any guest physical address. The same memory may be
    /// mapped at several.
    VmMapAt(Vm, 6, MAP) {
        /// In: a guest memory handle of the caller's.
        memory: Handle,
        /// In: [`Permissions`], READ among them.
        permissions: u32,
        /// In: first byte of the memory, page-aligned.
        gpa: u64,
        /// In: size, in whole pages.
        bytes: u64,
        /// In: the guest physical address at which the guest finds it, page-aligned.
        at: u64,
    }
    /// Sets `pending_work` bits and makes the vCPU come back from its run, now or at its next start.
    VcpuKick(Vcpu, 1, SIGNAL) {
        /// In: bits to set.
        work: u32,
        /// Zero.
        reserved: u32,
    }
    /// Stores register groups in the run page: of a vCPU of the calling thread's processor that is not in a
    /// run.
    VcpuFetch(Vcpu, 2, READ) {
        /// In: [`Groups`](crate::registers::Groups).
        groups: u32,
        /// Zero.
        reserved: u32,
    }
    /// Runs the vCPU, as `SYS_RUN` without its batch. The last operation of a batch only.
    VcpuRun(Vcpu, 3, RUN) {
        /// Zero.
        reserved: u64,
    }
    /// Says which exceptions of the guest's are exits, instead of being delivered.
    VcpuIntercept(Vcpu, 4, WRITE) {
        /// In: a bit a vector, of [`INTERCEPTABLE`](crate::exit::INTERCEPTABLE).
        exceptions: u32,
        /// Zero.
        reserved: u32,
    }
    } };
}

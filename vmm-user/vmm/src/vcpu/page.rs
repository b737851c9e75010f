//! The run page and the batch page, as the VMM's side of them. The kernel writes them during a run; otherwise
//! they are the vCPU's thread's, but for `pending_work`.
#![allow(unsafe_code, reason = "pages that the kernel maps for us and writes")]

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use runtime::abi::exit::ExitRecord;
use runtime::abi::operation::{BATCH_MAX, Operation};
use runtime::abi::registers::{EventInjection, Groups, MsrRegisters, SegmentRegisters, SystemRegisters};
use runtime::abi::run_page::{PAGE_BYTES, RunPage, xsave};

/// The pages of one vCPU. There is one of these for each, and whoever has it has the pages: reading takes a
/// reference to it, writing an exclusive one, so that no two threads are at them.
#[derive(Debug)]
pub struct VcpuPages(NonNull<RunPage>);

// SAFETY: the pages are mapped for the life of the process, in all of its threads, and nothing else in it has
// a pointer to them. It is not `Sync`: the kernel writes them in a run, which another thread must not look
// at.
unsafe impl Send for VcpuPages {}

/// The same for reading, as a value: a look-up that takes it does not go through memory for each field.
#[derive(Clone, Copy, Debug)]
pub struct View<'a>(NonNull<RunPage>, PhantomData<&'a VcpuPages>);

macro_rules! fields {
    ($($get:ident $set:ident: $type:ty = $($field:ident).+;)*) => {
        impl View<'_> {
            $(
                #[doc = concat!("Reads `", stringify!($($field).+), "`.")]
                #[inline(always)]
                pub fn $get(self) -> $type {
                    // SAFETY: the page is mapped; the kernel writes it in a run only, in which nobody is
                    // here; every bit pattern is a value.
                    unsafe { (&raw const (*self.0.as_ptr()).$($field).+).read() }
                }
            )*
        }

        impl VcpuPages {
            $(
                #[doc = concat!("Reads `", stringify!($($field).+), "`.")]
                #[inline(always)]
                pub fn $get(&self) -> $type {
                    self.view().$get()
                }
                #[doc = concat!("Writes `", stringify!($($field).+), "`.")]
                #[inline(always)]
                pub fn $set(&mut self, value: $type) {
                    // SAFETY: the page is mapped, and ours alone while the vCPU does not run.
                    unsafe { (&raw mut (*self.0.as_ptr()).$($field).+).write(value) }
                }
            )*
        }
    };
}

fields! {
    batch_count set_batch_count: u32 = batch_count;
    activity set_activity: u32 = activity;
    deadline_tsc set_deadline_tsc: u64 = deadline_tsc;
    dirty set_dirty: u32 = dirty;
    deliver set_deliver: u32 = deliver;
    window set_window: u32 = window;
    cr8 set_cr8: u32 = cr8;
    nmi_return set_nmi_return: u32 = nmi_return;
    window_vector set_window_vector: u32 = window_vector;
    exit set_exit: ExitRecord = exit;
    reason set_reason: u32 = exit.reason;
    flags set_flags: u32 = exit.flags;
    raw_code set_raw_code: u64 = exit.raw_code;
    qualification set_qualification: u64 = exit.qualification;
    next_rip set_next_rip: u64 = exit.next_rip;
    gpa set_gpa: u64 = exit.gpa;
    exit_access set_exit_access: u32 = exit.access;
    exit_groups set_exit_groups: u32 = exit.groups;
    exit_cr8 set_exit_cr8: u8 = exit.cr8;
    exit_cpl set_exit_cpl: u8 = exit.cpl;
    interrupted_event set_interrupted_event: EventInjection = exit.interrupted_event;
    rip set_rip: u64 = general.rip;
    rflags set_rflags: u64 = general.rflags;
    gprs set_gprs: [u64; 16] = general.gpr;
    injection set_injection: EventInjection = injection;
    xcr0 set_xcr0: u64 = xcr0;
    system set_system: SystemRegisters = system;
    cr0 set_cr0: u64 = system.cr0;
    cr3 set_cr3: u64 = system.cr3;
    cr4 set_cr4: u64 = system.cr4;
    efer set_efer: u64 = system.efer;
    cs_attributes set_cs_attributes: u16 = system.cs.attributes;
    segments set_segments: SegmentRegisters = segments;
    msrs set_msrs: MsrRegisters = msrs;
}

impl View<'_> {
    /// Reads a general register; `index` is below 16.
    #[inline(always)]
    pub fn gpr(self, index: usize) -> u64 {
        // SAFETY: as for fields.
        unsafe { (&raw const (*self.0.as_ptr()).general.gpr[index & 15]).read() }
    }
}

impl VcpuPages {
    /// The pages at an address; `None` at 0.
    ///
    /// # Safety
    /// A vCPU's run page and its batch page behind it are mapped there, for good, and this is called once for
    /// them.
    pub unsafe fn new(address: u64) -> Option<Self> {
        NonNull::new(address as *mut RunPage).map(Self)
    }

    /// For reading, as a value.
    #[inline(always)]
    pub fn view(&self) -> View<'_> {
        View(self.0, PhantomData)
    }

    /// What RDMSR and WRMSR have in registers: ECX, and EDX:EAX.
    #[inline(always)]
    pub fn msr_operands(&self) -> (u32, u64) {
        let view = self.view();
        (view.gpr(1) as u32, view.gpr(0) & 0xffff_ffff | view.gpr(2) << 32)
    }

    /// Reads a general register; `index` is below 16.
    #[inline(always)]
    pub fn gpr(&self, index: usize) -> u64 {
        self.view().gpr(index)
    }

    /// Writes a general register.
    #[inline(always)]
    pub fn set_gpr(&mut self, index: usize, value: u64) {
        // SAFETY: as for fields.
        unsafe { (&raw mut (*self.0.as_ptr()).general.gpr[index & 15]).write(value) }
    }

    /// Writes a general register, and marks its group; `index` is below 16.
    #[inline(always)]
    pub fn change_gpr(&mut self, index: usize, value: u64) {
        let page = self.0.as_ptr();
        // SAFETY: as for fields.
        unsafe {
            (&raw mut (*page).general.gpr[index & 15]).write(value);
            (*page).dirty |= Groups::GENERAL.bits();
        }
    }

    /// Writes RIP, and marks its group.
    #[inline(always)]
    pub fn change_rip(&mut self, value: u64) {
        let page = self.0.as_ptr();
        // SAFETY: as for fields.
        unsafe {
            (&raw mut (*page).general.rip).write(value);
            (*page).dirty |= Groups::GENERAL.bits();
        }
    }

    /// Writes RAX, RBX, RCX and RDX.
    #[inline(always)]
    pub fn set_abcd(&mut self, [rax, rbx, rcx, rdx]: [u64; 4]) {
        // SAFETY: as for fields.
        unsafe {
            let gpr = (&raw mut (*self.0.as_ptr()).general.gpr).cast::<u64>();
            // In the order of their numbers in instructions: 0 RAX, 1 RCX, 2 RDX, 3 RBX.
            for (index, value) in [rax, rcx, rdx, rbx].into_iter().enumerate() {
                gpr.add(index).write(value);
            }
        }
    }

    /// Marks groups as changed.
    #[inline(always)]
    pub fn mark(&mut self, groups: Groups) {
        self.set_dirty(self.dirty() | groups.bits());
    }

    /// The groups that hold the guest's present state.
    #[inline(always)]
    pub fn valid(&self) -> Groups {
        Groups::from_bits_retain(self.exit_groups())
    }

    /// Takes the pending work.
    pub fn take_work(&mut self) -> u32 {
        // SAFETY: an atomic in a page that is mapped for good.
        unsafe { (*self.0.as_ptr()).pending_work.swap(0, Ordering::SeqCst) }
    }

    fn batch(&self) -> *mut Operation {
        // SAFETY: the batch page follows the run page.
        unsafe { self.0.as_ptr().byte_add(PAGE_BYTES) }.cast()
    }

    /// Writes an operation of the batch; `false` past the last.
    #[must_use]
    pub fn set_operation(&mut self, index: u32, operation: &Operation) -> bool {
        let fits = (index as usize) < BATCH_MAX;
        if fits {
            // SAFETY: within the batch page.
            unsafe { self.batch().add(index as usize).write_volatile(*operation) };
        }
        fits
    }

    /// Copies the first operations of the batch.
    pub fn operations(&self, count: u32) -> Vec<Operation> {
        let count = (count as usize).min(BATCH_MAX);
        // SAFETY: within the batch page.
        (0..count).map(|i| unsafe { self.batch().add(i).read_volatile() }).collect()
    }

    fn xsave<T>(&self, offset: usize) -> *mut T {
        // SAFETY: the area is within the page; no reference is made.
        unsafe { (&raw mut (*self.0.as_ptr()).xsave).byte_add(offset).cast() }
    }

    /// Reads an XMM register from the XSAVE area; `number` is below 16.
    pub fn xmm(&self, number: u8) -> u128 {
        // SAFETY: within the area, and aligned.
        let (states, value) = unsafe {
            let value = self.xsave::<u128>(xsave::XMM + 16 * usize::from(number & 15));
            (self.xsave::<u64>(xsave::XSTATE_BV).read_volatile(), value.read_volatile())
        };
        // In the initial state, what lies there means nothing.
        if states & xsave::SSE == 0 { 0 } else { value }
    }

    /// Whether the x87 state in the XSAVE area says that an error waits to be reported (FSW.ES).
    pub fn has_x87_error(&self) -> bool {
        const ERROR_SUMMARY: u16 = 1 << 7;
        // SAFETY: within the area, and aligned.
        let (states, status) = unsafe {
            let status = self.xsave::<u16>(xsave::STATUS_WORD).read_volatile();
            (self.xsave::<u64>(xsave::XSTATE_BV).read_volatile(), status)
        };
        states & xsave::X87 != 0 && status & ERROR_SUMMARY != 0
    }

    /// Reads an MMX register from the XSAVE area; `number` is below 8.
    pub fn mmx(&self, number: u8) -> u64 {
        // SAFETY: within the area, and aligned.
        let (states, value) = unsafe {
            let value = self.xsave::<u64>(xsave::X87_REGISTERS + 16 * usize::from(number & 7));
            (self.xsave::<u64>(xsave::XSTATE_BV).read_volatile(), value.read_volatile())
        };
        // In the initial state, what lies there means nothing.
        if states & xsave::X87 == 0 { 0 } else { value }
    }

    /// Writes an MMX register in the XSAVE area, as an MMX instruction does: `number` is below 8.
    pub fn set_mmx(&mut self, number: u8, value: u64) {
        const TOP: u16 = 7 << 11;
        // SAFETY: within the area, aligned, and the vCPU's thread's while it does not run.
        unsafe {
            let states = self.xsave::<u64>(xsave::XSTATE_BV);
            // The state is the initial one, whatever lies in the area: it must be there before a part is
            // changed.
            if states.read_volatile() & xsave::X87 == 0 {
                self.reset_x87();
                states.write_volatile(states.read_volatile() | xsave::X87);
            }
            let status = self.xsave::<u16>(xsave::STATUS_WORD);
            status.write_volatile(status.read_volatile() & !TOP);
            // Every register is valid.
            self.xsave::<u8>(xsave::TAGS).write_volatile(0xff);
            let register = self.xsave::<u64>(xsave::X87_REGISTERS + 16 * usize::from(number & 7));
            register.write_volatile(value);
            // Sign and exponent.
            register.add(1).write_volatile(0xffff);
        }
    }

    /// Writes the initial x87 state, as FNINIT leaves it.
    ///
    /// # Safety
    /// As for fields: the page is the vCPU's thread's.
    unsafe fn reset_x87(&mut self) {
        const CONTROL_WORD: u64 = 0x37f;
        // SAFETY: within the area, and aligned.
        unsafe {
            // Control, status, tags and opcode, and the instruction's and the operand's address; what
            // follows is MXCSR.
            self.xsave::<u64>(0).write_volatile(CONTROL_WORD);
            self.xsave::<u64>(8).write_volatile(0);
            self.xsave::<u64>(16).write_volatile(0);
            let registers = self.xsave::<u64>(xsave::X87_REGISTERS);
            (0..16).for_each(|word| registers.add(word).write_volatile(0));
        }
    }

    /// Writes an XMM register in the XSAVE area; `number` is below 16. What is above it of a wider register
    /// stays.
    pub fn set_xmm(&mut self, number: u8, value: u128) {
        // SAFETY: within the area, aligned, and the vCPU's thread's while it does not run.
        unsafe {
            let (states, registers) = (self.xsave::<u64>(xsave::XSTATE_BV), self.xsave::<u128>(xsave::XMM));
            // All of them are in the initial state, whatever lies in the area: what is not written must
            // become zero.
            if states.read_volatile() & xsave::SSE == 0 {
                (0..16).for_each(|number| registers.add(number).write_volatile(0));
                states.write_volatile(states.read_volatile() | xsave::SSE);
            }
            registers.add(usize::from(number & 15)).write_volatile(value);
        }
    }
}

#[cfg(test)]
pub mod fake;
#[cfg(test)]
mod tests;

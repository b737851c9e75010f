//! GDT and TSS of one processor, and the selectors (APM volume 2, chapters 4 and 12).
#![allow(unsafe_code, reason = "loading descriptor tables changes what every address and interrupt means")]

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::segmentation::SegmentSelector;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use crate::layout::CpuArea;

/// Kernel code.
pub const KERNEL_CODE: u16 = 0x08;
/// Kernel data.
pub const KERNEL_DATA: u16 = 0x10;
/// User data, with RPL 3. SYSRET wants it below user code.
pub const USER_DATA: u16 = 0x18 | 3;
/// User code, with RPL 3.
pub const USER_CODE: u16 = 0x20 | 3;

/// Stacks of the interrupt stack table, as indices below [`CpuArea::IST_STACKS`].
pub mod ist {
    /// Double fault.
    pub const DOUBLE_FAULT: usize = 0;
    /// Non-maskable interrupt.
    pub const NMI: usize = 1;
    /// Machine check.
    pub const MACHINE_CHECK: usize = 2;
    /// Debug exception.
    pub const DEBUG: usize = 3;
    /// #HV: the host has an event for the kernel.
    pub const HOST_EVENT: usize = 4;
    /// #VC: an instruction of the kernel's needs the host.
    pub const HOST_CALL: usize = 5;
}

/// One processor's tables.
pub struct Descriptors {
    gdt: GlobalDescriptorTable<8>,
    tss: TaskStateSegment,
}

impl Descriptors {
    /// Empty tables.
    pub const fn new() -> Self {
        Self { gdt: GlobalDescriptorTable::empty(), tss: TaskStateSegment::new() }
    }
    /// Fills and loads them, on their processor, whose stacks are mapped.
    ///
    /// # Safety
    /// The tables stay where they are for ever.
    pub unsafe fn load(&'static mut self, area: CpuArea) {
        for index in 0..CpuArea::IST_STACKS {
            self.tss.interrupt_stack_table[index] = VirtAddr::new(area.ist_stack_top(index));
        }
        // Behind the segment's end: no port is a process's by the TSS, and RFLAGS.IOPL is 0.
        self.tss.iomap_base = size_of::<TaskStateSegment>() as u16;
        self.gdt.append(Descriptor::kernel_code_segment());
        self.gdt.append(Descriptor::kernel_data_segment());
        self.gdt.append(Descriptor::user_data_segment());
        self.gdt.append(Descriptor::user_code_segment());
        // SAFETY: the caller's promise.
        let tss = unsafe { Descriptor::tss_segment_unchecked(&raw const self.tss) };
        let tss_selector = self.gdt.append(tss);
        // SAFETY: the descriptors are those of a flat 64-bit kernel at the selectors given; GS keeps its
        // base, as it is not reloaded.
        unsafe {
            self.gdt.load_unsafe();
            CS::set_reg(SegmentSelector(KERNEL_CODE));
            SS::set_reg(SegmentSelector(KERNEL_DATA));
            DS::set_reg(SegmentSelector(0));
            ES::set_reg(SegmentSelector(0));
            FS::set_reg(SegmentSelector(0));
            load_tss(tss_selector);
        }
    }

    /// Sets the stack that interrupts from user mode use.
    #[inline(always)]
    pub fn set_kernel_stack(&mut self, top: VirtAddr) {
        self.tss.privilege_stack_table[0] = top;
    }
}

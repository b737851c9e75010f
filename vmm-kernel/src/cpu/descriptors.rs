//! GDT and TSS of one processor, and the selectors (APM volume 2, chapters 4 and 12).
#![allow(unsafe_code, reason = "loading descriptor tables changes what every address and interrupt means")]

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::segmentation::SegmentSelector;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use super::this_cpu;
use crate::memory::layout::CpuArea;

/// Kernel code.
pub const KERNEL_CODE: u16 = 0x08;
/// Kernel data.
pub const KERNEL_DATA: u16 = 0x10;
/// User data, with RPL 3. SYSRET wants it below user code.
pub const USER_DATA: u16 = 0x18 | 3;
/// User code, with RPL 3.
pub const USER_CODE: u16 = 0x20 | 3;

/// Stacks of the interrupt stack table, as indices.
pub mod ist {
    /// Double fault.
    pub const DOUBLE_FAULT: usize = 0;
    /// Non-maskable interrupt.
    pub const NMI: usize = 1;
    /// Machine check.
    pub const MACHINE_CHECK: usize = 2;
    /// Debug exception.
    pub const DEBUG: usize = 3;
    /// How many there are.
    pub const COUNT: usize = 4;
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
}

/// Fills and loads this processor's tables. Its per-CPU area must be installed and its stacks mapped.
pub fn load(area: CpuArea) {
    let cpu = this_cpu();
    // SAFETY: only this processor touches its descriptors, and only here and in `set_kernel_stack`, which do not nest.
    let tables: &'static mut Descriptors = unsafe { &mut *cpu.descriptors.get() };
    for index in 0..ist::COUNT {
        tables.tss.interrupt_stack_table[index] = VirtAddr::new(area.ist_stack_top(index));
    }
    tables.tss.iomap_base = size_of::<TaskStateSegment>() as u16;
    tables.gdt.append(Descriptor::kernel_code_segment());
    tables.gdt.append(Descriptor::kernel_data_segment());
    tables.gdt.append(Descriptor::user_data_segment());
    tables.gdt.append(Descriptor::user_code_segment());
    // SAFETY: the tables lie in the per-CPU area, which lives for ever.
    let tss = unsafe { Descriptor::tss_segment_unchecked(&raw const tables.tss) };
    let tss_selector = tables.gdt.append(tss);
    // SAFETY: the descriptors are those of a flat 64-bit kernel at the selectors given; GS keeps its base, as it is not reloaded.
    unsafe {
        tables.gdt.load_unsafe();
        CS::set_reg(SegmentSelector(KERNEL_CODE));
        SS::set_reg(SegmentSelector(KERNEL_DATA));
        DS::set_reg(SegmentSelector(0));
        ES::set_reg(SegmentSelector(0));
        FS::set_reg(SegmentSelector(0));
        load_tss(tss_selector);
    }
}

/// Sets the stack that interrupts and system calls from user mode use.
///
/// # Safety
/// `top` is that of a stack of the thread that is about to run, mapped for ever.
pub unsafe fn set_kernel_stack(top: u64) {
    let cpu = this_cpu();
    cpu.entry.kernel_stack.set(top);
    // SAFETY: as in `load`; the processor reads the field at the next interrupt from user mode.
    unsafe { (*cpu.descriptors.get()).tss.privilege_stack_table[0] = VirtAddr::new(top) };
}

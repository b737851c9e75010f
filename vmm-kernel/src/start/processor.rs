//! What each processor needs before it runs the kernel: memory of its own, and its registers.
#![allow(unsafe_code, reason = "control registers, and stacks")]

use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::structures::paging::PhysFrame;

use crate::checks;
use crate::checks::stacks::{self, Kind};
use crate::cpu::{cpuid, fpu, interrupts, msr, per_cpu, speculation, syscall_entry};
use crate::layout::{CpuArea, PAGE};
use crate::memory::{MemoryError, self_map};
use crate::task::scheduler;

/// Maps the area of a processor: temporary pages, per-CPU structure, stacks.
pub fn prepare(number: u32) -> Result<(), MemoryError> {
    let area = CpuArea::of(number);
    self_map::prepare_temporary(area.temporary())?;
    let per_cpu_bytes = (size_of::<per_cpu::PerCpu>() as u64).next_multiple_of(PAGE);
    self_map::map_new(area.per_cpu(), per_cpu_bytes)?;
    map_stack(Kind::Idle, area.idle_stack_top(), CpuArea::IDLE_STACK_BYTES)?;
    (0..CpuArea::IST_STACKS)
        .try_for_each(|index| map_stack(Kind::Interrupt, area.ist_stack_top(index), CpuArea::IST_STACK_BYTES))
}

fn map_stack(kind: Kind, top: u64, bytes: u64) -> Result<(), MemoryError> {
    self_map::map_new(top - bytes, bytes)?;
    // SAFETY: just mapped, and its processor does not run yet, or is on the image's boot stack.
    unsafe { stacks::paint(kind, top - bytes, bytes) };
    Ok(())
}

/// Makes the processor the kernel's: per-CPU area, descriptors, interrupts, system calls, protections.
pub fn enter(number: u32, space: PhysFrame) {
    let area = CpuArea::of(number);
    // SAFETY: `prepare` mapped the area for this processor alone.
    unsafe { per_cpu::install(area.per_cpu() as *mut per_cpu::PerCpu, number, initial_apic_id(), space) };
    checks::tlb::root_loaded(space, checks::tlb::root_loads());
    // SAFETY: this processor has just got its area.
    unsafe { scheduler::start_cpu() };
    per_cpu::publish();
    per_cpu::load_descriptors(area);
    interrupts::load();
    // SAFETY: the kernel is mapped W^X, uses no user memory outside `user_copy`, and relies on none of what
    // this forbids.
    unsafe {
        // Without WP the kernel would write through read-only pages, its own code and the RAM file system
        // among them.
        Cr0::write(Cr0::read() | Cr0Flags::WRITE_PROTECT);
        Cr4::write(
            Cr4::read()
                | Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION
                | Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION
                | Cr4Flags::PAGE_GLOBAL
                // Without it a machine check is a shutdown, which nobody can say a word about.
                | Cr4Flags::MACHINE_CHECK_EXCEPTION,
        );
        // NXE: without it the bit that forbids execution is a reserved one in every entry that has it.
        msr::write(msr::EFER, msr::read(msr::EFER) | 1 << 11);
    }
    fpu::enable();
    speculation::enable();
    syscall_entry::enable();
}

/// The local APIC's ID at reset (CPUID leaf 1), before the APIC is mapped.
fn initial_apic_id() -> u32 {
    cpuid(1, 0).ebx >> 24
}

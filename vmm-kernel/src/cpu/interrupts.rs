//! The IDT and the way into the kernel on exceptions and interrupts.
//!
//! Every vector has a stub that pushes its number; a common tail saves the registers and calls `handle_trap`
//! of the [`trap`](crate::trap) module, which decides what the vector means, by its name alone: this file
//! knows nothing of what stands above. NMI, machine check, double fault and debug exceptions may come at any
//! instruction, between SYSCALL and SWAPGS too, and so may #HV and #VC where the host must not see the
//! kernel's registers: they have stacks of their own (IST), look at the GS base itself, not at the
//! interrupted CPL, to see whose it is, and call `handle_paranoid_trap`.
#![allow(unsafe_code, reason = "the entry code, and the table that leads to it")]

use core::arch::global_asm;
use core::cell::UnsafeCell;

use x86_64::VirtAddr;
use x86_64::structures::idt::{EntryOptions, InterruptDescriptorTable};

use super::descriptors::ist;

/// The registers of what was interrupted, as the entry code pushes them.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    /// RAX, RCX, RDX, RBX, RBP, RSI, RDI, R8 to R15.
    pub gpr: [u64; 15],
    /// The vector.
    pub vector: u64,
    /// The error code, or zero.
    pub error_code: u64,
    /// RIP.
    pub rip: u64,
    /// CS.
    pub cs: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// RSP.
    pub rsp: u64,
    /// SS.
    pub ss: u64,
}

impl Frame {
    /// Whether user mode was interrupted.
    pub const fn is_user(&self) -> bool {
        self.cs & 3 == 3
    }
}

global_asm!(
    r#"
    .pushsection .text.interrupts, "ax"
    .balign 16
interrupt_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .set of_guests, vector == 29 || vector == 30
    // For these the processor pushes an error code (APM volume 2, 8.2). The others get a zero, so that all
    // frames are alike.
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || of_guests
    .else
        push 0
    .endif
    push vector
    .set anywhere, vector == 1 || vector == 2 || vector == 8 || vector == 18 || vector == 28 || vector == 29
    .if anywhere
        jmp interrupt_paranoid
    .else
        jmp interrupt_common
    .endif
    .set vector, vector + 1
    .endr

.macro save_registers
    push r15
    push r14
    push r13
    push r12
    push r11
    push r10
    push r9
    push r8
    push rdi
    push rsi
    push rbp
    push rbx
    push rdx
    push rcx
    push rax
    // An exception or interrupt leaves both flags as they were: Rust wants DF clear, a process sets it as it
    // likes, and a fault within a copy comes with SMAP open.
    cld
    clac
.endm
.macro restore_registers
    pop rax
    pop rcx
    pop rdx
    pop rbx
    pop rbp
    pop rsi
    pop rdi
    pop r8
    pop r9
    pop r10
    pop r11
    pop r12
    pop r13
    pop r14
    pop r15
    add rsp, 16
.endm

    .balign 16
interrupt_common:
    test byte ptr [rsp + 24], 3
    jz 1f
    swapgs
    lfence
1:  save_registers
    mov rdi, rsp
    call handle_trap
    restore_registers
    test byte ptr [rsp + 8], 3
    jz 1f
    swapgs
1:  iretq

    .balign 16
interrupt_paranoid:
    save_registers
    // The interrupted CPL does not tell whose GS is loaded: between SYSCALL and SWAPGS it is 0, and GS the
    // process's. The base does: the kernel's is in the upper half.
    mov ecx, 0xc0000101
    rdmsr
    xor ebx, ebx
    test edx, edx
    js 1f
    swapgs
    lfence
    mov ebx, 1
1:  mov rdi, rsp
    call handle_paranoid_trap
    test ebx, ebx
    jz 1f
    swapgs
1:  restore_registers
    iretq
    .popsection
    "#
);

unsafe extern "C" {
    #[link_name = "interrupt_stubs"]
    static STUBS: [[u8; 16]; 256];
}

struct Idt(UnsafeCell<InterruptDescriptorTable>);
// SAFETY: written once by the first processor before it is loaded, only read by the processors afterwards.
unsafe impl Sync for Idt {}

static IDT: Idt = Idt(UnsafeCell::new(InterruptDescriptorTable::new()));

/// Fills the IDT; by the first processor, when the stacks are mapped.
pub fn build() {
    fill(true);
}

/// The same before there are stacks: every exception comes on the one in use. By the first processor, where
/// the platform may raise some before the kernel has its own.
pub fn build_without_stacks() {
    fill(false);
}

/// A stack of its own for a vector, where there are some.
fn on_stack(options: &mut EntryOptions, index: usize, has_stacks: bool) {
    if has_stacks {
        // SAFETY: the IST stacks are mapped before the table is loaded.
        unsafe { options.set_stack_index(index as u16) };
    }
}

fn fill(has_stacks: bool) {
    // SAFETY: nobody else uses the table yet.
    let idt = unsafe { &mut *IDT.0.get() };
    // SAFETY: the address of the stubs is taken, not their contents.
    let stub = |vector: usize| VirtAddr::from_ptr(unsafe { &raw const STUBS[vector] });
    // SAFETY: each stub is an interrupt handler that follows the frame its vector pushes; the IST stacks are
    // mapped before the table is loaded.
    unsafe {
        idt.divide_error.set_handler_addr(stub(0));
        // A stack of its own for each that may come at any instruction: behind SYSCALL, RSP is still the
        // process's.
        on_stack(idt.debug.set_handler_addr(stub(1)), ist::DEBUG, has_stacks);
        on_stack(idt.non_maskable_interrupt.set_handler_addr(stub(2)), ist::NMI, has_stacks);
        idt.breakpoint.set_handler_addr(stub(3));
        idt.overflow.set_handler_addr(stub(4));
        idt.bound_range_exceeded.set_handler_addr(stub(5));
        idt.invalid_opcode.set_handler_addr(stub(6));
        idt.device_not_available.set_handler_addr(stub(7));
        on_stack(idt.double_fault.set_handler_addr(stub(8)), ist::DOUBLE_FAULT, has_stacks);
        idt.invalid_tss.set_handler_addr(stub(10));
        idt.segment_not_present.set_handler_addr(stub(11));
        idt.stack_segment_fault.set_handler_addr(stub(12));
        idt.general_protection_fault.set_handler_addr(stub(13));
        idt.page_fault.set_handler_addr(stub(14));
        idt.x87_floating_point.set_handler_addr(stub(16));
        idt.alignment_check.set_handler_addr(stub(17));
        on_stack(idt.machine_check.set_handler_addr(stub(18)), ist::MACHINE_CHECK, has_stacks);
        idt.simd_floating_point.set_handler_addr(stub(19));
        idt.virtualization.set_handler_addr(stub(20));
        idt.cp_protection_exception.set_handler_addr(stub(21));
        on_stack(idt.hv_injection_exception.set_handler_addr(stub(28)), ist::HOST_EVENT, has_stacks);
        on_stack(idt.vmm_communication_exception.set_handler_addr(stub(29)), ist::HOST_CALL, has_stacks);
        idt.security_exception.set_handler_addr(stub(30));
        for vector in 32..=255u8 {
            idt[vector].set_handler_addr(stub(usize::from(vector)));
        }
    }
}

/// Loads the IDT on this processor.
pub fn load() {
    // SAFETY: the table is static and complete: `build` has run.
    unsafe { (*IDT.0.get()).load_unsafe() };
}

//! The way into the guest and out again: VMRUN and what must be around it.
//!
//! Guest general registers go straight from the run page into the processor and back; RAX, RSP, RIP and RFLAGS are the VMCB's.
//! VMSAVE and VMLOAD exchange what VMRUN leaves alone (FS, GS, TR, LDTR, SYSCALL and SYSENTER MSRs): the kernel needs its own GS
//! and SYSCALL MSRs before the next exit can be handled in user mode, so every exit pays for both.
//!
//! Interrupts: IF is clear from before the last look at pending work, so that a kick's interrupt waits; GIF is cleared before IF is
//! set, and VMRUN sets it: the interrupt then stops the guest at once. IF is set for VMRUN, because with
//! V_INTR_MASKING the host's IF decides whether a host interrupt stops the guest (APM volume 2, 15.21.1).
#![allow(unsafe_code, reason = "VMRUN")]

use core::arch::asm;
use core::mem::offset_of;

use vcpu_abi::run_page::RunPage;

const GENERAL: usize = offset_of!(RunPage, general);

/// Enters the guest and comes back with its next exit.
///
/// It is inlined: the caller's registers are all lost, so that it saves what it still needs itself, once, and nothing is saved twice.
///
/// # Safety
/// `run_page` is mapped and the vCPU's; `vmcb` is the physical address of a VMCB of ours, `host` that of the page in which this
/// processor's state was saved by VMSAVE. GIF is set and IF is clear; both are again afterwards.
#[inline(always)]
pub unsafe fn enter(run_page: *const RunPage, vmcb: u64, host: u64) {
    // SAFETY: all registers are named as lost, but RBX and RBP, which are saved here; RSP is restored by the exit.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "push rdx",
            "push rdi",
            "mov rcx, [rdi + {g} + 8]",
            "mov rdx, [rdi + {g} + 16]",
            "mov rbx, [rdi + {g} + 24]",
            "mov rbp, [rdi + {g} + 40]",
            "mov rsi, [rdi + {g} + 48]",
            "mov r8, [rdi + {g} + 64]",
            "mov r9, [rdi + {g} + 72]",
            "mov r10, [rdi + {g} + 80]",
            "mov r11, [rdi + {g} + 88]",
            "mov r12, [rdi + {g} + 96]",
            "mov r13, [rdi + {g} + 104]",
            "mov r14, [rdi + {g} + 112]",
            "mov r15, [rdi + {g} + 120]",
            "mov rdi, [rdi + {g} + 56]",
            "clgi",
            "sti",
            "vmload rax",
            "vmrun rax",
            "vmsave rax",
            "cli",
            // GIF is clear: nothing uses the stack below RSP.
            "mov [rsp - 8], rdi",
            "mov rdi, [rsp]",
            "mov [rdi + {g} + 8], rcx",
            "mov [rdi + {g} + 16], rdx",
            "mov [rdi + {g} + 24], rbx",
            "mov [rdi + {g} + 40], rbp",
            "mov [rdi + {g} + 48], rsi",
            "mov [rdi + {g} + 64], r8",
            "mov [rdi + {g} + 72], r9",
            "mov [rdi + {g} + 80], r10",
            "mov [rdi + {g} + 88], r11",
            "mov [rdi + {g} + 96], r12",
            "mov [rdi + {g} + 104], r13",
            "mov [rdi + {g} + 112], r14",
            "mov [rdi + {g} + 120], r15",
            "mov rcx, [rsp - 8]",
            "mov [rdi + {g} + 56], rcx",
            "mov rax, [rsp + 8]",
            "vmload rax",
            "stgi",
            "add rsp, 16",
            "pop rbx",
            "pop rbp",
            g = const GENERAL,
            inout("rdi") run_page => _,
            inout("rax") vmcb => _,
            inout("rdx") host => _,
            out("rcx") _, out("rsi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
    }
}

/// Lets host interrupts that are pending be taken, here and now.
pub fn take_interrupts() {
    // SAFETY: the handlers keep every register; one instruction behind STI interrupts are recognised.
    unsafe { asm!("sti", "nop", "cli", options(nostack)) };
}

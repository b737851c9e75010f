//! SYSCALL: the way in and out for a process (APM volume 2, 6.1.1).
//!
//! What a system call means is decided above: `syscall_dispatch` and `words_dispatch` of the
//! [`abi`](crate::abi) module are called by their names alone, as is the platform's entry code for `SYS_RUN`.
//! Rust keeps RBX, RBP and R12-R15 by its calling convention; the rest is cleared on the way out, so that
//! nothing of the kernel's leaks. RIP, RFLAGS and RSP of the user lie on the thread's kernel stack meanwhile.
//! SYSRET is safe: the address behind a SYSCALL is below the end of user space, whose last page is never
//! mapped, so RCX is canonical.
#![allow(unsafe_code, reason = "the entry code, and the MSRs that lead to it")]

use core::arch::global_asm;

use super::descriptors::{KERNEL_CODE, KERNEL_DATA};
use super::{msr, speculation};

global_asm!(
    r#"
    .macro syscall_entry_to run
    swapgs
    // Nothing may be pushed before: RSP is what the process likes. NMI and the like have stacks of their own.
    mov gs:[0], rsp
    mov rsp, gs:[8]
    // First: it is the way of every exit. One comparison serves the messages in registers as well, whose
    // numbers are higher.
    cmp rax, {sys_run}
    je \run
    ja 3f
2:  push qword ptr gs:[0]
    push rcx
    push r11
    sub rsp, 8
    mov rcx, rax
    call syscall_dispatch
    add rsp, 8
    pop r11
    pop rcx
    xor edi, edi
    xor esi, esi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    pop rsp
    swapgs
    sysretq

    // A message in registers: they lie on the stack for Rust, with one for what RSI will be. The stack is
    // aligned at the call by all eight.
3:  cmp rax, {sys_call_words}
    jb 2b
    push qword ptr gs:[0]
    push rcx
    push r11
    push 0
    push r12
    push r10
    push r9
    push r8
    mov rcx, rsp
    mov r8, rax
    call words_dispatch
    pop r8
    pop r9
    pop r10
    pop r12
    pop rsi
    pop r11
    pop rcx
    xor edi, edi
    pop rsp
    swapgs
    sysretq
    .endm

    .pushsection .text.syscall, "ax"
    .balign 64
syscall_entry:
    syscall_entry_to sys_run_entry
    .balign 64
syscall_entry_guarded:
    syscall_entry_to sys_run_entry_guarded
    .popsection
    "#,
    sys_run = const vcpu_abi::syscall::SYS_RUN,
    sys_call_words = const vcpu_abi::syscall::SYS_CALL_WORDS,
);

unsafe extern "C" {
    fn syscall_entry();
    fn syscall_entry_guarded();
}

/// RFLAGS with which user mode begins: interrupts are on.
pub const USER_FLAGS: u64 = 0x202;

/// RFLAGS cleared on entry: TF, IF, DF, NT, AC.
// A process sets them as it likes. TF would trap in the kernel, DF turn its copies round, NT have IRET fault,
// and AC open SMAP.
const FLAGS_CLEARED: u64 = 1 << 8 | 1 << 9 | 1 << 10 | 1 << 14 | 1 << 18;

/// Makes SYSCALL lead here, on this processor.
pub fn enable() {
    let entry: unsafe extern "C" fn() =
        if speculation::is_guarded() { syscall_entry_guarded } else { syscall_entry };
    let selectors = u64::from(KERNEL_DATA) << 48 | u64::from(KERNEL_CODE) << 32;
    // SAFETY: the entry code is above; the selectors are in the order SYSCALL and SYSRET want.
    unsafe {
        msr::write(msr::STAR, selectors);
        msr::write(msr::LSTAR, entry as *const () as u64);
        msr::write(msr::SFMASK, FLAGS_CLEARED);
        msr::write(msr::EFER, msr::read(msr::EFER) | 1);
    }
}

//! The entry code of `SYS_RUN`. There is no vCPU to enter, so every run goes the general way, which finds
//! none.
#![allow(unsafe_code, reason = "the entry code")]

use core::arch::global_asm;

use crate::cpu::syscall_entry::USER_FLAGS;

global_asm!(
    r#"
    // RDI is the handle, RCX and R11 are as SYSCALL left them, RSP is the thread's kernel stack. The user's
    // RSP goes there: another thread may run meanwhile.
    .pushsection .text.syscall, "ax"
    .balign 64
    .globl sys_run_entry
    .globl sys_run_entry_guarded
sys_run_entry:
sys_run_entry_guarded:
    push rcx
    push qword ptr gs:[0]
    call sys_run
    pop qword ptr gs:[0]
    pop rcx
    mov r11d, {user_flags}
    // Rust leaves these as it used them: nothing of the kernel's is the process's to see.
    xor edi, edi
    xor esi, esi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    mov rsp, gs:[0]
    swapgs
    sysretq
    .popsection
    "#,
    user_flags = const USER_FLAGS,
);

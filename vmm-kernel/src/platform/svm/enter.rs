//! The way into the guest and out again: VMRUN, what must be around it, and the entry that needs nothing
//! else.
//!
//! Guest general registers go straight from the run page into the processor and back; RAX, RSP, RIP and
//! RFLAGS are the VMCB's. VMSAVE and VMLOAD exchange what VMRUN leaves alone (FS, GS, TR, LDTR, SYSCALL and
//! SYSENTER MSRs): the kernel needs its own GS and SYSCALL MSRs before the next exit can be handled in user
//! mode, so every exit pays for both.
//!
//! Interrupts: IF is clear from before the last look at pending work, so that a kick's interrupt waits; GIF
//! is cleared before IF is set, and VMRUN sets it: the interrupt then stops the guest at once. IF is set for
//! VMRUN, because with V_INTR_MASKING the host's IF decides whether a host interrupt stops the guest (APM
//! volume 2, 15.21.1).
#![allow(unsafe_code, reason = "VMRUN")]

use core::arch::global_asm;
use core::mem::offset_of;

use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::RunPage;

use super::vmcb::Vmcb;
use crate::cpu::per_cpu::entry;
use crate::cpu::speculation;
use crate::layout::PAGE;

/// What the entry code loads without asking Rust.
const GENERAL: u32 = Groups::GENERAL.bits();
/// What takes the long way.
const RARE: u32 = !Groups::GENERAL.union(Groups::INJECTION).union(Groups::TPR).bits();

/// The place of a VMCB's field, seen from the run page in the page behind it.
macro_rules! vmcb {
    ($($field:tt)+) => {
        offset_of!(Vmcb, $($field)+) as i64 - PAGE as i64
    };
}

global_asm!(
    r#"
    // Loads the guest's registers, runs it, stores them. RSI: run page. All registers are lost but RSP; RSI
    // is the run page again. With `guarded`, what the guest left in the registers and in the return-stack
    // buffer is no more to be speculated with.
    .macro world_switch guarded
    push qword ptr gs:[{host}]
    mov rax, gs:[{vmcb}]
    mov rcx, [rsi + {g} + 8]
    mov rdx, [rsi + {g} + 16]
    mov rbx, [rsi + {g} + 24]
    mov rbp, [rsi + {g} + 40]
    mov rdi, [rsi + {g} + 56]
    mov r8, [rsi + {g} + 64]
    mov r9, [rsi + {g} + 72]
    mov r10, [rsi + {g} + 80]
    mov r11, [rsi + {g} + 88]
    mov r12, [rsi + {g} + 96]
    mov r13, [rsi + {g} + 104]
    mov r14, [rsi + {g} + 112]
    mov r15, [rsi + {g} + 120]
    mov rsi, [rsi + {g} + 48]
    clgi
    sti
    vmload rax
    vmrun rax
    vmsave rax
    cli
    mov rax, [rsp]
    vmload rax
    stgi
    mov [rsp], rsi
    mov rsi, gs:[{page}]
    mov [rsi + {g} + 8], rcx
    mov [rsi + {g} + 16], rdx
    mov [rsi + {g} + 24], rbx
    mov [rsi + {g} + 40], rbp
    mov [rsi + {g} + 56], rdi
    mov [rsi + {g} + 64], r8
    mov [rsi + {g} + 72], r9
    mov [rsi + {g} + 80], r10
    mov [rsi + {g} + 88], r11
    mov [rsi + {g} + 96], r12
    mov [rsi + {g} + 104], r13
    mov [rsi + {g} + 112], r14
    mov [rsi + {g} + 120], r15
    pop qword ptr [rsi + {g} + 48]
    .if \guarded
    .rept 32
    call 2f
    int3
2:
    .endr
    add rsp, 8 * 32
    xor ecx, ecx
    xor edx, edx
    xor ebx, ebx
    xor ebp, ebp
    xor edi, edi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    xor r12d, r12d
    xor r13d, r13d
    xor r14d, r14d
    xor r15d, r15d
    lfence
    .endif
    .endm

    // SYS_RUN, come from `syscall_entry`; `sys_run` and `sys_run_resume` of `abi::sys_run` do what takes
    // longer.
    // RDI is the handle, RCX and R11 are as SYSCALL left them, RSP is the thread's kernel stack. Between a
    // return from here and the next call the user's RSP stays in the per-CPU area, which is safe while no
    // other thread runs. The four words pushed keep the stack aligned at each call.
    .macro run guarded
    push rcx
    push r11
    push rbx
    push rbp
    cmp rdi, gs:[{handle}]
    jne 5f
    mov rsi, gs:[{open}]
    mov eax, [rsi + {dirty}]
    cmp eax, {general}
    jne 3f
    mov dword ptr [rsi + {dirty}], 0
    mov rax, [rsi + {g}]
    mov rcx, [rsi + {g} + 32]
    mov rdx, [rsi + {rip}]
    mov rbx, [rsi + {rflags}]
    mov [rsi + {save_rax}], rax
    mov [rsi + {save_rsp}], rcx
    mov [rsi + {save_rip}], rdx
    mov [rsi + {save_rflags}], rbx
    mov qword ptr [rsi + {shadow}], 0
1:  world_switch \guarded
    mov rdi, rsi
    call {record}
    test eax, eax
    jne 4f
    // EAX and EDX say that all is well; what the other registers hold is the guest's, or of its exit.
    xor edx, edx
    pop rbp
    pop rbx
    pop r11
    pop rcx
    mov rsp, gs:[0]
    swapgs
    sysretq

    // No group is dirty, or others than the general registers.
3:  test eax, {rare}
    jne 5f
    mov rbx, rdi
    mov rdi, rsi
    call {load}
    mov rsi, gs:[{page}]
    test eax, eax
    je 1b
    mov rdi, rbx
5:  push qword ptr gs:[0]
    sub rsp, 8
    call sys_run
    jmp 6f

    // The exit was the kernel's own.
4:  push qword ptr gs:[0]
    sub rsp, 8
    mov edi, eax
    call sys_run_resume
    // Another thread may have run meanwhile. RAX and RDX are the answer.
6:  add rsp, 8
    pop qword ptr gs:[0]
    pop rbp
    pop rbx
    pop r11
    pop rcx
    xor edi, edi
    xor esi, esi
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    mov rsp, gs:[0]
    swapgs
    sysretq
    .endm

    // The switch for Rust. RDI: run page, the one that is selected.
    .macro enter guarded
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov rsi, rdi
    world_switch \guarded
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
    .endm

    .pushsection .text.syscall, "ax"
    .balign 64
    .globl sys_run_entry
sys_run_entry:
    run 0
    .balign 64
    .globl sys_run_entry_guarded
sys_run_entry_guarded:
    run 1
    .balign 16
svm_enter:
    enter 0
    .balign 16
svm_enter_guarded:
    enter 1
    .popsection
    "#,
    g = const offset_of!(RunPage, general),
    rip = const offset_of!(RunPage, general.rip),
    rflags = const offset_of!(RunPage, general.rflags),
    dirty = const offset_of!(RunPage, dirty),
    save_rax = const vmcb!(save.rax),
    save_rsp = const vmcb!(save.rsp),
    save_rip = const vmcb!(save.rip),
    save_rflags = const vmcb!(save.rflags),
    shadow = const vmcb!(control.interrupt_shadow),
    handle = const entry::READY_HANDLE,
    open = const entry::READY_OPEN_PAGE,
    page = const entry::READY_RUN_PAGE,
    vmcb = const entry::READY_OF_VCPU,
    host = const entry::READY_OF_PROCESSOR,
    general = const GENERAL,
    rare = const RARE,
    record = sym super::exit::record,
    load = sym super::short_way::load_marked,
);

unsafe extern "C" {
    fn svm_enter(run_page: *const RunPage);
    fn svm_enter_guarded(run_page: *const RunPage);
}

/// Enters the guest of the vCPU that this processor's `ready` has selected, and comes back with its next
/// exit.
///
/// # Safety
/// `run_page` is that vCPU's, claimed by the calling thread, and its VMCB one of ours. GIF is set and IF is
/// clear; both are again afterwards.
pub unsafe fn enter(run_page: *const RunPage) {
    // SAFETY: the caller's promise.
    unsafe { if speculation::is_guarded() { svm_enter_guarded(run_page) } else { svm_enter(run_page) } }
}

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

use vcpu_abi::exit::{Access, ExitFlags, NOTABLE, PortAccess, reason};
use vcpu_abi::registers::Groups;
use vcpu_abi::run_page::RunPage;

use super::short_record::short_record;
use super::vmcb::{Vmcb, exit_code, vintr};
use crate::checks;
use crate::cpu::per_cpu::entry;
use crate::cpu::ready::Ticket;
use crate::cpu::speculation;
use crate::cpu::syscall_entry::USER_FLAGS;
use crate::layout::PAGE;

/// What the entry code has pushed when it looks at the thread's ticket, which lies above.
const KEPT_BYTES: usize = 4 * 8;
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
    short_record!(),
    r#"
    // Loads the guest's registers, runs it, stores them. RSI: run page; on top of the stack is the address of
    // the host's state, which is popped. All registers are lost but RSP; RAX is the run page.
    .macro world_switch
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
    // An interrupt between STI and VMRUN would be handled at once, and the guest be entered behind a kick
    // that was to stop it. GIF keeps it until the guest runs, which it then stops (APM volume 2, 15.17).
    clgi
    sti
    vmload rax
    vmrun rax
    vmsave rax
    cli
    // Before STGI: the first thing it lets in may be an NMI, whose handler finds this processor's area by GS,
    // and GS is the guest's until then.
    pop rax
    vmload rax
    stgi
    mov rax, gs:[{page}]
    mov [rax + {g} + 8], rcx
    mov [rax + {g} + 16], rdx
    mov [rax + {g} + 24], rbx
    mov [rax + {g} + 40], rbp
    mov [rax + {g} + 48], rsi
    mov [rax + {g} + 56], rdi
    mov [rax + {g} + 64], r8
    mov [rax + {g} + 72], r9
    mov [rax + {g} + 80], r10
    mov [rax + {g} + 88], r11
    mov [rax + {g} + 96], r12
    mov [rax + {g} + 104], r13
    mov [rax + {g} + 112], r14
    mov [rax + {g} + 120], r15
    .endm

    // Fills the return-stack buffer, so that no return goes where the guest has called from. RSP is lower by
    // `STUFFED` afterwards.
    .set STUFFED, 8 * 32
    .macro stuff_returns
    .rept 32
    call 2f
    // A return that is predicted by this entry comes here, and goes no further by speculation.
    int3
2:
    .endr
    .endm

    // Back to the process. EDX: the exit; EAX will say that all is well. What the other registers hold is the
    // guest's, or of its exit.
    .macro leave_run guarded
    xor eax, eax
    .if \guarded
    mov rbp, [rsp + STUFFED]
    mov rbx, [rsp + STUFFED + 8]
    mov rcx, [rsp + STUFFED + 16]
    .else
    pop rbp
    pop rbx
    pop rcx
    .endif
    mov r11d, {user_flags}
    mov rsp, gs:[0]
    swapgs
    sysretq
    .endm

    // SYS_RUN, come from `syscall_entry`; `sys_run` and `sys_run_resume` of `abi::sys_run` do what takes
    // longer.
    // RDI is the handle, RCX is as SYSCALL left it, RSP is the thread's kernel stack. Between a return from
    // here and the next call the user's RSP stays in the per-CPU area, which is safe while no other thread
    // runs. RFLAGS comes back as the process began with it. The stack is aligned at each call: by the three
    // words that are kept and one more, the address of the host's state or nothing.
    // With `guarded`, what the guest left in the registers and in the return-stack buffer is no more to be
    // speculated with.
    .macro run guarded
    push rcx
    push rbx
    push rbp
    push qword ptr gs:[{host}]
    cmp rdi, [rsp + {handle}]
    jne 5f
    mov rsi, [rsp + {open}]
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
1:  world_switch
    .if {checks}
    sub rsp, 8
    mov rdi, rax
    call {guest_left}
    add rsp, 8
    mov rax, gs:[{page}]
    .endif
    .if \guarded
    stuff_returns
    .endif
    short_record \guarded, 7f, leave_run

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
// The user's RSP goes to the thread's own stack: another thread may run in there, and its SYSCALL overwrites
// GS:0.
5:  push qword ptr gs:[0]
    sub rsp, 8
    call sys_run
    jmp 6f

    // An exit that is rarer, or the kernel's own.
7:  .if \guarded
    add rsp, STUFFED
    .endif
    push rax
    mov rdi, rax
    call {record}
    mov rdx, rax
    shr rdx, 32
    test eax, eax
    jne 4f
    add rsp, 8
    leave_run 0

    // It was the kernel's own.
4:  push qword ptr gs:[0]
    sub rsp, 8
    mov edi, eax
    call sys_run_resume
    // Another thread may have run meanwhile. RAX and RDX are the answer.
6:  add rsp, 8
    pop qword ptr gs:[0]
    add rsp, 8
    pop rbp
    pop rbx
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
    .endm

    // What Rust's calling convention wants to find again.
    .macro keep_for_rust
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    .endm
    .macro return_to_rust
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
    .endm

    // The switch for Rust. RDI: run page, the one that is selected.
    .macro enter guarded
    keep_for_rust
    mov rsi, rdi
    push qword ptr gs:[{host}]
    world_switch
    .if \guarded
    stuff_returns
    add rsp, STUFFED
    xor ecx, ecx
    xor edx, edx
    xor ebx, ebx
    xor ebp, ebp
    xor esi, esi
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
    return_to_rust
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

    // For tests: the short record of the page in RDI. RAX: what `SYS_RUN` would answer, or -1 where the exit
    // is left to the whole record.
    .macro leave_to_test guarded
    mov eax, edx
    jmp 9f
    .endm
    .macro record_for_test guarded
    keep_for_rust
    mov rax, rdi
    short_record \guarded, 8f, leave_to_test
8:  mov rax, -1
9:
    return_to_rust
    .endm
    .if {is_test}
    .globl svm_short_record, svm_short_record_guarded
svm_short_record:
    record_for_test 0
svm_short_record_guarded:
    record_for_test 1
    .endif
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
    handle = const KEPT_BYTES + Ticket::HANDLE,
    open = const KEPT_BYTES + Ticket::OPEN_PAGE,
    page = const entry::READY_RUN_PAGE,
    vmcb = const entry::READY_OF_VCPU,
    host = const entry::READY_OF_PROCESSOR,
    general = const GENERAL,
    rare = const RARE,
    record = sym super::exit::record_for_entry,
    guest_left = sym super::tlb_model::guest_left_by_short_way,
    checks = const checks::ON as u32,
    is_test = const cfg!(test) as u32,
    user_flags = const USER_FLAGS,
    exit_code = const vmcb!(control.exit_code),
    exit_info1 = const vmcb!(control.exit_info1),
    exit_info2 = const vmcb!(control.exit_info2),
    exit_int_info = const vmcb!(control.exit_int_info),
    vintr = const vmcb!(control.vintr),
    save_cr3 = const vmcb!(save.cr3),
    save_cs = const vmcb!(save.cs),
    save_cpl = const vmcb!(save.cpl),
    reason = const offset_of!(RunPage, exit.reason),
    flags = const offset_of!(RunPage, exit.flags),
    qualification = const offset_of!(RunPage, exit.qualification),
    next_rip = const offset_of!(RunPage, exit.next_rip),
    gpa = const offset_of!(RunPage, exit.gpa),
    access = const offset_of!(RunPage, exit.access),
    groups = const offset_of!(RunPage, exit.groups),
    exit_cr8 = const offset_of!(RunPage, exit.cr8),
    cpl = const offset_of!(RunPage, exit.cpl),
    cr3 = const offset_of!(RunPage, system.cr3),
    cs = const offset_of!(RunPage, system.cs),
    interrupt_requested = const vintr::IRQ,
    string = const PortAccess::STRING,
    has_next_rip = const ExitFlags::NEXT_RIP.bits(),
    task_priority = const ExitFlags::TASK_PRIORITY.bits(),
    shadow_shift = const ExitFlags::INTERRUPT_SHADOW.bits().trailing_zeros(),
    page_walk = const Access::PAGE_WALK.bits(),
    access_bits = const Access::PROTECTION.union(Access::WRITE).union(Access::EXECUTE).bits(),
    notable = const NOTABLE,
    decoding = const Groups::GENERAL.union(Groups::DECODING).bits(),
    ioio = const exit_code::IOIO,
    msr = const exit_code::MSR,
    npf = const exit_code::NPF,
    cpuid = const exit_code::CPUID,
    hlt = const exit_code::HLT,
    port = const reason::PORT,
    msr_read = const reason::MSR_READ,
    memory = const reason::MEMORY,
    reason_cpuid = const reason::CPUID,
    halt = const reason::HALT,
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

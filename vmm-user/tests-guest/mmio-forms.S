/* The part of mmio-forms.c that is no C: entry, descriptor tables, and the way into a case's user
 * code and out of it by an exception. It stands behind benches/guest/setup.S, the boot protocol's header. */
#include "mmio-forms.h"
#include "../../benches/guest/startup.h"
.globl run_case, ldt, image, gdt, idt, idt_pointer, kernel_rsp, current, own_fault_legacy
.globl run_on_stack, skip_ud2, count_event, events_seen

.set MSR_GS_BASE, 0xc0000101
.set CR0_EM, 1 << 2
.set CR0_TS, 1 << 3
.set CR4_OSFXSR_OSXMMEXCPT, 3 << 9

.text
    entry
    mov rbx, rsi
    clear_memory
    mov rax, cr0
    and eax, ~(CR0_EM | CR0_TS)
    mov cr0, rax
    mov rax, cr4
    or eax, CR4_OSFXSR_OSXMMEXCPT
    mov cr4, rax
    call describe
    mov rdi, rbx
    call run_table
stop:
    end_by_reset

/* Loads the descriptor tables and fills in what of them is not constant. */
describe:
    lea rax, tss[rip]
    mov tss_low + 2[rip], ax
    shr rax, 16
    mov tss_low + 4[rip], al
    mov tss_low + 7[rip], ah
    lea rax, tss32[rip]
    mov tss32_low + 2[rip], ax
    shr rax, 16
    mov tss32_low + 4[rip], al
    mov tss32_low + 7[rip], ah
    lea rax, ldt[rip]
    mov ldt_low + 2[rip], ax
    shr rax, 16
    mov ldt_low + 4[rip], al
    mov ldt_low + 7[rip], ah
    lea rax, exception_stack_top[rip]
    mov tss + 4[rip], rax
    load_segments
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov eax, offset tss_low - gdt
    ltr ax
    mov eax, offset ldt_low - gdt
    lldt ax
    gates stubs, 32
    lidt idt_pointer[rip]
    ret

/* Gates for user code too, as a case ends with INT3. */
interrupt_gate 0xee00

/* run_case(struct state *): runs user code until an exception, and stores its registers. */
run_case:
    begin_case
    mov eax, [rdi + DS_]
    mov ds, eax
    mov eax, [rdi + ES_]
    mov es, eax
    mov eax, [rdi + GS_]
    mov gs, eax
    test eax, eax
    jnz 1f
    mov ecx, MSR_GS_BASE
    mov eax, [rdi + GS_BASE_]
    mov edx, [rdi + GS_BASE_ + 4]
    wrmsr
1:  push [rdi + SS_]
    push [rdi + RSP_]
    push [rdi + RFLAGS_]
    push [rdi + CS_]
    push [rdi + RIP_]
    mov rax, [rdi]
    mov rcx, [rdi + 8]
    mov rdx, [rdi + 16]
    mov rbx, [rdi + 24]
    mov rbp, [rdi + 40]
    mov rsi, [rdi + 48]
    .irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov r\n, [rdi + 8 * \n]
    .endr
    mov rdi, [rdi + RDI_]
    iretq

.balign 16
stubs:
    exception_stubs exception

/* Vector, error code, RIP, CS, RFLAGS, RSP, SS. */
exception:
    test byte ptr [rsp + 24], 3
    jz own_fault
    push rdi
    mov rdi, current[rip]
    mov [rdi], rax
    mov [rdi + 8], rcx
    mov [rdi + 16], rdx
    mov [rdi + 24], rbx
    mov [rdi + 40], rbp
    mov [rdi + 48], rsi
    .irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov [rdi + 8 * \n], r\n
    .endr
    pop [rdi + RDI_]
    pop [rdi + VECTOR_]
    pop [rdi + ERROR_]
    pop [rdi + RIP_]
    pop rax
    pop [rdi + RFLAGS_]
    pop [rdi + RSP_]
    mov rax, cr2
    mov [rdi + CR2_], rax
    keep_xmm
    cld
    mov rsp, kernel_rsp[rip]
    end_case

/* An exception of the guest's kernel: it says so, and that is the end. */
own_fault:
    mov rdi, [rsp]
    mov rsi, [rsp + 16]
    mov rdx, cr2
    cld
own_fault_legacy:
    and rsp, -16
    call report_own_fault
    jmp stop

/* run_on_stack(top): what uses the stack, on this one: an exception, interrupt instructions and their IRET,
 * PUSH, POP, ENTER, LEAVE, CALL and RET. Returns 0 if all of it came to what it should. */
run_on_stack:
    push rbp
    push rbx
    mov rbx, rsp
    mov rsp, rdi
    ud2
    int3
    int 0x1e
    push 0x1234
    pop rax
    xor rax, 0x1234
    mov ebp, 0x5678
    enter 32, 2
    leave
    xor rbp, 0x5678
    or rax, rbp
    call 1f
    jmp 2f
1:  inc rdi
    ret
2:  dec rdi
    pushfq
    popfq
    sub rdi, rsp
    or rax, rdi
    mov rsp, rbx
    pop rbx
    pop rbp
    ret

/* Handlers for it, which leave everything as it was, but for UD2 and the count. */
skip_ud2:
    add qword ptr [rsp], 2
count_event:
    inc qword ptr events_seen[rip]
    iretq

.data
.balign 8
events_seen:
    .quad 0
/* Selectors 2Bh and 33h are what the cases have for 64-bit user code. */
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
tss32_low:
    .quad 0x0000890000000067, 0x00cff3000000ffff, 0x00affb000000ffff, 0
tss_low:
    .quad 0x0000890000000067, 0
ldt_low:
    .quad 0x000082000000007f, 0
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .quad gdt
idt_pointer:
    .word 511
    .quad idt

/* The stack lies first, outside what is cleared, since clearing returns by it. */
.section .stack, "aw", @nobits
.balign 16
.skip 16384
stack_top:

.bss
.balign 16
ldt: .skip 128
tss: .skip 104
kernel_rsp: .skip 8
current: .skip 8
.balign 16
idt: .skip 512
.skip 4096
exception_stack_top:

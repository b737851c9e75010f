/* The rows: a loop for each kind of exit, and what runs them.
 *
 * Every loop is a preparation, then 16-byte aligned: body, `dec r15`, `jnz`. R15 = iterations. RBP and R12 to
 * R14 are the runner's. Each round prints "ROW id ticks iterations", the ticks being the time-stamp counter's
 * around the whole loop. */
#include "contract.h"
.intel_syntax noprefix
.globl run_rows, row_done, print_row_name, print_newline, iterations, rounds, groups, only, row_stack, on_ipi
.globl on_timer

/* What a row needs besides its group. */
.set X2APIC, 0x100
.set DEADLINE, 0x200                /* CPUID offers the deadline timer */

.set APIC_BASE_MSR, 0x1b
.set APIC_TPR_PAGE, 0xfee00080
.set X2_TPR, 0x808
.set X2_EOI, 0x80b
.set X2_SPURIOUS, 0x80f
.set X2_LVT_TIMER, 0x832
.set X2_TIMER_COUNT, 0x838
.set X2_TIMER_DIVIDE, 0x83e
.set X2_SELF_IPI, 0x83f
.set HALT_PERIOD, 200000            /* of the APIC's timer: longer than arming it takes */

/* row ID, NEEDS, FACTOR: opens a row; it runs FACTOR fiftieths of the iterations asked for. */
.macro row id, needs, factor=50
    .pushsection .data
    1000: .ascii "\id"
    .skip 8 - (. - 1000b)
    .quad loop_\id, \needs, \factor
    .popsection
    loop_\id:
.endm
/* begin: the loop starts here. */
.macro begin
    .balign 16, 0x90
    2:
.endm
/* again: the loop ends here. */
.macro again
    dec r15
    jnz 2b
.endm
.macro wrmsr_to register, value
    mov ecx, \register
    mov eax, \value
    xor edx, edx
    wrmsr
.endm

.data
.balign 8
rows:

.text
row nop, GROUP_APIC, 2500
    begin
    again
    ret
row nop8, GROUP_APIC, 2500
    begin
    .rept 8
    nop
    .endr
    again
    ret
row rdtsc, GROUP_APIC, 500
    begin
    rdtsc
    again
    ret
row cpuid, GROUP_APIC
    begin
    xor eax, eax
    cpuid
    again
    ret
row cpuid80, GROUP_APIC
    begin
    mov eax, 0x80000001
    cpuid
    again
    ret
row vmmcall, GROUP_APIC
    begin
    mov eax, 1
    vmmcall
    again
    ret
row rdadj, GROUP_APIC
    mov ecx, 0x3b
    begin
    rdmsr
    again
    ret
row wradj, GROUP_APIC
    mov ecx, 0x3b
    xor eax, eax
    xor edx, edx
    begin
    wrmsr
    again
    ret
row apicr, GROUP_APIC
    mov ebx, APIC_TPR_PAGE
    begin
    mov eax, [rbx]
    again
    ret
row apicw, GROUP_APIC
    mov ebx, APIC_TPR_PAGE
    xor eax, eax
    begin
    mov [rbx], eax
    again
    ret
row outu, GROUP_APIC
    mov edx, PORT_DEVICE
    begin
    out dx, al
    again
    ret
row outu4, GROUP_APIC
    mov edx, PORT_DEVICE
    begin
    out dx, eax
    again
    ret
row inu, GROUP_APIC
    mov edx, PORT_DEVICE
    begin
    in al, dx
    again
    ret
row outev, GROUP_APIC
    mov edx, PORT_DOORBELL
    begin
    out dx, al
    again
    ret
row mmiow, GROUP_APIC
    mov ebx, MMIO_DEVICE
    begin
    mov [rbx], eax
    again
    ret
row mmior, GROUP_APIC
    mov ebx, MMIO_DEVICE
    begin
    mov eax, [rbx]
    again
    ret
row mmioev, GROUP_APIC
    mov ebx, MMIO_DOORBELL
    begin
    mov [rbx], eax
    again
    ret
row rdmsru, GROUP_MSR
    mov ecx, 0xdead0001
    begin
    rdmsr
    again
    ret
row hlt, GROUP_HALT
    mov edx, PORT_CONTROL
    mov al, 1
    out dx, al
    begin
    hlt
    again
    xor eax, eax
    out dx, al
    ret
row rdtpr, GROUP_APIC | X2APIC
    mov ecx, X2_TPR
    begin
    rdmsr
    again
    ret
row wrtpr, GROUP_APIC | X2APIC
    mov ecx, X2_TPR
    xor eax, eax
    xor edx, edx
    begin
    wrmsr
    again
    ret
row wrdl, GROUP_APIC | X2APIC | DEADLINE
    wrmsr_to X2_SPURIOUS, 0x1ff
    wrmsr_to X2_LVT_TIMER, 0x400ef
    mov ecx, 0x6e0
    mov eax, -1
    mov edx, 0x0fffffff             /* never */
    begin
    wrmsr
    again
    wrmsr_to 0x6e0, 0
    ret
/* An IPI to itself, its handler, the end of interrupt: two exits and one injection. */
row ipi, GROUP_APIC | X2APIC
    wrmsr_to X2_SPURIOUS, 0x1ff
    mov ecx, X2_SELF_IPI
    mov eax, VECTOR_IPI
    sti
    begin
    wrmsr
    again
    cli
    ret
/* HLT until the APIC's timer fires, after one period and after two: the difference is the waiting, the rest
   is cost. */
row hltt1, GROUP_TIMER | X2APIC, 1
    mov ebx, HALT_PERIOD
    jmp halt_timer
row hltt2, GROUP_TIMER | X2APIC, 1
    mov ebx, HALT_PERIOD * 2
halt_timer:
    wrmsr_to X2_SPURIOUS, 0x1ff
    wrmsr_to X2_TIMER_DIVIDE, 0xb   /* by 1 */
    wrmsr_to X2_LVT_TIMER, VECTOR_TIMER
    mov ecx, X2_TIMER_COUNT
    mov eax, ebx
    begin
    wrmsr
    sti
    hlt
    cli
    again
    ret

on_ipi:
    wrmsr_to X2_EOI, 0
    inc qword ptr ipis[rip]
    mov ecx, X2_SELF_IPI
    mov eax, VECTOR_IPI
    iretq

on_timer:
    wrmsr_to X2_EOI, 0
    mov ecx, X2_TIMER_COUNT
    mov eax, ebx
    iretq

.data
    .quad 0, 0, 0, 0                /* the end of the rows */

.text
run_rows:
    mov row_stack[rip], rsp
    lea rbp, rows[rip]
next_row:
    mov rax, [rbp + 16]
    test rax, rax
    jz all_done
    test al, groups[rip]
    jz row_done
    mov rcx, only[rip]
    jrcxz 1f
    cmp rcx, [rbp]
    jne row_done
    lea rsi, text_start[rip]
    call print
1:  mov rax, [rbp + 16]
    test eax, X2APIC
    jz 1f
    call enable_x2apic
1:  test dword ptr [rbp + 16], DEADLINE
    jz 1f
    mov eax, 1
    cpuid
    bt ecx, 24
    jnc row_done
1:  mov r15d, 64                    /* the first ones fill caches and tables */
    call [rbp + 8]
    mov r12, rounds[rip]
1:  call round
    dec r12
    jnz 1b
row_done:
    cli
    mov rsp, row_stack[rip]
    add rbp, 32
    jmp next_row
all_done:
    lea rsi, text_ipis[rip]
    call print
    mov rax, ipis[rip]
    call print_number
    call print_newline
    ret

round:
    mov rax, iterations[rip]
    mul qword ptr [rbp + 24]
    mov ecx, 50
    div rcx
    mov r13, rax
    mov r15, rax
    rdtsc
    shl rdx, 32
    lea r14, [rax + rdx]
    call [rbp + 8]
    rdtsc
    shl rdx, 32
    add rax, rdx
    sub rax, r14
    mov r14, rax
    lea rsi, text_row[rip]
    call print
    call print_row_name
    mov rax, r14
    call print_number
    mov rax, r13
    call print_number
print_newline:
    mov al, 10
    jmp print_char

print_row_name:
    mov rsi, rbp
    jmp print

enable_x2apic:
    mov ecx, APIC_BASE_MSR
    rdmsr
    bts eax, 10
    jc 1f
    wrmsr
1:  ret

.data
text_row:
    .asciz "ROW "
text_start:
    .asciz "START\n"
text_ipis:
    .asciz "IPIS"

.bss
.balign 8
iterations: .skip 8
rounds: .skip 8
groups: .skip 8
only: .skip 8
row_stack: .skip 8
ipis: .skip 8

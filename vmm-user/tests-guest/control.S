/* Task priority, control and debug registers, and the exceptions that a processor may raise for ever. */
#include "hostile.h"
.globl part_priority, part_control, part_debug
.text

.set ICR, APIC + 0x300
.set SVR, APIC + 0xf0
.set EFER, 0xc0000080
.set PAT, 0x277

.macro set_cr8 value
    mov eax, \value
    mov cr8, rax
.endm

/* An interrupt waits for the task priority; then many, while CR8 is written with interrupts off,
 * on, and before a halt. */
.set ROUNDS, 3000
part_priority:
    mov r12d, ICR
    mov eax, SVR
    mov dword ptr [rax], 0x1ff
    mov qword ptr interrupts_seen[rip], 0
    /* Its class is the task priority's own: it stays away, and the processor goes on. */
    set_cr8 5
    sti
    mov dword ptr [r12], 0x40051            /* to itself */
    mov ecx, 100000
1:  pause
    loop 1b
    cli
    mov rax, interrupts_seen[rip]
    must_be rax, 0
    mov dword ptr [r12 - 0x280], 0x60       /* the task priority by way of the local APIC */
    mov rax, cr8
    must_be rax, 6
    set_cr8 4
    sti
    nop
    cli
    mov rax, interrupts_seen[rip]
    must_be rax, 1
    say "a task priority keeps its class away"
    mov r13d, ROUNDS
2:  mov eax, r13d
    and eax, 15
    mov cr8, rax
    mov eax, r13d
    shl eax, 2
    and eax, 0xff
    cmp eax, 0x20
    jae 3f
    or eax, 0x40
3:  or eax, 0x40000
    mov [r12], eax
    set_cr8 15
    set_cr8 0
    test r13d, 1
    jz 4f
    sti
    nop
    cli
    jmp 6f
4:  test r13d, 2
    jz 5f
    sti
    hlt
    cli
    jmp 6f
5:  set_cr8 15
    sti
    nop
    mov dword ptr [r12], 0x40052
    set_cr8 5
    set_cr8 0
    nop
    cli
    inc qword ptr wanted[rip]               /* one that is sent besides */
6:  inc qword ptr wanted[rip]
    mov rax, wanted[rip]
    inc rax                                 /* and the first */
    cmp rax, interrupts_seen[rip]
    jne 7f
    dec r13d
    jnz 2b
    say "interrupts whatever the task priority was"
    ret
7:  call wrong
    ret

/* load_all: has the VMM load the control registers as they are. */
.macro load_all
    mov ecx, EFER
    rdmsr
    wrmsr
.endm

/* Every bit of CR4, CR0, EFER, PAT, DR6 and DR7: what is taken can be loaded again, and what is not is
   #GP. */
part_control:
    /* SMEP and SMAP are among them: nothing here may be the user's. */
    and byte ptr level4[rip], ~4
    lea rdi, level4[rip + 0x1000]
    mov ecx, 512
1:  and byte ptr [rdi], ~4
    add rdi, 8
    loop 1b
    mov rax, cr3
    mov cr3, rax
    xor r13d, r13d
2:  mov rax, cr4
    mov r14, rax
    btc rax, r13
    mov r15, rax
    safely
    mov cr4, r15
9:  cmp qword ptr last_vector[rip], NOT_AT_ALL
    jne 3f
    mov rax, cr4
    must_be rax, r15
    load_all
    cpuid
    mov rax, cr4
    must_be rax, r15
    mov cr4, r14
    jmp 4f
3:  must 13
    mov rax, cr4
    must_be rax, r14
4:  inc r13d
    cmp r13d, 64
    jne 2b
    /* PAE off in long mode; LA57, VMXE, SMXE, PCIDE, CET, PKS, UINTR, which no guest is offered; what nobody
       has. */
    lea r12, cr4_never[rip]
5:  movzx ecx, byte ptr [r12]
    mov rax, cr4
    btc rax, rcx
    safely
    mov cr4, rax
9:  must 13
    inc r12
    cmp byte ptr [r12], 0
    jne 5b
    say "every bit of CR4"
    xor r13d, r13d
2:  mov rax, cr0
    mov r14, rax
    btc rax, r13
    mov r15, rax
    safely
    mov cr0, r15
9:  load_all
    cpuid
    mov cr0, r14
    inc r13d
    cmp r13d, 64
    jne 2b
    lea r12, cr0_never[rip]
5:  movzx ecx, byte ptr [r12]
    mov rax, cr0
    btc rax, rcx
    safely
    mov cr0, rax
9:  must 13
    inc r12
    cmp byte ptr [r12], 0
    jne 5b
    /* Not write through, but caching off: a state that there is. LMSW and CLTS. */
    mov rax, cr0
    mov r14, rax
    or rax, 0x60000000
    mov cr0, rax
    load_all
    mov cr0, r14
    mov eax, 0xe                            /* MP, EM, TS; PE stays */
    lmsw ax
    mov rax, cr0
    and eax, 0xf
    must_be eax, 0xf
    mov word ptr status_word[rip], 2
    lmsw status_word[rip]
    mov rax, cr0
    and eax, 0xf
    must_be eax, 3
    mov eax, 8
    lmsw ax
    clts
    mov rax, cr0
    and eax, 0xf
    must_be eax, 1
    mov cr0, r14
    say "every bit of CR0"
    /* The upper halves of DR6 and DR7: #GP, or they are dropped where an emulated processor takes them. */
    mov r13d, 32
6:  xor eax, eax
    bts rax, r13
    mov r15, rax
    .irp register, dr6, dr7
    safely
    mov \register, r15
9:  load_all
    cpuid
    mov rax, \register
    shr rax, 32
    must_be rax, 0
    .endr
    /* The first exit behind it loads the registers itself. */
    mov ecx, EFER
    rdmsr
    safely
    mov dr7, r15
9:  wrmsr
    cpuid
    inc r13d
    cmp r13d, 64
    jne 6b
    xor eax, eax
    mov dr6, rax
    mov dr7, rax
    say "debug registers"
    /* A code segment of 64 and of 32 bits: none, or one of 64 where an emulated processor takes it. */
    lgdt wide_gdt_pointer[rip]
    safely
    push 0x18
    lea rax, 1f[rip]
    push rax
    retfq
1:  load_all
    cpuid
    mov ecx, EFER
    rdmsr
    push 0x18
    lea rax, 2f[rip]
    push rax
    retfq
2:  wrmsr
    cpuid
9:  push 8
    lea rax, 1f[rip]
    push rax
    retfq
1:  cpuid
    say "code segments"
    /* XSETBV before CR4.OSXSAVE; then what goes together, in part. */
    mov rax, cr4
    btr rax, 18
    mov cr4, rax
    mov eax, 1
    xor edx, edx
    xor ecx, ecx
    safely
    xsetbv
9:  must 6
    mov eax, 1
    cpuid
    bt ecx, 26
    jnc 8f
    mov rax, cr4
    bts rax, 18
    mov cr4, rax
    lea r12, xcr0_never[rip]
7:  mov eax, [r12]
    xor edx, edx
    xor ecx, ecx
    safely
    xsetbv
9:  must 13
    add r12, 4
    cmp dword ptr [r12], 0
    jne 7b
    mov eax, 3
    xor edx, edx
    xor ecx, ecx
    xsetbv
    xgetbv
    must_be eax, 3
8:  say "XCR0"
    xor r13d, r13d
7:  mov ecx, EFER
    rdmsr
    shl rdx, 32
    lea r14, [rax + rdx]
    mov rax, r14
    btc rax, r13
    mov rdx, rax
    shr rdx, 32
    safely
    wrmsr
    cpuid
9:  mov rdx, r14
    shr rdx, 32
    mov eax, r14d
    mov ecx, EFER
    wrmsr
    mov ecx, PAT
    rdmsr
    push rax
    push rdx
    btc rax, r13
    mov rdx, rax
    shr rdx, 32
    safely
    wrmsr
    cpuid
9:  pop rdx
    pop rax
    mov ecx, PAT
    wrmsr
    mov eax, 3
    shl rax, 52
    btc rax, r13
    safely
    mov cr3, rax                            /* nothing is there, or it is none */
9:  cmp qword ptr last_vector[rip], 13
    je 8f
    call wrong
8:  load_all
    inc r13d
    cmp r13d, 64
    jne 7b
    say "EFER, PAT and CR3"
    ret

/* INT1, single steps and a breakpoint: #DB where it belongs. */
part_debug:
    xor eax, eax
    mov dr6, rax
    safely
    .byte 0xf1                              /* INT1, which QEMU before 10 does not have (#UD) */
1:  nop
9:  cmp qword ptr last_vector[rip], 6
    je 2f
    must 1
    lea rax, 1b[rip]
    must_be rax, last_error[rip]            /* which is RIP, as there is no error code */
2:  xor eax, eax
    mov dr6, rax
    .irp body, 0x90, 0xa20f
    safely
    pushfq
    or dword ptr [rsp], 0x100               /* TF */
    popfq
    .if \body == 0x90
    nop
    .else
    cpuid
    .endif
1:  nop
9:  must 1
    lea rax, 1b[rip]
    must_be rax, last_error[rip]
    mov rax, dr6
    and eax, 0xe00f
    must_be eax, 0x4000
    xor eax, eax
    mov dr6, rax
    .endr
    /* Before an instruction. */
    lea rax, 1f[rip]
    mov dr0, rax
    mov eax, 0x402
    mov dr7, rax
    safely
    nop
1:  nop
9:  must 1
    lea rax, 1b[rip]
    must_be rax, last_error[rip]
    mov rax, dr6
    and eax, 0xe00f
    must_be eax, 1
    /* Behind a write. */
    lea rax, watched[rip]
    mov dr0, rax
    mov eax, 0xd0402
    mov dr7, rax
    safely
    mov dword ptr watched[rip], 1
1:  nop
9:  must 1
    lea rax, 1b[rip]
    must_be rax, last_error[rip]
    xor eax, eax
    mov dr7, rax
    say "debug exceptions"
    ret

.data
cr4_never:
    .byte 5, 12, 13, 14, 17, 19, 23, 24, 25, 26, 31, 32, 40, 63, 0
.balign 8
wide_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00ef9b000000ffff
wide_gdt_pointer:
    .word wide_gdt_pointer - wide_gdt - 1
    .quad wide_gdt
xcr0_never:
    .long 2, 4, 6, 5, 0x23, 0x63, 0x67, 0xa7, 0xe3, 0x80000001, 0
cr0_never:
    .byte 31, 29, 32, 40, 63, 0             /* PG off, NW without CD, the upper half */

.bss
.balign 8
wanted: .skip 8
watched: .skip 8
status_word: .skip 2

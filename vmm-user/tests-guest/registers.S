/* MSRs, ports, CPUID, and instructions that are not a guest's to execute. */
#include "hostile.h"
.globl part_msrs, part_ports, part_privileged
.text

/* Reads each MSR of a range and writes it: what it was, nothing, everything. IA32_APIC_BASE, EFER and the
   x2APIC's are other parts'. */
part_msrs:
    lea r12, msr_ranges[rip]
1:  mov r13d, [r12]
    mov r14d, [r12 + 4]
    test r14d, r14d
    jz 3f
2:  mov ecx, r13d
    safely
    rdmsr
9:  cmp r13d, 0x1b
    je 4f
    cmp r13d, 0xc0000080
    je 4f
    mov ecx, r13d
    and ecx, ~0xff
    cmp ecx, 0x800
    je 4f
    mov ecx, r13d
    safely
    wrmsr
9:  xor eax, eax
    xor edx, edx
    mov ecx, r13d
    safely
    wrmsr
9:  mov eax, -1
    mov edx, -1
    mov ecx, r13d
    safely
    wrmsr
9:
4:  inc r13d
    dec r14d
    jnz 2b
    add r12, 8
    jmp 1b
3:  mov ecx, 0xc0000080
    rdmsr
    bts eax, 12                     /* SVME: there is none here */
    safely
    wrmsr
9:  must 13
    mov ecx, 0x1b
    mov eax, -1
    mov edx, -1
    safely
    wrmsr
9:  must 13
    say "every MSR read and written"
    call time_stamps
    ret

/* IA32_TSC, TSC_ADJUST (3Bh) and RDTSC tell one time, and a deadline (6E0h) comes in it. */
time_stamps:
    xor eax, eax
    xor edx, edx
    mov ecx, 0x3b
    wrmsr
    rdtsc
    shl rdx, 32
    lea r13, [rdx + rax]            /* a time of the host's */
    mov ecx, 0x3b
    xor eax, eax
    mov edx, 0x10000
    wrmsr                           /* 2^48 ahead of it */
    rdtsc
    shl rdx, 32
    lea r14, [rdx + rax]
    shr rdx, 48
    must_be edx, 1
    mov ecx, 0x10
    rdmsr
    shl rdx, 32
    or rax, rdx
    cmp rax, r14
    jae 1f
    call wrong
1:  xor eax, eax
    mov edx, 0x20000
    wrmsr                           /* now it is 2^49, so the adjustment is less by the host's time */
    mov ecx, 0x3b
    rdmsr
    shl rdx, 32
    or rax, rdx
    mov r14, 0x2000000000000
    sub r14, r13
    cmp rax, r14
    jbe 1f
    call wrong
1:  mov ecx, 0x1b
    rdmsr
    bt eax, 10
    jc 2f                           /* the timer's register is in the page */
    mov rbx, APIC
    mov dword ptr [rbx + 0xf0], 0x1ff
    mov dword ptr [rbx + 0x320], 0x500ef    /* masked, TSC-deadline mode */
    rdtsc
    add eax, 10000
    adc edx, 0
    mov ecx, 0x6e0
    wrmsr
1:  rdmsr                           /* 0 once its time has come */
    or eax, edx
    jnz 1b
    mov dword ptr [rbx + 0x320], 0x100ef
2:  xor eax, eax
    xor edx, edx
    mov ecx, 0x3b
    wrmsr
    say "the TSC moved, and its deadline came"
    ret

/* Every port, in and out, in three widths. What resets or switches off is only told nothing. */
part_ports:
    xor r12d, r12d
1:  mov edx, r12d
    in al, dx
    in ax, dx
    in eax, dx
    imul eax, r12d, 0x9e3779b1
    lea r13, quiet_ports[rip]
2:  movzx ecx, word ptr [r13]
    sub ecx, r12d
    cmp ecx, 8
    ja 3f
    xor eax, eax
3:  add r13, 2
    cmp word ptr [r13], 0
    jne 2b
    mov edx, r12d
    cmp r12d, 0x3f0
    jb 4f
    cmp r12d, 0x400
    jb 5f                           /* the console, for the words below */
4:  out dx, al
    out dx, ax
    out dx, eax
5:  inc r12d
    cmp r12d, 0x10000
    jne 1b
    /* Strings: from and to memory, and to none. */
    mov ebx, 0x9000
6:  mov edx, 0x1234
    mov rdi, rbx
    mov ecx, 3
    rep insd
    mov rdi, rbx
    insb
    mov rsi, rbx
    mov ecx, 100
    rep outsb
    mov rsi, rbx
    outsd
    cmp rbx, WINDOW
    je 7f
    mov ebx, WINDOW
    jmp 6b
7:  mov edx, 0x4321
    in eax, dx
    must_be eax, -1
    mov eax, -1
    mov edi, 0x9000
    mov edx, 0x4321
    insd
    mov eax, 0x9000
    mov eax, [rax]
    must_be eax, -1
    say "every port read and written"
    ret

part_privileged:
    lea r12, leaves[rip]
1:  mov r13d, [r12]
    mov r14d, 0x40
2:  mov eax, r13d
    mov ecx, r14d
    cpuid
    inc r13d
    dec r14d
    jnz 2b
    add r12, 4
    cmp dword ptr [r12], 1
    jne 1b
    mov eax, 0x80000001
    cpuid
    and ecx, 4                      /* SVM */
    must_be ecx, 0
    mov eax, 0x9000
    .irp name, vmrun, vmload, vmsave, invlpga, skinit
    safely
    \name
9:  must 6
    .endr
    .irp name, stgi, clgi, vmmcall, monitor, mwait
    mov eax, 0x9000
    xor ecx, ecx
    xor edx, edx
    safely
    \name
9:  must 6
    .endr
    safely
    .byte 0x0f, 0x01, 0xc1          /* VMCALL */
9:  must 6
    safely
    .byte 0x0f, 0x01, 0xfd          /* RDPRU */
9:  must 6
    mov ecx, 0
    safely
    rdpmc
9:
    invd
    wbinvd
    say "no virtualization to be had"
    /* Control registers with bits that do not exist. */
    mov rax, cr4
    bts rax, 31
    safely
    mov cr4, rax
9:
    mov rax, cr0
    bts rax, 40
    safely
    mov cr0, rax
9:
    mov eax, 0x10
    mov cr8, rax
    safely
    xor eax, eax
    mov cr8, rax
9:
    mov rax, -1
    safely
    mov cr3, rax
9:
    mov rax, -1
    safely
    mov dr7, rax
9:
    xor eax, eax
    mov dr7, rax
    mov rax, cr4
    bts rax, 18                     /* OSXSAVE */
    mov cr4, rax
    .irp value, 0, 2, 5, 0x18, 0xffffffff
    mov eax, \value
    xor edx, edx
    xor ecx, ecx
    safely
    xsetbv
9:
    .endr
    mov eax, 1
    xor edx, edx
    mov ecx, 1
    safely
    xsetbv
9:
    mov eax, 1
    xor edx, edx
    xor ecx, ecx
    xsetbv
    /* Nowhere to jump to: memory that is not there reads all-ones, and FFh FFh is no instruction. */
    lea r12, nowhere[rip]
1:  mov rax, [r12]
    safely
    jmp rax
9:  must 6
    add r12, 8
    cmp qword ptr [r12], 0
    jne 1b
    mov rax, 0x8000000000000000
    safely
    jmp rax
9:  must 13
    say "nothing that should not be executed was"
    ret

.data
.balign 8
nowhere:
    .quad WINDOW, WINDOW + 0xfff, 0xa0000, 0xbffff, 0xd0000000, 0x100000000 + 0x80000000, 0x7000000000, 0
msr_ranges:
    .long 0, 0x2000, 0x40000000, 0x200, 0xc0000000, 0x1200
    .long 0xc0010000, 0x1200, 0x80000000, 0x10, 0xfffffff0, 0x10, 0, 0
leaves:
    .long 0, 0x10000000, 0x40000000, 0x40000100, 0x80000000, 0x8fffffff, 0xffffffc0, 1
/* Controller and reset ports, and the eight before each that a wide access or a neighbour of theirs may
   be. */
quiet_ports:
    .word 0x64, 0x68, 0x92, 0x604, 0x60c, 0xcf9, 0xcff, 0

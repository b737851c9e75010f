/* VMPL0 makes a VMSA for VMPL1, has the host run it, and handles its exits: CPUID and IN, which are
   reflected; an access that VMPL1 has no permission for; HLT; a triple fault, behind an event that was
   injected. The program at VMPL1 has no paging: without a C-bit, by vTOM, its memory is private. */
#include "macros.h"

.set PROGRAM, 0x85000               /* what VMPL1 executes */
.set VMSA, 0x86000
.set SECRET, 0x87000                /* memory that is VMPL0's alone, at first */

.set FEATURES, 0x17                 /* SNP, vTOM, ReflectVC, alternate injection */
.set NOTHING, 0xffff                /* an exit code that means: nothing has happened */
.set INTR, 0x60                     /* an interrupt of the host's: the guest has only been stopped */
.set ASKED, 0x12345678              /* EAX of CPUID */
.set ANSWER, 0x5a5a0001             /* what VMPL0 answers */
.set PORT, 0x92
.set READ, 0x77                     /* what is read there */

/* Offsets in a VMSA. */
.set AT_RAX, 0x1f8
.set AT_RIP, 0x178
.set AT_EFER, 0xd0
.set AT_INFO_1, 0x390
.set AT_INFO_2, 0x398
.set AT_NRIP, 0x3a8
.set AT_VINTR, 0x3b8
.set AT_CODE, 0x3c0
.set AT_EVENT, 0x3e0

/* PVALIDATE of a page, and RMPADJUST by RDX. */
.macro validate page, number
    mov rax, \page
    xor ecx, ecx
    mov edx, 1
    pvalidate_
    check \number, nc
.endm
.macro adjust page, what, number
    mov rax, \page
    xor ecx, ecx
    mov edx, \what
    rmpadjust_
    test eax, eax
    check \number, z
.endm

/* Runs VMPL1: the exit has this code, unless nothing has happened. */
.macro run code, number
8:  mov dword ptr [rbx + AT_CODE], NOTHING
    mov eax, 0x016
    mov edx, 1
    call msr_protocol
    cmp r8d, 0x017
    check \number, e
    test edx, edx
    check \number, z
    cmp dword ptr [rbx + AT_CODE], INTR
    je 8b
    cmp dword ptr [rbx + AT_CODE], \code
    check \number, e
.endm

.text
    .globl lower_vmpl
lower_vmpl:
    /* There is no VMPL1 yet. */
    mov eax, 0x016
    mov edx, 1
    call msr_protocol
    test edx, edx
    check 40, nz

    validate PROGRAM, 41
    validate VMSA, 42
    validate SECRET, 43
    lea rsi, program[rip]
    mov edi, PROGRAM
    mov ecx, offset program_end - program
    rep movsb
    adjust PROGRAM, 0xf01, 44
    call fill_vmsa
    adjust VMSA, 0x10001, 45        /* a VMSA, and nobody's below */
    call create
    mov ebx, VMSA

    run 0x72, 46                    /* CPUID */
    cmp dword ptr [rbx + AT_RAX], ASKED
    check 47, e
    mov rax, [rbx + AT_NRIP]
    sub rax, [rbx + AT_RIP]
    cmp rax, 2
    check 48, e
    mov dword ptr [rbx + AT_RAX], ANSWER
    call complete

    run 0x7b, 49                    /* IN */
    mov eax, [rbx + AT_INFO_1]
    and eax, 0xffff0071
    cmp eax, PORT << 16 | 0x11      /* the port, a byte, in */
    check 50, e
    mov byte ptr [rbx + AT_RAX], READ
    call complete

    /* The page is VMPL0's alone. */
    run 0x400, 51
    cmp qword ptr [rbx + AT_INFO_2], SECRET
    check 52, e
    bt dword ptr [rbx + AT_INFO_1], 31 /* by the RMP */
    check 53, c
    bt dword ptr [rbx + AT_INFO_1 + 4], 36 - 32
    check 54, c

    /* What may not run does not, whatever the host does. */
    mov qword ptr [rbx + AT_EFER], 0
    run NOTHING, 55
    mov qword ptr [rbx + AT_EFER], 0x1000
    bts dword ptr [rbx + AT_VINTR + 4], 63 - 32
    run NOTHING, 56
    btr dword ptr [rbx + AT_VINTR + 4], 63 - 32

    adjust SECRET, 0x301, 57
    run 0x78, 58                    /* HLT, which RIP is behind */
    mov rax, [rbx + AT_RIP]
    cmp rax, PROGRAM + halted - program
    check 59, e
    cmp dword ptr [SECRET], ANSWER + 1
    check 60, e

    /* VMPL1 has no IDT. */
    mov dword ptr [rbx + AT_EVENT], 0x80000306
    run 0x7f, 61
    cmp qword ptr [rbx + AT_EVENT], 0
    check 62, e

    /* No VMSA, no VMPL. */
    mov rsi, 2
    call create_with
    mov eax, 0x016
    mov edx, 1
    call msr_protocol
    test edx, edx
    check 63, nz
    ret

/* The instruction has been carried out, and its exit is not to be seen again. */
complete:
    mov rax, [rbx + AT_NRIP]
    mov [rbx + AT_RIP], rax
    ret

/* AP creation by the GHCB: of this processor, at VMPL1. RSI: the operation. */
create:
    mov esi, 1
create_with:
    mov edi, SHARED + GHCB
    mov word ptr [rdi + 0xffa], 2   /* version */
    mov eax, 0x80000013
    mov [rdi + 0x390], rax
    lea rax, [rsi + 0x10000]
    mov [rdi + 0x398], rax
    mov qword ptr [rdi + 0x3a0], VMSA
    mov qword ptr [rdi + AT_RAX], FEATURES
    mov qword ptr [rdi + 0x3f0], 0
    mov qword ptr [rdi + 0x3f8], 0
    or byte ptr [rdi + 0x3f7], 0x80 /* RAX is valid */
    or byte ptr [rdi + 0x3fe], 0x1c /* and what the event is */
    mov eax, GHCB
    xor edx, edx
    mov ecx, MSR_GHCB
    wrmsr
    vmgexit_
    cmp dword ptr [rdi + 0x398], 0
    check 64, e
    ret

/* 32 bits, flat, without paging, at the program. */
fill_vmsa:
    mov edi, VMSA
    mov ecx, 4096 / 8
    xor eax, eax
    rep stosq
    mov edi, VMSA
    xor ecx, ecx                    /* ES, CS, SS, DS, FS, GS */
1:  mov dword ptr [rdi], 0x0c930010
    mov dword ptr [rdi + 4], 0xffffffff
    add edi, 16
    inc ecx
    cmp ecx, 6
    jne 1b
    mov edi, VMSA
    mov dword ptr [rdi + 0x10], 0x0c9b0008
    mov dword ptr [rdi + 0x70], 0x00820000
    mov dword ptr [rdi + 0x90], 0x008b0000
    mov byte ptr [rdi + 0xca], 1    /* VMPL */
    mov dword ptr [rdi + AT_EFER], 0x1000
    mov dword ptr [rdi + 0x158], 0x11
    mov dword ptr [rdi + 0x160], 0x400
    mov eax, 0xffff0ff0
    mov [rdi + 0x168], eax
    mov dword ptr [rdi + 0x170], 2
    mov dword ptr [rdi + AT_RIP], PROGRAM
    mov rax, 0x0007040600070406
    mov [rdi + 0x268], rax
    mov dword ptr [rdi + 0x3b0], FEATURES
    mov dword ptr [rdi + AT_VINTR], 1 << 9
    mov rax, C_BIT
    mov [rdi + 0x3c8], rax
    mov dword ptr [rdi + 0x3e8], 1
    ret

/* At VMPL1. */
.code32
program:
    mov eax, ASKED
    cpuid
    cmp eax, ANSWER
    jne 2f
    mov edi, eax
    mov edx, PORT
    in al, dx
    cmp al, READ
    jne 2f
    inc edi
    mov ds:[SECRET], edi
    hlt
halted:
2:  ud2
program_end:
.code64

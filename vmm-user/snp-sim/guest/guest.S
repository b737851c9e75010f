/* A guest of SEV-SNP, as small as may be: it reads its CPUID page, validates memory, executes CPUID,
   whose #VC it handles by the MSR protocol of the GHCB, gets itself a GHCB, runs a program at VMPL1
   (vmpl.S), prints by the GHCB, and asks to be ended: with reason 0 if all was as it should be, else with
   the number of the first check that failed.

   It is entered at VMPL0 in 64-bit mode at its first byte, 1_0000h, with CR3 at 2_0000h (`tables`), CS 8
   and interrupts off. */
#include "macros.h"

.set CPUID_PAGE, 0x8000             /* validated at launch, with what the firmware accepted */
.set FRESH, 0x80000                 /* memory that nobody has validated */
.set MSR_SEV_STATUS, 0xc0010131
.set VC, 29
.set SET_OF_TESTS, 15               /* the set of reasons in the request to end */

.text
start:
    lea rsp, stack_end[rip]
    call set_up_tables

    /* The CPUID page has leaf 8000_001Fh, and that the C-bit is bit 47. */
    mov rsi, CPUID_PAGE
    mov ecx, [rsi]
    add rsi, 0x10
1:  cmp dword ptr [rsi], 0x8000001f
    je 2f
    add rsi, 0x30
    dec ecx
    jnz 1b
2:  test ecx, ecx
    check 1, nz
    mov eax, [rsi + 0x1c]
    and eax, 0x3f
    cmp eax, 47
    check 2, e

    /* The instruction exits, and the handler asks the host. */
    mov eax, 0x8000001f
    xor ecx, ecx
    cpuid
    and ebx, 0x3f
    cmp ebx, 47
    check 3, e
    test eax, 1 << 4                /* SNP */
    check 4, nz
    cmp dword ptr handled_cpuid[rip], 1
    check 5, e

    mov ecx, MSR_SEV_STATUS
    rdmsr
    cmp eax, 7                      /* SEV, SEV-ES, SEV-SNP, and nothing else */
    check 6, e

    /* A page that is not validated: the handler does it, and the access goes on. */
    mov rbx, FRESH
    mov touched[rip], rbx
    mov qword ptr [rbx], 0x1234
    cmp dword ptr handled_unvalidated[rip], 1
    check 7, e
    cmp qword ptr [rbx], 0x1234
    check 8, e

    /* Once more is no change; taken back it is as before. */
    mov rax, rbx
    xor ecx, ecx
    mov edx, 1
    pvalidate_
    check 9, c
    test eax, eax
    check 10, z
    mov rax, rbx
    xor edx, edx
    pvalidate_
    check 11, nc
    test eax, eax
    check 12, z
    mov rdx, [rbx]
    cmp dword ptr handled_unvalidated[rip], 2
    check 13, e

    /* A large page, of which the reverse map has small ones. */
    xor eax, eax
    mov ecx, 1
    mov edx, 1
    pvalidate_
    cmp eax, 6
    check 14, e

    /* VMPL1 may read the page from now on; nobody changes what VMPL0 may. */
    mov rax, rbx
    xor ecx, ecx
    mov edx, 0x101
    rmpadjust_
    test eax, eax
    check 15, z
    mov rax, rbx
    mov edx, 0x100
    rmpadjust_
    cmp eax, 2
    check 16, e

    /* What the host can do. */
    mov eax, 0x002
    xor edx, edx
    call msr_protocol
    cmp r8d, 0x001
    check 17, e
    shr eax, 24
    cmp eax, 47
    check 18, e
    mov eax, 0x080
    xor edx, edx
    call msr_protocol
    cmp r8d, 0x081
    check 19, e
    test eax, 1 << 12               /* SNP */
    check 20, nz

    /* A GHCB: its page was never validated, and becomes shared. */
    mov eax, GHCB | 0x014
    mov edx, 2 << 20                /* bits 55:52 of the word */
    call msr_protocol
    cmp r8d, 0x015
    check 21, e
    test edx, edx
    check 22, z
    mov eax, GHCB | 0x012
    xor edx, edx
    call msr_protocol
    cmp eax, GHCB | 0x013
    check 23, e
    mov edi, SHARED + GHCB
    mov ecx, 4096 / 8
    xor eax, eax
    rep stosq
    call lower_vmpl
    lea rsi, text[rip]
    call print
    xor edi, edi

/* EDI: why. */
    .globl terminate, msr_protocol
terminate:
    mov eax, edi
    shl eax, 16
    or eax, SET_OF_TESTS << 12 | 0x100
    xor edx, edx
    call msr_protocol
1:  hlt
    jmp 1b

/* EDX:EAX: a word for the host. Returns its answer there, and the answer's code in R8D. */
msr_protocol:
    mov ecx, MSR_GHCB
    wrmsr
    vmgexit_
    rdmsr
    mov r8d, eax
    and r8d, 0xfff
    ret

/* RSI: a text that ends with 0, which goes to port 3F8h by NAE 7Bh, byte by byte. */
print:
    mov ebx, SHARED + GHCB
    mov word ptr [rbx + 0xffa], 2   /* version */
1:  movzx eax, byte ptr [rsi]
    inc rsi
    test eax, eax
    jz 2f
    mov [rbx + 0x1f8], rax
    mov qword ptr [rbx + 0x390], 0x7b
    mov qword ptr [rbx + 0x398], 0x3f8 << 16 | 1 << 9 | 1 << 4
    mov qword ptr [rbx + 0x3a0], 0
    mov qword ptr [rbx + 0x3f0], 0
    mov qword ptr [rbx + 0x3f8], 0
    or byte ptr [rbx + 0x3f7], 0x80 /* RAX is valid */
    or byte ptr [rbx + 0x3fe], 0x1c /* and what the event is */
    mov eax, GHCB
    xor edx, edx
    mov ecx, MSR_GHCB
    wrmsr
    vmgexit_
    cmp dword ptr [rbx + 0x398], 0
    je 1b
    mov edi, 24
    jmp terminate
2:  ret

/* #VC, on a stack of its own: error code, RIP, CS, RFLAGS, RSP, SS. */
vc_handler:
    push rdi
    push r8
    mov edi, 25
    lea r8, vc_stack_end - 64[rip]  /* the frame of six words, and two more */
    cmp rsp, r8
    jne terminate
    mov r8, [rsp + 16]
    cmp r8d, 0x72
    je 3f
    mov edi, 26
    cmp r8d, 0x404
    jne terminate
    inc dword ptr handled_unvalidated[rip]
    push rax
    push rcx
    push rdx
    mov rax, touched[rip]
    xor ecx, ecx
    mov edx, 1
    pvalidate_
    mov edi, 27
    jc terminate
    test eax, eax
    jnz terminate
    pop rdx
    pop rcx
    pop rax
    jmp 5f

    /* CPUID, register by register. The function is in EAX; there are no subfunctions in this protocol. */
3:  inc dword ptr handled_cpuid[rip]
    mov r9d, eax
    xor r10d, r10d
4:  mov eax, r10d
    shl eax, 30
    or eax, 0x004
    mov edx, r9d
    call msr_protocol
    mov edi, 28
    cmp r8d, 0x005
    jne terminate
    lea r8, registers[rip]
    mov [r8 + r10 * 4], edx
    inc r10d
    cmp r10d, 4
    jne 4b
    mov eax, registers[rip]
    mov ebx, registers + 4[rip]
    mov ecx, registers + 8[rip]
    mov edx, registers + 12[rip]
    add qword ptr [rsp + 24], 2     /* behind the instruction */
5:  pop r8
    pop rdi
    add rsp, 8
    iretq

/* Global descriptors, the TSS with the stack of #VC, and its gate. */
set_up_tables:
    lea rax, tss[rip]
    lea rdi, gdt[rip]
    mov word ptr [rdi + 24], 103
    mov [rdi + 26], ax
    shr rax, 16
    mov [rdi + 28], al
    mov byte ptr [rdi + 29], 0x89
    mov [rdi + 31], ah
    lea rax, vc_stack_end[rip]
    mov tss[rip + 36], rax          /* IST1 */
    lea rax, vc_handler[rip]
    lea rdi, idt[rip + VC * 16]
    mov [rdi], ax
    mov word ptr [rdi + 2], 8
    mov word ptr [rdi + 4], 0x8e01  /* present, interrupt gate, IST1 */
    shr rax, 16
    mov [rdi + 6], ax
    lgdt gdt_pointer[rip]
    lidt idt_pointer[rip]
    mov eax, 24
    ltr ax
    mov eax, 16
    mov ss, eax
    ret

.data
text:   .asciz "SNP guest: validated, reflected, shared, a VMPL below: all as it should be\r\n"
.balign 8
touched: .quad 0
handled_cpuid: .long 0
handled_unvalidated: .long 0
registers: .skip 16
gdt_pointer:
    .word 5 * 8 - 1
    .quad gdt
idt_pointer:
    .word 32 * 16 - 1
    .quad idt
.balign 16
gdt:
    .quad 0
    .quad 0x00209b0000000000        /* code of 64 bits */
    .quad 0x0000930000000000        /* data */
    .quad 0, 0                      /* TSS */
tss:    .skip 104
.balign 16
idt:    .skip 32 * 16
.section .tables, "aw"
.balign 4096
tables:
    .quad level3 + C_BIT + 3
    .skip 511 * 8
level3:
    .quad level2 + C_BIT + 3
    .quad 0, 0
    .quad level2_rom + C_BIT + 3
    .skip 508 * 8
level2:
    .quad level1 + C_BIT + 3
    .quad 0x83                      /* from 2 MiB on: the first 2 MiB, shared */
    .skip 510 * 8
level1:
    .set page, 0
    .rept 512
    .quad (page << 12) + C_BIT + 3
    .set page, page + 1
    .endr
level2_rom:                         /* the last 2 MiB below 4 GiB: where reset.S is, if it is there */
    .skip 511 * 8
    .quad 0xffe00000 + C_BIT + 0x83
stack:
    .skip 4096
stack_end:
    .skip 4096
vc_stack_end:

/* mmio-forms.S for legacy protected mode: a case's 32- or 16-bit code runs without long mode,
 * under PAE paging by the same tables but the first two levels. Every case goes there and back. */
#include "mmio-forms.h"
.globl run_case_legacy, stubs32, tss32

.set CODE64, 8                      /* selectors of mmio-forms.S */
.set DATA, 16
.set CODE32, 24
.set TSS32, 32
.set TSS64, 64
.set CR0_PG, 1 << 31
.set MSR_EFER, 0xc0000080
.set EFER_LME, 1 << 8
.set BUSY, 5                        /* in a TSS's descriptor, the byte that says so, and the bit */
.set NOT_BUSY, ~2

.text
/* run_case_legacy(struct state *): as run_case. */
run_case_legacy:
    begin_case
    push CODE32
    lea rax, leave_long_mode[rip]
    push rax
    retfq

.code32
leave_long_mode:
    mov eax, DATA
    mov ds, eax
    mov ss, eax
    mov esp, offset legacy_stack_top
    mov eax, cr0
    and eax, ~CR0_PG
    mov cr0, eax
    mov ecx, MSR_EFER
    rdmsr
    and eax, ~EFER_LME
    wrmsr
    mov eax, offset level3_legacy
    mov cr3, eax
    mov eax, cr0
    or eax, CR0_PG
    mov cr0, eax
    lidt idt32_pointer
    and byte ptr gdt + TSS32 + BUSY, NOT_BUSY
    mov eax, TSS32
    ltr ax
    mov edi, current
    push [edi + SS_]
    push [edi + RSP_]
    push [edi + RFLAGS_]
    push [edi + CS_]
    push [edi + RIP_]
    mov eax, [edi + ES_]
    mov es, eax
    mov eax, [edi + GS_]
    mov gs, eax
    mov eax, [edi + DS_]
    mov ds, eax
    mov eax, ss:[edi]
    mov ecx, ss:[edi + 8]
    mov edx, ss:[edi + 16]
    mov ebx, ss:[edi + 24]
    mov ebp, ss:[edi + 40]
    mov esi, ss:[edi + 48]
    mov edi, ss:[edi + RDI_]
    iretd

.balign 16
stubs32:
    exception_stubs exception32

/* Vector, error code, EIP, CS, EFLAGS, ESP, SS. */
exception32:
    push eax
    mov eax, DATA
    mov ds, eax
    test byte ptr [esp + 16], 3
    jz own_fault32
    mov eax, current
    mov [eax + 8], ecx
    mov [eax + 16], edx
    mov [eax + 24], ebx
    mov [eax + 40], ebp
    mov [eax + 48], esi
    mov [eax + RDI_], edi
    pop [eax]
    pop [eax + VECTOR_]
    pop [eax + ERROR_]
    pop [eax + RIP_]
    pop ecx
    pop [eax + RFLAGS_]
    pop [eax + RSP_]
back:
    mov eax, cr0
    and eax, ~CR0_PG
    mov cr0, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LME
    wrmsr
    mov eax, offset level4
    mov cr3, eax
    mov eax, cr0
    or eax, CR0_PG
    mov cr0, eax
    push CODE64
    push offset in_long_mode
    retf

/* An exception in the code above: its number is told in long mode. */
own_fault32:
    mov ecx, [esp + 4]
    mov own_vector, ecx
    mov ecx, [esp + 12]
    mov own_eip, ecx
    jmp back

.code64
in_long_mode:
    lidt idt_pointer[rip]
    and byte ptr gdt[rip + TSS64 + BUSY], NOT_BUSY
    mov eax, TSS64
    ltr ax
    xor eax, eax
    mov ds, eax
    mov es, eax
    cld
    mov rsp, kernel_rsp[rip]
    mov rdi, current[rip]
    keep_xmm
    mov edi, own_vector[rip]
    mov esi, own_eip[rip]
    cmp edi, -1
    jne own_fault_legacy
    end_case

.data
.balign 8
idt32_pointer:
    .word 255
    .quad idt32
own_vector:
    .long -1
own_eip:
    .long 0
/* A 32-bit TSS, of which the processor takes ESP0 and SS0. */
tss32:
    .long 0, legacy_stack_top, DATA
    .skip 92

.bss
.balign 16
.skip 4096
legacy_stack_top:

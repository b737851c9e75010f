/* The way to 64-bit mode from the reset vector, in a page below 4 GiB, as firmware takes it: real mode,
   protected mode, in which CPUID is a #VC through a 32-bit gate, the page tables of the test guest, whose
   entries have the C-bit and CR3 has not, and the guest's first byte. What is wrong here is the reason in the
   request to be ended, from 40 on. */
.intel_syntax noprefix

.set GUEST, 0x10000
.set TABLES, 0x20000
.set STACK_END, 0x51000
.set MSR_GHCB, 0xc0010130
.set MSR_EFER, 0xc0000080
.set CODE_64, 8
.set DATA, 16
.set CODE_32, 24
.set IN_SEGMENT, 0xf000             /* of this page in the segment that CS is after reset */

.text
rom:
.code16
real:
    .byte 0x2e, 0x66, 0x0f, 0x01, 0x16  /* LGDT CS:[...], all of the address */
    .word IN_SEGMENT + gdt_pointer - rom
    mov eax, cr0
    or eax, 1
    mov cr0, eax
    .byte 0x66, 0xea                /* JMP CODE_32:protected */
    .long protected
    .word CODE_32

.code32
protected:
    mov eax, DATA
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, STACK_END
    lidt idt_pointer

    mov eax, 0x8000001f
    xor ecx, ecx
    cpuid
    and ebx, 0x3f
    mov edi, 40
    cmp ebx, 47
    jne terminate

    mov eax, cr4
    or eax, 1 << 5                  /* PAE */
    mov cr4, eax
    mov eax, TABLES
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, 1 << 8                  /* LME */
    wrmsr
    mov eax, cr0
    or eax, 1 << 31                 /* PG */
    mov cr0, eax
    .byte 0xea                      /* JMP CODE_64:GUEST */
    .long GUEST
    .word CODE_64

/* #VC, on the present stack: error code, EIP, CS, EFLAGS. EBX alone is asked for. */
vc_handler:
    mov edi, 41
    cmp dword ptr [esp], 0x72
    jne terminate
    mov edx, eax
    mov eax, 1 << 30 | 0x004
    mov ecx, MSR_GHCB
    wrmsr
    .byte 0xf3, 0x0f, 0x01, 0xd9    /* VMGEXIT */
    rdmsr
    mov ebx, edx
    and eax, 0xfff
    mov edi, 42
    cmp eax, 0x005
    jne terminate
    add esp, 4
    add dword ptr [esp], 2          /* behind the instruction */
    iretd

/* EDI: why. */
terminate:
    mov eax, edi
    shl eax, 16
    or eax, 15 << 12 | 0x100
    xor edx, edx
    mov ecx, MSR_GHCB
    wrmsr
    .byte 0xf3, 0x0f, 0x01, 0xd9
1:  hlt
    jmp 1b

.balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00cf9b000000ffff
idt:
    .skip 29 * 8
    .word IN_SEGMENT + vc_handler - rom, CODE_32, 0x8e00, 0xffff
gdt_pointer:
    .word 4 * 8 - 1
    .long gdt
idt_pointer:
    .word 30 * 8 - 1
    .long idt

.org 0xff0
.code16
    jmp real
.org 0x1000

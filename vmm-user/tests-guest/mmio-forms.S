/* The part of mmio-forms.c that is no C: entry, descriptor tables, and the way into a case's user
 * code and out of it by an exception. It stands behind benches/guest/setup.S, the boot protocol's header. */
.intel_syntax noprefix
.globl run_case, ldt, image, gdt, idt_pointer, kernel_rsp, current, own_fault_legacy

/* `struct state` of mmio-forms.c. */
.set RSP_, 32
.set RDI_, 56
.set RIP_, 128
.set RFLAGS_, 136
.set CS_, 144
.set SS_, 152
.set DS_, 160
.set ES_, 168
.set GS_, 176
.set GS_BASE_, 184
.set VECTOR_, 192
.set ERROR_, 200
.set CR2_, 208
.set XMM_, 224

.set MSR_GS_BASE, 0xc0000101
.set CR0_EM, 1 << 2
.set CR0_TS, 1 << 3
.set CR4_OSFXSR_OSXMMEXCPT, 3 << 9

.text
image:
    ud2                             /* the 32-bit entry, which is not offered */
.org image + 0x200
/* The 64-bit entry: RSI = boot_params, paging on, interrupts off. */
    cld
    lea rsp, stack_top[rip]
    mov rdx, rsi
    /* Nobody promised that memory behind the file is zero. The stack is spared. */
    lea rdi, zeroed[rip]
    lea rcx, memory_end[rip]
    sub rcx, rdi
    xor eax, eax
    rep stosb
    mov rax, cr0
    and eax, ~(CR0_EM | CR0_TS)
    mov cr0, rax
    mov rax, cr4
    or eax, CR4_OSFXSR_OSXMMEXCPT
    mov cr4, rax
    mov rbx, rdx
    call describe
    mov rdi, rbx
    call run_table
stop:
    mov edx, 0xcf9                  /* the PC's reset register */
    mov al, 6
    out dx, al
    cli
    hlt
    jmp stop

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
    lgdt gdt_pointer[rip]
    lea rax, 1f[rip]
    push 8
    push rax
    retfq
1:  mov eax, 16
    mov ss, eax
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov eax, offset tss_low - gdt
    ltr ax
    mov eax, offset ldt_low - gdt
    lldt ax
    lea rsi, stubs[rip]
    lea rdi, idt[rip]
    mov ecx, 32
1:  mov eax, esi                    /* gates for user code too, as a case ends with INT3 */
    and eax, 0xffff
    or eax, 8 << 16
    stosd
    mov eax, esi
    and eax, 0xffff0000
    or eax, 0xee00
    stosd
    xor eax, eax
    stosq
    add rsi, 16
    dec ecx
    jnz 1b
    lidt idt_pointer[rip]
    ret

/* run_case(struct state *): runs user code until an exception, and stores its registers. */
run_case:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov kernel_rsp[rip], rsp
    mov current[rip], rdi
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups xmm\n, [rdi + XMM_ + 16 * \n]
    .endr
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
.set vector, 0
.rept 32
    .balign 16
    .if vector != 8 && (vector < 10 || vector > 14) && vector != 17
    push 0
    .endif
    push vector
    jmp exception
    .set vector, vector + 1
.endr

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
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups [rdi + XMM_ + 16 * \n], xmm\n
    .endr
    cld
    mov rsp, kernel_rsp[rip]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret

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

.data
.balign 8
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

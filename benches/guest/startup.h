/* How every guest in assembly starts, behind setup.S (the boot protocol's header) and by guest.ld: macros,
 * since each guest has tables of its own. Intel syntax. */
.intel_syntax noprefix

/* entry: the 64-bit entry, first of all in .text: RSI = boot_params, paging on, interrupts off. */
.macro entry
image:
    ud2                             /* the 32-bit entry, which is not offered */
.org image + 0x200
    cld
    lea rsp, stack_top[rip]
.endm

/* clear_memory: nobody promised that memory behind the file is zero. The stack lies before it and is spared.
 * Changes RAX, RCX and RDI. */
.macro clear_memory
    lea rdi, zeroed[rip]
    lea rcx, memory_end[rip]
    sub rcx, rdi
    xor eax, eax
    rep stosb
.endm

/* load_segments: the guest's own GDT, whose second entry is 64-bit code and whose third is data. */
.macro load_segments
    lgdt gdt_pointer[rip]
    lea rax, 9f[rip]
    push 8
    push rax
    retfq
9:  mov eax, 16
    mov ss, eax
    mov ds, eax
    mov es, eax
.endm

/* interrupt_gate HIGH: the routine `gate`, which makes a gate at RDI to RSI, below 4 GiB; RDI moves on. HIGH
 * are the attributes, in the second doubleword: 8e00h is for the kernel alone, ee00h for INT of user code
 * too. */
.macro interrupt_gate high
gate:
    mov eax, esi
    and eax, 0xffff
    or eax, 8 << 16
    stosd
    mov eax, esi
    and eax, 0xffff0000
    or eax, \high
    stosd
    xor eax, eax
    stosq
    ret
.endm

/* gates STUBS, COUNT: fills the IDT with gates to stubs of 16 bytes each; RDI is behind them then. */
.macro gates stubs, count
    lea rsi, \stubs[rip]
    lea rdi, idt[rip]
    mov ecx, \count
9:  call gate
    add rsi, 16
    dec ecx
    jnz 9b
.endm

/* end_by_reset: the PC's reset register ends the guest. */
.macro end_by_reset
    mov edx, 0xcf9
    mov al, 6
    out dx, al
9:  cli
    hlt
    jmp 9b
.endm

//! The PVH entry: 32-bit protected mode without paging, EBX = physical address of `hvm_start_info`.
//!
//! It clears the BSS, maps the first 4 GiB by identity in 2 MiB pages, switches to long mode and calls
//! `start` on the loader's stack. The processor is whatever the host made it: one without long mode gets a
//! message and a halt.
#![allow(unsafe_code, reason = "the first instructions, before Rust can run")]

use core::arch::global_asm;

/// Entries of the loader's own page tables, so that the way out can add to them.
#[repr(C, align(4096))]
pub struct Tables {
    /// Root.
    pub level4: [u64; 512],
    /// The first 512 GiB.
    pub level3: [u64; 512],
    /// The first 4 GiB.
    pub level2: [[u64; 512]; 4],
}

global_asm!(
    r#"
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18              // name size, description size, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_entry

    .section .text.entry, "ax", @progbits
    .code32
    .global pvh_entry
pvh_entry:
    cli
    cld
    mov edi, offset bss_start
    mov ecx, offset bss_end
    sub ecx, edi
    xor eax, eax
    rep stosb
    mov esp, offset boot_stack_end
    mov ebp, ebx                // hvm_start_info

    // A20: memory above 1 MiB must not wrap. Bit 0 of the port resets the machine.
    in al, 0x92
    test al, 2
    jnz 1f
    or al, 2
    and al, 0xfe
    out 0x92, al
1:
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb no_long_mode
    mov eax, 0x80000001
    cpuid
    bt edx, 29
    jnc no_long_mode
    // PAE and MSRs, without which there is none either, whatever the leaf above says; and CMOV, which
    // compiled code has in it.
    mov eax, 1
    cpuid
    and edx, 1 << 15 | 1 << 6 | 1 << 5
    cmp edx, 1 << 15 | 1 << 6 | 1 << 5
    jne no_long_mode

    // Level 4 and level 3.
    mov eax, offset loader_tables + 0x1000 + 3
    mov [loader_tables], eax
    mov edi, offset loader_tables + 0x1000
    mov eax, offset loader_tables + 0x2000 + 3
    mov ecx, 4
2:
    mov [edi], eax
    add eax, 0x1000
    add edi, 8
    loop 2b
    // Level 2: 2048 pages of 2 MiB, present, writable, large.
    mov edi, offset loader_tables + 0x2000
    mov eax, 0x83
    mov ecx, 2048
3:
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    loop 3b

    mov eax, cr4
    or eax, 1 << 5              // PAE
    mov cr4, eax
    mov eax, offset loader_tables
    mov cr3, eax
    mov ecx, 0xc0000080         // EFER
    rdmsr
    or eax, 1 << 8              // LME
    wrmsr
    mov eax, cr0
    or eax, 1 << 31 | 1         // PG, PE
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    .byte 0xea                  // far jump to the 64-bit segment
    .long long_mode
    .short 8

    // No formatting, no stack: one message, byte by byte.
no_long_mode:
    mov esi, offset no_long_mode_text
    mov edx, 0x3f8
4:
    lodsb
    test al, al
    jz 5f
    out dx, al
    jmp 4b
5:
    mov al, 49
    out 0xf4, al
6:
    hlt
    jmp 6b

    .code64
long_mode:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov edi, ebp
    xor ebp, ebp
    call {start}
    ud2

    .section .rodata.entry, "a", @progbits
no_long_mode_text:
    .ascii "pvh-loader: this processor has no long mode (64 bits, with CMOV, PAE and MSRs): "
    .asciz "nothing was started\r\n"
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff    // 64-bit code
    .quad 0x00cf93000000ffff    // data
boot_gdt_pointer:
    .short 23
    .long boot_gdt

    .section .bss.entry, "aw", @nobits
    .balign 4096
    .global loader_tables
loader_tables:
    .skip 6 * 4096
boot_stack:
    .skip 65536
boot_stack_end:
    .text
    "#,
    start = sym super::start,
);

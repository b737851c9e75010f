/* A guest that means no good: entry, tables, and faults that it survives. The first number of its command
 * line says what it tries; each part says so in the end, and then triple-faults on purpose. */
#include "hostile.h"
#include "../../benches/guest/startup.h"
.globl gate, idt, resume, safe_stack, last_vector, last_error, level4, wrong, interrupts_seen
.globl end_by_triple_fault
.text
    entry
    mov ebx, [rsi + 0x228]          /* cmd_line_ptr */
    clear_memory
    call map
    call describe
    mov rsi, rbx
    call number
    mov rbp, rax
    say "begins"
    cmp rbp, (parts_end - parts) / 4
    jae 1f
    lea rax, parts[rip]
    movsxd rcx, [rax + rbp * 4]
    add rcx, rax
    call rcx
    cmp qword ptr wrongs[rip], 0
    jne 1f
    say "done, as it should be"
    jmp end_by_triple_fault
1:  say "something was WRONG"
    jmp end_by_triple_fault

.balign 4
parts:
    .long part_msrs - parts, part_ports - parts, part_memory - parts, part_forms - parts
    .long part_privileged - parts, part_interrupts - parts
    .long end_absent_idt - parts, end_absent_stack - parts, end_absent_tables - parts, end_reset - parts
    .long end_absent_stack_at_interrupt - parts
    .long part_late - parts, part_tables - parts, part_flood - parts, part_nmis - parts
    .long part_step - parts, part_priority - parts, part_control - parts, part_debug - parts
parts_end:

/* No IDT, and a fault. */
end_by_triple_fault:
    lidt nothing[rip]
    ud2

/* Counts and tells what was not as it should be: the caller's address. */
wrong:
    push rax
    push rcx
    push rdx
    push rsi
    inc qword ptr wrongs[rip]
    lea rsi, text_wrong[rip]
    call print
    mov rax, [rsp + 32]
    call print_number
    mov rax, last_vector[rip]
    call print_number
    mov al, 10
    call print_char
    pop rsi
    pop rdx
    pop rcx
    pop rax
    ret

/* The first 512 GiB, by identity, in pages of 1 GiB. */
map:
    lea rax, level3[rip + 7]        /* present, writable, user */
    mov level4[rip], rax
    lea rdi, level3[rip]
    mov eax, 0xe7                   /* present, writable, user, accessed, dirty, large */
    mov ecx, 512
1:  stosq
    add rax, 0x40000000
    dec ecx
    jnz 1b
    lea rax, level4[rip]
    mov cr3, rax
    ret

describe:
    load_segments
    gates stubs, 256
    lidt idt_pointer[rip]
    mov rax, cr4
    or eax, 0x600                   /* OSFXSR, OSXMMEXCPT */
    mov cr4, rax
    ret

interrupt_gate 0x8e00

.balign 16
stubs:
.set vector, 0
.rept 256
    .balign 16
    push vector
    .if vector < 32
    jmp fault
    .else
    jmp interrupt
    .endif
    .set vector, vector + 1
.endr

fault:
    mov kept_rax[rip], rax
    pop rax
    mov last_vector[rip], rax
    mov rax, [rsp]
    mov last_error[rip], rax        /* of those vectors that have one */
    mov rsp, safe_stack[rip]
    mov rax, resume[rip]
    test rax, rax
    jz 1f
    push rax
    mov rax, kept_rax[rip]
    ret
1:  call wrong
    jmp end_by_triple_fault

interrupt:
    inc qword ptr interrupts_seen[rip]
    push rax
    mov eax, APIC
    mov dword ptr [rax + 0xb0], 0
    pop rax
    add rsp, 8
    iretq

.data
.balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .quad gdt
idt_pointer:
    .word 4095
    .quad idt
nothing:
    .word 0
    .quad 0
text_wrong:
    .asciz "hostile guest: WRONG at and vector"

.section .stack, "aw", @nobits
.skip 4096
stack_top:

.bss
.balign 4096
level4: .skip 4096
level3: .skip 4096
idt: .skip 4096
resume: .skip 8
safe_stack: .skip 8
last_vector: .skip 8
last_error: .skip 8
kept_rax: .skip 8
wrongs: .skip 8
interrupts_seen: .skip 8

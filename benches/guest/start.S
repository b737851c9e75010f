/* Entry, page tables, descriptor tables, faults: what the loops need to stand on. */
#include "contract.h"
#include "startup.h"
.text
    entry
    mov ebx, [rsi + 0x228]          /* cmd_line_ptr */
    clear_memory
    call map
    call describe
    mov rsi, rbx
    call number
    mov iterations[rip], rax
    call number
    mov rounds[rip], rax
    call number
    mov groups[rip], rax
    call token
    cmp rax, '-'                    /* a VMM may add words of its own: this one keeps them away */
    je 1f
    mov only[rip], rax
1:
    call run_rows
    lea rsi, text_end[rip]
    call print
stop:
    end_by_reset

/* The first 4 GiB, by identity, in pages of 2 MiB. */
map:
    lea rax, level3[rip + 7]        /* present, writable, user */
    mov level4[rip], rax
    lea rdi, level3[rip]
    lea rax, level2[rip + 7]
    mov ecx, 4
1:  stosq
    add rax, 4096
    dec ecx
    jnz 1b
    lea rdi, level2[rip]
    mov eax, 0xe7                   /* present, writable, user, accessed, dirty, large */
    mov ecx, 2048
1:  stosq
    add rax, 0x200000
    dec ecx
    jnz 1b
    lea rax, level4[rip]
    mov cr3, rax
    ret

describe:
    load_segments
    gates fault_stubs, 32
    lea rdi, idt + 16 * VECTOR_IPI[rip]
    lea rsi, on_ipi[rip]
    call gate
    lea rsi, on_timer[rip]
    call gate
    lidt idt_pointer[rip]
    ret

interrupt_gate 0x8e00

.balign 16
fault_stubs:
.set vector, 0
.rept 32
    .balign 16
    push vector
    jmp fault
    .set vector, vector + 1
.endr

/* A row that faults is one this machine doesn't have: it says so, and the next one follows. */
fault:
    pop rbx
    mov rsp, row_stack[rip]
    test rsp, rsp
    jz stop
    lea rsi, text_none[rip]
    call print
    call print_row_name
    mov rax, rbx
    call print_number
    call print_newline
    jmp row_done

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
text_end:
    .asciz "END\n"
text_none:
    .asciz "NONE "

/* The stack lies first, outside what is cleared, since clearing returns by it. */
.section .stack, "aw", @nobits
.skip 4096
stack_top:

.bss
.balign 4096
level4: .skip 4096
level3: .skip 4096
level2: .skip 4 * 4096
idt: .skip 4096

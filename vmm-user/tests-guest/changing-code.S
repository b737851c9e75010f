/* Code that changes under whoever decodes it: does each exit carry out the instruction that is there now?
 *
 * Stands on benches/guest/start.S in place of its rows. A routine in a page of its own reaches a device; it
 * is called several times, so that what remembers instructions remembers it; then its bytes change, or the
 * page tables that lead to it do, and it is called again. Only what the architecture guarantees is asserted:
 * after a store to code by the same processor and a serializing instruction the new code runs (APM volume 2,
 * 7.6.1); after INVLPG or a write to CR3 the new translation is used (5.5.2); without either, the old one or
 * the new one. Prints a line for each failure, and in the end "CHANGED checks failures".
 *
 * Needs two devices that keep what is written (`set extra-devices 2`). */
.intel_syntax noprefix
.globl run_rows, row_done, print_row_name, print_newline, iterations, rounds, groups, only, row_stack, on_ipi
.globl on_timer

.set FIRST, 0xd0003000              /* the devices' pages */
.set SECOND, 0xcfffe000
.set FIRST_VALUE, 0x1122334455667788
.set SECOND_VALUE, 0x2233445566778899
.set UNTOUCHED, 0x0101010101010101  /* what RAX and RDX hold before a call */
.set CALLS, 8                       /* of a routine, between two changes */
.set VIRTUAL, 0x200000000           /* the routine's page, the next one, and a page of data */
.set NEXT, VIRTUAL + 0x1000
.set DATA, VIRTUAL + 0x2000
.set PRESENT, 0x67                  /* writable, user, accessed, dirty */

/* code FRAME, OFFSET, BYTE...: writes bytes and a RET to a frame, by its other address, and serializes. */
.macro code frame, offset, bytes:vararg
    .pushsection .data
    1000: .byte \bytes, 0xc3
    1001:
    .popsection
    lea rsi, 1000b[rip]
    lea rdi, \frame[rip + \offset]
    mov ecx, offset 1001b - 1000b
    rep movsb
    call serialize
.endm
/* point TABLE, INDEX, TARGET: an entry of a table, and no more. */
.macro point table, index, target
    lea rax, \target[rip + PRESENT]
    mov \table[rip + 8 * \index], rax
.endm
/* point_to TABLE, INDEX, ADDRESS: the same, for what is not in this image. */
.macro point_to table, index, address
    mov eax, \address + PRESENT
    mov \table[rip + 8 * \index], rax
.endm
.macro invalidate address
    mov rax, \address
    invlpg [rax]
.endm
.macro flush
    mov rax, cr3
    mov cr3, rax
.endm
/* want RAX, RDX: that every call of the routine at R14 gives these. */
.macro want first, second
    mov r8, \first
    mov r9, \second
    call check
.endm
.macro switch_to table
    lea rax, \table[rip]
    mov cr3, rax
.endm

.text
run_rows:
    mov row_stack[rip], rsp
    call prepare
    call changed_bytes
    call changed_lengths
    call changed_translations
    call changed_spaces
    call changed_operands
    call across_pages
    jmp summary
/* A fault, of which start.S has told. */
row_done:
    inc qword ptr failures[rip]
summary:
    lea rsi, text_changed[rip]
    call print
    mov rax, checks[rip]
    call print_number
    mov rax, failures[rip]
    call print_number
    call print_newline
on_ipi:
on_timer:
    ret

prepare:
    mov ebx, FIRST
    mov rax, FIRST_VALUE
    mov [rbx], rax
    mov ebx, SECOND
    mov rax, SECOND_VALUE
    mov [rbx], rax
    /* 8 GiB on, below the tables there are. */
    mov rbx, cr3
    mov rbx, [rbx]
    and rbx, -4096
    point level2, 0, level1
    lea rax, level2[rip + PRESENT]
    mov [rbx + 64], rax
    /* A second address space like the first, but for those pages. */
    mov rsi, rbx
    lea rdi, other3[rip]
    mov ecx, 512
    rep movsq
    point other4, 0, other3
    point other3, 8, other2
    point other2, 0, other1
    point level1, 0, frame_a
    flush
    mov r14, VIRTUAL
    ret

/* The same place, another instruction: another register, size, operation, address. */
changed_bytes:
    code frame_a, 0, 0x8b, 0x03                 /* mov eax, [rbx] */
    want FIRST_VALUE & 0xffffffff, UNTOUCHED
    code frame_a, 0, 0x8b, 0x13                 /* mov edx, [rbx] */
    want UNTOUCHED, FIRST_VALUE & 0xffffffff
    code frame_a, 0, 0x8a, 0x03                 /* mov al, [rbx] */
    want (UNTOUCHED - (UNTOUCHED & 0xff)) + (FIRST_VALUE & 0xff), UNTOUCHED
    code frame_a, 0, 0x48, 0x8b, 0x03           /* mov rax, [rbx] */
    want FIRST_VALUE, UNTOUCHED
    code frame_a, 0, 0x0f, 0xb7, 0x13           /* movzx edx, word ptr [rbx] */
    want UNTOUCHED, FIRST_VALUE & 0xffff
    code frame_a, 0, 0x48, 0x8b, 0x01           /* mov rax, [rcx] */
    want SECOND_VALUE, UNTOUCHED
    code frame_a, 0, 0x48, 0x23, 0x01           /* and rax, [rcx] */
    want UNTOUCHED & SECOND_VALUE, UNTOUCHED
    code frame_a, 0, 0x48, 0x89, 0x03, 0x48, 0x8b, 0x13     /* mov [rbx], rax; mov rdx, [rbx] */
    want UNTOUCHED, UNTOUCHED
    mov ebx, FIRST
    mov rax, FIRST_VALUE
    mov [rbx], rax
    ret

/* CPUID and RDMSR, of which the length is remembered, at the same place; and CPUID with a prefix that means
   nothing. */
changed_lengths:
    xor eax, eax
    cpuid
    mov r12d, eax
    mov r13d, edx
    /* mov ecx, 1bh; xor eax, eax; cpuid; nop */
    code frame_a, 0, 0xb9, 0x1b, 0, 0, 0, 0x31, 0xc0, 0x0f, 0xa2, 0x90
    want r12, r13
    code frame_a, 7, 0xf3, 0x0f, 0xa2                       /* rep cpuid */
    want r12, r13
    code frame_a, 7, 0x0f, 0xa2, 0x90
    want r12, r13
    mov ecx, 0x1b
    rdmsr
    mov r12d, eax
    mov r13d, edx
    code frame_a, 7, 0x0f, 0x32, 0x90                       /* rdmsr; nop */
    want r12, r13
    ret

/* The same address, another frame. The operands have the same offset in their pages: a VMM that took
 * the processor's word for where a remembered move's operand is would find, in the last check
 * but one, frame_b's instruction with the address of frame_a's. */
changed_translations:
    code frame_a, 0, 0x8b, 0x03                             /* mov eax, [rbx] */
    code frame_b, 0, 0x8b, 0x11                             /* mov edx, [rcx] */
    want FIRST_VALUE & 0xffffffff, UNTOUCHED
    point level1, 0, frame_b
    invalidate VIRTUAL
    want UNTOUCHED, SECOND_VALUE & 0xffffffff
    point level1, 0, frame_a
    flush
    want FIRST_VALUE & 0xffffffff, UNTOUCHED
    /* The processor knows frame_a still, when frame_b's code is what was remembered. */
    point level1, 0, frame_b
    invalidate VIRTUAL
    want UNTOUCHED, SECOND_VALUE & 0xffffffff
    code frame_a, 0x800, 0x90
    point level1, 0, frame_a
    invalidate VIRTUAL
    mov rax, VIRTUAL + 0x800
    call rax
    point level1, 0, frame_b
    call check_either
    invalidate VIRTUAL
    want UNTOUCHED, SECOND_VALUE & 0xffffffff
    /* One level up: another table, then the first one, which has changed meanwhile. */
    point other1, 0, frame_a
    point level2, 0, other1
    invalidate VIRTUAL
    want FIRST_VALUE & 0xffffffff, UNTOUCHED
    point level2, 0, level1
    flush
    want UNTOUCHED, SECOND_VALUE & 0xffffffff
    point level1, 0, frame_a
    invalidate VIRTUAL
    want FIRST_VALUE & 0xffffffff, UNTOUCHED
    ret

/* Two address spaces with other code at the same address, in turn. */
changed_spaces:
    mov r12, cr3
    point other1, 0, frame_b
    mov ebp, 4
1:  switch_to other4
    want UNTOUCHED, SECOND_VALUE & 0xffffffff
    mov cr3, r12
    want FIRST_VALUE & 0xffffffff, UNTOUCHED
    dec ebp
    jnz 1b
    ret

/* The same instruction, another device at its operand's address. */
changed_operands:
    code frame_a, 0, 0x48, 0x8b, 0x07                       /* mov rax, [rdi] */
    point_to level1, 2, FIRST
    invalidate DATA
    want FIRST_VALUE, UNTOUCHED
    point_to level1, 2, SECOND
    invalidate DATA
    want SECOND_VALUE, UNTOUCHED
    point level1, 2, data                                   /* memory: no exit at all */
    invalidate DATA
    want 0, UNTOUCHED
    point_to level1, 2, FIRST
    flush
    want FIRST_VALUE, UNTOUCHED
    ret

/* An instruction of which the second half is in another page. */
across_pages:
    point level1, 1, frame_b
    invalidate NEXT
    mov r14, VIRTUAL + 0xfff
    code frame_a, 0xfff, 0x8b                               /* its RET goes to `spill` */
    code frame_b, 0, 0x03                                   /* mov eax, [rbx] */
    want FIRST_VALUE & 0xffffffff, UNTOUCHED
    code frame_b, 0, 0x13                                   /* mov edx, [rbx] */
    want UNTOUCHED, FIRST_VALUE & 0xffffffff
    code frame_c, 0, 0x01                                   /* mov eax, [rcx] */
    point level1, 1, frame_c
    invalidate NEXT
    want SECOND_VALUE & 0xffffffff, UNTOUCHED
    ret

/* Calls the routine: RBX and RCX are the devices, RDI is DATA. Returns RAX and RDX. */
one_call:
    mov rax, UNTOUCHED
    mov rdx, rax
    mov ebx, FIRST
    mov ecx, SECOND
    mov rdi, DATA
    inc qword ptr checks[rip]
    jmp r14

/* CALLS calls, each of which gives R8 in RAX and R9 in RDX. */
check:
    mov r10d, CALLS
1:  call one_call
    cmp rax, r8
    jne 2f
    cmp rdx, r9
    jne 2f
    dec r10d
    jnz 1b
    ret
2:  jmp failed

/* One call, which gives what frame_a's code gives or what frame_b's does. */
check_either:
    call one_call
    mov r8, UNTOUCHED
    cmp rdx, r8
    jne 1f
    mov r8d, FIRST_VALUE & 0xffffffff
    cmp rax, r8
    jne failed
    ret
1:  cmp rax, r8
    jne failed
    mov r8d, SECOND_VALUE & 0xffffffff
    cmp rdx, r8
    jne failed
    ret

/* Tells of the check's place, RAX and RDX; the next check follows. */
failed:
    push rdx
    push rax
    inc qword ptr failures[rip]
    lea rsi, text_failed[rip]
    call print
    mov rax, [rsp + 16]
    call print_number
    pop rax
    call print_number
    pop rax
    call print_number
print_newline:
    mov al, 10
    jmp print_char

/* IRETQ is serializing, and exits nowhere. */
serialize:
    pop rdx
    mov rax, rsp
    push 16
    push rax
    pushfq
    push 8
    push rdx
    iretq

print_row_name:
    lea rsi, text_fault[rip]
    jmp print

.data
text_failed:
    .asciz "FAILED at, RAX, RDX:"
text_fault:
    .asciz "a fault"
text_changed:
    .asciz "CHANGED"

.bss
.balign 4096
level2: .skip 4096
level1: .skip 4096
other4: .skip 4096
other3: .skip 4096
other2: .skip 4096
other1: .skip 4096
frame_a: .skip 4096
/* Here ends up the RET behind frame_a's last byte. */
spill: .skip 4096
frame_b: .skip 4096
frame_c: .skip 4096
data: .skip 4096
row_stack: .skip 8
checks: .skip 8
failures: .skip 8
iterations: .skip 8
rounds: .skip 8
groups: .skip 8
only: .skip 8

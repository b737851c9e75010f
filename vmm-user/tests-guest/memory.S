/* Memory that is not there, ROM, and devices, with every instruction. */
#include "hostile.h"
.globl part_memory, part_forms, part_tables, part_flood
.text

/* form BYTES...: an instruction on [RDI], which may fault. */
.macro form instruction:vararg
    mov rdi, r12
    lea rsi, buffer[rip]
    mov ecx, 3
    safely
    \instruction
9:  mov rsp, safe_stack[rip]
.endm

/* Every place, in every size, at odd offsets. */
part_memory:
    lea r13, places[rip]
1:  mov r14, [r13]
    lea r15, offsets[rip]
2:  movsxd r12, dword ptr [r15]
    add r12, r14
    .irp register, al, ax, eax, rax
    form mov \register, [rdi]
    .endr
    .irp register, bl, bx, ebx, rbx
    mov rbx, 0
    form mov [rdi], \register
    .endr
    add r15, 4
    cmp dword ptr [r15], -1
    jne 2b
    add r13, 8
    cmp qword ptr [r13], -1
    jne 1b
    lea r13, absent[rip]
3:  mov r14, [r13]
    mov rax, [r14]
    must_be rax, -1
    mov dword ptr [r14], 0
    mov eax, [r14]
    must_be eax, -1
    movzx eax, word ptr [r14 + 3]
    must_be eax, 0xffff
    movzx eax, byte ptr [r14 + 0xfff]
    must_be eax, 0xff
    add r13, 8
    cmp qword ptr [r13], 0
    jne 3b
    /* All of Plinth's window, a page at a time. */
    mov r14d, WINDOW
4:  cmp qword ptr [r14], -1
    jne 5f
    add r14, 0x1000
    cmp r14, WINDOW + 0x400000
    jne 4b
    jmp 6f
5:  call wrong
6:  /* The firmware's tables are ROM: a write changes nothing. */
    mov r14d, 0xe0000
    mov rbx, [r14]
    mov rax, 0x55aa55aa55aa55aa
    mov [r14], rax
    must_be rbx, [r14]
    say "memory that is not there is not there"
    ret

/* Every instruction form on every place. */
part_forms:
    lea r13, places[rip]
1:  mov r12, [r13]
    call forms
    add r12, 0xffd                  /* over the page's end */
    call forms
    add r13, 8
    cmp qword ptr [r13], -1
    jne 1b
    say "every instruction on every place"
    ret

forms:
    .irp name, add, or, adc, sbb, and, sub, xor, cmp, test, xchg
    form \name [rdi], al
    form \name [rdi], ax
    form \name [rdi], eax
    form \name [rdi], rax
    .endr
    .irp name, add, or, adc, sbb, and, sub, xor
    form lock \name dword ptr [rdi], 1
    .endr
    .irp name, add, or, adc, sbb, and, sub, xor, cmp
    form \name al, [rdi]
    form \name rbx, [rdi]
    form \name byte ptr [rdi], 1
    form \name dword ptr [rdi], 0x1234567
    .endr
    .irp name, not, neg, inc, dec, mul, imul, div, idiv, rol, shl, sar
    form \name byte ptr [rdi]
    form \name word ptr [rdi]
    form \name dword ptr [rdi]
    form \name qword ptr [rdi]
    .endr
    .irp name, bt, bts, btr, btc
    form \name [rdi], eax
    form \name qword ptr [rdi], 63
    .endr
    .irp name, cmpxchg, xadd
    form \name [rdi], bl
    form \name [rdi], rbx
    form lock \name [rdi], ebx
    .endr
    form cmpxchg8b [rdi]
    form lock cmpxchg8b [rdi]
    form cmpxchg16b [rdi]
    .irp suffix, b, w, d, q
    form movs\suffix
    form rep movs\suffix
    form stos\suffix
    form rep stos\suffix
    form scas\suffix
    form repne scas\suffix
    form cmps\suffix
    form repe cmps\suffix
    .endr
    .irp name, lodsb, lodsw, lodsd, lodsq
    mov rsi, r12
    safely
    \name
    rep \name
9:
    .endr
    form movzx eax, byte ptr [rdi]
    form movzx rax, word ptr [rdi]
    form movsx rax, byte ptr [rdi]
    form movsxd rax, dword ptr [rdi]
    form movnti [rdi], rax
    form movbe rax, [rdi]
    form movbe [rdi], eax
    form push qword ptr [rdi]
    form pop qword ptr [rdi]
    form cmovz rax, [rdi]
    form setc byte ptr [rdi]
    form imul rax, [rdi], 3
    form shld [rdi], rax, 3
    form popcnt rax, [rdi]
    form bsf rax, [rdi]
    form crc32 eax, dword ptr [rdi]
    .irp name, movups, movaps, movupd, movapd, movdqu, movdqa
    form \name xmm0, [rdi]
    form \name [rdi], xmm7
    .endr
    .irp name, movntps, movntpd, movntdq
    form \name [rdi], xmm7
    .endr
    form movq xmm0, qword ptr [rdi]
    form movq qword ptr [rdi], xmm0
    form movd xmm0, dword ptr [rdi]
    form movd dword ptr [rdi], xmm0
    form addps xmm0, [rdi]
    form pshufb xmm0, [rdi]
    form vmovups ymm0, [rdi]
    form vmovups [rdi], ymm0
    form fld qword ptr [rdi]
    form fstp qword ptr [rdi]
    form fninit
    form fxsave [rdi]
    form ldmxcsr [rdi]
    form stmxcsr [rdi]
    form sgdt [rdi]
    form sidt [rdi]
    form sldt word ptr [rdi]
    form str word ptr [rdi]
    form smsw word ptr [rdi]
    form verr word ptr [rdi]
    form lar eax, [rdi]
    form ltr word ptr [rdi]
    form mov fs, [rdi]
    form mov [rdi], ds
    form prefetcht0 [rdi]
    form clflush [rdi]
    form invlpg [rdi]
    form enter 16, 0
    ret

/* What is not emulated, again and again: the log says so once. */
part_flood:
    mov r12d, WINDOW
    mov r13d, 3000
1:  form fld qword ptr [rdi]
    must 6
    form lock add dword ptr [rdi + 0xffe], 1    /* in two pages: it cannot be atomic */
    must 6
    dec r13d
    jnz 1b
    say "instructions that are not emulated"
    ret

/* Page tables in absent memory: an entry there is all-ones, and so has reserved bits set. */
part_tables:
    mov eax, WINDOW + 7             /* present, writable, user */
    mov level4[rip + 8], rax
    mov r14d, 1
    shl r14, 39                     /* what the second entry of the root maps */
    lea r13, tables_forms[rip]
1:  movsxd rax, dword ptr [r13]
    lea rcx, tables_forms[rip]
    add rax, rcx
    xor ecx, ecx
    mov cr2, rcx
    safely
    call rax
    jmp 9f
9:  must 14
    mov eax, [r13 + 4]
    mov rcx, last_error[rip]
    and ecx, 0xf                    /* bit 4 depends on what the processor has */
    must_be eax, ecx
    mov rcx, cr2
    must_be r14, rcx
    add r13, 8
    lea rcx, tables_forms_end[rip]
    cmp r13, rcx
    jne 1b
    say "page tables in absent memory have reserved bits set"
    ret

tables_read:
    mov eax, [r14]
    ret
tables_write:
    mov [r14], eax
    ret
tables_add:
    lock add dword ptr [r14], 1
    ret
tables_jump:
    jmp r14

.data
.balign 8
tables_forms:
    .long tables_read - tables_forms, 9, tables_write - tables_forms, 0xb
    .long tables_add - tables_forms, 0xb, tables_jump - tables_forms, 9
tables_forms_end:
.balign 8
places:
    .quad 0xa0000, 0xc0000, 0xe0000, 0xf0000, 0xff000 - 0xffd
    .quad WINDOW, WINDOW + 0x200000, 0xb0000000, 0xb00f8000, 0xd0000000
    .quad 0xfec00000, 0xfed00000, 0xfed40000, 0xfee00000
    .quad 0xff000000, 0xfffff000, 0x100000000, 0x7ffffff000, -1
absent:
    .quad 0xa0000, 0xd0000, WINDOW, WINDOW + 0x1000, WINDOW + 0x1ff000
    .quad 0xd0000000, 0xff000000, 0x180000000, 0x7000000000, 0
offsets:
    .long 0, 1, 3, 4, 7, 0x10, 0x20, 0x80, 0xf0, 0xf8, 0x320, 0x390, 0x3f0, 0xffc, 0xffd, 0xfff, -1

.bss
.balign 16
.skip 64
buffer: .skip 4096

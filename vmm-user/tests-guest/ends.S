/* Interrupts in storms, and the ends: each leaves the processor nothing to go on with. */
#include "hostile.h"
.globl part_interrupts, part_nmis, part_step, end_absent_idt, end_absent_stack, end_absent_tables, end_reset
.globl end_absent_stack_at_interrupt
.text

.set ICR, APIC + 0x300
.set SVR, APIC + 0xf0

part_interrupts:
    mov r12d, ICR
    mov eax, SVR
    mov dword ptr [rax], 0x1ff
    mov qword ptr interrupts_seen[rip], 0
    /* To itself, every vector: those below 16 are errors, those below 32 look like exceptions. */
    xor r13d, r13d
1:  mov eax, r13d
    or eax, 0x40000                 /* shorthand: self */
    safely
    sti
    mov [r12], eax
    nop
9:  mov dword ptr [r12 - 0x250], 0          /* end of interrupt */
    inc r13d
    cmp r13d, 32
    jne 1b
    safely
    sti
1:  mov eax, r13d
    or eax, 0x40000                 /* shorthand: self */
    mov [r12], eax
    nop
    inc r13d
    cmp r13d, 256
    jne 1b
    mov ecx, 1000
2:  pause
    loop 2b
    cli
9:  cmp qword ptr interrupts_seen[rip], 200
    jae 3f
    call wrong
3:  say "interrupts to itself"
    /* The other processor, if there is one, and those that there are not: start-up, INIT, NMI, every mode and
       shorthand. */
    mov dword ptr [0x8000], 0xfdebf4fa      /* cli; hlt; jmp to the hlt */
    mov dword ptr [8], 0x8000               /* real mode's NMI goes there too */
    mov r13d, 300
4:  mov dword ptr [r12 + 0x10], 0x01000000
    mov dword ptr [r12], 0x00004500         /* INIT */
    mov dword ptr [r12], 0x00004608         /* start-up at 8000h */
    mov dword ptr [r12], 0x00004608
    mov dword ptr [r12], 0x000c4500         /* INIT to all others */
    mov dword ptr [r12], 0x000c4608
    mov eax, r13d
    and eax, 0x3f
    or eax, 0x40
    shl eax, 24
    mov [r12 + 0x10], eax                   /* nobody */
    mov dword ptr [r12], 0x00004500
    mov dword ptr [r12], 0x00004608
    mov dword ptr [r12], 0x00004400         /* NMI */
    mov dword ptr [r12], 0x00000941         /* lowest priority, logical */
    dec r13d
    jnz 4b
    mov r13d, 0x1000
5:  mov dword ptr [r12 + 0x10], 0x7f000000
    imul eax, r13d, 0x9e3779b1
    and eax, 0xc700                         /* any mode, level and trigger, vector 8 */
    or eax, 8
    test r13d, 1
    jz 6f
    or eax, 0xc0000                         /* to all others */
6:  mov [r12], eax
    dec r13d
    jnz 5b
    say "interrupts to others"
    ret

/* NMIs to itself, the next one sent by the handler of the one before: they are handled one after the
   other. */
.set NMIS, 30
part_nmis:
    lea rsi, nmi_handler[rip]
    lea rdi, idt[rip + 2 * 16]
    call gate
    mov r12d, ICR
    mov eax, SVR
    mov dword ptr [rax], 0x1ff
    mov dword ptr [r12 + 0x10], 0           /* the first processor: itself */
    mov dword ptr [r12], 0x4400             /* NMI */
    /* No exits here: nobody but the NMIs themselves can say when the next one is to come. */
    rdtsc
    shl rdx, 32
    lea r13, [rax + rdx]
1:  rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, r13
    shr rax, 34                             /* some seconds */
    jnz 2f
    cmp dword ptr nmis_seen[rip], NMIS
    jb 1b
2:  mov eax, nmis_seen[rip]
    must_be eax, NMIS
    mov eax, nmis_deepest[rip]
    must_be eax, 1
    say "one NMI after the other"
    ret

/* A single step over HLT: the trap ends the halt, as nothing else would. */
part_step:
    safely
    pushfq
    or dword ptr [rsp], 0x100               /* TF */
    popfq
    hlt
    nop
9:  must 1
    mov rax, dr6
    and eax, 0x4000                         /* BS */
    must_be eax, 0x4000
    say "a step over HLT"
    ret

nmi_handler:
    push rax
    push rcx
    mov eax, nmis_inside[rip]
    inc eax
    mov nmis_inside[rip], eax
    cmp eax, nmis_deepest[rip]
    jbe 1f
    mov nmis_deepest[rip], eax
1:  inc dword ptr nmis_seen[rip]
    cmp dword ptr nmis_seen[rip], NMIS
    jae 2f
    mov eax, ICR
    mov dword ptr [rax], 0x4400
    /* Exits, at each of which it could be delivered too early. */
    mov ecx, 20
3:  mov eax, [r12]
    loop 3b
2:  dec dword ptr nmis_inside[rip]
    pop rcx
    pop rax
    iretq

end_absent_idt:
    lidt absent_idt[rip]
    say "an IDT that is not there"
    ud2

end_absent_stack:
    say "a stack that is not there"
    mov esp, WINDOW + 0x1000
    push rax
    call 1f
1:  ud2

end_absent_stack_at_interrupt:
    say "an interrupt, and a stack that is not there"
    mov eax, SVR
    mov dword ptr [rax], 0x1ff
    mov esp, WINDOW + 0x1000
    mov eax, ICR
    sti
    mov dword ptr [rax], 0x40040
1:  jmp 1b

end_absent_tables:
    say "page tables that are not there"
    mov eax, WINDOW
    mov cr3, rax
    ud2

/* INIT to itself: what follows is at the reset vector, where there is nothing, and the fault goes through the
   vectors at zero. */
end_reset:
    say "no firmware to reset to"
    mov dword ptr [0x18], 0x7000            /* invalid opcode: 0000:7000 */
    mov dword ptr [0x7000], 0x101e010f      /* lidt [7010h], a limit of zero */
    mov byte ptr [0x7004], 0x70
    mov byte ptr [0x7005], 0xcc             /* int3 */
    mov qword ptr [0x7010], 0
    mov eax, ICR
    mov dword ptr [rax + 0x10], 0
    mov dword ptr [rax], 0x00004500
1:  pause
    jmp 1b

.bss
nmis_seen: .skip 4
nmis_inside: .skip 4
nmis_deepest: .skip 4

.data
absent_idt:
    .word 4095
    .quad WINDOW

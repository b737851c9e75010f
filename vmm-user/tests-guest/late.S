/* Waits, in a machine one of whose processors is late: what it runs when it comes must not be the guest's. */
#include "hostile.h"
.globl part_late
.text

.set START_PAGE, 0x8000             /* where Plinth starts processors */
.set COM1, 0x3f8

part_late:
    /* mov al, 20h; out 0f4h, al: the machine would end, and say that tests passed. */
    mov eax, START_PAGE
    mov rbx, 0xfdebf4f4e620b0
    mov [rax], rbx
    cmp [rax], rbx
    je 1f
    say "the start page is not there"
1:  say "waits"
    /* For a character. */
    mov edx, COM1 + 5
2:  in al, dx
    test al, 1
    jz 2b
    ret

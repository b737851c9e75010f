/* What the parts of the test guest share. */
.intel_syntax noprefix

.set C_BIT, 1 << 47
.set GHCB, 0x90000                  /* memory that nobody has validated, and that becomes shared */
.set SHARED, 0x200000               /* here all of memory is seen without C-bit */
.set MSR_GHCB, 0xc0010130

/* The check with this number holds only if the flags say so. */
.macro check number, condition
    mov edi, \number
    j\condition 9f
    jmp terminate
9:
.endm

/* PVALIDATE and RMPADJUST; VMGEXIT. */
.macro pvalidate_
    .byte 0xf2, 0x0f, 0x01, 0xff
.endm
.macro rmpadjust_
    .byte 0xf3, 0x0f, 0x01, 0xfe
.endm
.macro vmgexit_
    .byte 0xf3, 0x0f, 0x01, 0xd9
.endm


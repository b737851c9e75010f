/* What mmio-forms.S and mmio-legacy.S share. */
.intel_syntax noprefix

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

/* begin_case: what a C function must keep, then the case's SSE registers; RDI is the case's state. */
.macro begin_case
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
.endm

/* keep_xmm: the case's SSE registers into its state, at RDI. */
.macro keep_xmm
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups [rdi + XMM_ + 16 * \n], xmm\n
    .endr
.endm

/* end_case: back to C, with RSP as begin_case left it. */
.macro end_case
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
.endm

/* exception_stubs HANDLER: 32 stubs of 16 bytes, which push their vector, behind an error code of zero where
 * the processor pushes none. */
.macro exception_stubs handler
.balign 16
.set vector, 0
.rept 32
    .balign 16
    .if vector != 8 && (vector < 10 || vector > 14) && vector != 17
    push 0
    .endif
    push vector
    jmp \handler
    .set vector, vector + 1
.endr
.endm

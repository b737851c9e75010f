/* What the parts of the hostile guest share. Intel syntax; R12 to R15 and RBP are the running part's. */
.intel_syntax noprefix

/* safely: what follows, up to the label 9, may fault: then it goes on at 9, and last_vector says how. */
.macro safely
    push rax
    lea rax, 9f[rip]
    mov resume[rip], rax
    pop rax
    mov safe_stack[rip], rsp
    mov qword ptr last_vector[rip], 255
.endm

/* must VECTOR: what was done last faulted so (255: not at all). */
.macro must vector
    cmp qword ptr last_vector[rip], \vector
    je 8f
    call wrong
8:
.endm

/* must_be REGISTER, VALUE */
.macro must_be register, value
    cmp \register, \value
    je 8f
    call wrong
8:
.endm

/* say TEXT: a line to the serial port. */
.macro say text
    lea rsi, 7f[rip]
    call print
    .pushsection .data
7:  .asciz "hostile guest: \text\n"
    .popsection
.endm

.set WINDOW, 0x8000000              /* Plinth's own memory begins here */
.set APIC, 0xfee00000
.set NOT_AT_ALL, 255

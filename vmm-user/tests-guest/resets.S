/* Resets its machine again and again, by one way after the other, and says each time what it finds: a line
 * that has to be the same each time. Before each reset it changes all of that, and has the other processor
 * run. The first number of its command line is how many resets there are to be; then it triple-faults. The
 * count is where no reset of this machine's reaches: in the scratch register of the host's second serial
 * port. */
#include "../../benches/guest/startup.h"

.set COUNT, 0x2ff
.set MARK, 0x4000000                /* memory that nobody else uses */
.set CODE_OF_OTHER, 0x8000
.set TURNS_OF_OTHER, 0x9000         /* the other processor counts here */
.set ORDER_TO_OTHER, 0x9004         /* 1: it is to reset the machine */
.set APIC, 0xfee00000
.set IO_APIC, 0xfec00000
.set HPET, 0xfed00000
.set FUNCTION, 0x80000800           /* PCI device 1: the entropy device */
.set PAT, 0x277
.set SYSENTER_CS, 0x174

/* A place is a name and two macros: `found` prints what is there, `change` puts something else there. */
.macro found_port port
    mov edx, \port
    in al, dx
    movzx eax, al
    call print_number
.endm

.macro change_port port, value
    mov edx, \port
    mov al, \value
    out dx, al
.endm

.macro found_memory address
    mov eax, \address
    mov eax, [rax]
    call print_number
.endm

.macro change_memory address, value
    mov eax, \address
    mov dword ptr [rax], \value
.endm

.macro select_config offset
    mov edx, 0xcf8
    mov eax, FUNCTION + \offset
    out dx, eax
    mov edx, 0xcfc
.endm

.macro found_config offset
    select_config \offset
    in eax, dx
    call print_number
.endm

.macro change_config offset, value
    select_config \offset
    mov eax, \value
    out dx, eax
.endm

.macro found_msr index
    mov ecx, \index
    rdmsr
    call print_number
.endm

.text
    entry
    mov ebx, [rsi + 0x228]          /* cmd_line_ptr */
    clear_memory
    call map
    load_segments
    mov rax, cr4
    or eax, 0x600                   /* OSFXSR, OSXMMEXCPT */
    mov cr4, rax
    mov rsi, rbx
    call number
    mov rbp, rax
    mov edx, COUNT
    in al, dx
    movzx r15d, al
    lea rsi, text_resets[rip]
    call print
    mov eax, r15d
    call print_number
    lea rsi, text_finds[rip]
    call print
    call found
    mov al, 10
    call print_char
    cmp r15, rbp
    jae end
    call change
    lea eax, [r15 + 1]
    mov edx, COUNT
    out dx, al
    /* One way after the other. */
    and r15d, 3
    cmp r15d, 1
    jb by_register
    je by_keyboard_controller
    cmp r15d, 2
    je by_port_92
    /* The other processor does it by the same register, while this one computes. */
    mov eax, ORDER_TO_OTHER
    mov dword ptr [rax], 1
1:  pause
    jmp 1b
by_register:
    end_by_reset
by_keyboard_controller:
    change_port 0x64, 0xfe
1:  pause
    jmp 1b
by_port_92:
    change_port 0x92, 1
1:  hlt
    jmp 1b

/* No IDT, and a fault. */
end:
    lidt nothing[rip]
    ud2

found:
    found_port 0x21                 /* interrupt masks */
    found_port 0xa1
    found_port 0x3f9                /* serial port: interrupts, line control, scratch register */
    found_port 0x3fb
    found_port 0x3ff
    change_port 0x72, 0x10          /* a byte of the clock's memory */
    found_port 0x73
    found_port 0xcf9
    found_memory HPET + 0x10
    found_memory HPET + 0x100
    change_memory IO_APIC, 0x12
    found_memory IO_APIC + 0x10
    found_memory APIC + 0x80        /* task priority, spurious vector, timer */
    found_memory APIC + 0xf0
    found_memory APIC + 0x320
    found_config 0x04               /* command and status, BAR 4 */
    found_config 0x20
    found_msr PAT
    found_msr SYSENTER_CS
    movq rax, xmm0
    call print_number
    found_memory MARK
    /* Last: a processor that still ran would have counted by now. */
    found_memory TURNS_OF_OTHER
    ret

change:
    change_port 0x21, 0x5a
    change_port 0xa1, 0xa5
    change_port 0x3f9, 5
    change_port 0x3fb, 0x1f
    change_port 0x3ff, 0x77
    change_port 0x72, 0x10
    change_port 0x73, 0x66
    change_port 0xcf9, 2
    change_memory HPET + 0x10, 1
    change_memory HPET + 0x100, 0x4
    change_memory IO_APIC, 0x12
    change_memory IO_APIC + 0x10, 0x55
    change_memory APIC + 0x80, 0x20
    change_memory APIC + 0xf0, 0x1ff
    change_memory APIC + 0x320, 0x20040
    change_config 0x04, 7
    change_config 0x20, 0xf1000000
    mov ecx, PAT
    xor eax, eax
    xor edx, edx
    wrmsr
    mov ecx, SYSENTER_CS
    mov eax, 0x1234
    wrmsr
    pcmpeqd xmm0, xmm0
    change_memory MARK, 0x12345678
    /* The other processor, by INIT and SIPI to all but this one. */
    lea rsi, other[rip]
    mov edi, CODE_OF_OTHER
    mov ecx, other_end - other
    rep movsb
    change_memory APIC + 0x300, 0xc4500
    change_memory APIC + 0x300, 0xc4608
    mov eax, TURNS_OF_OTHER
1:  pause
    cmp word ptr [rax], 0
    je 1b
    ret

.code16
other:
    inc word ptr ds:[TURNS_OF_OTHER]
    jnz 1f
    inc word ptr ds:[TURNS_OF_OTHER]
1:  cmp byte ptr ds:[ORDER_TO_OTHER], 1
    jne other
    mov dx, 0xcf9
    mov al, 6
    out dx, al
2:  jmp 2b
other_end:
.code64

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

.data
.balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .quad gdt
nothing:
    .word 0
    .quad 0
text_resets:
    .asciz "guest: resets"
text_finds:
    .asciz ", finds"

.section .stack, "aw", @nobits
.skip 4096
stack_top:

.bss
.balign 4096
level4: .skip 4096
level3: .skip 4096

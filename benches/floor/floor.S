/* The floor: the least that leaving a guest and entering it again can cost in this environment.
 *
 * Bare metal, no operating system: VMLOAD, VMRUN, VMSAVE, all general registers saved and restored, the exit
 * code compared, RIP moved on. The guest is the benchmark's CPUID loop. Prints "ROW floor ticks iterations".
 * */
#include "../guest/contract.h"
.intel_syntax noprefix

.set ITERATIONS, 100000
.set EFER, 0xc0000080
.set EFER_SVME_LMA_LME, 0x1500
.set VM_HSAVE_PA, 0xc0010117

/* The VMCB's fields (APM volume 2, appendix B). */
.set INTERCEPTS, 0x00c              /* bit 18: CPUID */
.set INTERCEPTS_SVM, 0x010          /* bit 0: VMRUN, which must be set */
.set ASID, 0x058
.set EXIT_CODE, 0x070
.set SAVE_CS, 0x410
.set SAVE_SS, 0x420
.set SAVE_DS, 0x430
.set SAVE_EFER, 0x4d0
.set SAVE_CR4, 0x548
.set SAVE_CR3, 0x550
.set SAVE_CR0, 0x558
.set SAVE_RFLAGS, 0x570
.set SAVE_RIP, 0x578
.set EXIT_CPUID, 0x72

.section .note.pvh, "a", @note
    .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long entry

.text
.code32
.globl entry
entry:
    mov esp, offset stack_top
    mov dword ptr level4, offset level3 + 3
    mov dword ptr level3, offset level2 + 3
    mov dword ptr level2, 0x83      /* the first 2 MiB */
    mov eax, cr4
    or eax, 0x20                    /* PAE */
    mov cr4, eax
    mov eax, offset level4
    mov cr3, eax
    mov ecx, EFER
    rdmsr
    or eax, 0x1100                  /* SVME, LME */
    wrmsr
    mov eax, cr0
    or eax, 0x80000001
    mov cr0, eax
    lgdt gdt_pointer
    jmp 8:long_mode

.code64
long_mode:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov ecx, VM_HSAVE_PA
    mov eax, offset host_save
    xor edx, edx
    wrmsr
    call fill_vmcb
    mov r15d, 64                    /* the guest's counter; these ones are to fill QEMU's caches */
    call run
    mov r15d, ITERATIONS
    rdtsc
    shl rdx, 32
    lea rbx, [rax + rdx]
    mov began, rbx
    call run
    rdtsc
    shl rdx, 32
    add rax, rdx
    sub rax, began
    mov rbx, rax
    cmp qword ptr exits, 0
    jne end                         /* another exit than the guest's own: no number to report */
    lea rsi, text_row[rip]
    call print
    mov rax, rbx
    call print_number
    mov eax, ITERATIONS
    call print_number
    mov al, 10
    call print_char
end:
    mov edx, PORT_RESET
    mov al, 6
    out dx, al
1:  hlt
    jmp 1b

fill_vmcb:
    lea rdi, vmcb[rip]
    mov dword ptr [rdi + INTERCEPTS], 1 << 18
    mov dword ptr [rdi + INTERCEPTS_SVM], 1
    mov dword ptr [rdi + ASID], 1
    /* selector, then attributes: a 64-bit code segment, data segments */
    mov dword ptr [rdi + SAVE_CS], 0x0a9b0008
    mov dword ptr [rdi + SAVE_SS], 0x0c930010
    mov dword ptr [rdi + SAVE_DS], 0x0c930010
    mov qword ptr [rdi + SAVE_EFER], EFER_SVME_LMA_LME
    mov rax, cr0
    mov [rdi + SAVE_CR0], rax
    mov rax, cr3
    mov [rdi + SAVE_CR3], rax
    mov rax, cr4
    mov [rdi + SAVE_CR4], rax
    mov qword ptr [rdi + SAVE_RFLAGS], 2
    ret

/* Runs the guest with R15 iterations: as many exits. */
run:
    mov r14, r15
    mov exits, r14
    lea rax, guest[rip]
    mov vmcb + SAVE_RIP, rax
    xor eax, eax
    mov registers, r15
again:
    mov rax, offset vmcb
    vmload rax
    mov r15, registers
    mov r14, registers + 8
    mov r13, registers + 16
    mov r12, registers + 24
    mov r11, registers + 32
    mov r10, registers + 40
    mov r9, registers + 48
    mov r8, registers + 56
    mov rbp, registers + 64
    mov rdi, registers + 72
    mov rsi, registers + 80
    mov rdx, registers + 88
    mov rcx, registers + 96
    mov rbx, registers + 104
    vmrun rax
    mov registers, r15
    mov registers + 8, r14
    mov registers + 16, r13
    mov registers + 24, r12
    mov registers + 32, r11
    mov registers + 40, r10
    mov registers + 48, r9
    mov registers + 56, r8
    mov registers + 64, rbp
    mov registers + 72, rdi
    mov registers + 80, rsi
    mov registers + 88, rdx
    mov registers + 96, rcx
    mov registers + 104, rbx
    mov rax, offset vmcb
    vmsave rax
    cmp dword ptr vmcb + EXIT_CODE, EXIT_CPUID
    jne 1f
    add qword ptr vmcb + SAVE_RIP, 2
    dec qword ptr exits
    jnz again
1:  ret

guest:
    xor eax, eax
    cpuid
    dec r15
    jnz guest

.data
.balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt
text_row:
    .asciz "ROW floor"

.bss
.balign 4096
level4: .skip 4096
level3: .skip 4096
level2: .skip 4096
vmcb: .skip 4096
host_save: .skip 4096
.skip 4096
stack_top:
registers: .skip 14 * 8
began: .skip 8
exits: .skip 8

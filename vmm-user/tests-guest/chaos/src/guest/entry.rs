//! The ways in: the boot protocol's header and entry, a processor's start in real mode, interrupts; and the
//! way into a snippet.
#![allow(unsafe_code, reason = "assembly")]

use core::arch::global_asm;
use core::mem::offset_of;

use super::cpu::{Cpu, begin_round, come_back, handle};
use super::layout as l;
use super::machine::{correct, read};

// The Linux boot protocol's header (Documentation/arch/x86/boot.rst of Linux): 64-bit entry only, at a fixed
// address.
global_asm!(
    r#"
    .section .setup, "a", @progbits
header:
    .org header + 0x1f1
    .byte 1                             // setup_sects: one, after the boot sector
    .word 0                             // root_flags
    .long image_paragraphs              // syssize
    .word 0, 0, 0
    .word 0xaa55                        // boot_flag
    .byte 0xeb, 0x6a                    // jump: over the header, whose end it tells
    .ascii "HdrS"
    .word 0x020f                        // version
    .long 0, 0
    .byte 0
    .byte 1                             // loadflags: LOADED_HIGH
    .word 0
    .long 0x100000                      // code32_start
    .long 0, 0, 0
    .word 0, 0
    .long 0                             // cmd_line_ptr
    .long 0x7fffffff                    // initrd_addr_max
    .long 0x1000                        // kernel_alignment
    .byte 0, 12                         // relocatable_kernel, min_alignment
    .word 1                             // xloadflags: XLF_KERNEL_64
    .long 255                           // cmdline_size
    .long 0
    .quad 0
    .long 0, 0
    .quad 0
    .quad 0x100000                      // pref_address
    .long memory_bytes                  // init_size
    .long 0, 0
    .org header + 0x400

    .section .text.entry, "ax", @progbits
    .global image
image:
    ud2                                 // the 32-bit entry, which is not offered
    .org image + 0x200
    cld
    mov rsp, {boot_stack}
    mov rdi, rsi
    call {start}
    ud2
    "#,
    boot_stack = const l::CPU_AREA + l::STACK_TOP,
    start = sym super::start,
);

// From real mode, and from legacy protected mode with or without paging, to long mode and `come_back`. The
// first part is copied to the start page. CPUID's initial APIC number says which processor this is: nothing
// that a snippet does changes it.
global_asm!(
    r#"
    .text
    .code16
    .global trampoline
    .global trampoline_end
trampoline:
    cli
    mov ax, cs
    mov ds, ax
    .byte 0x66, 0x0f, 0x01, 0x1e        // lidt, 32 bits, [disp16]
    .word trampoline_idt - trampoline
    .byte 0x66, 0x0f, 0x01, 0x16        // lgdt
    .word trampoline_gdt - trampoline
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea                    // far jump, 32 bits
    .long return_to_long
    .word {code_32}
    .balign 4
trampoline_gdt:
    .word {gdt_limit}
    .long {gdt}
trampoline_idt:
    .word {between_limit}
    .long {between}
trampoline_end:

    .balign 16
    .code32
    .global return_to_long
return_to_long:
    cli
    lidt cs:[{idt_operand}]             // DS is still that of real mode
    lgdt cs:[{gdt_operand}]
    mov eax, {data}
    mov ss, eax
    mov eax, 1
    cpuid
    shr ebx, 24
    and ebx, 1
    shl ebx, 20
    lea edi, [ebx + {cpu_area}]
    lea esp, [edi + {stack_top}]
    mov eax, cr0
    and eax, 0x1fffffff                 // PG, CD, NW
    mov cr0, eax
    mov eax, 0x620
    mov cr4, eax
    mov eax, {root}
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x900                       // LME, NXE
    wrmsr
    mov eax, 0x80050033
    mov cr0, eax
    .byte 0xea
    .long 2f
    .word {code}
    .code64
2:  mov eax, {data}
    mov ds, eax
    mov es, eax
    cld
    mov edi, edi
    mov esp, esp
    xor ebp, ebp
    call {come_back}
    ud2

    // An NMI between two modes, when it comes in long mode: it is not what the round waits for.
    .balign 16
    .global between_stub
between_stub:
    iretq

    // Legacy mode's interrupts: the frame is left where it is.
    .balign 16
    .code32
    .global legacy_stub
legacy_stub:
    jmp return_to_long
    .code64
    "#,
    code_32 = const l::KERNEL_CODE_32,
    code = const l::KERNEL_CODE,
    data = const l::KERNEL_DATA,
    gdt_limit = const l::GDT_BYTES - 1,
    gdt = const l::CPU_AREA + l::GDT,
    gdt_operand = const l::POINTER_OPERANDS,
    idt_operand = const l::BETWEEN_OPERAND,
    between_limit = const l::BETWEEN_IDT_BYTES - 1,
    between = const l::BETWEEN_IDT,
    root = const l::RETURN_ROOT,
    cpu_area = const l::CPU_AREA,
    stack_top = const l::STACK_TOP,
    come_back = sym come_back,
);

// Interrupts of long mode. Each vector's stack is one of the interrupt stack table's, at whose bottom the
// processor's area stands.
global_asm!(
    r#"
    .text
    .balign 16
    .global stubs
stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .set pushes, vector == 8 || (vector >= 10 && vector <= 14)
    .set pushes, pushes || vector == 17 || vector == 21 || vector == 29 || vector == 30
    .if !pushes
    push 0
    .endif
    .byte 0x68                          // push imm32
    .long vector
    jmp interrupted
    .set vector, vector + 1
    .endr

interrupted:
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    mov rdi, rsp
    mov rsi, rsp
    and rsi, -{stack_bytes}
    mov rsi, [rsi]
    mov rbp, rsp
    and rsp, -16
    call {handle}
    mov rsp, rbp
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq

    // next_round(cpu): a fresh stack, and an IRET, which ends the time in which NMIs are held back.
    .global next_round
next_round:
    lea rax, [rdi + {stack_top}]
    mov rsp, rax
    push {data}
    push rax
    push 2
    push {code}
    lea rax, [rip + 2f]
    push rax
    iretq
2:  call {begin_round}
    ud2

    // enter_snippet(cpu): all registers as the processor's area says.
    .global enter_snippet
enter_snippet:
    push [rdi + {ss}]
    push [rdi + {registers} + 4 * 8]
    push [rdi + {rflags}]
    push [rdi + {cs}]
    push [rdi + {rip}]
    mov qword ptr [rdi + {in_snippet}], 1
    mov ds, [rdi + {ds}]
    mov es, [rdi + {es}]
    mov rax, [rdi + {registers}]
    mov rcx, [rdi + {registers} + 8]
    mov rdx, [rdi + {registers} + 2 * 8]
    mov rbx, [rdi + {registers} + 3 * 8]
    mov rbp, [rdi + {registers} + 5 * 8]
    mov rsi, [rdi + {registers} + 6 * 8]
    mov r8, [rdi + {registers} + 8 * 8]
    mov r9, [rdi + {registers} + 9 * 8]
    mov r10, [rdi + {registers} + 10 * 8]
    mov r11, [rdi + {registers} + 11 * 8]
    mov r12, [rdi + {registers} + 12 * 8]
    mov r13, [rdi + {registers} + 13 * 8]
    mov r14, [rdi + {registers} + 14 * 8]
    mov r15, [rdi + {registers} + 15 * 8]
    mov rdi, [rdi + {registers} + 7 * 8]
    iretq
    "#,
    stack_bytes = const l::INTERRUPT_STACK_BYTES,
    stack_top = const l::STACK_TOP,
    data = const l::KERNEL_DATA,
    code = const l::KERNEL_CODE,
    handle = sym handle,
    begin_round = sym begin_round,
    registers = const offset_of!(Cpu, registers),
    rip = const offset_of!(Cpu, rip),
    cs = const offset_of!(Cpu, cs),
    rflags = const offset_of!(Cpu, rflags),
    ss = const offset_of!(Cpu, ss),
    ds = const offset_of!(Cpu, ds),
    es = const offset_of!(Cpu, es),
    in_snippet = const offset_of!(Cpu, in_snippet),
);

// To legacy mode: enter_legacy(cpu, mode). The processor's area has CR0, CR3 and CR4, IDTR's operand and the
// code's address; the general registers that 32-bit code has are loaded last. Mode 1 is real mode.
global_asm!(
    r#"
    .text
    .global enter_legacy
enter_legacy:
    mov ebp, esi
    lidt [{idt_operand}]
    push {code_32}
    lea rax, [rip + 2f]
    push rax
    retfq
    .code32
2:  mov eax, {data}
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    mov ecx, 0xc0000080
    rdmsr
    and eax, 0xfffff2ff                 // LME, LMA's place, NXE
    or eax, 0
    wrmsr
    mov eax, [edi + {cr4}]
    mov cr4, eax
    mov eax, [edi + {cr3}]
    mov cr3, eax
    mov dword ptr [edi + {in_snippet}], 2
    cmp ebp, 1
    je 3f
    lidt [edi + {idt}]
    mov eax, [edi + {cr0}]
    mov cr0, eax
    mov esp, [edi + {registers} + 4 * 8]
    push [edi + {rflags}]
    push {code_32}
    push [edi + {rip}]
    mov eax, [edi + {registers}]
    mov ecx, [edi + {registers} + 8]
    mov edx, [edi + {registers} + 2 * 8]
    mov ebx, [edi + {registers} + 3 * 8]
    mov ebp, [edi + {registers} + 5 * 8]
    mov esi, [edi + {registers} + 6 * 8]
    mov edi, [edi + {registers} + 7 * 8]
    iretd
3:  mov eax, [edi + {registers}]
    mov ecx, [edi + {registers} + 8]
    mov edx, [edi + {registers} + 2 * 8]
    mov ebx, [edi + {registers} + 3 * 8]
    mov esi, [edi + {registers} + 6 * 8]
    mov esp, 0xff00
    .byte 0xea
    .long {low} + 4f - trampoline_16
    .word {code_16}
    .code16
    .global trampoline_16
    .global trampoline_16_end
trampoline_16:
4:  mov ax, {data}
    mov ss, ax
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    .byte 0xea
    .word {low} + 5f - trampoline_16, 0
5:  mov ax, 0x3000
    mov ss, ax
    mov ax, bx
    mov ds, ax
    shr ebx, 16
    mov ax, bx
    mov es, ax
    mov fs, ax                          // else they would reach the interrupt table
    mov gs, ax
    .byte 0x2e, 0x0f, 0x01, 0x1e        // lidt cs:[disp16]
    .word {low} + 6f - trampoline_16
    sti
    .byte 0xea
    .word 0, 0x2000
6:  .word 0x3ff
    .long 0
trampoline_16_end:
    .code64
    "#,
    code_32 = const l::KERNEL_CODE_32,
    code_16 = const l::KERNEL_CODE_16,
    data = const l::KERNEL_DATA,
    low = const LOW,
    idt_operand = const l::BETWEEN_OPERAND,
    cr0 = const offset_of!(Cpu, cr0),
    cr3 = const offset_of!(Cpu, cr3),
    cr4 = const offset_of!(Cpu, cr4),
    idt = const offset_of!(Cpu, idt_operand) + 6,
    registers = const offset_of!(Cpu, registers),
    rip = const offset_of!(Cpu, rip),
    rflags = const offset_of!(Cpu, rflags),
    in_snippet = const offset_of!(Cpu, in_snippet),
);

/// Where the last steps to real mode are copied: below 64 KiB, and not where Plinth starts its processors.
const LOW: u64 = 0x6000;

unsafe extern "C" {
    fn next_round(cpu: *mut Cpu) -> !;
    fn enter_snippet(cpu: *mut Cpu) -> !;
    fn enter_legacy(cpu: *mut Cpu, mode: u64) -> !;
    static stubs: u8;
    static legacy_stub: u8;
    static between_stub: u8;
    static trampoline: u8;
    static trampoline_end: u8;
    static trampoline_16: u8;
    static trampoline_16_end: u8;
    static image: u8;
    static constants_end: u8;
}

/// Ends whatever runs on this processor and begins a round.
pub fn end_round(cpu: &mut Cpu) -> ! {
    // SAFETY: the area is this processor's; what was on the stack is never returned to.
    unsafe { next_round(cpu) }
}

/// Enters the snippet that the area describes.
pub fn enter(cpu: &mut Cpu) -> ! {
    // SAFETY: as above.
    unsafe { enter_snippet(cpu) }
}

/// Enters a snippet in protected mode without long mode, or in real mode.
pub fn enter_old(cpu: &mut Cpu, real_mode: bool) -> ! {
    // SAFETY: as above.
    unsafe { enter_legacy(cpu, u64::from(real_mode)) }
}

/// The address of a vector's stub.
pub fn stub(vector: u64) -> u64 {
    (&raw const stubs) as u64 + vector * 16
}

/// The address of legacy mode's only stub.
pub fn old_stub() -> u64 {
    (&raw const legacy_stub) as u64
}

/// The address of the stub for an NMI that comes in long mode but between modes.
pub fn stub_between() -> u64 {
    (&raw const between_stub) as u64
}

/// Where the supervisor's code and constants are.
pub fn constants() -> core::ops::Range<u64> {
    &raw const image as u64..&raw const constants_end as u64
}

/// A sum of the supervisor's code and constants.
pub fn sum() -> u64 {
    let words = constants().step_by(8).map(read::<u64>);
    words.fold(0, |sum, word| sum.rotate_left(1).wrapping_add(word))
}

/// Puts the code that has to be in low memory there. Returns how many bytes and words were not as they had to
/// be.
pub fn place_low_code() -> u64 {
    // Whoever strays into low memory goes through zeros, which are harmless instructions, to what comes next.
    let end = (0..0x1000).step_by(8);
    let ends =
        end.map(|offset| u64::from(correct(l::TRAMPOLINE - 0x1000 + offset, 0x0b0f_0b0f_0b0f_0b0fu64)));
    let ends: u64 = ends.sum();
    ends + copy(l::TRAMPOLINE, &raw const trampoline, &raw const trampoline_end)
        + copy(LOW, &raw const trampoline_16, &raw const trampoline_16_end)
}

fn copy(to: u64, from: *const u8, end: *const u8) -> u64 {
    let bytes = 0..end as u64 - from as u64;
    bytes.map(|offset| u64::from(correct::<u8>(to + offset, read(from as u64 + offset)))).sum()
}

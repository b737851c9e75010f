//! The record of the exits that there are most of, written by the entry code: IN and OUT, RDMSR and WRMSR,
//! CPUID, HLT, and accesses to what is not memory. It is what [`record`](super::exit::record) writes too,
//! which gets every other exit, and these where an event was on its way to the guest. A test holds the two
//! against each other.
//!
//! With measures against speculative execution nothing of the guest's may stay in a register. Here each is
//! loaded with what the record takes, which is as good as clearing it, and these loads are made anyway:
//! between them `load_exit` and `load_decoding` overwrite every general register but RAX, which is the run
//! page, and RSP.

/// The macro `short_record guarded, rare, leave` of the assembler, and what it is made of.
///
/// RAX: run page, which stays. It goes to `rare` with nothing stored, as the exit may be that of a refused
/// VMRUN: then the run page alone has what the guest was to go on with. Or it ends with the macro `leave`,
/// which gets EDX: what `SYS_RUN` returns beside Ok. All other registers but RSP are lost.
macro_rules! short_record {
    () => {
        r#"
    // What every record takes.
    .macro load_exit
    mov rcx, [rax + {exit_code}]
    mov rdx, [rax + {exit_info1}]
    mov rbx, [rax + {exit_info2}]
    mov rsi, [rax + {vintr}]
    mov rdi, [rax + {exit_int_info}]
    mov rbp, [rax + {shadow}]
    mov r8, [rax + {save_rax}]
    mov r9, [rax + {save_rsp}]
    mov r10, [rax + {save_rip}]
    mov r11, [rax + {save_rflags}]
    .endm

    // What decoding takes.
    .macro load_decoding
    mov r12, [rax + {save_cr3}]
    mov r13, [rax + {save_cs}]
    mov r14, [rax + {save_cs} + 8]
    movzx r15d, byte ptr [rax + {save_cpl}]
    .endm

    .macro store_general
    mov [rax + {g}], r8
    mov [rax + {g} + 32], r9
    mov [rax + {rip}], r10
    mov [rax + {rflags}], r11
    .endm

    .macro store_decoding
    store_general
    mov [rax + {cr3}], r12
    mov [rax + {cs}], r13
    mov [rax + {cs} + 8], r14
    mov [rax + {cpl}], r15b
    mov dword ptr [rax + {groups}], {decoding}
    .endm

    // EDX: the reason, EBP: the flags, SIL: CR8. Another CR8 than the VMM knows is said.
    .macro end_record leave, guarded
    mov [rax + {reason}], edx
    mov [rax + {flags}], ebp
    cmp [rax + {exit_cr8}], sil
    jne 22f
21: \leave \guarded
22: mov [rax + {exit_cr8}], sil
    or dword ptr [rax + {flags}], {task_priority}
    or edx, {notable}
    jmp 21b
    .endm

    .macro short_record guarded, rare, leave
    load_exit
    .if \guarded
    load_decoding
    // Nothing behind it starts, by speculation either, before all of these loads are done: until then the
    // registers hold what the guest left.
    lfence
    .endif
    // An event that was to be delivered and was not belongs in the record, which is then the whole one.
    test esi, {interrupt_requested}
    jne \rare
    // EXITINTINFO.V is bit 31.
    test edi, edi
    js \rare
    and esi, 0xf
    and ebp, 1
    shl ebp, {shadow_shift}
    cmp rcx, {ioio}
    jne 11f
    test dl, {string}
    jne \rare
    store_general
    mov [rax + {qualification}], rdx
    mov [rax + {next_rip}], rbx
    or ebp, {has_next_rip}
    mov dword ptr [rax + {groups}], {general}
    mov edx, {port}
    end_record \leave, \guarded

11: .if \guarded == 0
    load_decoding
    .endif
    cmp rcx, {npf}
    je 14f
    cmp rcx, {msr}
    je 13f
    mov edx, {reason_cpuid}
    cmp rcx, {cpuid}
    je 12f
    mov edx, {halt}
    cmp rcx, {hlt}
    jne \rare
12: store_decoding
    end_record \leave, \guarded

13: and edx, 1
    add edx, {msr_read}
    store_decoding
    end_record \leave, \guarded

    // EXITINFO1 of a nested page fault (APM volume 2, 15.25.6), as `access` of `exit` translates it.
14: mov [rax + {gpa}], rbx
    mov rcx, rdx
    shr rcx, 28
    and ecx, {page_walk}
    and edx, {access_bits}
    or ecx, edx
    mov [rax + {access}], ecx
    mov edx, {memory}
    store_decoding
    end_record \leave, \guarded
    .endm
"#
    };
}
pub(super) use short_record;

#[cfg(test)]
mod tests;

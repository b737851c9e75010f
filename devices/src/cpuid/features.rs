//! The allow-list: which feature bits may reach the guest (APM 3, appendix E; SDM 2A, CPUID).

/// Several bits of a register.
const fn bits(list: &[u32]) -> u32 {
    let mut mask = 0;
    let mut i = 0;
    // A loop by index, as iterators do not run at compile time.
    while i < list.len() {
        mask |= 1 << list[i];
        i += 1;
    }
    mask
}

/// Leaf 1 ECX: SSE3, PCLMULQDQ, SSSE3, FMA, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, XSAVE, AVX, F16C,
/// RDRAND. Not: DTES64, MONITOR (3), VMX (5), PDCM, PCID (17, until TLB tags are ours to test), hypervisor
/// (31).
pub const LEAF1_ECX: u32 = bits(&[0, 1, 9, 12, 13, 19, 20, 22, 23, 25, XSAVE, AVX, 29, 30]);
/// Leaf 1 ECX: XSAVE.
pub const XSAVE: u32 = 26;
/// Leaf 1 ECX: AVX.
pub const AVX: u32 = 28;
/// Leaf 1 ECX: x2APIC and TSC-deadline, emulated whatever the host has.
pub const LEAF1_ECX_EMULATED: u32 = bits(&[21, 24]);
/// Leaf 1 ECX: follows CR4.OSXSAVE.
pub const LEAF1_ECX_OSXSAVE: u32 = bits(&[27]);

/// Leaf 1 EDX: FPU, VME, DE, PSE, TSC, MSR, PAE, MCE, CX8, SEP, PGE, MCA, CMOV, PSE36, CLFSH, MMX, FXSR, SSE,
/// SSE2.
pub const LEAF1_EDX: u32 = bits(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 14, 15, 17, 19, 23, 24, 25, 26]);
/// Leaf 1 EDX: APIC, MTRR and PAT, emulated whatever the host has.
pub const LEAF1_EDX_EMULATED: u32 = bits(&[9, 12, 16]);
/// The mask for leaf 1 EDX, and for its copy, by whether the local APIC is switched off: its bit is 9.
pub const fn without_apic(is_off: bool) -> u32 {
    if is_off { !(1 << 9) } else { u32::MAX }
}
/// Leaf 1 EDX: more than one logical processor in the package.
pub const LEAF1_EDX_HTT: u32 = bits(&[28]);

/// Leaf 6 EAX: the local APIC timer runs in all states. Ours does.
pub const LEAF6_EAX_ARAT: u32 = bits(&[2]);

/// Leaf 7 EBX: FSGSBASE, BMI1, AVX2, SMEP, BMI2, ERMS, AVX512F, AVX512DQ, RDSEED, ADX, SMAP, AVX512_IFMA,
/// CLFLUSHOPT, CLWB, AVX512CD, SHA, AVX512BW, AVX512VL. Not: INVPCID, resource control, MPX, processor trace.
pub const LEAF7_EBX: u32 = bits(&[0, 3, 5, 7, 8, 9, 16, 17, 18, 19, 20, 21, 23, 24, 28, 29, 30, 31]);
/// Leaf 7 EBX: TSC_ADJUST, emulated whatever the host has.
pub const LEAF7_EBX_EMULATED: u32 = bits(&[1]);
/// Leaf 7 EBX: what needs AVX-512 state.
pub const LEAF7_EBX_AVX512: u32 = bits(&[16, 17, 21, 28, 30, 31]);
/// Leaf 7 EBX: what needs AVX state.
pub const LEAF7_EBX_AVX: u32 = bits(&[5]);

/// Leaf 7 ECX: AVX512_VBMI, UMIP, PKU, AVX512_VBMI2, GFNI, VAES, VPCLMULQDQ, AVX512_VNNI, AVX512_BITALG,
/// AVX512_VPOPCNTDQ. Not: LA57 (16), CET, MOVDIR64B.
pub const LEAF7_ECX: u32 = bits(&[1, 2, PKU, 6, 8, 9, 10, 11, 12, 14]);
/// Leaf 7 ECX: PKU.
pub const PKU: u32 = 3;
/// Leaf 7 ECX: follows CR4.PKE.
pub const LEAF7_ECX_OSPKE: u32 = bits(&[4]);
/// Leaf 7 ECX: RDPID, if TSC_AUX is switched.
pub const LEAF7_ECX_RDPID: u32 = bits(&[22]);
/// Leaf 7 ECX: what needs AVX-512 state.
pub const LEAF7_ECX_AVX512: u32 = bits(&[1, 6, 11, 12, 14]);
/// Leaf 7 ECX: what needs AVX state.
pub const LEAF7_ECX_AVX: u32 = bits(&[9, 10]);

/// Leaf 7 EDX: fast short REP MOV. Not: anything that comes with an MSR (IBRS, STIBP, ARCH_CAPABILITIES,
/// SSBD).
pub const LEAF7_EDX: u32 = bits(&[4]);

/// Leaf 0Dh.1 EAX: XSAVEOPT, XSAVEC, XGETBV with ECX = 1. Not: XSAVES, which has an MSR.
pub const LEAF_D1_EAX: u32 = bits(&[0, 1, 2]);

/// Leaf 8000_0001h ECX: LAHF, ABM, SSE4A, misaligned SSE, 3DNow prefetch, XOP, FMA4, TBM. Not: SVM (2),
/// AltMovCr8 (4: LOCK MOV CR0, which is not decoded), OSVW, IBS, SKINIT, watchdog, LWP, performance counters.
pub const EXT1_ECX: u32 = bits(&[0, 5, 6, 7, 8, 11, 16, 21]);
/// Leaf 8000_0001h ECX: what needs AVX state.
pub const EXT1_ECX_AVX: u32 = bits(&[11, 16]);
/// Leaf 8000_0001h ECX: more than one core in the package.
pub const EXT1_ECX_CMP_LEGACY: u32 = bits(&[1]);
/// Leaf 8000_0001h ECX: leaves 8000_001Dh and 8000_001Eh are there.
pub const EXT1_ECX_TOPOLOGY: u32 = bits(&[22]);

/// Leaf 8000_0001h EDX: SYSCALL, NX, MMX extensions, 1 GiB pages, long mode, 3DNow (both).
pub const EXT1_EDX: u32 = bits(&[11, 20, 22, 26, 29, 30, 31]);
/// Leaf 8000_0001h EDX: on AMD, a copy of these bits of leaf 1 EDX.
pub const EXT1_EDX_COPY: u32 = bits(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 23, 24]);
/// Leaf 8000_0001h EDX: RDTSCP, if TSC_AUX is switched.
pub const EXT1_EDX_RDTSCP: u32 = bits(&[27]);

/// Leaf 8000_0007h EDX: invariant TSC.
pub const EXT7_EDX_INVARIANT_TSC: u32 = bits(&[8]);
/// Leaf 8000_0008h EBX: CLZERO, FP error pointers restored by XRSTOR. Not: what comes with SPEC_CTRL.
pub const EXT8_EBX: u32 = bits(&[0, 2]);
/// Leaf 8000_001Ah EAX: FP128, MOVU, FP256.
pub const EXT1A_EAX: u32 = bits(&[0, 1, 2]);
/// Leaf 8000_0021h EAX: LFENCE always serializing, null selector clears base.
pub const EXT21_EAX: u32 = bits(&[2, 6]);

/// State components of XCR0 that are understood: x87, SSE, AVX, AVX-512 (three), PKRU.
pub const XCR0: u64 = 0x2e7;
/// The AVX component, without which AVX instructions fault.
pub const XCR0_AVX: u64 = 1 << 2;
/// The three AVX-512 components.
pub const XCR0_AVX512: u64 = 7 << 5;
/// The PKRU component.
pub const XCR0_PKRU: u64 = 1 << 9;

/// A register of a leaf with features that CR4 switches on.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    Leaf1Ecx,
    Leaf1Edx,
    Leaf7Ebx,
    Leaf7Ecx,
}

/// Bits of CR4 that come with a feature: (where, bit, bits of CR4). Not: PCIDE, LA57, VMXE, SMXE, CET, PKS,
/// UINTR, which no guest is offered.
pub const CR4: [(Word, u32, u64); 15] = [
    (Word::Leaf1Edx, 1, 0b11),        // VME, PVI
    (Word::Leaf1Edx, 4, 1 << 2),      // TSD
    (Word::Leaf1Edx, 2, 1 << 3),      // DE
    (Word::Leaf1Edx, 3, 1 << 4),      // PSE
    (Word::Leaf1Edx, 6, 1 << 5),      // PAE
    (Word::Leaf1Edx, 7, 1 << 6),      // MCE
    (Word::Leaf1Edx, 13, 1 << 7),     // PGE
    (Word::Leaf1Edx, 24, 1 << 9),     // OSFXSR
    (Word::Leaf1Edx, 25, 1 << 10),    // OSXMMEXCPT
    (Word::Leaf7Ecx, 2, 1 << 11),     // UMIP
    (Word::Leaf7Ebx, 0, 1 << 16),     // FSGSBASE
    (Word::Leaf1Ecx, XSAVE, 1 << 18), // OSXSAVE
    (Word::Leaf7Ebx, 7, 1 << 20),     // SMEP
    (Word::Leaf7Ebx, 20, 1 << 21),    // SMAP
    (Word::Leaf7Ecx, PKU, 1 << 22),   // PKE
];
/// PCE, which only lets user code execute RDPMC.
pub const CR4_ALWAYS: u64 = 1 << 8;

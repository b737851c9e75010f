//! What the guest's processor is: its maker, and which of the accepted instructions it has.
//!
//! Makers differ in a few things that a guest can see, and a guest believes what CPUID tells it. So both come
//! from the guest's own CPUID: what it does not offer is #UD here as well, whatever the processor below has.

use bitflags::bitflags;

/// The maker of a processor, as far as the emulator behaves differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// AMD, and Hygon, whose processors are AMD's.
    Amd,
    /// Intel, and everyone else.
    Intel,
}

bitflags! {
    /// Instructions that CPUID may or may not offer. What is not named here every processor with SVM or VMX
    /// has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Features: u8 {
        /// CMPXCHG8B.
        const CX8 = 1 << 0;
        /// CMPXCHG16B.
        const CX16 = 1 << 1;
        /// MOVBE.
        const MOVBE = 1 << 2;
        /// MOVUPS, MOVAPS, MOVNTPS.
        const SSE = 1 << 3;
        /// MOVNTI, and moves of XMM registers with a mandatory prefix.
        const SSE2 = 1 << 4;
        /// MOVNTDQA.
        const SSE4_1 = 1 << 5;
    }
}

/// What decoding and emulating depend on besides the machine's state. It stays the same for as long as a
/// guest lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Processor {
    /// Its maker.
    pub vendor: Vendor,
    /// What it has.
    pub features: Features,
}

impl Processor {
    /// A processor of this maker that has everything.
    pub const fn full(vendor: Vendor) -> Processor {
        Processor { vendor, features: Features::all() }
    }

    /// What CPUID says: EAX, EBX, ECX and EDX of leaves 0 and 1 (APM 3, appendix E.3; SDM 2, CPUID).
    pub fn from_cpuid(leaf_0: [u32; 4], leaf_1: [u32; 4]) -> Processor {
        let [_, ebx, ecx, edx] = leaf_0;
        // The name's letters lie in EBX, EDX, ECX, in this order.
        let name = [ebx, edx, ecx].map(u32::to_le_bytes);
        let vendor = match name.as_flattened() {
            b"AuthenticAMD" | b"HygonGenuine" => Vendor::Amd,
            // Who is neither has followed Intel's manual.
            _ => Vendor::Intel,
        };
        let [_, _, ecx, edx] = leaf_1;
        let mut features = Features::empty();
        for (register, bit, feature) in [
            (edx, 8, Features::CX8),
            (edx, 25, Features::SSE),
            (edx, 26, Features::SSE2),
            (ecx, 13, Features::CX16),
            (ecx, 19, Features::SSE4_1),
            (ecx, 22, Features::MOVBE),
        ] {
            features.set(feature, register & 1 << bit != 0);
        }
        Processor { vendor, features }
    }
}

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
    pub struct Features: u32 {
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
        /// Moves of MMX registers.
        const MMX = 1 << 6;
        /// LDDQU.
        const SSE3 = 1 << 7;
        /// CRC32.
        const SSE4_2 = 1 << 8;
        /// MOVNTSS, MOVNTSD.
        const SSE4A = 1 << 9;
        /// POPCNT.
        const POPCNT = 1 << 10;
        /// LZCNT.
        const LZCNT = 1 << 11;
        /// ANDN, BEXTR, BLSI, BLSMSK, BLSR, TZCNT.
        const BMI1 = 1 << 12;
        /// BZHI, MULX, PDEP, PEXT, RORX, SARX, SHLX, SHRX.
        const BMI2 = 1 << 13;
        /// ADCX, ADOX.
        const ADX = 1 << 14;
        /// MOVDIRI.
        const MOVDIRI = 1 << 15;
        /// No instruction: a null selector clears the segment's base on AMD's processors too.
        const NULL_CLEARS_BASE = 1 << 16;
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

    /// What CPUID says; `leaf` returns EAX, EBX, ECX and EDX of a leaf, of its subleaf 0 (APM 3, appendix
    /// E.3; SDM 2, CPUID). A leaf that is not there has zeros.
    pub fn from_cpuid(leaf: impl Fn(u32) -> [u32; 4]) -> Processor {
        let [_, ebx, ecx, edx] = leaf(0);
        // The name's letters lie in EBX, EDX, ECX, in this order.
        let name = [ebx, edx, ecx].map(u32::to_le_bytes);
        let vendor = match name.as_flattened() {
            b"AuthenticAMD" | b"HygonGenuine" => Vendor::Amd,
            // Who is neither has followed Intel's manual.
            _ => Vendor::Intel,
        };
        let [_, _, ecx, edx] = leaf(1);
        let [_, ebx_7, ecx_7, _] = leaf(7);
        let [_, _, ecx_ext, _] = leaf(0x8000_0001);
        let mut features = Features::empty();
        for (register, bit, feature) in [
            (edx, 8, Features::CX8),
            (edx, 23, Features::MMX),
            (edx, 25, Features::SSE),
            (edx, 26, Features::SSE2),
            (ecx, 0, Features::SSE3),
            (ecx, 13, Features::CX16),
            (ecx, 19, Features::SSE4_1),
            (ecx, 20, Features::SSE4_2),
            (ecx, 22, Features::MOVBE),
            (ecx, 23, Features::POPCNT),
            (ebx_7, 3, Features::BMI1),
            (ebx_7, 8, Features::BMI2),
            (ebx_7, 19, Features::ADX),
            (ecx_7, 27, Features::MOVDIRI),
            (ecx_ext, 5, Features::LZCNT),
            (ecx_ext, 6, Features::SSE4A),
            (leaf(0x8000_0021)[0], 6, Features::NULL_CLEARS_BASE),
        ] {
            features.set(feature, register & 1 << bit != 0);
        }
        Processor { vendor, features }
    }
}

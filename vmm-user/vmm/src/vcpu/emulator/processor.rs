//! The processor that the guest believes to have, which is the one that the emulator is.

use decoder::Processor;
use devices::cpuid::{CpuidTable, Live};

/// What this CPUID says to a guest. The table is made from the host's answers and offers nothing that the
/// host does not have. So an instruction that the emulator accepts is one that this process may execute as
/// well: `guest_memory` executes CMPXCHG16B for the guest's.
pub fn of(cpuid: &CpuidTable) -> Processor {
    Processor::from_cpuid(|leaf| {
        let leaf = cpuid.lookup(leaf, 0, &Live { cr4: 0, xcr0: 1, ..Live::default() });
        [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use decoder::{Mode, Rejection, Vendor};
    use devices::cpuid::{CpuidPolicy, Leaf};

    /// Leaf 1's ECX and EDX.
    type Features = [u32; 2];
    const ALL: Features = [u32::MAX; 2];
    const ECX: usize = 0;
    const EDX: usize = 1;

    /// Instructions that came with a feature: register of leaf 1, bit, bytes.
    const INSTRUCTIONS: [(usize, u32, &[u8]); 9] = [
        (EDX, 8, &[0xf0, 0x0f, 0xc7, 0x0f]),
        (ECX, 13, &[0xf0, 0x48, 0x0f, 0xc7, 0x0f]),
        (ECX, 13, &[0x48, 0x0f, 0xc7, 0x0f]),
        (ECX, 22, &[0x0f, 0x38, 0xf0, 0x07]),
        (ECX, 22, &[0x0f, 0x38, 0xf1, 0x07]),
        (EDX, 25, &[0x0f, 0x10, 0x07]),
        (EDX, 26, &[0x66, 0x0f, 0x6f, 0x07]),
        (EDX, 26, &[0x0f, 0xc3, 0x07]),
        (ECX, 19, &[0x66, 0x0f, 0x38, 0x2a, 0x07]),
    ];

    /// A guest's processor on a host that has these features.
    fn on_host([ecx, edx]: Features) -> Processor {
        let mut host = |leaf: u32, _: u32| match leaf {
            // "AuthenticAMD"
            0 => Leaf { eax: 0x10, ebx: 0x6874_7541, ecx: 0x444d_4163, edx: 0x6974_6e65 },
            1 => Leaf { ecx, edx, ..Leaf::default() },
            _ => Leaf::default(),
        };
        of(&CpuidTable::new(&mut host, &CpuidPolicy::new(0, 1, 1_000_000_000)))
    }

    #[test]
    fn nothing_is_emulated_that_the_host_lacks() {
        for (register, bit, bytes) in INSTRUCTIONS {
            let decoded = |features| decoder::decode(bytes, Mode::Bits64, on_host(features));
            assert!(decoded(ALL).is_ok(), "{bytes:02x?}");
            let mut features = ALL;
            features[register] &= !(1 << bit);
            assert_eq!(decoded(features), Err(Rejection::Undefined), "{bytes:02x?}");
        }
    }

    #[test]
    fn the_maker_is_the_hosts() {
        assert_eq!(on_host(ALL).vendor, Vendor::Amd);
    }
}

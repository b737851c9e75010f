//! What the kernel needs of a processor, and its backend. A host may offer any set of features, so each is
//! looked for before it is used, and what is missing is named, all of it.

use core::fmt;

use super::Cpuid;

/// Where CPUID says that a feature is there.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Leaf 1, EDX.
    BasicD(u32),
    /// Leaf 1, ECX.
    BasicC(u32),
    /// Leaf 7, EBX.
    StructuredB(u32),
    /// Leaf 8000_0001h, EDX.
    ExtendedD(u32),
    /// Leaf 8000_0001h, ECX.
    ExtendedC(u32),
    /// A leaf of the backend's, EDX.
    OfBackendD(u32, u32),
}

/// A feature: what messages call it, and where it is (APM volume 3, appendix E).
pub type Feature = (&'static str, Place);

/// What the kernel itself needs.
const NEEDED: [Feature; 19] = [
    ("TSC", Place::BasicD(4)),
    ("MSR", Place::BasicD(5)),
    ("PAE", Place::BasicD(6)),
    ("MCE", Place::BasicD(7)),
    ("CX8", Place::BasicD(8)),
    ("APIC", Place::BasicD(9)),
    ("PGE", Place::BasicD(13)),
    ("CMOV", Place::BasicD(15)),
    ("CLFLUSH", Place::BasicD(19)),
    ("FXSR", Place::BasicD(24)),
    ("SSE", Place::BasicD(25)),
    ("SSE2", Place::BasicD(26)),
    ("XSAVE", Place::BasicC(26)),
    ("SMEP", Place::StructuredB(7)),
    ("SMAP", Place::StructuredB(20)),
    ("SYSCALL", Place::ExtendedD(11)),
    ("NX", Place::ExtendedD(20)),
    ("LM (64-bit mode)", Place::ExtendedD(29)),
    ("FPU", Place::BasicD(0)),
];

/// All that is needed, the backend's behind the kernel's own.
fn needed(of_backend: &'static [Feature]) -> impl Iterator<Item = Feature> {
    NEEDED.into_iter().chain(of_backend.iter().copied())
}

/// Needed features that are not there.
#[derive(Clone, Copy, Debug)]
pub struct Missing {
    /// By index in [`needed`].
    set: u32,
    of_backend: &'static [Feature],
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = needed(self.of_backend).enumerate().filter(|(index, _)| self.set & 1 << index != 0);
        for (count, (_, (name, _))) in missing.enumerate() {
            write!(f, "{}{name}", if count == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Looks for all of it, and for what the backend needs besides.
pub fn check(cpuid: impl Fn(u32, u32) -> Cpuid, of_backend: &'static [Feature]) -> Result<(), Missing> {
    // A leaf beyond the last one repeats another's bits (APM volume 3, E.2).
    let leaf = |leaf: u32| {
        let there = cpuid(leaf & 0x8000_0000, 0).eax >= leaf;
        if there { cpuid(leaf, 0) } else { Cpuid { eax: 0, ebx: 0, ecx: 0, edx: 0 } }
    };
    let (basic, structured, extended) = (leaf(1), leaf(7), leaf(0x8000_0001));
    let present = |place: Place| {
        let (register, bit) = match place {
            Place::BasicD(bit) => (basic.edx, bit),
            Place::BasicC(bit) => (basic.ecx, bit),
            Place::StructuredB(bit) => (structured.ebx, bit),
            Place::ExtendedD(bit) => (extended.edx, bit),
            Place::ExtendedC(bit) => (extended.ecx, bit),
            Place::OfBackendD(number, bit) => (leaf(number).edx, bit),
        };
        register & 1 << bit != 0
    };
    let missing = (0..).zip(needed(of_backend)).filter(|(_, (_, place))| !present(*place));
    match missing.fold(0, |set, (index, _)| set | 1u32 << index) {
        0 => Ok(()),
        set => Err(Missing { set, of_backend }),
    }
}

#[cfg(test)]
mod tests;

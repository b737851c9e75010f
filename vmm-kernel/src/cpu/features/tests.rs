//! A processor that has everything, and ones that lack something.

use super::{Place, check, needed};
use crate::cpu::Cpuid;
use crate::platform::backend;

const EVERYTHING: Cpuid = Cpuid { eax: u32::MAX, ebx: u32::MAX, ecx: u32::MAX, edx: u32::MAX };

fn said(cpuid: impl Fn(u32, u32) -> Cpuid) -> String {
    check(cpuid, &backend::NEEDED).err().map_or_else(String::new, |missing| missing.to_string())
}

#[test]
fn one_after_the_other() {
    assert_eq!(said(|_, _| EVERYTHING), "");
    for (name, place) in needed(&backend::NEEDED) {
        let without = |leaf: u32, _: u32| {
            let mut r = EVERYTHING;
            match (leaf, place) {
                (1, Place::BasicD(bit)) | (0x8000_0001, Place::ExtendedD(bit)) => r.edx &= !(1 << bit),
                (1, Place::BasicC(bit)) | (0x8000_0001, Place::ExtendedC(bit)) => r.ecx &= !(1 << bit),
                (7, Place::StructuredB(bit)) => r.ebx &= !(1 << bit),
                (leaf, Place::OfBackendD(number, bit)) if leaf == number => r.edx &= !(1 << bit),
                _ => {}
            }
            r
        };
        assert_eq!(said(without), name);
    }
}

/// What a processor says of leaves that it does not have is not believed.
#[test]
fn leaves_that_are_not_there() {
    let few = |leaf: u32, _: u32| match leaf {
        0 => Cpuid { eax: 1, ..EVERYTHING },
        0x8000_0000 => Cpuid { eax: 0x8000_0008, ..EVERYTHING },
        _ => EVERYTHING,
    };
    assert_eq!(said(few), "SMEP, SMAP, NPT (nested paging)");
    let none = |_: u32, _: u32| Cpuid { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    assert_eq!(said(none).split(", ").count(), needed(&backend::NEEDED).count());
}

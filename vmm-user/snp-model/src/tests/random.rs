//! Random operations on the RMP and on the model that was written a second time: both say the same.

use std::vec::Vec;

use arbitrary::{Arbitrary, Unstructured};
use plinth_snp_abi::rmp::PageSize;

use super::naive::{FRAMES, Naive, Verdict};
use crate::access::{Access, Denied, Kind, Target};
use crate::rmp::guest::{Completion, Executor, Page};
use crate::rmp::{Rmp, Update};

/// An address near others: few pages, and the borders of regions.
#[derive(Clone, Copy, Debug, Arbitrary)]
struct Place {
    region: u8,
    page: u8,
    offset: u8,
}

impl Place {
    fn address(self) -> u64 {
        let page = [0, 0, 1, 2, 511][usize::from(self.page % 5)];
        let offset = if self.offset < 4 { 0x123 } else { 0 };
        (u64::from(self.region % 4) * 512 + page) * 4096 + offset
    }
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct Who {
    asid: bool,
    vmpl: u8,
    is_user: bool,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Operation {
    Update { spa: Place, gpa: Place, assigned: u8, large: bool, asid: bool, immutable: u8 },
    Smash { spa: Place },
    Pvalidate { by: Who, gpa: Place, spa: Place, mapped: bool, large: bool, validate: u8 },
    Rmpadjust { by: Who, gpa: Place, spa: Place, mapped: bool, large: bool, target: u8, mask: u8, vmsa: u8 },
    Access { by: Who, kind: u8, is_private: bool, gpa: Place, spa: Place, mapped: bool },
}

fn size(is_large: bool) -> PageSize {
    if is_large { PageSize::Large } else { PageSize::Small }
}

impl Who {
    fn executor(self) -> Executor {
        // Mostly the kernel at VMPL0 of the same guest, or little would ever succeed.
        let vmpl = [0, 0, 0, 1, 2, 3][usize::from(self.vmpl % 6)];
        Executor { asid: if self.asid { 1 } else { 2 }, vmpl, cpl: if self.is_user { 3 } else { 0 } }
    }
}

fn verdict(completion: Completion) -> Verdict {
    match completion {
        Completion::Result { code, carry } if code.code() == 0 => {
            if carry {
                Verdict::Carry
            } else {
                Verdict::Ok
            }
        }
        Completion::Result { code, .. } => Verdict::Code(code.code()),
        Completion::GeneralProtection => Verdict::Protection,
        Completion::NestedPageFault(_) => Verdict::Fault,
        Completion::NotValidated => Verdict::NotValidated,
    }
}

/// Where the host has a guest's page: mostly where the guest believes, since a lie is found out at once.
fn place(gpa: Place, spa: Place) -> (u64, u64) {
    if spa.offset < 64 { (gpa.address(), spa.address()) } else { (gpa.address(), gpa.address()) }
}

fn both(operation: Operation, rmp: &mut Rmp, naive: &mut Naive) -> [Verdict; 2] {
    let host = |result: Result<(), _>| result.map_or(Verdict::HostError, |()| Verdict::Ok);
    match operation {
        Operation::Update { spa, gpa, assigned, large, asid, immutable } => {
            let update = Update {
                assigned: assigned > 50,
                size: size(large),
                asid: if asid { 1 } else { 2 },
                gpa: place(spa, gpa).1,
                immutable: immutable < 8,
            };
            let spa = spa.address();
            [host(rmp.update(spa, update)), naive.update(spa, update)]
        }
        Operation::Smash { spa } => [host(rmp.smash(spa.address())), naive.smash(spa.address())],
        Operation::Pvalidate { by, gpa, spa, mapped, large, validate } => {
            let (gpa, spa) = place(gpa, spa);
            let (by, page) = (by.executor(), Page { gva: gpa, gpa, spa, mapped: size(mapped) });
            let (size, validate) = (size(large), validate > 50);
            [verdict(rmp.pvalidate(by, page, size, validate)), naive.pvalidate(by, page, size, validate)]
        }
        Operation::Rmpadjust { by, gpa, spa, mapped, large, target, mask, vmsa } => {
            let (gpa, spa) = place(gpa, spa);
            let (by, page) = (by.executor(), Page { gva: gpa, gpa, spa, mapped: size(mapped) });
            let rdx = u64::from(target % 5) | u64::from(mask % 40) << 8 | u64::from(vmsa % 7 == 0) << 16;
            let size = size(large);
            [verdict(rmp.rmpadjust(by, page, size, rdx)), naive.rmpadjust(by, page, size, rdx)]
        }
        Operation::Access { by, kind, is_private, gpa, spa, mapped } => {
            let (gpa, spa) = place(gpa, spa);
            let Executor { asid, vmpl, cpl } = by.executor();
            let kind = [Kind::Read, Kind::Write, Kind::Fetch, Kind::TableWalk][usize::from(kind % 4)];
            let access = Access { asid, vmpl, is_user: cpl == 3, kind, is_private };
            let target = Target { gpa, spa, mapped: size(mapped) };
            let checked = match rmp.check(&access, &target) {
                Ok(()) => Verdict::Ok,
                Err(Denied::NestedPageFault(_)) => Verdict::Fault,
                Err(Denied::NotValidated) => Verdict::NotValidated,
            };
            [checked, naive.check(&access, &target)]
        }
    }
}

/// Bytes of a generator (xorshift64*), the same in each run.
fn noise(mut state: u64, bytes: usize) -> Vec<u8> {
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn both_models_say_the_same() {
    let mut seen = Vec::new();
    for seed in 1..=2000 {
        let bytes = noise(seed, 2000);
        let mut input = Unstructured::new(&bytes);
        let (mut rmp, mut naive) = (Rmp::new(FRAMES as usize), Naive::default());
        let mut number = 0;
        while let Ok(operation) = Operation::arbitrary(&mut input) {
            if input.is_empty() {
                break;
            }
            let [one, other] = both(operation, &mut rmp, &mut naive);
            assert_eq!(one, other, "seed {seed}, operation {number}: {operation:?}");
            let kind = core::mem::discriminant(&operation);
            if !seen.contains(&(kind, one)) {
                seen.push((kind, one));
            }
            number += 1;
        }
    }
    // Were all refused, nothing would have been tested: of each operation, each kind of end.
    assert_eq!(seen.len(), 20, "{seen:?}");
}

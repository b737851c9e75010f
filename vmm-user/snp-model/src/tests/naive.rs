//! The RMP written a second time: a list of pages that somebody owns, not a table of entries, and each rule
//! by itself.

use std::vec::Vec;

use plinth_snp_abi::rmp::{PageSize, ResultCode};

use crate::access::{Access, Kind};
use crate::rmp::Update;
use crate::rmp::guest::{Executor, Page};

/// A page that is assigned, or can't be changed.
#[derive(Clone, Debug)]
struct Owned {
    first: u64,
    frames: u64,
    set: Update,
    validated: bool,
    vmsa: bool,
    /// Bits as RMPADJUST has them, of VMPL1 to VMPL3.
    granted: [u8; 3],
}

/// What became of an operation, without the bits of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    Carry,
    Code(u64),
    Fault,
    NotValidated,
    Protection,
    HostError,
}

/// The model.
#[derive(Default)]
pub(super) struct Naive {
    pages: Vec<Owned>,
}

pub(super) const FRAMES: u64 = 1030;

fn frames(size: PageSize) -> u64 {
    size.bytes() / 4096
}

impl Naive {
    fn find(&mut self, spa: u64) -> Option<&mut Owned> {
        let frame = spa / 4096;
        self.pages.iter_mut().find(|page| (page.first..page.first + page.frames).contains(&frame))
    }

    pub(super) fn update(&mut self, spa: u64, set: Update) -> Verdict {
        let (first, count) = (spa / 4096, frames(set.size));
        if !spa.is_multiple_of(set.size.bytes())
            || !set.gpa.is_multiple_of(set.size.bytes())
            || first + count > FRAMES
        {
            return Verdict::HostError;
        }
        for page in &self.pages {
            let overlaps = page.first < first + count && first < page.first + page.frames;
            let is_same = page.first == first && page.frames == count;
            if overlaps && (!is_same || page.set.immutable) {
                return Verdict::HostError;
            }
        }
        self.pages.retain(|page| page.first != first);
        // One that is nobody's and can't be changed is a small page.
        let kept = if set.assigned { count } else { 1 };
        if set.assigned || set.immutable {
            let granted = [0; 3];
            self.pages.push(Owned { first, frames: kept, set, validated: false, vmsa: false, granted });
        }
        Verdict::Ok
    }

    pub(super) fn smash(&mut self, spa: u64) -> Verdict {
        let found = self.find(spa).cloned();
        let Some(large) = found.filter(|page| page.frames == 512 && !page.set.immutable) else {
            return Verdict::HostError;
        };
        if !spa.is_multiple_of(PageSize::Large.bytes()) {
            return Verdict::HostError;
        }
        self.pages.retain(|page| page.first != large.first);
        for number in 0..512 {
            let set = Update { size: PageSize::Small, gpa: large.set.gpa + number * 4096, ..large.set };
            self.pages.push(Owned { first: large.first + number, frames: 1, set, ..large.clone() });
        }
        Verdict::Ok
    }

    /// The page, if the guest owns it there.
    fn own(&mut self, asid: u32, gpa: u64, spa: u64) -> Option<&mut Owned> {
        let page = self.find(spa)?;
        let set = page.set;
        let is_there = gpa / 4096 == set.gpa / 4096 + (spa / 4096 - page.first);
        (set.assigned && !set.immutable && set.asid == asid && is_there).then_some(page)
    }

    pub(super) fn pvalidate(&mut self, by: Executor, at: Page, size: PageSize, validate: bool) -> Verdict {
        if by.cpl + by.vmpl > 0 {
            return Verdict::Protection;
        }
        if size == PageSize::Large && !(at.gva / 4096).is_multiple_of(512) {
            return Verdict::Code(ResultCode::FailInput.code());
        }
        let Some(page) = self.own(by.asid, at.gpa, at.spa) else { return Verdict::Fault };
        match (frames(size), page.frames, frames(at.mapped)) {
            (1, 512, _) => return Verdict::Fault,
            (512, 1, _) | (512, 512, 1) => return Verdict::Code(ResultCode::FailSizeMismatch.code()),
            _ => {}
        }
        if page.validated == validate {
            return Verdict::Carry;
        }
        (page.validated, page.vmsa, page.granted) = (validate, false, [0; 3]);
        Verdict::Ok
    }

    pub(super) fn rmpadjust(&mut self, by: Executor, at: Page, size: PageSize, rdx: u64) -> Verdict {
        let code = |code: ResultCode| Verdict::Code(code.code());
        let [target, wanted, vmsa, ..] = rdx.to_le_bytes();
        if by.cpl > 0 {
            return Verdict::Protection;
        }
        if rdx >= 0x2_0000
            || wanted >= 0x20
            || size == PageSize::Large && !(at.gva / 4096).is_multiple_of(512)
        {
            return code(ResultCode::FailInput);
        }
        if !(by.vmpl + 1..4).contains(&target) {
            return code(ResultCode::FailPermission);
        }
        let Some(page) = self.own(by.asid, at.gpa, at.spa) else { return Verdict::Fault };
        if !page.validated {
            return Verdict::NotValidated;
        }
        match (frames(size), page.frames, frames(at.mapped)) {
            (1, 512, _) => return Verdict::Fault,
            (512, 1, _) | (512, 512, 1) => return code(ResultCode::FailSizeMismatch),
            _ => {}
        }
        let makes_vmsa = vmsa == 1;
        if by.vmpl > 0 {
            let own = page.granted[usize::from(by.vmpl) - 1];
            if own & wanted != wanted || makes_vmsa != page.vmsa {
                return code(ResultCode::FailPermission);
            }
        }
        if makes_vmsa && page.frames == 512 {
            return code(ResultCode::FailInput);
        }
        page.granted[usize::from(target) - 1] = wanted;
        page.vmsa = makes_vmsa;
        Verdict::Ok
    }

    pub(super) fn check(&mut self, access: &Access, at: &crate::access::Target) -> Verdict {
        let is_private = access.is_private || access.kind == Kind::Fetch || access.kind == Kind::TableWalk;
        if !is_private {
            let is_assigned = self.find(at.spa).is_some_and(|page| page.set.assigned);
            return if access.kind == Kind::Write && is_assigned { Verdict::Fault } else { Verdict::Ok };
        }
        let Some(page) = self.own(access.asid, at.gpa, at.spa) else { return Verdict::Fault };
        if page.frames != frames(at.mapped) {
            return Verdict::Fault;
        }
        if !page.validated {
            return Verdict::NotValidated;
        }
        let has = match access.vmpl {
            0 => 0xf,
            vmpl => page.granted[usize::from(vmpl) - 1],
        };
        let is_allowed = match (access.kind, access.is_user) {
            (Kind::Read, _) => has & 1 != 0,
            (Kind::Write, _) => has & 2 != 0,
            (Kind::Fetch, true) => has & 4 != 0,
            (Kind::Fetch, false) => has & 8 != 0,
            (Kind::TableWalk, _) => has & 3 == 3,
        };
        if is_allowed { Verdict::Ok } else { Verdict::Fault }
    }
}

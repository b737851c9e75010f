//! What holds for any page walk.

use super::{dirty_bits_added, only_marks_added};
use crate::reference_walk::{self, Ending, Request};
use crate::small::SmallMachine;
use arbitrary::Arbitrary;
use decoder::walk::{Access, Kind, Paging, WalkError, translate, walk};
use decoder::{GuestMemory, Size};

/// The registers that a walk depends on.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct PagingInput {
    /// CR0, CR3, CR4, EFER.
    pub control: [u64; 4],
    /// PKRU.
    pub pkru: u32,
    /// Bits of a physical address, modulo 21 above 32.
    pub physical_bits: u8,
    /// Whether there are 1 GiB pages.
    pub gigabyte_pages: bool,
}

impl PagingInput {
    fn paging(&self) -> Paging {
        let [cr0, cr3, cr4, efer] = self.control;
        Paging {
            cr0,
            cr3,
            // Long mode is with PAE, or isn't.
            cr4: if efer >> 10 & 1 != 0 { cr4 | 0x20 } else { cr4 },
            efer,
            pkru: self.pkru,
            physical_bits: 32 + self.physical_bits % 21,
            gigabyte_pages: self.gigabyte_pages,
        }
    }
}

/// Who accesses, and how.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct AccessInput {
    /// Read, write or execute, modulo 3.
    pub kind: u8,
    /// CPL, modulo 4.
    pub cpl: u8,
    /// RFLAGS.AC.
    pub ac: bool,
    /// An implicit access.
    pub implicit: bool,
}

impl AccessInput {
    /// The access, and the same for the reference.
    fn access(&self) -> (Access, Request) {
        let kind = [Kind::Read, Kind::Write, Kind::Execute][usize::from(self.kind % 3)];
        let cpl = self.cpl % 4;
        match (kind, self.implicit) {
            (Kind::Execute, _) => (Access::fetch(cpl), Request { kind, user: cpl == 3, ac: false }),
            (_, true) => (Access::implicit(kind), Request { kind, user: false, ac: false }),
            _ => {
                let flags = if self.ac { 1 << 18 } else { 0 };
                (Access::explicit(kind, cpl, flags), Request { kind, user: cpl == 3, ac: self.ac })
            }
        }
    }
}

/// A page walk to be made.
#[derive(Arbitrary, Clone, Debug)]
pub struct WalkInput {
    /// The registers.
    pub paging: PagingInput,
    /// The address.
    pub linear: u64,
    /// The access.
    pub access: AccessInput,
    /// What entries hold.
    pub entries: [u64; 8],
}

/// A walk ends as one written a second time does, and marking changes only marks.
///
/// # Panics
/// If that is not so.
pub fn check_walk(input: &WalkInput) {
    let paging = input.paging.paging();
    let (access, request) = input.access.access();
    let mut memory = SmallMachine::new(&input.entries, paging);
    let before = memory;
    let expected = reference_walk::walk(&mut memory, &paging, input.linear, request);
    let found = walk(&mut memory, &paging, input.linear, access);
    let ending = match found {
        Ok(translation) => Ending::Found(translation.gpa, translation.page_bytes),
        Err(WalkError::Fault { error_code, address }) => {
            // Outside long mode addresses have 32 bits.
            assert!(address == input.linear || address == input.linear & 0xffff_ffff);
            Ending::Fault(error_code)
        }
        Err(WalkError::NonCanonical) => Ending::NonCanonical,
        Err(WalkError::Contended) => panic!("nobody contends"),
    };
    assert_eq!(ending, expected, "{input:x?}");
    assert_eq!(memory, before, "a walk changes nothing");
    check_marks(&mut memory, &paging, input.linear, access, found.is_ok());
}

/// Translating marks every entry that can be marked, and nothing else.
fn check_marks(memory: &mut SmallMachine, paging: &Paging, linear: u64, access: Access, walks: bool) {
    let before = *memory;
    if translate(memory, paging, linear, access).is_err() {
        return;
    }
    assert!(walks);
    // Where one entry serves two levels, marking it as the leaf outdates it as a table (that shows once), or
    // sets bits that are reserved in the other level's format.
    let Ok(translation) = translate(memory, paging, linear, access) else {
        return;
    };
    let is_long = paging.efer >> 10 & 1 != 0;
    let is_pae = !is_long && paging.cr4 >> 5 & 1 != 0;
    let size = if is_long || is_pae { Size::B8 } else { Size::B4 };
    let entries = translation.trace.entries();
    // What is not RAM reads all-ones, and nothing that came from there can be kept.
    let is_absent = |&(_, value): &(u64, u64)| value == u64::MAX || value == 0xffff_ffff;
    let is_current = entries.iter().all(|&(gpa, value)| memory.read(gpa, size) == Some(value));
    assert!(is_current || entries.iter().any(is_absent));
    assert!(only_marks_added(&before.ram, &memory.ram));
    let is_write = access.kind() == Kind::Write;
    assert!(dirty_bits_added(&before.ram, &memory.ram) <= u32::from(is_write), "only the leaf gets dirty");
    // A PAE root's entries have no accessed bit.
    for &(_, value) in entries.iter().skip(usize::from(is_pae)) {
        assert_eq!(value >> 5 & 1, 1);
    }
    if let (Kind::Write, Some(&(_, leaf))) = (access.kind(), entries.last()) {
        assert_eq!(leaf >> 6 & 1, 1);
    }
}

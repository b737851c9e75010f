//! An entry of a page table: the kernel's, a process's or a guest's (nested tables have the same form: APM
//! volume 2, 15.25.5). [`Entry::encode`] and [`Entry::decode`] are the only functions that put an address
//! into an entry and take it out.
//!
//! They also know the platform's [`Marks`]: where memory is encrypted, a bit within the address says whether
//! the host can read the page. Above this file a page that the host may read has the flag [`SHARED`], on
//! every platform, and an address has no such bit. In a kernel without the feature `encryption` the marks are
//! a constant, nothing, and cost nothing.

use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

/// Where an entry has the address (APM volume 2, 5.3.3).
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Marks a page that the host may read and write: a bit that the processor ignores. Where nothing is
/// encrypted it says so and no more.
pub const SHARED: Flags = Flags::BIT_11;

/// The bits by which a platform tells private pages from shared ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// What an entry for a private page has: the C-bit of SEV (APM volume 2, 15.34.1).
    pub private: u64,
    /// What an entry for a [`SHARED`] page has: the shared bit of TDX.
    pub shared: u64,
}

impl Marks {
    /// Of a platform that encrypts nothing.
    pub const NONE: Self = Self { private: 0, shared: 0 };

    fn encode(self, address: u64, flags: Flags) -> u64 {
        let mark = if flags.contains(SHARED) { self.shared } else { self.private };
        address | mark | flags.bits()
    }

    fn decode(self, word: u64) -> (u64, Flags) {
        let marks = self.private | self.shared;
        // The mark lies among the bits of the address; left there it would be another frame.
        (word & ADDRESS & !marks, Flags::from_bits_retain(word & !ADDRESS & !marks))
    }
}

static PRIVATE: AtomicU64 = AtomicU64::new(Marks::NONE.private);
static SHARED_MARK: AtomicU64 = AtomicU64::new(Marks::NONE.shared);

/// Sets the platform's marks; once, at boot, before the first entry is made.
pub fn start(marks: Marks) {
    PRIVATE.store(marks.private, Ordering::Relaxed);
    SHARED_MARK.store(marks.shared, Ordering::Relaxed);
}

fn marks() -> Marks {
    // Whoever makes or reads an entry asks here: where no platform encrypts, that costs nothing.
    if cfg!(not(feature = "encryption")) {
        return Marks::NONE;
    }
    Marks { private: PRIVATE.load(Ordering::Relaxed), shared: SHARED_MARK.load(Ordering::Relaxed) }
}

/// The root of page tables as CR3 has it: a private page, like any table.
pub fn for_cr3(root: PhysFrame) -> PhysFrame {
    PhysFrame::containing_address(PhysAddr::new_truncate(root.start_address().as_u64() | marks().private))
}

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(u64);

impl Entry {
    /// One that leads nowhere.
    pub const UNUSED: Self = Self(0);

    /// An entry for what is at `address`.
    pub fn encode(address: PhysAddr, flags: Flags) -> Self {
        Self(marks().encode(address.as_u64(), flags))
    }

    /// What it leads to, and how.
    pub fn decode(self) -> (PhysAddr, Flags) {
        let (address, flags) = marks().decode(self.0);
        (PhysAddr::new_truncate(address), flags)
    }

    /// The address alone.
    pub fn address(self) -> PhysAddr {
        self.decode().0
    }

    /// The flags alone.
    pub fn flags(self) -> Flags {
        self.decode().1
    }

    /// Whether there is nothing in it.
    pub fn is_unused(self) -> bool {
        self == Self::UNUSED
    }

    /// An entry as a table has it.
    pub(super) const fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// As a table has it.
    pub(super) const fn word(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::NO_EXECUTE).union(Flags::BIT_9);
    const AT: u64 = 0x12_3456_7000;

    #[test]
    fn what_is_put_in_comes_out() {
        let marks =
            [Marks::NONE, Marks { private: 1 << 51, shared: 0 }, Marks { private: 0, shared: 1 << 51 }];
        for marks in marks.into_iter().chain([Marks { private: 1 << 47, shared: 0 }]) {
            for flags in [FLAGS, FLAGS | SHARED, Flags::empty()] {
                assert_eq!(marks.decode(marks.encode(AT, flags)), (AT, flags), "{marks:x?}, {flags:?}");
            }
        }
    }

    #[test]
    fn each_page_has_the_mark_of_its_kind_alone() {
        let c_bit = Marks { private: 1 << 51, shared: 0 };
        assert_eq!(c_bit.encode(AT, FLAGS), AT | FLAGS.bits() | 1 << 51);
        assert_eq!(c_bit.encode(AT, FLAGS | SHARED), AT | (FLAGS | SHARED).bits());
        let shared_bit = Marks { private: 0, shared: 1 << 47 };
        assert_eq!(shared_bit.encode(AT, FLAGS), AT | FLAGS.bits());
        assert_eq!(shared_bit.encode(AT, FLAGS | SHARED), AT | (FLAGS | SHARED).bits() | 1 << 47);
    }

    #[test]
    fn without_marks_an_entry_is_address_and_flags() {
        let entry = Entry::encode(PhysAddr::new(AT), FLAGS);
        assert_eq!(entry.word(), AT | FLAGS.bits());
        assert_eq!(entry.decode(), (PhysAddr::new(AT), FLAGS));
        assert!(!entry.is_unused() && Entry::of_word(0).is_unused());
    }
}

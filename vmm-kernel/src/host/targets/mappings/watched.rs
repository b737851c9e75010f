//! Tables with a processor that caches them: it remembers where an access went until it is told to forget.

use std::cell::RefCell;
use std::collections::BTreeMap;

use vcpu_abi::operation::Permissions;
use x86_64::PhysAddr;
use x86_64::structures::paging::PhysFrame;

use crate::guest::vm::Vm;
use crate::layout::PAGE;
use crate::memory::narrowing::Cached;
use crate::memory::space::Space;
use crate::memory::tables::Tables;
use crate::memory::temporary;

/// Bits of an entry (APM volume 2, 5.4.1); of those that the processor ignores, the tables' own.
const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const OWNED: u64 = 1 << 9;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What the tables say of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub address: u64,
    pub is_present: bool,
    pub is_writable: bool,
    pub is_executable: bool,
    pub is_users: bool,
    pub is_owned: bool,
}

impl Leaf {
    fn of(word: u64, address: u64) -> Self {
        Self {
            address,
            is_present: word & PRESENT != 0,
            is_writable: word & WRITABLE != 0,
            is_executable: word & NO_EXECUTE == 0,
            is_users: word & USER != 0,
            is_owned: word & OWNED != 0,
        }
    }

    /// What a guest may do.
    pub fn permissions(self) -> Permissions {
        let mut permissions = Permissions::empty();
        if self.is_present {
            permissions.set(Permissions::READ, self.is_users);
            permissions.set(Permissions::WRITE, self.is_writable);
            permissions.set(Permissions::EXECUTE, self.is_executable);
        }
        permissions
    }
}

/// The word that a frame begins with.
pub fn first_word(address: u64) -> u64 {
    word(address, 0)
}

fn word(table: u64, index: usize) -> u64 {
    let frame = PhysFrame::containing_address(PhysAddr::new(table));
    temporary::with_frame(frame, |words| words.at(index).get())
}

/// What has a root.
pub trait Rooted: Cached {
    /// Its address.
    fn root_address(&self) -> u64;
}

impl Rooted for Space {
    fn root_address(&self) -> u64 {
        self.root().start_address().as_u64()
    }
}

impl Rooted for Vm {
    fn root_address(&self) -> u64 {
        self.address_space().root
    }
}

/// Tables, and what a processor has cached of them.
pub struct Watched<'a, C> {
    pub of: &'a C,
    /// By page: where it led, and whether it could be written.
    cached: RefCell<BTreeMap<u64, (u64, bool)>>,
    /// Frames that go when the processor has forgotten them, and the number that is in each until then.
    stale: RefCell<Vec<(u64, u64)>>,
}

impl<'a, C: Rooted> Watched<'a, C> {
    pub fn new(of: &'a C) -> Self {
        Self { of, cached: RefCell::default(), stale: RefCell::default() }
    }

    /// Walks the tables, as a processor does.
    pub fn walk(&self, address: u64) -> Option<Leaf> {
        let mut table = self.of.root_address();
        for level in (1..=4u32).rev() {
            let shift = 12 + 9 * (level - 1);
            let entry = word(table, (address >> shift) as usize & 511);
            // Not by the bit PRESENT: a page without any access is there, and holds its frame.
            if entry == 0 {
                return None;
            }
            if level == 1 || entry & LARGE != 0 {
                let within = address & ((1 << shift) - 1) & !(PAGE - 1);
                return Some(Leaf::of(entry, (entry & ADDRESS & !((1 << shift) - 1)) + within));
            }
            table = entry & ADDRESS;
        }
        None
    }

    /// Frames of tables and of pages that they own, in the lower half.
    pub fn frames(&self) -> u64 {
        frames_of(self.of.root_address(), 4)
    }

    /// The processor reads a page.
    pub fn access(&self, address: u64) {
        if let Some(leaf) = self.walk(address).filter(|leaf| leaf.is_present) {
            self.cached.borrow_mut().insert(address, (leaf.address, leaf.is_writable));
        }
    }

    /// A frame was taken out of the tables.
    pub fn lost(&self, address: u64, tag: u64) {
        self.stale.borrow_mut().push((address, tag));
    }

    /// Nothing is cached that is not in the tables.
    pub fn check(&self) {
        for (page, (address, is_writable)) in self.cached.borrow().iter() {
            let leaf = self.walk(*page).filter(|leaf| leaf.is_present);
            let Some(leaf) = leaf else { panic!("{page:#x} is cached, and gone") };
            assert_eq!(leaf.address, *address, "{page:#x} is cached as another page");
            assert!(!is_writable || leaf.is_writable, "{page:#x} is cached as writable");
        }
    }
}

impl<C: Rooted> Cached for Watched<'_, C> {
    fn with_tables<R>(&self, f: impl FnOnce(&mut Tables) -> R) -> R {
        self.of.with_tables(f)
    }

    fn shoot_down(&self) {
        self.of.shoot_down();
        // Up to here the processor may have written there.
        for (address, tag) in self.stale.take() {
            assert_eq!(first_word(address), tag, "a frame was given away before it was forgotten");
        }
        self.cached.borrow_mut().clear();
    }

    fn tables_change(&self) -> u64 {
        self.of.tables_change()
    }

    fn change_is_over(&self, change: u64) {
        self.of.change_is_over(change);
    }

    fn lost_pages(&self, pages: u64) {
        self.of.lost_pages(pages);
    }
}

fn frames_of(table: u64, level: u32) -> u64 {
    // The upper half is the kernel's, shared by all spaces and owned by none.
    let entries = if level == 4 { 256 } else { 512 };
    let of_entry = |entry: u64| match level {
        1 => u64::from(entry & OWNED != 0),
        _ if entry == 0 || entry & LARGE != 0 => 0,
        _ => frames_of(entry & ADDRESS, level - 1),
    };
    1 + (0..entries).map(|index| of_entry(word(table, index))).sum::<u64>()
}

//! What is mapped where, a line a page.

use std::collections::BTreeMap;

use vcpu_abi::operation::Permissions;

use super::watched::{Leaf, first_word};

/// How many objects of shared memory there are at most.
pub const OBJECTS: usize = 3;
/// Tables that an object of shared memory has: one of each level.
const TABLES_OF_AN_OBJECT: u64 = 4;
/// Pages of a large page.
const LARGE: u64 = 512;

/// What is in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Memory that Plinth keeps, with this number in its first word.
    Tagged(u64),
    /// Guest memory, from this address.
    Guest(u64),
}

/// An object's account, and the number in each of its pages.
type Object = Option<(usize, Vec<u64>)>;

/// All of it.
pub struct Model {
    spaces: [BTreeMap<u64, (Content, bool)>; 2],
    guest: BTreeMap<u64, Permissions>,
    pub objects: [Object; OBJECTS],
}

impl Model {
    pub fn new() -> Self {
        Self { spaces: Default::default(), guest: BTreeMap::new(), objects: Default::default() }
    }

    /// How many pages, from the first one on, have nothing yet.
    pub fn free_run(&self, space: usize, first: u64, pages: u64) -> u64 {
        // The kernel maps in the order of addresses, and stops at the first that has something.
        let taken = self.spaces[space].range(first..first + pages).next();
        taken.map_or(pages, |(page, _)| page - first)
    }

    pub fn map(&mut self, space: usize, page: u64, content: Content, is_writable: bool) {
        let before = self.spaces[space].insert(page, (content, is_writable));
        assert_eq!(before, None, "page {page} was mapped");
    }

    /// A page goes. Returns the number in it, if it was memory that Plinth keeps.
    pub fn unmap(&mut self, space: usize, page: u64) -> Option<u64> {
        match self.spaces[space].remove(&page)?.0 {
            Content::Tagged(tag) => Some(tag),
            Content::Guest(_) => None,
        }
    }

    pub fn content(&self, object: usize, page: u64) -> Content {
        let tags = self.objects[object].as_ref().map(|(_, tags)| tags);
        let Some(tag) = tags.and_then(|tags| tags.get(page as usize)) else { panic!("no page {page}") };
        Content::Tagged(*tag)
    }

    /// A process's page is what the tables say.
    pub fn check(&self, space: usize, page: u64, leaf: Option<Leaf>) {
        let Some((content, is_writable)) = self.spaces[space].get(&page) else {
            return assert_eq!(leaf, None, "page {page} of {space}");
        };
        let Some(leaf) = leaf else { panic!("page {page} of {space} is gone") };
        assert!(leaf.is_users && !leaf.is_executable, "page {page} of {space}: {leaf:x?}");
        assert_eq!(leaf.is_writable, *is_writable, "page {page} of {space}");
        let found = match content {
            Content::Tagged(_) => Content::Tagged(first_word(leaf.address)),
            Content::Guest(_) => Content::Guest(leaf.address),
        };
        assert_eq!(found, *content, "page {page} of {space}");
        assert_eq!(leaf.is_owned, matches!(content, Content::Tagged(_)), "page {page} of {space}");
    }

    pub fn own_pages(&self, space: usize) -> u64 {
        let is_own = |entry: &&(Content, bool)| matches!(entry.0, Content::Tagged(_));
        self.spaces[space].values().filter(is_own).count() as u64
    }

    /// The frames of shared memory that count for an account.
    pub fn shared_frames(&self, account: usize) -> u64 {
        let of_account = self.objects.iter().flatten().filter(|object| object.0 == account);
        of_account.map(|(_, tags)| tags.len() as u64 + TABLES_OF_AN_OBJECT).sum()
    }

    /// How many of these pages the guest is given, where what it has already stops that: a large page is
    /// given whole or not at all.
    pub fn grantable(&self, first: u64, pages: u64) -> u64 {
        let (mut at, end) = (first, first + pages);
        while at < end {
            let step = if at.is_multiple_of(LARGE) && end - at >= LARGE { LARGE } else { 1 };
            if self.guest.range(at..at + step).next().is_some() {
                break;
            }
            at += step;
        }
        at - first
    }

    pub fn guest(&self, page: u64) -> Option<Permissions> {
        self.guest.get(&page).copied()
    }

    pub fn set_guest(&mut self, page: u64, permissions: Option<Permissions>) {
        match permissions {
            Some(permissions) => drop(self.guest.insert(page, permissions)),
            None => drop(self.guest.remove(&page)),
        }
    }

    /// A page goes, or has other permissions from now on.
    pub fn change_guest(&mut self, page: u64, permissions: Option<Permissions>) {
        assert!(permissions.is_none() || self.guest.contains_key(&page), "guest page {page} is not there");
        self.set_guest(page, permissions);
    }
}

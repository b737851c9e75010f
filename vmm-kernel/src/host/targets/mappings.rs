//! Memory that two processes and a guest have mapped, against a [model](model) that has a line a page.
//!
//! An input is a list of steps: memory of a process's own, shared memory and guest memory is mapped, and
//! taken back in pieces, between which other steps have their turn, as they have on other processors. Where
//! nothing is under way the tables must say what the model says, each budget must count what is there, and
//! what a processor has cached must be in the tables still.

use vcpu_abi::operation::{Permissions, budget};
use vcpu_abi::status::Status;

use self::model::{Content, Model, OBJECTS};
use self::watched::{Leaf, Watched};
use crate::guest::vm::{GuestRange, Vm};
use crate::host::PhysicalMemory;
use crate::layout::PAGE;
use crate::memory::edit::Edit;
use crate::memory::narrowing::Narrowing;
use crate::memory::payer::Payer;
use crate::memory::shared::SharedMemory;
use crate::memory::space::{Protection, Space};
use crate::memory::{MemoryError, frames, guest_memory, host_map, temporary};
use crate::object::budget::Account;
use crate::object::pool::Ref;
use crate::platform::backend::nested;

mod model;
mod watched;

/// Frames that there are: few enough that running out of them is common.
const FRAMES: usize = 192;
/// Where processes map: pages on both sides of a boundary at which three levels of tables change.
const WINDOW: u64 = (1 << 30) - WINDOW_PAGES / 2 * PAGE;
const WINDOW_PAGES: u64 = 72;
/// Guest memory: 4 MiB, from an address that allows large pages.
const GUEST: u64 = 0x20_0000;
const GUEST_PAGES: u64 = 1024;
/// The most frames that a single page and its tables take.
const FRAMES_OF_A_PAGE: u64 = 5;
/// All pages are looked at behind one of so many steps: it takes much longer than a step.
const STEPS_A_CHECK: usize = 8;
/// Bytes of an input for a step.
const STEP_BYTES: usize = 6;

/// What is taken away at the moment, and whose it is.
enum Pending<'a> {
    Space(usize, Narrowing<'a, Watched<'a, Space>>),
    Vm(Option<Permissions>, Narrowing<'a, Watched<'a, Vm>>),
}

/// The kernel's side, with the model.
struct World<'a> {
    spaces: &'a [Watched<'a, Space>],
    vm: &'a Watched<'a, Vm>,
    accounts: [Ref<Account>; 2],
    shared: [Option<Ref<SharedMemory>>; OBJECTS],
    pending: Option<Pending<'a>>,
    model: Model,
    next_tag: u64,
}

/// Takes the steps that the input says.
///
/// # Panics
/// If a property does not hold.
pub fn run(input: &[u8]) {
    let Some((limits, steps)) = input.split_first() else { return };
    let _memory = PhysicalMemory::new(FRAMES);
    guest_memory::start(memory_map());
    let before = PhysicalMemory::free_frames();
    let accounts = [account(limits & 15), account(limits >> 4)];
    {
        let Ok(kernel_root) = frames::allocate_zeroed() else { panic!("no frame for the kernel's root") };
        let space = |account| Space::try_new(kernel_root, Payer::of(account));
        let (Ok(one), Ok(other)) = (space(&accounts[0]), space(&accounts[1])) else { panic!("no spaces") };
        let Ok(vm) = Vm::try_new(&accounts[0]) else { panic!("no VM") };
        let spaces = [Watched::new(&one), Watched::new(&other)];
        let vm = Watched::new(&*vm);
        let mut world = World {
            spaces: &spaces,
            vm: &vm,
            accounts: accounts.clone(),
            shared: [const { None }; OBJECTS],
            pending: None,
            model: Model::new(),
            next_tag: 1,
        };
        for (number, step) in steps.chunks_exact(STEP_BYTES).enumerate() {
            world.take(step);
            if number % STEPS_A_CHECK == 0 {
                world.check();
            }
        }
        world.finish();
        world.check();
        world.check_all();
        drop(world);
        frames::free(kernel_root);
    }
    assert_eq!(PhysicalMemory::free_frames(), before, "frames are lost");
    assert!(accounts.iter().all(|account| account.used(budget::MEMORY) == 0), "a budget counts what is gone");
}

fn memory_map() -> host_map::Ranges {
    let map: Vec<u8> =
        [GUEST / PAGE, GUEST_PAGES, 0].iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
    let Ok(map) = host_map::parse(&map, 40) else { panic!("no memory map") };
    map.usable
}

/// An account with a limit of so many frames, in eights; 0 for none.
fn account(eights: u8) -> Ref<Account> {
    let Ok(account) = Account::try_new(None) else { panic!("accounts are lost") };
    if eights != 0 {
        account.set_limit(budget::MEMORY, 8 * u64::from(eights));
    }
    account
}

impl<'a> World<'a> {
    fn take(&mut self, step: &[u8]) {
        let [kind, which, at_low, at_high, pages, extra] = *step else { return };
        let (space, object) = (usize::from(which & 1), usize::from(which >> 1) % OBJECTS);
        let at = u64::from(u16::from_le_bytes([at_low, at_high]));
        let pages = u64::from(pages);
        match kind % 12 {
            0 => self.allocate(space, at % (WINDOW_PAGES + 2), pages % 40),
            1 => self.share(space, object, at % WINDOW_PAGES, pages % 40, extra),
            2 => self.map_guest(space, at % WINDOW_PAGES, u64::from(extra), pages % 40),
            3 => self.make_shared(space, object, pages % 44),
            4 => drop((self.shared[object].take(), self.model.objects[object].take())),
            5 => self.grant(at % (GUEST_PAGES + 2), pages << (extra & 3)),
            6 => self.begin_unmap(space, at % WINDOW_PAGES, 1 + pages % WINDOW_PAGES),
            7 => self.begin_change(None, at % GUEST_PAGES, pages << (extra & 3)),
            8 => {
                let permissions = Permissions::from_bits_truncate(u32::from(extra >> 4));
                self.begin_change(Some(permissions), at % GUEST_PAGES, pages << (extra & 3));
            }
            9 => drop(self.next_piece()),
            10 => {
                self.finish();
                self.check_all();
            }
            _ if which & 4 == 0 => self.spaces[space].access(WINDOW + at % WINDOW_PAGES * PAGE),
            _ => self.vm.access(GUEST + at % GUEST_PAGES * PAGE),
        }
    }

    /// Whether it may be that there was no frame, or none that the account could pay for.
    fn is_short(&self, account: usize) -> bool {
        let account = &self.accounts[account];
        let rest = account.limit(budget::MEMORY).saturating_sub(account.used(budget::MEMORY));
        PhysicalMemory::free_frames().min(rest) < FRAMES_OF_A_PAGE
    }

    /// What came of mapping pages in a space: as many are there as the model lets be, or fewer for want of
    /// frames. Returns how many.
    fn mapped(&self, space: usize, first: u64, pages: u64, before: u64, result: Result<(), Status>) -> u64 {
        let done = (self.spaces[space].of.own_bytes() - before) / PAGE;
        self.check_result(space, self.model.free_run(space, first, pages), done, pages, result);
        done
    }

    fn check_result(&self, payer: usize, free: u64, done: u64, pages: u64, result: Result<(), Status>) {
        match result {
            Ok(()) => assert_eq!((done, free), (pages, pages), "mapped over something"),
            Err(Status::Overlap) => assert!(done == free && free < pages, "{done} of {free} of {pages}"),
            Err(Status::Exhausted | Status::OutOfMemory) => {
                assert!(self.is_short(payer) && done <= free, "there were frames for {done} of {pages}");
            }
            Err(other) => panic!("{other:?} for {done} of {pages}"),
        }
    }

    fn allocate(&mut self, space: usize, first: u64, pages: u64) {
        let (of, address) = (self.spaces[space].of, WINDOW + first * PAGE);
        // How far it came is told by what the space counts: a failure returns no number.
        let before = of.own_bytes();
        let result =
            in_pieces(pages, |done| of.allocate_some(address, pages * PAGE, done, Protection::ReadWrite));
        if pages == 0 {
            return assert_eq!(result, Err(Status::BadArgument));
        }
        let done = self.mapped(space, first, pages, before, result);
        for page in first..first + done {
            let tag = self.tag();
            let Ok(frame) = of.lookup(WINDOW + page * PAGE) else { panic!("page {page} is not there") };
            temporary::with_frame(frame, |words| {
                assert!(words.iter().all(|word| word == 0), "page {page} is not zeroed");
                words.at(0).set(tag);
            });
            self.model.map(space, page, Content::Tagged(tag), true);
        }
    }

    fn make_shared(&mut self, account: usize, object: usize, pages: u64) {
        if self.shared[object].is_some() {
            return;
        }
        let made = SharedMemory::try_new(pages * PAGE, &self.accounts[account]).and_then(|memory| {
            in_pieces(pages, |done| memory.fill_some(done))?;
            Ok(memory)
        });
        let memory = match made {
            Ok(memory) => memory,
            Err(Status::BadArgument) => return assert_eq!(pages, 0),
            Err(status) => {
                // What it had is given back by now.
                assert!(matches!(status, Status::Exhausted | Status::OutOfMemory), "{status:?}");
                return;
            }
        };
        let mut tags = Vec::new();
        for page in 0..pages {
            let tag = self.tag();
            let Ok(frame) = memory.share(page * PAGE) else { panic!("page {page} is not there") };
            temporary::with_frame(frame, |words| words.at(0).set(tag));
            // The look has counted as a mapping, which goes here: the object keeps the page.
            frames::free(frame);
            tags.push(tag);
        }
        self.shared[object] = Some(memory);
        self.model.objects[object] = Some((account, tags));
    }

    fn share(&mut self, space: usize, object: usize, first: u64, pages: u64, extra: u8) {
        let Some(memory) = &self.shared[object] else { return };
        let (is_writable, offset) = (extra & 1 != 0, u64::from(extra >> 1) % (memory.bytes() / PAGE));
        if pages == 0 || !memory.contains(offset * PAGE, pages * PAGE) {
            return;
        }
        let (of, address) = (self.spaces[space].of, WINDOW + first * PAGE);
        let protection = if is_writable { Protection::ReadWrite } else { Protection::Read };
        let part = offset * PAGE..(offset + pages) * PAGE;
        let before = of.own_bytes();
        let result = in_pieces(pages, |done| of.share_some(address, memory, part.clone(), done, protection));
        let done = self.mapped(space, first, pages, before, result);
        for page in 0..done {
            let content = self.model.content(object, offset + page);
            self.model.map(space, first + page, content, is_writable);
        }
    }

    fn map_guest(&mut self, space: usize, first: u64, from: u64, pages: u64) {
        let (of, address, physical) = (self.spaces[space].of, WINDOW + first * PAGE, GUEST + from * PAGE);
        if pages == 0 {
            return;
        }
        let result = in_pieces(pages, |done| {
            of.map_some(address, physical, pages * PAGE, done, Protection::ReadWrite)
        });
        let (free, is_there) = (self.model.free_run(space, first, pages), |page| {
            let mapped = self.spaces[space].walk(WINDOW + (first + page) * PAGE);
            mapped.is_some_and(|leaf| leaf.address == physical + page * PAGE)
        });
        let done = (0..free).take_while(|page| is_there(*page)).count() as u64;
        self.check_result(space, free, done, pages, result);
        for page in 0..done {
            self.model.map(space, first + page, Content::Guest(physical + page * PAGE), true);
        }
    }

    fn grant(&mut self, first: u64, pages: u64) {
        let range = GuestRange::try_new(GUEST + first * PAGE, pages * PAGE);
        let Ok(range) = range else { return assert_eq!(pages, 0) };
        let result = in_pieces(pages, |done| self.vm.of.grant(range, Permissions::all(), done));
        if first + pages > GUEST_PAGES {
            return assert_eq!(result, Err(Status::NotFound));
        }
        let free = self.model.grantable(first, pages);
        let is_there = |page: &u64| self.vm.walk(GUEST + page * PAGE).is_some_and(|leaf| leaf.is_writable);
        let done = (first..first + free).take_while(is_there).count() as u64;
        self.check_result(0, free, done, pages, result);
        (first..first + done).for_each(|page| self.model.set_guest(page, Some(Permissions::all())));
    }

    fn begin_unmap(&mut self, space: usize, first: u64, pages: u64) {
        self.finish();
        let watched = &self.spaces[space];
        let range = WINDOW + first * PAGE..WINDOW + (first + pages) * PAGE;
        assert!(watched.of.unmap(range.start, range.end - range.start).is_ok());
        self.pending = Some(Pending::Space(space, Narrowing::new(watched, range, Edit::Remove)));
        self.next_piece();
    }

    /// Takes guest memory out, or gives it other permissions.
    fn begin_change(&mut self, permissions: Option<Permissions>, first: u64, pages: u64) {
        self.finish();
        let (gpa, bytes) = (GUEST + first * PAGE, pages * PAGE);
        let Ok(range) = GuestRange::try_new(gpa, bytes) else { return assert_eq!(pages, 0) };
        let vm = &self.vm.of;
        let begun = permissions.map_or(Ok(()), |some| vm.protect(range, some).map(drop));
        let edit = match permissions {
            None => Edit::RemoveForeign,
            Some(permissions) => match nested::flags(permissions) {
                Some(flags) => Edit::Set(flags),
                None => return assert_eq!(begun, Err(Status::BadArgument)),
            },
        };
        assert_eq!(begun, Ok(()));
        let change = Narrowing::new(self.vm, gpa..gpa + bytes, edit);
        self.pending = Some(Pending::Vm(permissions, change));
        self.next_piece();
    }

    /// Does the next piece of what is under way. Returns whether there is more.
    fn next_piece(&mut self) -> bool {
        let Some(mut pending) = self.pending.take() else { return false };
        let more = match &mut pending {
            Pending::Space(space, change) => {
                let (watched, left) = (&self.spaces[*space], change.left());
                // Before it goes on: behind it no table says any more which frame was there.
                let frames: Vec<_> =
                    left.clone().step_by(PAGE as usize).map(|address| watched.walk(address)).collect();
                let more = change.some();
                let removed = (left.start..change.left().start).step_by(PAGE as usize);
                for (address, leaf) in removed.zip(frames) {
                    let tag = self.model.unmap(*space, (address - WINDOW) / PAGE);
                    if let Some((leaf, tag)) = leaf.zip(tag) {
                        watched.lost(leaf.address, tag);
                    }
                }
                more
            }
            Pending::Vm(permissions, change) => {
                let from = change.left().start;
                let more = change.some();
                let page = |address: u64| (address - GUEST) / PAGE;
                let (first, end) = (page(from), page(change.left().end));
                let done = match more {
                    Ok(_) => page(change.left().start),
                    Err(MemoryError::NotMapped) => {
                        let missing = (first..end).find(|page| self.model.guest(*page).is_none());
                        missing.unwrap_or_else(|| panic!("all of {first} to {end} is mapped"))
                    }
                    // Without a frame for a table it stopped anywhere.
                    Err(_) => {
                        assert!(self.is_short(0), "{more:?}, and there were frames");
                        (first..end).find(|page| !self.is_changed(*page, *permissions)).unwrap_or(end)
                    }
                };
                (first..done).for_each(|page| self.model.change_guest(page, *permissions));
                more
            }
        };
        if more == Ok(true) {
            self.pending = Some(pending);
        }
        more == Ok(true)
    }

    fn is_changed(&self, page: u64, permissions: Option<Permissions>) -> bool {
        self.vm.walk(GUEST + page * PAGE).map(|leaf| leaf.permissions()) == permissions
    }

    /// Does all that is left of what is under way.
    fn finish(&mut self) {
        while self.next_piece() {}
    }

    fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    fn check(&self) {
        for (space, watched) in self.spaces.iter().enumerate() {
            // As far as a range may reach that begins on the last page.
            for page in 0..WINDOW_PAGES + 40 {
                let leaf = watched.walk(WINDOW + page * PAGE);
                self.model.check(space, page, leaf);
            }
        }
        if self.pending.is_none() {
            self.spaces.iter().for_each(Watched::check);
            self.vm.check();
        }
    }

    /// What takes too long to be looked at behind each step; where nothing is under way.
    fn check_all(&self) {
        for page in 0..GUEST_PAGES {
            let leaf = self.vm.walk(GUEST + page * PAGE);
            assert_eq!(leaf.map(Leaf::permissions), self.model.guest(page), "guest page {page}");
            assert!(leaf.is_none_or(|leaf| leaf.address == GUEST + page * PAGE), "guest page {page}");
        }
        self.check_budgets();
    }

    fn check_budgets(&self) {
        for (number, (account, space)) in self.accounts.iter().zip(self.spaces).enumerate() {
            // The first process has made the VM, and pays for its tables.
            let of_vm = if number == 0 { self.vm.frames() } else { 0 };
            let expected = space.frames() + of_vm + self.model.shared_frames(number);
            assert_eq!(account.used(budget::MEMORY), expected, "the budget of process {number}");
            assert_eq!(space.of.own_bytes(), self.model.own_pages(number) * PAGE);
        }
    }
}

/// As the kernel does, without turns for others.
fn in_pieces<E: Into<Status>>(
    pages: u64,
    mut piece: impl FnMut(u64) -> Result<u64, E>,
) -> Result<(), Status> {
    let mut done = piece(0).map_err(Into::into)?;
    while done < pages * PAGE {
        done += piece(done).map_err(Into::into)?;
    }
    Ok(())
}

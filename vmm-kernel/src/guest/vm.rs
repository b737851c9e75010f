//! Virtual machines: a guest physical address space.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use vcpu_abi::operation::Permissions;
use vcpu_abi::status::Status;
use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use crate::layout::{MAX_CPUS, PAGE, VMS_MAX};
use crate::memory::edit::Edit;
use crate::memory::guest_memory;
use crate::memory::narrowing::{Cached, Narrowing};
use crate::memory::payer::Payer;
use crate::memory::shootdown::{self, What};
use crate::memory::space::{Protection, Space};
use crate::memory::tables::{Tables, check_length};
use crate::object::budget::{Account, Charge, Kind};
use crate::object::pool::{Pool, Ref};
use crate::platform::backend::nested;
use crate::platform::backend::vcpu::AddressSpace;
use crate::sync::SpinLock;

static VMS: Pool<Vm, VMS_MAX> = Pool::new();
/// Guest physical addresses end here: what four levels of nested tables reach.
const GPA_END: u64 = 1 << 48;
/// The most pages a VM may have of its own.
const OWN_PAGES_MAX: u64 = 256;
/// How many of them it gets in one go: nothing preempts the kernel meanwhile.
const NEW_PAGES: u64 = 8;

/// A virtual machine.
pub struct Vm {
    number: u32,
    root: PhysFrame,
    state: SpinLock<State>,
    /// The processors that have vCPUs of it, a bit each: what they cached of its tables may still be there.
    processors: AtomicU64,
    _charge: Charge,
}

const _: () = assert!(MAX_CPUS <= u64::BITS as usize);

/// Permissions as an entry of its tables has them.
fn flags(permissions: Permissions) -> Result<Flags, Status> {
    nested::flags(permissions).ok_or(Status::BadArgument)
}

struct State {
    tables: Tables,
    own_pages: u64,
}

/// A range of guest physical addresses: whole pages that a guest's tables reach, one at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestRange {
    gpa: u64,
    bytes: u64,
}

impl GuestRange {
    /// Checks a range.
    ///
    /// # Errors
    /// [`Status::BadArgument`].
    pub fn try_new(gpa: u64, bytes: u64) -> Result<Self, Status> {
        let end = gpa.checked_add(bytes).ok_or(Status::BadArgument)?;
        if !(gpa | bytes).is_multiple_of(PAGE) || bytes == 0 || end > GPA_END {
            return Err(Status::BadArgument);
        }
        Ok(Self { gpa, bytes })
    }

    /// The addresses.
    fn addresses(self) -> Range<u64> {
        self.gpa..self.gpa + self.bytes
    }

    /// Checks that all of it is guest memory.
    fn check_memory(self) -> Result<(), Status> {
        if guest_memory::contains(self.gpa, self.bytes) { Ok(()) } else { Err(Status::NotFound) }
    }
}

impl Vm {
    /// A VM with nothing in its address space. It counts for who makes it, with its tables and own pages.
    pub fn try_new(account: &Ref<Account>) -> Result<Ref<Self>, Status> {
        let charge = Charge::one(account, Kind::Objects)?;
        VMS.try_insert(|slot| {
            let tables = Tables::try_new(Payer::of(account))?;
            let root = tables.root();
            let state = SpinLock::new(State { tables, own_pages: 0 });
            // The backend tells translations of VMs from each other by it: no two have the same.
            let number = slot as u32;
            Ok(Self { number, root, state, processors: AtomicU64::new(0), _charge: charge })
        })
    }

    /// What its vCPUs run in.
    pub fn address_space(&self) -> AddressSpace {
        AddressSpace { root: self.root.start_address().as_u64(), number: self.number }
    }

    /// It gets a vCPU on this processor.
    pub fn runs_on(&self, cpu: u32) {
        // Never taken back: what a processor has cached outlives the vCPU.
        self.processors.fetch_or(1 << (cpu % u64::BITS), Ordering::SeqCst);
    }

    /// Maps guest memory at its own address, behind the first `done` bytes of a range: as much of it as is
    /// done in one go. Returns how much that was.
    pub fn grant(&self, range: GuestRange, rights: Permissions, done: u64) -> Result<u64, Status> {
        self.grant_at(range, range.gpa, rights, done)
    }

    /// The same at other guest physical addresses, from `at` on.
    pub fn grant_at(
        &self,
        memory: GuestRange,
        at: u64,
        rights: Permissions,
        done: u64,
    ) -> Result<u64, Status> {
        let GuestRange { gpa, bytes } = memory;
        memory.check_memory()?;
        let place = GuestRange::try_new(at, bytes)?;
        check_length(place.gpa, gpa, bytes)?;
        let flags = flags(rights)?;
        // An entry without any access is not made here: that of the page at address 0 would be none at all.
        if flags.is_empty() {
            return Err(Status::BadArgument);
        }
        let (at, from, space) = (place.gpa + done, gpa + done, self.address_space());
        let bytes = space.mappable(at, from, bytes - done)?;
        let mapped = self.state.lock().tables.map_some(at, from, bytes, flags)?;
        space.granted(at..at + mapped, flags)?;
        Ok(mapped)
    }

    /// Changes what the guest may do with a range, all of which is mapped. It is done when the value that is
    /// returned has done all of it and is gone: then no vCPU does otherwise.
    pub fn protect(&self, range: GuestRange, rights: Permissions) -> Result<Change<'_>, Status> {
        Ok(Change::new(self, range.addresses(), Edit::Set(flags(rights)?)))
    }

    /// Takes a range out of what is mapped; it fails at a page of the VM's own. It is done when the value
    /// that is returned has done all of it and is gone: then no vCPU reaches it.
    pub fn revoke(&self, range: GuestRange) -> Change<'_> {
        Change::new(self, range.addresses(), Edit::RemoveForeign)
    }

    /// Gives the VM pages of its own, and maps them in `space` too. They live as long as the VM; the process
    /// that asks for them keeps it until it ends (see `task::mapped`).
    /// As much of it as is done in one go, behind the first bytes, which are done. Returns how much that was.
    pub fn allocate_some(
        &self,
        range: GuestRange,
        done: u64,
        rights: Permissions,
        space: &Space,
        address: u64,
    ) -> Result<u64, Status> {
        let GuestRange { gpa, bytes } = range;
        if bytes / PAGE > OWN_PAGES_MAX {
            return Err(Status::Exhausted);
        }
        let (first, now) = (done / PAGE, ((bytes - done) / PAGE).min(NEW_PAGES));
        // All of it before the first is mapped.
        if done == 0 && (0..bytes / PAGE).any(|page| guest_memory::contains(gpa + page * PAGE, PAGE)) {
            return Err(Status::Overlap);
        }
        let flags = flags(rights)?;
        let mut state = self.state.lock();
        // All that is still to come of the range, and not this piece of it: one that cannot be had is refused
        // before its first page.
        if state.own_pages + bytes / PAGE - first > OWN_PAGES_MAX {
            return Err(Status::Exhausted);
        }
        for page in first..first + now {
            let frame = self.address_space().map_own(&state.tables, gpa + page * PAGE, flags)?;
            state.own_pages += 1;
            // An address that wraps, below, is none of the user's half, and refused there like any other.
            let physical = frame.start_address().as_u64();
            space.map_foreign(address.wrapping_add(page * PAGE), physical, PAGE, Protection::ReadWrite)?;
        }
        Ok(now * PAGE)
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.address_space().ends();
    }
}

impl Cached for Vm {
    fn with_tables<R>(&self, f: impl FnOnce(&mut Tables) -> R) -> R {
        f(&mut self.state.lock().tables)
    }

    fn shoot_down(&self) {
        shootdown::forget(What::Guest, |cpu| {
            self.processors.load(Ordering::SeqCst) & 1 << (cpu.number % u64::BITS) != 0
        });
    }

    fn edited(&self, range: Range<u64>, edit: Edit, is_done: bool) {
        self.address_space().edited(range, edit, is_done);
    }

    fn tables_change(&self) -> u64 {
        self.address_space().tables_change()
    }

    fn change_is_over(&self, change: u64) {
        self.address_space().change_is_over(change);
    }
}

/// A change of what a guest may do with a range of its memory.
pub type Change<'a> = Narrowing<'a, Vm>;

#[cfg(test)]
mod tests;

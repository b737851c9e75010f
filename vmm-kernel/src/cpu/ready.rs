//! The vCPU that a processor may enter at once.
//!
//! Most entries follow an exit of the same vCPU, on the same processor, by the same thread, with nothing
//! changed in between. So an entry that has done everything (the handle, the claim, pending work, the timer,
//! the FPU, another thread's turn) leaves the vCPU's handle in its thread's [`Ticket`], and whatever changes
//! one of these takes it away again: [`ReadyVcpu::forget`]. `SYS_RUN` of a handle that is there enters the
//! guest straight from the entry code (`enter` of the platform's backend); every other goes through
//! `abi::sys_run`.
//!
//! The ticket lies on top of the thread's kernel stack, so a handle is ready for one thread only: while a
//! server works for that thread on the same processor, the ticket stays as it is, and is good when the reply
//! has come. No more than one of a processor's threads has one.
//!
//! Another processor that takes the handle away comes too late for an entry that has just begun; it must send
//! an interrupt as well, which stops the guest. Closing a handle needs none: a run may have begun before.
#![allow(unsafe_code, reason = "a pointer to what lies on a thread's stack")]

use core::cell::Cell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use vcpu_abi::run_page::RunPage;

use crate::image;

/// What the entry code looks at while no vCPU is ready: a run page, as far as it looks, in which every group
/// is marked, so that it goes the long way. A handle that nobody has would not do instead: a process gives
/// what it likes.
static REFUSAL: [u32; offset_of!(RunPage, dirty) / 4 + 1] = [u32::MAX; offset_of!(RunPage, dirty) / 4 + 1];

const fn refusal() -> *mut u32 {
    (&raw const REFUSAL).cast_mut().cast()
}

/// What a thread may enter at once. The entry code finds it on top of the thread's kernel stack.
#[repr(C)]
pub struct Ticket {
    /// The handle whose `SYS_RUN` may be entered at once.
    handle: AtomicU64,
    /// The run page that the entry code looks at for it: that of the vCPU selected, or [`REFUSAL`].
    open_page: AtomicPtr<u32>,
}

/// How much of a kernel stack the ticket takes, at its top.
pub const TICKET_BYTES: u64 = size_of::<Ticket>() as u64;

impl Ticket {
    /// Where the entry code finds the handle, from the ticket's beginning.
    pub const HANDLE: usize = offset_of!(Self, handle);
    /// Where it finds the run page.
    pub const OPEN_PAGE: usize = offset_of!(Self, open_page);

    /// For nothing.
    const fn new() -> Self {
        Self { handle: AtomicU64::new(0), open_page: AtomicPtr::new(refusal()) }
    }

    /// Good for nothing any more.
    pub fn forget(&self) {
        self.open_page.store(refusal(), Ordering::SeqCst);
    }
}

/// A processor's ticket while no thread of it has one.
static NOBODYS: Ticket = Ticket::new();

/// What the entry code needs of a vCPU. Part of the per-CPU area's fixed fields.
#[repr(C)]
pub struct ReadyVcpu {
    /// The ticket that is good, if one is.
    ticket: AtomicPtr<Ticket>,
    /// Linear address of the run page; the backend's page is the one before it.
    pub(super) run_page: Cell<u64>,
    /// The backend's word for the vCPU: the physical address of its page.
    pub(super) of_vcpu: Cell<u64>,
    /// The backend's word for this processor.
    pub of_processor: Cell<u64>,
}

impl ReadyVcpu {
    /// None.
    pub const fn new() -> Self {
        Self {
            ticket: AtomicPtr::new((&raw const NOBODYS).cast_mut()),
            run_page: Cell::new(0),
            of_vcpu: Cell::new(0),
            of_processor: Cell::new(0),
        }
    }

    /// Records which vCPU the next entry is of. Returns whether the last one was of another.
    pub fn select(&self, run_page: u64, of_vcpu: u64) -> bool {
        self.run_page.set(run_page);
        self.of_vcpu.replace(of_vcpu) != of_vcpu
    }

    /// Forgets which vCPU was selected: whichever is entered next, it is another than the one before.
    pub fn deselect(&self) {
        self.forget();
        // No vCPU's word: none of the backend's pages is at address 0.
        self.of_vcpu.set(0);
    }

    /// Lets the next `SYS_RUN` of this handle, by the thread whose ticket it is, enter the vCPU selected. No
    /// ticket is good before.
    pub fn allow(&self, ticket: &'static Ticket, handle: u32) {
        if !image::takes_shortcuts() {
            return;
        }
        ticket.handle.store(u64::from(handle), Ordering::Relaxed);
        // Who forgets from now on finds this one; who did just before has said why, which the caller looks at
        // afterwards.
        self.ticket.store((&raw const *ticket).cast_mut(), Ordering::SeqCst);
        // The page last: with it the ticket is good.
        ticket.open_page.store(self.run_page.get() as *mut u32, Ordering::SeqCst);
    }

    /// Sends the next `SYS_RUN` through `abi::sys_run`.
    pub fn forget(&self) {
        // SAFETY: tickets are static, or on stacks that stay mapped; only atomic fields are reached.
        unsafe { &*self.ticket.load(Ordering::SeqCst) }.forget();
    }
}

//! Budgets: how much of what all processes share a process may use, with all that it makes.
//!
//! Each process has an [`Account`] below that of the process which made it. What it uses is counted there and
//! in all accounts above, and none of them may exceed its limit: so a process and its children, however many,
//! never use more than it was given. A limit is set before a process starts, by who made it.
//!
//! An account lives as long as its process and whatever is counted in it: what a process has made and others
//! still hold is counted where it was.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vcpu_abi::operation::budget;
use vcpu_abi::status::Status;

use super::pool::{Pool, Ref};
use crate::sync::SpinLock;

/// The most accounts there are: more than processes, as some stay behind with what their process made.
const ACCOUNTS_MAX: usize = 64;
static ACCOUNTS: Pool<Account, ACCOUNTS_MAX> = Pool::new();
/// How many accounts are one above the other at most.
// Whatever is counted is counted in each account above, so this bounds what counting takes.
const DEPTH_MAX: u32 = 8;
/// How many kinds of budget there are.
const KINDS: usize = budget::END as usize;

/// A budget of which something is used and given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Page frames: pages, and tables that map them.
    Memory = budget::MEMORY,
    /// Threads.
    Threads = budget::THREADS,
    /// Events.
    Events = budget::EVENTS,
    /// Processes, as long as anything that they made is there.
    Processes = budget::PROCESSES,
    /// Endpoints, channels, shared memory, virtual machines and processors, functions of the host's PCI bus
    /// and their messages.
    Objects = budget::OBJECTS,
}

impl Kind {
    /// What a process is told whose budget is used up.
    pub fn status(self) -> Status {
        match self {
            Self::Memory => Status::OutOfMemory,
            Self::Threads => Status::OutOfThreads,
            Self::Events => Status::OutOfEvents,
            Self::Processes => Status::OutOfProcesses,
            Self::Objects => Status::OutOfObjects,
        }
    }
}

/// What a process uses, and how much it may.
pub struct Account {
    /// That of who made the process.
    above: Option<Ref<Account>>,
    depth: u32,
    /// By number of the budget; `u64::MAX`: no more than those above allow.
    limits: [AtomicU64; KINDS],
    used: [AtomicU64; KINDS],
    /// It or one above has a share of the processors.
    has_share: AtomicBool,
    window: SpinLock<Window>,
    /// How long threads have run that have ended, with all that is below.
    pub ended_ran: AtomicU64,
}

/// The time in which a share is looked at: up to a rest, or as long as that.
#[derive(Clone, Copy, Default)]
struct Window {
    since: u64,
    /// What had run then.
    ran: u64,
    /// When to look again.
    next_look: u64,
}

impl Window {
    /// Ticks of the TSC, with so many a second: how long a window is, and the time between two looks.
    const LENGTH_MS: u64 = 100;
    const LOOK_MS: u64 = 1;

    /// Until when to rest, if more has run than is its share of the window: until it was no more than that on
    /// average.
    fn rest_until(&mut self, now: u64, tsc_hz: u64, percent: u64, ran: impl FnOnce() -> u64) -> Option<u64> {
        let ms = tsc_hz / 1000;
        if now < self.next_look && now >= self.since {
            return None;
        }
        // To look is to add up all threads there are.
        self.next_look = now + Self::LOOK_MS * ms;
        let ran = ran();
        let used = ran.saturating_sub(self.ran);
        let allowed = (Self::LENGTH_MS * ms).saturating_mul(percent) / 100;
        let end = self.since.saturating_add(used.saturating_mul(100) / percent.max(1));
        if self.since != 0 && used > allowed && end > now {
            // The rest is over when the next window begins.
            return Some(end);
        }
        if self.since == 0 || now.saturating_sub(self.since) >= Self::LENGTH_MS * ms {
            (self.since, self.ran) = (now, ran);
        }
        None
    }
}

/// So much of a budget, until it is dropped.
pub struct Charge {
    account: Ref<Account>,
    kind: Kind,
    amount: u64,
}

impl Account {
    /// An account without limits of its own, for a process that another makes: below that one's, in which it
    /// counts as a process. The first process's is below none.
    pub fn try_new(above: Option<&Ref<Self>>) -> Result<Ref<Self>, Status> {
        let depth = above.map_or(0, |above| above.depth + 1);
        if depth >= DEPTH_MAX {
            return Err(Status::OutOfProcesses);
        }
        if let Some(above) = above {
            above.charge(Kind::Processes, 1)?;
        }
        let made = ACCOUNTS.try_insert(|_| {
            Ok(Self {
                above: above.cloned(),
                depth,
                limits: [const { AtomicU64::new(u64::MAX) }; KINDS],
                used: [const { AtomicU64::new(0) }; KINDS],
                window: SpinLock::new(Window::default()),
                // Limits are set before a process runs, so before it makes others: what holds above holds
                // already.
                has_share: AtomicBool::new(above.is_some_and(|above| above.has_share())),
                ended_ran: AtomicU64::new(0),
            })
        });
        made.inspect_err(|_| {
            if let Some(above) = above {
                above.refund(Kind::Processes, 1);
            }
        })
    }

    /// This one, and those above it.
    pub fn upwards(&self) -> impl Iterator<Item = &Self> {
        core::iter::successors(Some(self), |account| account.above.as_deref())
    }

    /// Whether it is another one, or below that.
    pub fn is_below(&self, other: &Self) -> bool {
        self.upwards().any(|account| core::ptr::eq(account, other))
    }

    fn place(places: &[AtomicU64; KINDS], number: u32) -> &AtomicU64 {
        // The callers' numbers are those of budgets.
        &places[number as usize % KINDS]
    }

    /// What is used of a budget.
    pub fn used(&self, number: u32) -> u64 {
        Self::place(&self.used, number).load(Ordering::Relaxed)
    }

    /// The limit that was set of a budget.
    pub fn limit(&self, number: u32) -> u64 {
        Self::place(&self.limits, number).load(Ordering::Relaxed)
    }

    /// The least of the limits of a budget, here and above.
    pub fn least_limit(&self, number: u32) -> u64 {
        self.upwards().map(|account| account.limit(number)).min().unwrap_or(u64::MAX)
    }

    /// Sets a limit. What is used beyond it stays.
    pub fn set_limit(&self, number: u32, limit: u64) {
        Self::place(&self.limits, number).store(limit, Ordering::Relaxed);
        if number == budget::SHARE {
            self.has_share.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it or one above has a share of the processors.
    #[inline]
    pub fn has_share(&self) -> bool {
        self.has_share.load(Ordering::Relaxed)
    }

    /// Until when its threads rest at the moment, if it or one above has used more of the processors than its
    /// share. `ran`: how long all threads have run that count in an account.
    pub fn rest_until(&self, now: u64, tsc_hz: u64, ran: impl Fn(&Self) -> u64) -> Option<u64> {
        let limited = self.upwards().filter(|account| account.limit(budget::SHARE) != u64::MAX);
        let rest = |account: &Self| {
            let percent = account.limit(budget::SHARE);
            account.window.lock().rest_until(now, tsc_hz, percent, || ran(account))
        };
        // The longest: each account above has a share of its own, and all of them hold.
        limited.filter_map(rest).max()
    }

    /// A thread that counts here has ended, after so long.
    pub fn thread_ended(&self, ran: u64) {
        self.upwards().for_each(|account| {
            account.ended_ran.fetch_add(ran, Ordering::Relaxed);
        });
    }

    fn add(&self, kind: Kind, amount: u64) -> bool {
        // Relaxed below: the number alone counts, and nothing else is made visible by it.
        let limit = self.limit(kind as u32);
        let add = |used: u64| used.checked_add(amount).filter(|used| *used <= limit);
        Self::place(&self.used, kind as u32).fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    fn remove(&self, kind: Kind, amount: u64) {
        Self::place(&self.used, kind as u32).fetch_sub(amount, Ordering::Relaxed);
    }

    /// Counts something here and above.
    pub fn charge(&self, kind: Kind, amount: u64) -> Result<(), Status> {
        for (count, account) in self.upwards().enumerate() {
            // What is taken back was counted for a moment: another may have been refused for it, and nobody
            // got too much.
            if !account.add(kind, amount) {
                self.upwards().take(count).for_each(|account| account.remove(kind, amount));
                return Err(kind.status());
            }
        }
        Ok(())
    }

    /// Something that was counted has gone.
    pub fn refund(&self, kind: Kind, amount: u64) {
        self.upwards().for_each(|account| account.remove(kind, amount));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(above) = &self.above {
            above.refund(Kind::Processes, 1);
        }
    }
}

impl Charge {
    /// Takes so much of a budget.
    pub fn try_new(account: &Ref<Account>, kind: Kind, amount: u64) -> Result<Self, Status> {
        account.charge(kind, amount)?;
        Ok(Self { account: account.clone(), kind, amount })
    }

    /// One of a kind.
    pub fn one(account: &Ref<Account>, kind: Kind) -> Result<Self, Status> {
        Self::try_new(account, kind, 1)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.refund(self.kind, self.amount);
    }
}

#[cfg(test)]
mod tests;

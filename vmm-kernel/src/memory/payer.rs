//! Who pays for page frames: of tables, and of the pages that they own.

use x86_64::structures::paging::{PageTableFlags as Flags, PhysFrame};

use super::{MemoryError, frames};
use crate::object::budget::{Account, Kind};
use crate::object::pool::Ref;

/// Marks a leaf whose frame belongs to the tables and is freed with them (a bit the processor ignores).
pub const OWNED: Flags = Flags::BIT_9;

/// Whose budget the frames are of: of tables, and of what they own.
#[derive(Clone)]
pub struct Payer(Option<Ref<Account>>);

impl Payer {
    /// Nobody's: the kernel's own.
    pub const NOBODY: Self = Self(None);

    /// A process's.
    pub fn of(account: &Ref<Account>) -> Self {
        Self(Some(account.clone()))
    }

    /// Counts so many frames.
    fn pay(&self, frames: u64) -> Result<(), MemoryError> {
        let paid = self.0.as_ref().map_or(Ok(()), |account| account.charge(Kind::Memory, frames));
        paid.map_err(|_| MemoryError::OverBudget)
    }

    /// So many have gone.
    fn get_back(&self, frames: u64) {
        if let Some(account) = &self.0 {
            account.refund(Kind::Memory, frames);
        }
    }

    /// Takes a frame and pays for it.
    pub(super) fn take(
        &self,
        take: impl FnOnce() -> Result<PhysFrame, MemoryError>,
    ) -> Result<PhysFrame, MemoryError> {
        // Paid before it is taken: over its budget a process takes nothing away from others, not for a moment
        // either.
        self.pay(1)?;
        take().inspect_err(|_| self.get_back(1))
    }

    /// Gives a frame back, and what was paid for it.
    pub(super) fn give(&self, frame: PhysFrame) {
        // In this order the account shows too much in use for a moment, never too little.
        frames::free(frame);
        self.get_back(1);
    }
}

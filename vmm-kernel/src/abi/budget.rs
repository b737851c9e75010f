//! Operations on what a process may use.

use core::sync::atomic::Ordering;

use vcpu_abi::operation::{ProcessBudget, ProcessLimit, budget};
use vcpu_abi::status::Status;

use super::execute::{Done, Execute};
use crate::layout::PAGE;
use crate::object::pool::Ref;
use crate::task::process::{Life, Process};
use crate::task::scheduler::PRIORITIES;

/// The limit of memory as accounts count it.
fn in_frames(bytes: u64) -> u64 {
    if bytes == u64::MAX { bytes } else { bytes / PAGE }
}

fn in_bytes(frames: u64) -> u64 {
    frames.saturating_mul(PAGE)
}

impl Execute for ProcessLimit {
    fn execute(&mut self, process: &Ref<Process>, target: Ref<Process>) -> Done {
        // Later it may have made others, which know of its limits what held when they were made.
        if target.same(process) || target.life() != Life::New {
            return Err(Status::WrongState);
        }
        let limit = match self.budget {
            budget::MEMORY => in_frames(self.limit),
            budget::PRIORITY if self.limit >= PRIORITIES as u64 => return Err(Status::BadArgument),
            // A share of nothing would be a rest without an end.
            budget::SHARE if self.limit == 0 => return Err(Status::BadArgument),
            _ if self.budget >= budget::END => return Err(Status::BadArgument),
            _ => self.limit,
        };
        // Handles are counted by the table itself, since they come and go under its lock anyway.
        if self.budget == budget::HANDLES {
            target.handles.lock().set_limit(limit);
        }
        target.account.set_limit(self.budget, limit);
        Ok(())
    }
}

impl Execute for ProcessBudget {
    fn execute(&mut self, _: &Ref<Process>, target: Ref<Process>) -> Done {
        let account = &target.account;
        (self.limit, self.used) = match self.budget {
            budget::MEMORY => {
                (in_bytes(account.least_limit(self.budget)), in_bytes(account.used(self.budget)))
            }
            budget::HANDLES => {
                let handles = target.handles.lock();
                (handles.limit() as u64, handles.count() as u64)
            }
            budget::PRIORITY => {
                // Without a limit it is the highest there is, which tells more than a number without end.
                let highest = account.least_limit(self.budget).min(PRIORITIES as u64 - 1);
                (highest, u64::from(target.priority.load(Ordering::Relaxed)))
            }
            _ if self.budget >= budget::END => return Err(Status::BadArgument),
            _ => (account.least_limit(self.budget), account.used(self.budget)),
        };
        Ok(())
    }
}

//! A machine that begins anew, since its guest has reset it.
//!
//! The virtual machine monitor does not put its devices back into the state of power-on: it ends, with an
//! exit code of its own for that. The kernel stops its vCPUs with it, wherever they are, and takes back all
//! that it had. Then init ends the processes of its devices, and when the last of them is gone it starts all
//! of them anew. So everything of the guest's machine is as at first because there is nothing else: whatever
//! is added to it needs no code for a reset. What is no part of the machine goes on: the kernel, init, and
//! processes of their own, such as those that drive devices of the host's.

use alloc::vec::Vec;

use runtime::process;

use super::{Child, Init, end, wired};
use crate::config::Role;

/// The exit code of devices whose machine begins anew.
const MACHINE_RESET: u32 = 103;

/// Where a process is between two lives of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The machine runs.
    Runs,
    /// A device that is to end, and has not yet.
    Ending,
    /// There is no process, and init has no handle to one, until the machine begins anew.
    Gone,
}

/// What follows a process's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// What `on-end` says.
    Policy,
    /// Its machine begins anew.
    Reset,
    /// One that had to be gone for that is: the rest of what makes the machine of that owner begin anew.
    Rest(usize),
}

/// What follows the end of a process with that exit code.
pub fn what_follows(child: &Child<'_>, code: u32) -> Follows {
    match (child.phase, &child.config.role) {
        (Phase::Ending, Role::Device(owner)) => Follows::Rest(*owner),
        // By its configuration as well: a device may end with any code, and is no machine.
        (Phase::Runs, Role::Plain) if code == process::GUEST_RESET && child.config.resets_in_place() => {
            Follows::Reset
        }
        _ => Follows::Policy,
    }
}

/// Whether a process is that owner, or one of its devices.
fn is_of(owner: usize, (index, child): (usize, &Child<'_>)) -> bool {
    index == owner || child.config.role == Role::Device(owner)
}

/// The processes of an owner's machine that are to be started: all, once no device is left of before; the
/// owner behind its devices, which it looks for when it starts.
pub fn to_start(owner: usize, children: &[Child<'_>]) -> Vec<usize> {
    let of_machine = || children.iter().enumerate().filter(|(index, child)| is_of(owner, (*index, child)));
    if of_machine().any(|(_, child)| child.phase != Phase::Gone) {
        return Vec::new();
    }
    of_machine().map(|(index, _)| index).filter(|index| *index != owner).chain([owner]).collect()
}

impl Init<'_> {
    /// The guest of `owner`, which has ended, has reset its machine. `false`: the machine must end.
    pub(super) fn begin_reset(&self, owner: usize, children: &mut [Child<'_>]) -> bool {
        for (index, child) in children.iter_mut().enumerate() {
            if index == owner || child.config.role != Role::Device(owner) {
                continue;
            }
            // One that init had given up is of the next machine again.
            child.phase = if child.ended { Phase::Gone } else { Phase::Ending };
            if child.phase == Phase::Ending {
                end(child, MACHINE_RESET);
            }
        }
        self.gone(owner, owner, children)
    }

    /// A process of `owner`'s machine has ended for its reset; the last one lets it begin anew. `false`: the
    /// machine must end.
    pub(super) fn gone(&self, index: usize, owner: usize, children: &mut [Child<'_>]) -> bool {
        if let Some(child) = children.get_mut(index) {
            // The process goes with its handle.
            if let Err(status) = process::close(child.handle) {
                log::warn!("{}: {status}", child.config.name);
            }
            child.phase = Phase::Gone;
        }
        let all = to_start(owner, children);
        if all.is_empty() {
            return true;
        }
        // A test reads it, to see whether all that the machine had comes back (docs/testing.md).
        let free = self.info().free_bytes >> 10;
        let resets = children.get(owner).map_or(0, |child| child.resets.saturating_add(1));
        log::info!("the guest was reset ({resets}): its machine begins anew, {free} KiB are free");
        // All of them before the first process starts, which may be given any.
        for index in &all {
            if let Some(wires) = children.get_mut(*index).and_then(|child| child.wires.as_mut())
                && let Err(status) = wires.renew_bell()
            {
                log::error!("a device's bell: {status}");
                return false;
            }
        }
        all.into_iter().all(|index| self.start_anew(index, resets, children) || index != owner)
    }

    /// Starts a process of a machine that begins anew. `false`: there is no such process now.
    fn start_anew(&self, index: usize, resets: u32, children: &mut [Child<'_>]) -> bool {
        let wires = wired(children);
        let Some(child) = children.get_mut(index) else { return false };
        (child.phase, child.resets, child.restarts, child.ended) = (Phase::Runs, resets, 0, false);
        child.begin_next_life();
        match self.launch(index, child.config, child.end, resets, &wires) {
            Ok(handle) => child.handle = handle,
            Err(status) => {
                // Without a device the machine goes on; without what runs the guest there is none.
                log::error!("{} cannot be started again: {status}", child.config.name);
                child.ended = true;
            }
        }
        !child.ended
    }
}

#[cfg(test)]
mod tests;

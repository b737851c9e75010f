//! What is kept of one vCPU's exits: sums by reason and place, and the last ones.

use alloc::collections::{BTreeMap, VecDeque};
use core::ops::Bound;
use core::sync::atomic::{AtomicU64, Ordering};

/// The most rows: a guest may touch more places than there is memory to count. What comes then is counted
/// without its place, in a row for each reason.
const ROWS_MAX: usize = 512;
/// How many exits are remembered.
const TRACE_MAX: usize = 1024;

/// The number of the next exit, of whichever vCPU.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A number for an exit.
pub fn next_number() -> u64 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// An exit that was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its number.
    pub number: u64,
    /// Why.
    pub reason: u32,
    /// Port, page, MSR or leaf.
    pub place: Option<u64>,
    /// The guest's RIP.
    pub rip: u64,
    /// When it began.
    pub tsc: u64,
    /// What it took.
    pub ticks: u64,
}

/// A reason and a place.
pub type Key = (u32, Option<u64>);

/// How many, and what they took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// Ticks of the TSC.
    pub ticks: u64,
}

/// One vCPU's exits.
#[derive(Debug)]
pub struct Table {
    sums: BTreeMap<Key, Sum>,
    trace: VecDeque<Exit>,
}

impl Table {
    /// None yet.
    pub fn new() -> Self {
        Self { sums: BTreeMap::new(), trace: VecDeque::with_capacity(TRACE_MAX) }
    }

    /// Adds one. Those of one vCPU are added by their numbers.
    pub fn add(&mut self, exit: Exit) {
        let key = (exit.reason, exit.place);
        // Rows that are there go on counting, and the bound is passed by one row a reason at most.
        let is_full = self.sums.len() >= ROWS_MAX && !self.sums.contains_key(&key);
        let sum = self.sums.entry(if is_full { (exit.reason, None) } else { key }).or_default();
        sum.count += 1;
        sum.ticks = sum.ticks.saturating_add(exit.ticks);
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(exit);
    }

    /// The row behind a key, or the first.
    pub fn row_behind(&self, key: Option<Key>) -> Option<(Key, Sum)> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.sums.range((from, Bound::Unbounded)).next().map(|(key, sum)| (*key, *sum))
    }

    /// The first exit that is remembered with this number or a higher one.
    pub fn exit_from(&self, number: u64) -> Option<Exit> {
        // By halves, since numbers only grow: the thread that asks holds up no vCPU for long.
        self.trace.get(self.trace.partition_point(|exit| exit.number < number)).copied()
    }
}

#[cfg(test)]
mod tests;

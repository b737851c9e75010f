//! Counts of exits, for the table a debug image prints at its end. An image without them counts nothing.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use runtime::abi::exit::reason;

/// What of each kind is listed.
const TOP: usize = 6;
/// The most ports, pages, MSRs and leaves that are told apart: a guest may touch more than there is memory to
/// count.
const TARGETS_MAX: usize = 2048;

/// One vCPU's counts.
#[derive(Debug, Default)]
pub struct Statistics {
    by_reason: BTreeMap<u32, u64>,
    /// By reason and port, page, MSR or leaf.
    by_target: BTreeMap<(u32, u64), u64>,
}

impl Statistics {
    /// Counts an exit. `target`: port, page of a guest physical address, MSR, or CPUID leaf.
    pub fn count(&mut self, why: u32, target: Option<u64>) {
        *self.by_reason.entry(why).or_default() += 1;
        if let Some(target) = target {
            self.count_target((why, target), 1);
        }
    }

    fn count_target(&mut self, key: (u32, u64), count: u64) {
        // What is known goes on being counted when no more is told apart.
        if let Some(known) = self.by_target.get_mut(&key) {
            *known += count;
        } else if self.by_target.len() < TARGETS_MAX {
            self.by_target.insert(key, count);
        }
    }

    /// Adds another vCPU's counts.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.by_reason {
            *self.by_reason.entry(*key).or_default() += count;
        }
        for (key, count) in &other.by_target {
            // Under the same bound: all vCPUs together are one table.
            self.count_target(*key, *count);
        }
    }

    fn top(&self, why: u32) -> Vec<(u64, u64)> {
        let mut targets: Vec<(u64, u64)> =
            self.by_target.range((why, 0)..=(why, u64::MAX)).map(|((_, t), c)| (*c, *t)).collect();
        targets.sort_unstable_by(|a, b| b.cmp(a));
        targets.truncate(TOP);
        targets
    }

    /// Writes the table to the log. `kernel`: what the kernel handled by itself.
    pub fn print(&self, kernel: &[(&str, u64)]) {
        log::info!("exit-table begin");
        log::info!("{:<18} {:>10} {:<7} most touched (count)", "reason", "count", "by");
        let mut rows: Vec<(u64, u32)> = self.by_reason.iter().map(|(r, c)| (*c, *r)).collect();
        // The most frequent first: that is what somebody looks for.
        rows.sort_unstable_by(|a, b| b.cmp(a));
        for (count, why) in rows {
            let name = reason::NAMES.get(why as usize).copied().unwrap_or("?");
            let mut touched = alloc::string::String::new();
            for (times, target) in self.top(why) {
                touched += &alloc::format!(" {target:x} ({times})");
            }
            log::info!("{name:<18} {count:>10} {:<7}{touched}", "vmm");
        }
        for (name, count) in kernel {
            log::info!("{name:<18} {count:>10} kernel");
        }
        log::info!("exit-table end");
    }
}

//! The guest's last exits, for whoever looks for the reason of its end.

use runtime::abi::exit::reason;

const COUNT: usize = 24;

/// Some exits, the oldest overwritten by the newest: the reason, RIP, and what it was about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recent {
    exits: [[u64; 3]; COUNT],
    count: usize,
}

impl Recent {
    /// One more.
    pub fn push(&mut self, exit: [u64; 3]) {
        if let Some(place) = self.exits.get_mut(self.count % COUNT) {
            *place = exit;
        }
        self.count = self.count.wrapping_add(1);
    }

    /// Those there are, the oldest first.
    fn in_order(&self) -> impl Iterator<Item = &[u64; 3]> {
        let (newer, older) = self.exits.split_at(self.count % COUNT);
        let skipped = COUNT.saturating_sub(self.count);
        older.iter().chain(newer).skip(skipped)
    }

    /// Logs them.
    pub fn log(&self) {
        log::debug!("the last of {} exits:", self.count);
        for [reason, rip, operand] in self.in_order() {
            let name = reason::NAMES.get(*reason as usize).unwrap_or(&"?");
            log::debug!("  {name} at {rip:#x}, {operand:#x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_in_order() {
        let mut recent = Recent::default();
        assert_eq!(recent.in_order().count(), 0);
        recent.push([1, 2, 3]);
        assert_eq!(recent.in_order().collect::<std::vec::Vec<_>>(), [&[1, 2, 3]]);
        (0..COUNT as u64 + 5).for_each(|number| recent.push([number, 0, 0]));
        let numbers: std::vec::Vec<_> = recent.in_order().map(|[number, ..]| *number).collect();
        assert_eq!(numbers, (5..COUNT as u64 + 5).collect::<std::vec::Vec<_>>());
    }
}

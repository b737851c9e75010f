//! A short sorted list of address ranges, merged where they touch.

/// A half-open range of addresses, never empty in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Extent {
    /// The range of `bytes` bytes at `start`; `None` if it would wrap around.
    pub fn new(start: u64, bytes: u64) -> Option<Self> {
        Some(Self { start, end: start.checked_add(bytes)? })
    }

    /// Length in bytes.
    pub fn bytes(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether the two share a byte.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether all of `other` lies in this range.
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// The list is full: the ranges are too scattered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Up to `N` ranges, sorted, with a gap between any two.
#[derive(Clone, Debug)]
pub struct Extents<const N: usize> {
    list: [Extent; N],
    used: usize,
}

impl<const N: usize> Default for Extents<N> {
    fn default() -> Self {
        Self { list: [Extent::default(); N], used: 0 }
    }
}

impl<const N: usize> Extents<N> {
    /// The ranges in ascending order.
    pub fn as_slice(&self) -> &[Extent] {
        self.list.get(..self.used).unwrap_or(&[])
    }

    /// Adds a range, merging it with what it touches. An empty one is not an error and adds nothing.
    ///
    /// # Errors
    /// [`Full`] if it touches nothing and there is no room for another.
    pub fn insert(&mut self, new: Extent) -> Result<(), Full> {
        // An empty one would stand in the list as a gap of nothing.
        if new.start >= new.end {
            return Ok(());
        }
        let at = self.as_slice().partition_point(|old| old.end < new.start);
        // Ranges that only adjoin are merged as well, so that a run of pages takes one place.
        let touched = self.as_slice().iter().skip(at).take_while(|old| old.start <= new.end).count();
        if touched == 0 {
            return self.open(at, new);
        }
        let last = at + touched - 1;
        let merged = Extent {
            start: new.start.min(self.list[at].start), //
            end: new.end.max(self.list[last].end),
        };
        self.list[at] = merged;
        self.list.copy_within(last + 1..self.used, at + 1);
        self.used -= touched - 1;
        Ok(())
    }

    fn open(&mut self, at: usize, new: Extent) -> Result<(), Full> {
        if self.used == N {
            return Err(Full);
        }
        self.list.copy_within(at..self.used, at + 1);
        self.list[at] = new;
        self.used += 1;
        Ok(())
    }

    /// The first range, in ascending order, that shares a byte with `with`.
    pub fn overlapping(&self, with: Extent) -> Option<Extent> {
        self.as_slice().iter().copied().find(|one| one.overlaps(with))
    }

    /// Whether all of `what` lies in one range.
    pub fn contains(&self, what: Extent) -> bool {
        self.as_slice().iter().any(|one| one.contains(what))
    }

    /// The highest `bytes`-long, `align`-aligned place in these ranges, below `limit`, that overlaps none of
    /// `taken`.
    pub fn highest_free(&self, bytes: u64, align: u64, limit: u64, taken: &[&[Extent]]) -> Option<u64> {
        for range in self.as_slice().iter().rev() {
            let mut end = range.end.min(limit);
            // No alignment at all would be a division by zero.
            while let Some(start) = end.checked_sub(bytes).map(|start| start - start % align.max(1)) {
                let place = Extent { start, end: start + bytes };
                if start < range.start {
                    break;
                }
                match taken.iter().copied().flatten().find(|one| one.overlaps(place)) {
                    None => return Some(start),
                    // Below it and anew: what lies there may be taken as well. Each step goes down, so that
                    // this ends.
                    Some(obstacle) => end = obstacle.start,
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;

//! The events that are bound to an endpoint: a key each, and whether it was signalled since it was last
//! received.

/// The most events that may be bound to an endpoint.
pub const BOUND_MAX: usize = 32;

/// A place for each.
pub struct Notifications {
    keys: [u64; BOUND_MAX],
    /// A bit for each place that is taken.
    bound: u32,
    /// A bit for each that was signalled.
    pending: u32,
    /// The place that is looked at first: each has its turn.
    next: u32,
}

impl Notifications {
    /// None.
    pub const fn new() -> Self {
        Self { keys: [0; BOUND_MAX], bound: 0, pending: 0, next: 0 }
    }

    /// Takes a place for an event.
    pub fn bind(&mut self, key: u64) -> Option<usize> {
        // With all places taken this is 32, for which there is no key.
        let place = self.bound.trailing_ones() as usize;
        *self.keys.get_mut(place)? = key;
        self.bound |= 1 << place;
        Some(place)
    }

    /// Gives a place back; a signal that nobody received is forgotten.
    pub fn unbind(&mut self, place: usize) {
        let bit = 1u32.checked_shl(place as u32).unwrap_or(0);
        self.bound &= !bit;
        self.pending &= !bit;
    }

    /// The key of a place that is taken.
    pub fn key(&self, place: usize) -> Option<u64> {
        let bit = 1u32.checked_shl(place as u32)?;
        if self.bound & bit == 0 { None } else { self.keys.get(place).copied() }
    }

    /// Whether none was signalled.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// It was signalled.
    pub fn set_pending(&mut self, place: usize) {
        self.pending |= 1u32.checked_shl(place as u32).unwrap_or(0);
    }

    /// The key of one that was signalled; it is so no more.
    pub fn take(&mut self) -> Option<u64> {
        if self.pending == 0 {
            return None;
        }
        // From behind the last one that was taken: an event that is signalled again and again does not keep
        // those behind it waiting.
        let later = self.pending & (u32::MAX << self.next);
        let place = if later != 0 { later } else { self.pending }.trailing_zeros();
        self.pending &= !(1 << place);
        self.next = (place + 1) % BOUND_MAX as u32;
        self.keys.get(place as usize).copied()
    }
}

#[cfg(test)]
mod tests;

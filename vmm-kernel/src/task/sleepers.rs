//! The threads of a processor that sleep until some time.

use crate::object::pool::Ref;

/// A thread, and the TSC value at which it is to be woken.
type Sleeper<T> = (u64, Ref<T>);

/// At most `MAX` of them, in no order: there are few at a time.
pub struct Sleepers<T: 'static, const MAX: usize> {
    places: [Option<Sleeper<T>>; MAX],
    /// The places behind this many are empty.
    count: usize,
}

impl<T, const MAX: usize> Sleepers<T, MAX> {
    /// Nobody.
    pub const fn new() -> Self {
        Self { places: [const { None }; MAX], count: 0 }
    }

    /// Adds one. It is not there yet, and there is a place for each thread.
    pub fn add(&mut self, deadline_tsc: u64, thread: Ref<T>) {
        if let Some(place) = self.places.get_mut(self.count) {
            *place = Some((deadline_tsc, thread));
            self.count += 1;
        }
    }

    fn get(&self, index: usize) -> Option<&Sleeper<T>> {
        self.places.get(index)?.as_ref()
    }

    /// Takes one out; the last one gets its place.
    fn take(&mut self, index: usize) -> Option<Ref<T>> {
        let (_, thread) = self.places.get_mut(index)?.take()?;
        self.count -= 1;
        self.places.swap(index, self.count);
        Some(thread)
    }

    /// Removes a thread, if it is there.
    pub fn remove(&mut self, thread: &T) {
        let is_it =
            |index: &usize| self.get(*index).is_some_and(|(_, other)| core::ptr::eq(&**other, thread));
        if let Some(index) = (0..self.count).find(is_it) {
            drop(self.take(index));
        }
    }

    /// Removes one that is to be woken by now.
    pub fn take_due(&mut self, now_tsc: u64) -> Option<Ref<T>> {
        let is_due = |index: &usize| self.get(*index).is_some_and(|(deadline, _)| *deadline <= now_tsc);
        // In whatever order: all that are due are woken before any of them runs.
        let index = (0..self.count).find(is_due)?;
        self.take(index)
    }

    /// When the next one is to be woken; `u64::MAX` for never.
    pub fn next_tsc(&self) -> u64 {
        self.places.iter().take(self.count).flatten().map(|(deadline, _)| *deadline).min().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;

//! Objects that wait for something, in the order in which they came, of which any may leave.

use super::pool::Ref;

/// At most `MAX` of them.
pub struct List<T: 'static, const MAX: usize> {
    places: [Option<Ref<T>>; MAX],
    /// The places behind this many are empty, and no other is.
    count: usize,
}

impl<T, const MAX: usize> List<T, MAX> {
    /// Nobody.
    pub const fn new() -> Self {
        Self { places: [const { None }; MAX], count: 0 }
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Ref<T>> {
        self.places.iter().take(self.count).flatten()
    }

    /// The one that came last.
    #[inline(always)]
    pub fn newest(&self) -> Option<&Ref<T>> {
        self.places.get(self.count.checked_sub(1)?)?.as_ref()
    }

    /// Takes the one that came last.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<Ref<T>> {
        let taken = self.places.get_mut(self.count.checked_sub(1)?)?.take();
        self.count -= 1;
        taken
    }

    /// Whether there is room for one more.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.count < MAX
    }

    /// Where the last one is of which something holds.
    pub fn last(&self, holds: impl Fn(&T) -> bool) -> Option<usize> {
        let is_it =
            |index: &usize| self.places.get(*index).and_then(Option::as_ref).is_some_and(|o| holds(o));
        (0..self.count).rev().find(is_it)
    }

    /// Adds one at the end. `false`: there is no room.
    #[inline(always)]
    #[must_use]
    pub fn push(&mut self, object: Ref<T>) -> bool {
        let Some(place) = self.places.get_mut(self.count) else { return false };
        // There is nothing to drop behind the last one, which the compiler does not know.
        core::mem::forget(place.replace(object));
        self.count += 1;
        true
    }

    /// Takes the one at an index; those behind it move up.
    pub fn take(&mut self, index: usize) -> Option<Ref<T>> {
        let behind = self.places.get_mut(index..self.count)?;
        let taken = behind.first_mut()?.take();
        // Moved up one by one, as who came first is to be served first; the lists are short.
        behind.rotate_left(1);
        self.count -= 1;
        taken
    }

    /// Removes one, if it is there.
    pub fn remove(&mut self, object: &T) -> bool {
        let index = self.iter().position(|other| core::ptr::eq(&**other, object));
        index.and_then(|index| self.take(index)).is_some()
    }
}

#[cfg(test)]
mod tests;

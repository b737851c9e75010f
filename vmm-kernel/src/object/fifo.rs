//! Objects in the order in which they came.

use super::pool::Ref;

/// First in, first out, of bounded size.
pub struct Fifo<T: 'static, const MAX: usize> {
    places: [Option<Ref<T>>; MAX],
    first: usize,
    count: usize,
}

impl<T, const MAX: usize> Fifo<T, MAX> {
    /// Nothing.
    pub const fn new() -> Self {
        Self { places: [const { None }; MAX], first: 0, count: 0 }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds one at the end. It is in one queue at most, so there is a place for each; where there is none, it
    /// is left out.
    pub fn push(&mut self, object: Ref<T>) {
        if self.count < MAX
            && let Some(place) = self.places.get_mut((self.first + self.count) % MAX)
        {
            *place = Some(object);
            self.count += 1;
        }
    }

    /// Whether one is there.
    pub fn contains(&self, object: &Ref<T>) -> bool {
        let indices = self.first..self.first + self.count;
        indices.filter_map(|i| self.places.get(i % MAX)?.as_ref()).any(|other| other.same(object))
    }

    /// Takes one out, if it is there.
    pub fn take(&mut self, object: &T) -> Option<Ref<T>> {
        let mut taken = None;
        // Each goes round once, so that the others keep their order.
        for _ in 0..self.count {
            let Some(first) = self.pop() else { continue };
            if core::ptr::eq(&*first, object) {
                taken = Some(first);
            } else {
                self.push(first);
            }
        }
        taken
    }

    /// Takes the first one.
    pub fn pop(&mut self) -> Option<Ref<T>> {
        // With nothing in it the first place is empty, which ends it here.
        let object = self.places.get_mut(self.first)?.take()?;
        self.first = (self.first + 1) % MAX;
        self.count -= 1;
        Some(object)
    }
}

#[cfg(test)]
mod tests;

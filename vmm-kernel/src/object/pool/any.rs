//! A reference to an object of whatever type: what a process holds is of types that only the floors above
//! know.
#![allow(unsafe_code, reason = "counted references to objects in place, whose type is looked at")]

use core::any::TypeId;
use core::mem::offset_of;
use core::ptr::NonNull;

use super::{Count, Ref, Slot};

/// What has to be known of a type without naming it.
struct Type {
    id: TypeId,
    /// Drops the object in a place, to which there is no reference any more.
    drop_object: unsafe fn(NonNull<Count>),
}

/// The [`Type`] of a `T`.
trait OfType: Sized + 'static {
    const TYPE: &'static Type = &Type { id: TypeId::of::<Self>(), drop_object: drop_object::<Self> };
}

impl<T: 'static> OfType for T {}

/// The place that a count is of.
///
/// # Safety
/// `count` is that of a place for a `T`, found by [`AnyRef::from`].
unsafe fn place_of<T: 'static>(count: NonNull<Count>) -> &'static Slot<T> {
    // SAFETY: the caller's promise: the pointer was made of one to the whole place, which is there for ever.
    unsafe { count.byte_sub(offset_of!(Slot<T>, count)).cast().as_ref() }
}

/// # Safety
/// As for [`place_of`]; and the place holds a `T`, to which there is no reference.
unsafe fn drop_object<T: 'static>(count: NonNull<Count>) {
    // SAFETY: the caller's promise.
    unsafe { place_of::<T>(count) }.drop_object();
}

/// A counted reference to an object in any pool. The last one drops the object.
pub struct AnyRef {
    /// The count of its place.
    count: NonNull<Count>,
    of: &'static Type,
}

// SAFETY: only made of references to objects that all processors may have.
unsafe impl Send for AnyRef {}
// SAFETY: as above.
unsafe impl Sync for AnyRef {}

impl AnyRef {
    /// The place, if it is one for a `T`.
    #[inline(always)]
    fn slot<T: 'static>(&self) -> Option<&'static Slot<T>> {
        if self.of.id != TypeId::of::<T>() {
            return None;
        }
        // SAFETY: made of a `Ref<T>`, whose place it is.
        Some(unsafe { place_of(self.count) })
    }

    /// The object, if it is a `T`.
    #[inline(always)]
    pub fn to<T: 'static>(&self) -> Option<Ref<T>> {
        let slot = self.slot()?;
        slot.count.add();
        Some(Ref { slot })
    }

    /// Whether two references are to the same object.
    pub fn same(&self, other: &Self) -> bool {
        self.count == other.count
    }

    fn count(&self) -> &Count {
        // SAFETY: places are there for ever.
        unsafe { self.count.as_ref() }
    }
}

impl<T: Send + Sync> From<Ref<T>> for AnyRef {
    fn from(reference: Ref<T>) -> Self {
        // SAFETY: the count is within the place.
        let count = unsafe { NonNull::from(reference.slot).byte_add(offset_of!(Slot<T>, count)) }.cast();
        // The count stays: it is this reference's now.
        core::mem::forget(reference);
        Self { count, of: T::TYPE }
    }
}

impl Clone for AnyRef {
    fn clone(&self) -> Self {
        self.count().add();
        Self { count: self.count, of: self.of }
    }
}

impl Drop for AnyRef {
    fn drop(&mut self) {
        if self.count().remove() {
            // SAFETY: the type is that of the place, whose last reference this was.
            unsafe { (self.of.drop_object)(self.count) };
        }
    }
}

#[cfg(test)]
mod tests;

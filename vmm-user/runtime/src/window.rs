//! A window of memory that somebody else accesses too: registers of a device, or memory that is shared with
//! one or with another process. Every access is volatile and within the window; a place that is not there
//! reads all-ones, and what is written there is dropped, as on a bus.
#![allow(unsafe_code, reason = "memory at an address that the kernel mapped, which others access as well")]

use core::sync::atomic::{AtomicU64, Ordering};

/// Mapped memory, for the life of the process.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    address: u64,
    bytes: u64,
}

macro_rules! access {
    ($read:ident, $write:ident, $type:ty) => {
        /// Reads a naturally aligned value.
        pub fn $read(&self, offset: u64) -> $type {
            match self.place(offset, size_of::<$type>() as u64) {
                // SAFETY: within the window, which is mapped for the life of the process; aligned.
                Some(address) => unsafe { (address as *const $type).read_volatile() },
                // As a bus gives where nobody is: how far a device's registers go is the host's word.
                None => <$type>::MAX,
            }
        }

        /// Writes a naturally aligned value.
        pub fn $write(&self, offset: u64, value: $type) {
            if let Some(address) = self.place(offset, size_of::<$type>() as u64) {
                // SAFETY: as above; nothing of Rust's lies in a window.
                unsafe { (address as *mut $type).write_volatile(value) }
            }
        }
    };
}

impl Window {
    /// A window onto pages that are mapped there, and nothing of Rust's.
    ///
    /// # Safety
    /// The range is mapped readable and writable for the life of the process, and no reference is to any of
    /// it.
    pub unsafe fn new(address: u64, bytes: u64) -> Self {
        Self { address, bytes }
    }

    /// A window onto words of this process's own, which it uses through the window alone from now on.
    pub fn of(words: &'static mut [u64]) -> Self {
        Self { address: words.as_mut_ptr().expose_provenance() as u64, bytes: size_of_val(words) as u64 }
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn place(&self, offset: u64, bytes: u64) -> Option<u64> {
        let end = offset.checked_add(bytes)?;
        // Only aligned: the processor may split any other access in two, which a device would see.
        (end <= self.bytes && offset.is_multiple_of(bytes)).then_some(self.address + offset)
    }

    access!(read_u8, write_u8, u8);
    access!(read_u16, write_u16, u16);
    access!(read_u32, write_u32, u32);
    access!(read_u64, write_u64, u64);

    /// The same addresses from an offset on, so many bytes at most.
    pub fn part(&self, offset: u64, bytes: u64) -> Option<Self> {
        let end = offset.checked_add(bytes)?;
        (end <= self.bytes).then_some(Self { address: self.address + offset, bytes })
    }

    /// Copies words in. `false`: the place is not there, or no multiple of eight; nothing was copied.
    #[must_use]
    pub fn copy_in(&self, offset: u64, words: &[AtomicU64]) -> bool {
        let is_there = self.words(offset, words);
        // Each word once, in no order that anybody may rely on: others change them meanwhile.
        if is_there {
            let at = |index: usize| offset + 8 * index as u64;
            let words = words.iter().enumerate();
            words.for_each(|(index, word)| self.write_u64(at(index), word.load(Ordering::Relaxed)));
        }
        is_there
    }

    /// Copies words out. `false`: as [`copy_in`](Self::copy_in).
    #[must_use]
    pub fn copy_out(&self, offset: u64, words: &[AtomicU64]) -> bool {
        let is_there = self.words(offset, words);
        if is_there {
            let at = |index: usize| offset + 8 * index as u64;
            let words = words.iter().enumerate();
            words.for_each(|(index, word)| word.store(self.read_u64(at(index)), Ordering::Relaxed));
        }
        is_there
    }

    fn words(&self, offset: u64, words: &[AtomicU64]) -> bool {
        let end = offset.checked_add(size_of_val(words) as u64);
        offset.is_multiple_of(8) && end.is_some_and(|end| end <= self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::sync::atomic::{AtomicU64, Ordering};

    use super::Window;

    fn window(words: &mut [u64]) -> Window {
        // SAFETY: the test uses the words through the window alone while it has one.
        unsafe { Window::new(words.as_mut_ptr().expose_provenance() as u64, size_of_val(words) as u64) }
    }

    #[test]
    fn accesses_stay_within() {
        let mut words = vec![0u64; 4];
        let whole = window(&mut words);
        let part = whole.part(8, 16).unwrap();
        part.write_u32(4, 0x1234_5678);
        part.write_u32(16, 1);
        part.write_u16(3, 1);
        part.write_u64(u64::MAX - 6, 1);
        assert_eq!((part.read_u32(4), part.read_u16(6), part.read_u8(7)), (0x1234_5678, 0x1234, 0x12));
        assert_eq!((part.read_u32(16), part.read_u16(1), part.read_u64(8)), (u32::MAX, u16::MAX, 0));
        assert!(whole.part(8, 32).is_none() && whole.part(u64::MAX, 2).is_none());
        assert_eq!(
            (0..4).map(|at| whole.read_u64(at * 8)).collect::<vec::Vec<_>>(),
            [0, 0x1234_5678_0000_0000, 0, 0]
        );
    }

    #[test]
    fn copies_are_whole_or_not_at_all() {
        let mut words = vec![1u64, 2, 3];
        let window = window(&mut words);
        let two = [AtomicU64::new(7), AtomicU64::new(8)];
        for offset in [4, 16, 24, u64::MAX - 7] {
            assert!(!window.copy_in(offset, &two) && !window.copy_out(offset, &two), "{offset}");
        }
        assert!(window.copy_out(8, &two));
        assert_eq!(two.each_ref().map(|word| word.load(Ordering::Relaxed)), [2, 3]);
        assert!(window.copy_in(0, &two));
        assert_eq!([0, 8, 16].map(|at| window.read_u64(at)), [2, 3, 3]);
    }
}

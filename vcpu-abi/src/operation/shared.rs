//! Operations on shared memory.

macro_rules! shared_operations {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => { $next! { [$($rest)*] $($before)*
    /// How much memory there is.
    SharedInfo(SharedMemory, 1, READ) {
        /// Out: its size.
        bytes: u64,
    }
    /// Maps a part of it, or all, into the calling process.
    SharedMap(SharedMemory, 2, READ | MAP) {
        /// In: where, page-aligned.
        address: u64,
        /// In: first byte of the part, page-aligned.
        offset: u64,
        /// In: size, in whole pages.
        bytes: u64,
        /// In: [`Permissions`]: READ, and WRITE if the handle allows it.
        permissions: u32,
        /// Zero.
        reserved: u32,
    }
    } };
}

//! What a handle allows.

use bitflags::bitflags;

bitflags! {
    /// What a handle allows. A child gets at most what its parent has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u32 {
        /// Read its contents or state.
        const READ = 1 << 0;
        /// Change its contents or state.
        const WRITE = 1 << 1;
        /// Map it.
        const MAP = 1 << 2;
        /// Create other objects from it.
        const CREATE = 1 << 3;
        /// Wait for it.
        const WAIT = 1 << 4;
        /// Signal or kick it.
        const SIGNAL = 1 << 5;
        /// Run or start it.
        const RUN = 1 << 6;
        /// Give it to a child.
        const GRANT = 1 << 7;
    }
}

bitflags! {
    /// What a guest may do with a page. What may be written or executed may be read.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Permissions: u32 {
        /// Read it.
        const READ = 1 << 0;
        /// Write it.
        const WRITE = 1 << 1;
        /// Execute it.
        const EXECUTE = 1 << 2;
    }
}

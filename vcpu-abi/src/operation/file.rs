//! Operations on the RAM file system, and the processes made of its files.

macro_rules! file_operations {
    ([$next:ident $($rest:ident)*] $($before:tt)*) => { $next! { [$($rest)*] $($before)*
    /// Finds a file.
    FilesOpen(Files, 1, READ) {
        /// In: address of the name.
        name: u64,
        /// In: its length in bytes.
        name_bytes: u64,
        /// Out: the file, with the rights of the directory's handle.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    /// What a file is.
    FileInfo(File, 1, READ) {
        /// Out: size in bytes.
        bytes: u64,
        /// Out: for a payload file, where it lies in guest memory; else zero.
        gpa: u64,
        /// Out: `boot::file_kind`.
        kind: u32,
        /// Zero.
        reserved: u32,
    }
    /// Reads from a file of the RAM file system.
    FileRead(File, 2, READ) {
        /// In: where in the file.
        offset: u64,
        /// In: where to.
        address: u64,
        /// In: how much at most; out: how much was read.
        bytes: u64,
    }
    /// Creates a process of an ELF file. It has no handles but [`HANDLE_SELF`] and does not run yet.
    ProcessCreate(File, 3, RUN) {
        /// Out: the process, with all rights.
        handle: Handle,
        /// Zero.
        reserved: u32,
    }
    } };
}

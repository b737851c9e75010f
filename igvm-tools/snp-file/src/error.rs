//! What can be wrong with the SEV-SNP half of a file.

use pvh_loader::file::FileError;

/// The first thing found wrong. Offsets are byte offsets of the header concerned in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnpFileError {
    /// What no platform may have.
    #[error(transparent)]
    File(#[from] FileError),
    /// Bytes behind the end that the file itself says.
    #[error("the file is corrupt: {0} bytes after its end")]
    Trailing(usize),
    /// The file is for other platforms.
    #[error("the file has no SEV-SNP platform")]
    NoPlatform,
    /// There may be one only.
    #[error("the file has a second {what}, at {offset:#x}")]
    Twice {
        /// Where.
        offset: usize,
        /// What.
        what: &'static str,
    },
    /// A page that can't be what its flags and its type say together.
    #[error("the page at {gpa:#x} cannot have flags {flags:#x} and type {kind} at once")]
    PageKind {
        /// Its address.
        gpa: u64,
        /// Its flags.
        flags: u32,
        /// Its type.
        kind: u16,
    },
    /// A page that the AMD-SP fills has contents in the file.
    #[error("the page at {0:#x} is filled by the AMD-SP, but has contents in the file")]
    Contents(u64),
    /// A parameter area without a page, or with more than any parameter needs.
    #[error("the file's parameter area {0} has no page, or too many")]
    Area(u32),
    /// More contexts than QEMU has processors.
    #[error("the file has too many contexts of vCPUs")]
    TooManyContexts,
}

//! What can be wrong with an IGVM file. The file is always to blame.

/// The first thing found wrong. Offsets are byte offsets of the header concerned in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not even a fixed header.
    #[error("the file is truncated: {actual} bytes do not hold an IGVM header")]
    TooShort {
        /// Bytes there are.
        actual: u64,
    },
    /// The magic number is another.
    #[error("not an IGVM file: it starts with {0:#010x}, not with \"IGVM\"")]
    Magic(u32),
    /// A format version other than 1 and 2.
    #[error("IGVM format version {0} is not supported (1 and 2 are)")]
    Version(u32),
    /// Not for x86-64.
    #[error("the file is for another architecture ({0}), not for x86-64")]
    Architecture(u32),
    /// A page size other than 4 KiB.
    #[error("page size {0} is not supported (4096 is)")]
    PageSize(u32),
    /// Shorter than its header says.
    #[error("the file is truncated: it says it has {header} bytes, there are {actual}")]
    Truncated {
        /// Size in the header.
        header: u32,
        /// Bytes there are.
        actual: u64,
    },
    /// The variable headers are not all in the file, or in its fixed header.
    #[error(
        "the file is corrupt: its {bytes} bytes of headers at offset {offset:#x} are not inside the file"
    )]
    HeaderRange {
        /// Where they are said to be.
        offset: u32,
        /// Their size.
        bytes: u32,
    },
    /// The checksum of the headers differs.
    #[error(
        "the file is corrupt: the checksum of its headers is {actual:#010x}, it should be {header:#010x}"
    )]
    Checksum {
        /// In the header.
        header: u32,
        /// Computed.
        actual: u32,
    },
    /// A variable header runs past the end of all headers.
    #[error("the file is corrupt: the header at {offset:#x} is cut off")]
    HeaderCut {
        /// Where.
        offset: usize,
    },
    /// Bytes between two headers are not zero.
    #[error("the file is corrupt: the padding after the header at {offset:#x} is not zero")]
    Padding {
        /// Where.
        offset: usize,
    },
    /// A header has a size that its type does not have.
    #[error("the file is corrupt: the header at {offset:#x} (type {kind:#x}) cannot have {bytes} bytes")]
    HeaderLength {
        /// Where.
        offset: usize,
        /// Its type.
        kind: u32,
        /// Its size.
        bytes: u32,
    },
    /// Platform, initialization, directives: this order is broken.
    #[error("the file is corrupt: the header at {offset:#x} belongs to a section that has ended")]
    SectionOrder {
        /// Where.
        offset: usize,
    },
    /// A header type this loader does not know or can't carry out on the NATIVE platform.
    #[error("the file needs what this loader can't do: header type {kind:#x} at {offset:#x}")]
    Unsupported {
        /// Where.
        offset: usize,
        /// Its type.
        kind: u32,
    },
    /// A platform's mask is not a single bit.
    #[error("the file is corrupt: the platform at {offset:#x} has compatibility mask {mask:#x}")]
    PlatformMask {
        /// Where.
        offset: usize,
        /// The mask.
        mask: u32,
    },
    /// A platform is given twice, or with a version, VTL or boundary it can't have.
    #[error("the platform at {offset:#x} is there a second time, or is not one that is supported")]
    Platform {
        /// Where.
        offset: usize,
    },
    /// The file is for other platforms only.
    #[error("the file has no NATIVE platform: it is for confidential platforms only")]
    NoNativePlatform,
    /// A reserved field is not zero.
    #[error("the file is corrupt: a reserved field of the header at {offset:#x} is not zero")]
    Reserved {
        /// Where.
        offset: usize,
    },
    /// An address or size that must be whole pages is not.
    #[error(
        "the file is corrupt: {value:#x} in the header at {offset:#x} is not a multiple of the page size"
    )]
    Alignment {
        /// Where.
        offset: usize,
        /// The address or size.
        value: u64,
    },
    /// An address range wraps around.
    #[error("the file is corrupt: the range at {gpa:#x} in the header at {offset:#x} wraps around")]
    Wraps {
        /// Where.
        offset: usize,
        /// Its start.
        gpa: u64,
    },
    /// A kind of page that the NATIVE platform does not have: 2 MiB, shared, secrets, CPUID.
    #[error(
        "the page at {gpa:#x} is of a kind the NATIVE platform does not have (flags {flags:#x}, type {kind})"
    )]
    PageKind {
        /// Its address.
        gpa: u64,
        /// Its flags.
        flags: u32,
        /// Its type.
        kind: u16,
    },
    /// Page or context data lies outside the file's data.
    #[error("the file is corrupt: the header at {offset:#x} refers to data at {data:#x}, outside the file")]
    DataRange {
        /// Where.
        offset: usize,
        /// The reference.
        data: u32,
    },
    /// A context for a VP other than the first.
    #[error("the file has a context for VP {0}; only VP 0 can have one")]
    VpIndex(u16),
    /// Not exactly one context.
    #[error("the file has {0} VP contexts for the NATIVE platform; there must be one")]
    VpContexts(u32),
    /// More parameter areas or parameters than the loader has room for.
    #[error("the file has too many parameter areas or parameters")]
    TooManyParameters,
    /// A parameter area is used before it is declared, after it was inserted, or declared twice.
    #[error("the file is corrupt: parameter area {0} is declared twice, not declared, or already inserted")]
    AreaState(u32),
    /// A parameter lies outside its area.
    #[error("the file is corrupt: a parameter at offset {offset} is outside parameter area {area}")]
    ParameterRange {
        /// Index of the area.
        area: u32,
        /// Offset in it.
        offset: u32,
    },
}

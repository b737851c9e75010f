//! The setup header, checked. A [`BzImage`] that exists has: the magic, a protocol of 2.6 or later, a payload
//! within the file, an alignment that is a power of two, and an `init_size` that covers the payload and does
//! not overflow.

use super::spec::{self, header as h};
use core::ops::Range;

/// Why a file is no kernel that can be started. To blame: who gave the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// The file ends before its header does.
    Truncated,
    /// No boot flag or no "HdrS".
    NotLinux,
    /// A protocol before 2.6 (Linux 2.6.22).
    TooOld {
        /// The version, major in the high byte.
        version: u16,
    },
    /// A zImage, to be loaded low.
    LoadedLow,
    /// The setup sectors fill the file, or more.
    NoPayload,
    /// The alignment is not a power of two.
    Alignment {
        /// What it says.
        alignment: u32,
    },
    /// Neither load address nor size make sense.
    Extent,
}

impl core::fmt::Display for ImageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Truncated => write!(f, "the kernel file ends before its setup header does"),
            Self::NotLinux => write!(f, "the kernel file is no Linux bzImage"),
            Self::TooOld { version } => {
                write!(f, "boot protocol {}.{:02} is too old, 2.06 is needed", version >> 8, version & 0xff)
            }
            Self::LoadedLow => write!(f, "the kernel is a zImage, a bzImage is needed"),
            Self::NoPayload => write!(f, "the kernel file has no protected-mode part"),
            Self::Alignment { alignment } => write!(f, "kernel alignment {alignment:#x} is no power of two"),
            Self::Extent => write!(f, "the kernel's load address and size do not fit together"),
        }
    }
}

impl core::error::Error for ImageError {}

/// A kernel whose header has been checked.
#[derive(Clone, Debug)]
pub struct BzImage {
    /// The header as it goes into `boot_params`, from 1F1h on; the rest is zero.
    pub(super) raw: [u8; h::END_MAX],
    /// Protocol version.
    pub version: u16,
    /// The protected-mode part, as a range of the file.
    pub payload: Range<u64>,
    /// Whether it may be loaded elsewhere than where it prefers.
    pub relocatable: bool,
    /// Alignment of where it is loaded; a power of two, at least 4096.
    pub alignment: u64,
    /// Where it wants to be.
    pub preferred_gpa: u64,
    /// Memory it needs there, at least as much as the payload.
    pub memory_bytes: u64,
    /// `XLF_*`.
    pub xloadflags: u16,
    /// Highest address of a RAM disk's last byte, if it is below 4 GiB.
    pub initrd_last_gpa: u64,
    /// Longest command line, without the final zero.
    pub command_line_max: usize,
}

/// A little-endian field of up to 8 bytes; 0 past the end.
pub(super) fn field<const N: usize>(bytes: &[u8], offset: usize) -> u64 {
    let mut value = [0; 8];
    for (slot, byte) in value.iter_mut().zip(bytes.iter().skip(offset).take(N)) {
        *slot = *byte;
    }
    u64::from_le_bytes(value)
}

impl BzImage {
    /// Checks a kernel. `head` is the start of the file, 1 KiB or more of it; `file_bytes` its whole length.
    pub fn parse(head: &[u8], file_bytes: u64) -> Result<Self, ImageError> {
        if head.len() < h::MAGIC + 4 {
            return Err(ImageError::Truncated);
        }
        if field::<2>(head, h::BOOT_FLAG) != u64::from(spec::BOOT_FLAG)
            || field::<4>(head, h::MAGIC) != u64::from(spec::MAGIC)
        {
            return Err(ImageError::NotLinux);
        }
        let version = field::<2>(head, h::VERSION) as u16;
        // Older headers do not say how long a command line may be.
        if version < 0x206 {
            return Err(ImageError::TooOld { version });
        }
        // From here on all fields are read from the copy, which has them all: where the header ends early,
        // zeros.
        let raw = copy_header(head)?;
        if field::<1>(&raw, h::LOADFLAGS) as u8 & spec::LOADED_HIGH == 0 {
            return Err(ImageError::LoadedLow);
        }
        let payload = payload(&raw, file_bytes)?;
        Self::with_extent(raw, version, payload)
    }

    fn with_extent(raw: [u8; h::END_MAX], version: u16, payload: Range<u64>) -> Result<Self, ImageError> {
        let relocatable = field::<1>(&raw, h::RELOCATABLE) != 0;
        let stated = field::<4>(&raw, h::KERNEL_ALIGNMENT);
        // An address is rounded up by it later, which needs a power of two.
        if relocatable && !stated.is_power_of_two() {
            return Err(ImageError::Alignment { alignment: stated as u32 });
        }
        let payload_bytes = payload.end - payload.start;
        // Before 2.10 there is neither: 1 MiB, and room to unpack is guessed as the kernel's own loaders did.
        let (preferred_gpa, init_bytes) = if version >= 0x20a {
            (field::<8>(&raw, h::PREF_ADDRESS), field::<4>(&raw, h::INIT_SIZE))
        } else {
            (spec::HIGH_ADDRESS, payload_bytes.saturating_mul(4))
        };
        // `init_size` is the file's word, and must not make room for less than is copied.
        let memory_bytes = init_bytes.max(payload_bytes);
        // Both numbers are the file's: a sum that wraps would look small.
        let fits = preferred_gpa >= spec::HIGH_ADDRESS && preferred_gpa.checked_add(memory_bytes).is_some();
        if !fits {
            return Err(ImageError::Extent);
        }
        Ok(Self {
            version,
            payload,
            relocatable,
            alignment: if relocatable { stated.max(4096) } else { 4096 },
            preferred_gpa,
            memory_bytes,
            xloadflags: if version >= 0x20c { field::<2>(&raw, h::XLOADFLAGS) as u16 } else { 0 },
            initrd_last_gpa: field::<4>(&raw, h::INITRD_ADDR_MAX),
            command_line_max: field::<4>(&raw, h::CMDLINE_SIZE) as usize,
            raw,
        })
    }

    /// Whether it has the 64-bit entry.
    pub fn has_64_bit_entry(&self) -> bool {
        self.xloadflags & spec::XLF_KERNEL_64 != 0
    }
}

/// The header ends where the jump at its start lands (boot.rst, "Details of header fields", `jump`).
fn copy_header(head: &[u8]) -> Result<[u8; h::END_MAX], ImageError> {
    let end = h::MAGIC + field::<1>(head, h::JUMP + 1) as usize;
    if end > head.len() {
        return Err(ImageError::Truncated);
    }
    let mut raw = [0; h::END_MAX];
    // A newer header may be longer: what is there is not known here, and stays zero.
    let length = end.min(h::END_MAX).saturating_sub(h::SETUP_SECTS);
    for (slot, byte) in raw.iter_mut().zip(head).skip(h::SETUP_SECTS).take(length) {
        *slot = *byte;
    }
    Ok(raw)
}

fn payload(raw: &[u8], file_bytes: u64) -> Result<Range<u64>, ImageError> {
    let sectors = match field::<1>(raw, h::SETUP_SECTS) {
        // So the protocol wants it, for the oldest kernels.
        0 => 4,
        sectors => sectors,
    };
    let start = (sectors + 1) * 512;
    if start >= file_bytes { Err(ImageError::NoPayload) } else { Ok(start..file_bytes) }
}

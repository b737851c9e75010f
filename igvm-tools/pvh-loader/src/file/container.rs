//! What IGVM files of all platforms have in common: fixed header, checksum, a list of variable headers, and
//! pages of data.

use igvm_defs::{
    IGVM_FIXED_HEADER, IGVM_FIXED_HEADER_V2, IGVM_FORMAT_VERSION_1, IGVM_FORMAT_VERSION_2, IGVM_MAGIC_VALUE,
    IGVM_VHS_SUPPORTED_PLATFORM, IGVM_VHS_VARIABLE_HEADER, IGVM_VHT_OPTIONAL_BIT, IGVM_VHT_RANGE_DIRECTIVE,
    IGVM_VHT_RANGE_INIT, IGVM_VHT_RANGE_PLATFORM, IgvmArchitecture, IgvmPlatformType, IgvmVariableHeaderType,
};
use zerocopy::{FromBytes, IntoBytes};

use super::FileError;
use crate::{PAGE_BYTES, crc32};

/// A file whose header, size and checksum are right. What its variable headers say has not been looked at.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    bytes: &'a [u8],
    version: u32,
    headers: &'a [u8],
    headers_offset: usize,
}

/// A variable header: its type, content, and where it is in the file.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Its type, without the bit that marks it as optional.
    pub kind: IgvmVariableHeaderType,
    /// The file marks it as one that may be ignored.
    pub optional: bool,
    /// Its content, without padding.
    pub content: &'a [u8],
    /// Where it begins, in bytes from the file's beginning.
    pub offset: usize,
}

/// The order in which headers of the three ranges may come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Which platforms the file is for.
    Platform,
    /// What a platform needs before anything is loaded.
    Initialization,
    /// What is loaded, in this order.
    Directive,
}

impl<'a> Container<'a> {
    /// Reads and checks `bytes`, which may be longer than the file says it is, as a loader's module may be.
    ///
    /// # Errors
    /// The first thing that is wrong with fixed header, size or checksum.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FileError> {
        let (fixed, version) = fixed_header(bytes)?;
        let total = fixed.total_file_size as usize;
        let bytes = bytes
            .get(..total)
            .ok_or(FileError::Truncated { header: fixed.total_file_size, actual: bytes.len() as u64 })?;
        // Every number here is the file's: none is used before it is held against the file's length.
        let headers_offset = fixed.variable_header_offset as usize;
        let headers = headers_offset
            .checked_add(fixed.variable_header_size as usize)
            .and_then(|end| bytes.get(headers_offset..end))
            .filter(|_| headers_offset >= fixed_header_bytes(version))
            .ok_or(FileError::HeaderRange {
                offset: fixed.variable_header_offset,
                bytes: fixed.variable_header_size,
            })?;
        // Before the headers are read: what is damaged is told as that, not as the first thing that makes no
        // sense.
        check_checksum(bytes, version, &fixed, headers)?;
        Ok(Self { bytes, version, headers, headers_offset })
    }

    /// The format version, 1 or 2.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The file's bytes, without what may have come after it.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Size of the variable headers in bytes.
    pub fn header_bytes(&self) -> usize {
        self.headers.len()
    }

    /// The variable headers, in file order; ends behind the first that does not fit.
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: self.headers, offset: self.headers_offset }
    }

    /// Hands on every header whose type is known, with its section, in file order.
    ///
    /// # Errors
    /// A header that does not fit, one of an unknown type that may not be ignored, one of a section that has
    /// ended, and what `then` returns.
    pub fn for_each<E: From<FileError>>(
        &self,
        mut then: impl FnMut(Section, Header<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut section = Section::Platform;
        for header in self.headers() {
            let header = header?;
            // What is not known and may be ignored ends no section.
            let Some(new) = header.section()? else { continue };
            if new < section {
                return Err(FileError::SectionOrder { offset: header.offset }.into());
            }
            section = new;
            then(section, header)?;
        }
        Ok(())
    }

    /// The platforms the file says it is for. Headers that do not fit are passed over.
    pub fn platforms(&self) -> impl Iterator<Item = IGVM_VHS_SUPPORTED_PLATFORM> + use<'a> {
        self.headers()
            .filter_map(Result::ok)
            .filter(|header| header.kind == IgvmVariableHeaderType::IGVM_VHT_SUPPORTED_PLATFORM)
            .filter_map(|header| IGVM_VHS_SUPPORTED_PLATFORM::read_from_bytes(header.content).ok())
    }

    /// The header of a platform, and where it is; `None` if the file is not for that platform.
    ///
    /// # Errors
    /// A header up to there that does not fit, a mask that is not a single bit, or the platform twice.
    pub fn find_platform(
        &self,
        wanted: IgvmPlatformType,
    ) -> Result<Option<(usize, IGVM_VHS_SUPPORTED_PLATFORM)>, FileError> {
        let mut found = None;
        for header in self.headers() {
            let header = header?;
            if header.kind != IgvmVariableHeaderType::IGVM_VHT_SUPPORTED_PLATFORM {
                continue;
            }
            let platform: IGVM_VHS_SUPPORTED_PLATFORM = header.fixed()?;
            // A mask of several platforms would make it unclear whose a directive is.
            if platform.compatibility_mask.count_ones() != 1 {
                return Err(FileError::PlatformMask {
                    offset: header.offset,
                    mask: platform.compatibility_mask,
                });
            }
            if platform.platform_type == wanted {
                // Two of one kind would be two images in one file.
                if found.is_some() {
                    return Err(FileError::Platform { offset: header.offset });
                }
                found = Some((header.offset, platform));
            }
        }
        Ok(found)
    }

    /// The page at `offset` in the file, for the header at `header`; an offset of zero stands for a page of
    /// zeros.
    ///
    /// # Errors
    /// [`FileError::DataRange`]: the page is not all in the file's data.
    pub fn page(&self, header: usize, offset: u32) -> Result<Option<&'a [u8]>, FileError> {
        if offset == 0 {
            return Ok(None);
        }
        let start = offset as usize;
        let data_start = self.headers_offset + self.headers.len();
        start
            .checked_add(PAGE_BYTES as usize)
            // Headers are not data: no page has them as its contents.
            .filter(|_| start >= data_start)
            .and_then(|end| self.bytes.get(start..end))
            .map(Some)
            .ok_or(FileError::DataRange { offset: header, data: offset })
    }
}

impl<'a> Header<'a> {
    /// The content as a structure of exactly this size.
    ///
    /// # Errors
    /// [`FileError::HeaderLength`]: it has another size.
    pub fn fixed<T: FromBytes>(&self) -> Result<T, FileError> {
        T::read_from_bytes(self.content).map_err(|_| FileError::HeaderLength {
            offset: self.offset,
            kind: self.kind.0,
            bytes: self.content.len() as u32,
        })
    }

    /// The section its type belongs to; `None` for an unknown type that may be ignored.
    ///
    /// # Errors
    /// [`FileError::Unsupported`]: the type is not known and may not be ignored.
    pub fn section(&self) -> Result<Option<Section>, FileError> {
        match self.kind.0 {
            kind if IGVM_VHT_RANGE_PLATFORM.contains(&kind) => {
                let known = self.kind == IgvmVariableHeaderType::IGVM_VHT_SUPPORTED_PLATFORM;
                if known || self.optional { Ok(Some(Section::Platform)) } else { Err(self.unsupported()) }
            }
            kind if IGVM_VHT_RANGE_INIT.contains(&kind) => Ok(Some(Section::Initialization)),
            kind if IGVM_VHT_RANGE_DIRECTIVE.contains(&kind) => Ok(Some(Section::Directive)),
            _ if self.optional => Ok(None),
            _ => Err(self.unsupported()),
        }
    }

    /// The error that a header of this type can't be carried out.
    pub fn unsupported(&self) -> FileError {
        FileError::Unsupported { offset: self.offset, kind: self.kind.0 }
    }
}

/// Iterates over variable headers; stops at the first that does not fit.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let header = self.split();
        // Where the next header begins is not known.
        if header.is_err() {
            self.rest = &[];
        }
        Some(header)
    }
}

impl<'a> Headers<'a> {
    fn split(&mut self) -> Result<Header<'a>, FileError> {
        let offset = self.offset;
        let cut = FileError::HeaderCut { offset };
        let (header, rest) = IGVM_VHS_VARIABLE_HEADER::read_from_prefix(self.rest).map_err(|_| cut)?;
        let bytes = header.length as usize;
        // Headers are aligned to eight bytes, and what lies between is zero, so that no two files load the
        // same and differ there.
        let padded = bytes.checked_next_multiple_of(8).ok_or(cut)?;
        let content = rest.get(..bytes).ok_or(cut)?;
        let padding = rest.get(bytes..padded).ok_or(cut)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(FileError::Padding { offset });
        }
        self.rest = rest.get(padded..).unwrap_or(&[]);
        self.offset += size_of::<IGVM_VHS_VARIABLE_HEADER>() + padded;
        // The type without that bit: what is known is carried out, whether or not it might be ignored.
        let kind = IgvmVariableHeaderType(header.typ.0 & !IGVM_VHT_OPTIONAL_BIT);
        Ok(Header { kind, optional: header.typ.0 & IGVM_VHT_OPTIONAL_BIT != 0, content, offset })
    }
}

/// Reads the fixed header, of which version 2 only adds to version 1.
fn fixed_header(bytes: &[u8]) -> Result<(IGVM_FIXED_HEADER, u32), FileError> {
    let short = FileError::TooShort { actual: bytes.len() as u64 };
    // By itself, before the rest: something else than an IGVM file is called that, however short it is.
    let magic = bytes.get(..4).and_then(|magic| u32::read_from_bytes(magic).ok());
    match magic {
        None => return Err(short),
        Some(IGVM_MAGIC_VALUE) => {}
        Some(other) => return Err(FileError::Magic(other)),
    }
    let (fixed, _) = IGVM_FIXED_HEADER::read_from_prefix(bytes).map_err(|_| short)?;
    match fixed.format_version {
        IGVM_FORMAT_VERSION_1 => {}
        IGVM_FORMAT_VERSION_2 => {
            let (second, _) = IGVM_FIXED_HEADER_V2::read_from_prefix(bytes).map_err(|_| short)?;
            if second.architecture != IgvmArchitecture::X64 {
                return Err(FileError::Architecture(second.architecture.0));
            }
            // Version 2 may have other machines and pages; this loader has not.
            if u64::from(second.page_size) != PAGE_BYTES {
                return Err(FileError::PageSize(second.page_size));
            }
        }
        other => return Err(FileError::Version(other)),
    }
    Ok((fixed, fixed.format_version))
}

fn fixed_header_bytes(version: u32) -> usize {
    if version == IGVM_FORMAT_VERSION_1 {
        size_of::<IGVM_FIXED_HEADER>()
    } else {
        size_of::<IGVM_FIXED_HEADER_V2>()
    }
}

/// The checksum covers the fixed header, with the checksum field as zero, and the variable headers.
fn check_checksum(
    bytes: &[u8],
    version: u32,
    fixed: &IGVM_FIXED_HEADER,
    headers: &[u8],
) -> Result<(), FileError> {
    // Pages are not in the sum: whether they are the right ones is for a measurement to tell.
    let first = IGVM_FIXED_HEADER { checksum: 0, ..*fixed };
    let second = bytes.get(size_of::<IGVM_FIXED_HEADER>()..fixed_header_bytes(version)).unwrap_or(&[]);
    let actual = crc32::checksum(&[first.as_bytes(), second, headers]);
    if actual == fixed.checksum {
        Ok(())
    } else {
        Err(FileError::Checksum { header: fixed.checksum, actual })
    }
}

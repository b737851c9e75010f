//! What is in a file, whichever platforms it is for.

use std::fmt::{Display, Formatter, Result as FormatResult};

use pvh_loader::file::{Container, FileError, IgvmFile};
use serde::Serialize;

use super::snp::SnpInspection;
use super::{Inspection, PlatformInfo, platforms};
use crate::snp::reader::{SnpFile, SnpFileError};

/// A file for NATIVE, for SEV-SNP, or for both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file itself, where it has no part for NATIVE, which says that too.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileInfo>,
    /// The part for NATIVE.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub native: Option<Inspection>,
    /// The part for SEV-SNP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snp: Option<SnpInspection>,
}

/// What a file is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileInfo {
    /// IGVM format version.
    pub format_version: u32,
    /// Size of the file.
    pub file_bytes: u64,
    /// Size of its variable headers.
    pub header_bytes: u64,
    /// What it runs on.
    pub platforms: Vec<PlatformInfo>,
}

impl Report {
    /// Looks through a file. One that is for none of the two platforms is refused as one that is not for
    /// NATIVE.
    ///
    /// # Errors
    /// The first thing that is wrong with one of the parts.
    pub fn new(bytes: &[u8]) -> Result<Self, SnpFileError> {
        let native = match IgvmFile::parse(bytes) {
            Ok(file) if file.bytes().len() == bytes.len() => Some(Inspection::new(&file)?),
            Ok(file) => return Err(SnpFileError::Trailing(bytes.len() - file.bytes().len())),
            Err(FileError::NoNativePlatform) => None,
            Err(error) => return Err(error.into()),
        };
        let snp = match SnpFile::parse(bytes) {
            Ok(file) => Some(SnpInspection::new(&file)),
            Err(SnpFileError::NoPlatform) if native.is_none() => {
                return Err(FileError::NoNativePlatform.into());
            }
            Err(SnpFileError::NoPlatform) => None,
            Err(error) => return Err(error),
        };
        let file = if native.is_some() { None } else { Some(file_info(&Container::parse(bytes)?)) };
        Ok(Self { file, native, snp })
    }
}

fn file_info(container: &Container<'_>) -> FileInfo {
    FileInfo {
        format_version: container.version(),
        file_bytes: container.bytes().len() as u64,
        header_bytes: container.header_bytes() as u64,
        platforms: platforms(container.platforms()),
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> FormatResult {
        if let Some(FileInfo { format_version, file_bytes, header_bytes, platforms }) = &self.file {
            writeln!(f, "IGVM version {format_version}, {file_bytes} bytes, {header_bytes} of them headers")?;
            for platform in platforms {
                writeln!(f, "platform   {} (mask {:#x})", platform.name, platform.compatibility_mask)?;
            }
        }
        self.native.iter().try_for_each(|native| native.fmt(f))?;
        self.snp.iter().try_for_each(|snp| snp.fmt(f))
    }
}

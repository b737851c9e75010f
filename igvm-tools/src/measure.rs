//! A digest of what a file loads, in the order in which it is loaded.
//!
//! It answers "is this the image I built?", whatever the file around it looks like: where in the file data
//! lies, how pages were deduplicated, and directives for other platforms make no difference. It is not the
//! launch digest of a confidential platform: NATIVE has none. `docs/images.md` describes it byte by byte;
//! [`DOMAIN`] changes when the description does.

use pvh_loader::PAGE_BYTES;
use pvh_loader::file::{Directive, FileError, IgvmFile, ParameterAreas, ParameterKind};
use sha2::{Digest, Sha256, Sha384};

/// What is hashed first, so that no other use of the hash gives the same digest.
pub const DOMAIN: &[u8; 16] = b"plinth-measure-1";

/// The kinds of records, with the numbers of IGVM's own header types.
mod record {
    pub const PARAMETER_AREA: u32 = 0x301;
    pub const PAGE: u32 = 0x302;
    pub const PARAMETER_INSERT: u32 = 0x303;
    pub const VP_CONTEXT: u32 = 0x304;
    pub const REQUIRED_MEMORY: u32 = 0x305;
    pub const VP_COUNT: u32 = 0x307;
    pub const MEMORY_MAP: u32 = 0x30c;
    pub const ENVIRONMENT_INFO: u32 = 0x313;
}

/// The SHA-256 digest of what `file` loads.
///
/// # Errors
/// What is wrong with the file.
pub fn sha256(file: &IgvmFile<'_>) -> Result<Vec<u8>, FileError> {
    digest::<Sha256>(file)
}

/// The SHA-384 digest of what `file` loads.
///
/// # Errors
/// What is wrong with the file.
pub fn sha384(file: &IgvmFile<'_>) -> Result<Vec<u8>, FileError> {
    digest::<Sha384>(file)
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest<H: Digest>(file: &IgvmFile<'_>) -> Result<Vec<u8>, FileError> {
    let mut hash = H::new();
    // Before anything of the file's, so that none of it can stand for this.
    hash.update(DOMAIN);
    let mut areas = ParameterAreas::default();
    for directive in file.directives() {
        let directive = directive?;
        let inserted = areas.follow(&directive)?;
        match directive {
            Directive::Page { gpa, data, .. } => {
                // Lengths come before contents in each record, so no two lists of records give the same
                // bytes.
                numbers(&mut hash, record::PAGE, [gpa, PAGE_BYTES]);
                // A page without data is one of zeros: however a file says so, the digest is the same.
                hash.update(data.unwrap_or(&[0; PAGE_BYTES as usize]));
            }
            Directive::ParameterArea { index, bytes } => {
                numbers(&mut hash, record::PARAMETER_AREA, [index.into(), bytes]);
            }
            Directive::Parameter(parameter) => {
                let kind = match parameter.kind {
                    ParameterKind::MemoryMap => record::MEMORY_MAP,
                    ParameterKind::VpCount => record::VP_COUNT,
                    ParameterKind::EnvironmentInfo => record::ENVIRONMENT_INFO,
                };
                numbers(&mut hash, kind, [parameter.area.into(), parameter.offset.into()]);
            }
            Directive::ParameterInsert { area, .. } => {
                // `follow` has refused an insertion without a place.
                let gpa = inserted.map_or(0, |(_, place)| place.start);
                numbers(&mut hash, record::PARAMETER_INSERT, [area.into(), gpa]);
            }
            // All of its bytes, those that no loader sets too: a file that differs there is another file.
            Directive::VpContext { registers } => {
                numbers(&mut hash, record::VP_CONTEXT, [0, registers.len() as u64]);
                hash.update(registers);
            }
            Directive::RequiredMemory { extent } => {
                numbers(&mut hash, record::REQUIRED_MEMORY, [extent.start, extent.bytes()]);
            }
        }
    }
    Ok(hash.finalize().to_vec())
}

/// The fixed part of a record: kind and two numbers, little-endian, 4 + 8 + 8 bytes.
fn numbers<H: Digest>(hash: &mut H, kind: u32, values: [u64; 2]) {
    hash.update(kind.to_le_bytes());
    values.iter().for_each(|value| hash.update(value.to_le_bytes()));
}

#[cfg(test)]
mod tests;

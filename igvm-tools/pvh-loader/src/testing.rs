//! For the tests: IGVM files made byte by byte, so that each byte can be wrong, and a small memory.

use std::vec;
use std::vec::Vec;

use igvm_defs::{IGVM_FIXED_HEADER, IGVM_FIXED_HEADER_V2, IGVM_MAGIC_VALUE, IgvmNativeVpContextX64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use crate::crc32;
use crate::memory::Memory;

/// Stands for the offset of the first byte of file data in a header's content.
pub const DATA: u32 = 0xdada_da00;

/// A file under construction.
#[derive(Clone, Default)]
pub struct FileBuilder {
    headers: Vec<(u32, Vec<u8>)>,
    data: Vec<u8>,
    second: bool,
}

/// The platform header every sound file begins with.
pub fn native() -> [u64; 2] {
    platform(1, 0, 0, 1, 0)
}

/// A platform header.
pub fn platform(mask: u32, vtl: u8, kind: u8, version: u16, boundary: u64) -> [u64; 2] {
    [u64::from(mask) | u64::from(vtl) << 32 | u64::from(kind) << 40 | u64::from(version) << 48, boundary]
}

/// The content of a page data header: address, mask, file offset.
pub fn page(gpa: u64, mask: u32, offset: u32) -> [u64; 3] {
    [gpa, pair(mask, offset), 0]
}

/// The content of a VP context header: mask, file offset, VP index with a reserved half above.
pub fn vp(mask: u32, offset: u32, index: u32) -> [u32; 5] {
    [0, 0, mask, offset, index]
}

/// Two 32-bit fields.
pub fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// A context the loader can set, at this entry point and with these page tables.
pub fn context(rip: u64, cr3: u64) -> IgvmNativeVpContextX64 {
    let mut context = IgvmNativeVpContextX64::new_zeroed();
    context.rip = rip;
    context.rax = cr3;
    context.cr3 = cr3;
    context.cr0 = 0x8001_0031;
    context.cr4 = 0x20;
    context.efer = 0xd00;
    context.rflags = 2;
    context.code_selector = 8;
    context.code_attributes = 0xa09b;
    context.code_limit = u32::MAX;
    context.data_selector = 16;
    context.data_attributes = 0xc093;
    context.data_limit = u32::MAX;
    context
}

impl FileBuilder {
    /// A sound file: a page of data (bytes 1, 2, 3, ...), a page of zeros behind it, a VP context, and an
    /// area of two pages with all three parameters.
    pub fn sound() -> Self {
        Self::default()
            .header(0x001, &native())
            .header(0x305, &[0x20_0000, pair(1, 0x1_0000), 0])
            .header(0x302, &page(0x20_0000, 1, DATA))
            .header(0x302, &page(0x20_1000, 1, 0))
            .header(0x301, &[0x2000, pair(7, 0)])
            .header(0x30c, &[pair(7, 0x100)])
            .header(0x307, &[pair(7, 0)])
            .header(0x313, &[pair(7, 4)])
            .header(0x303, &[0x20_2000, pair(1, 7)])
            .header(0x304, &vp(1, DATA + 4096, 0))
            .page_of(&(0..4096).map(|index| (index + 1) as u8).collect::<Vec<_>>())
            .page_of(context(0xffff_ffff_8000_0000, 0x20_4000).as_bytes())
    }

    /// Format version 2 instead of 1.
    pub fn second(mut self) -> Self {
        self.second = true;
        self
    }

    /// Adds a variable header.
    pub fn header(mut self, kind: u32, content: &(impl IntoBytes + Immutable + ?Sized)) -> Self {
        self.headers.push((kind, content.as_bytes().to_vec()));
        self
    }

    /// Puts a header in the place of the only one of its type.
    pub fn replace(mut self, kind: u32, content: &(impl IntoBytes + Immutable + ?Sized)) -> Self {
        let place = self.headers.iter_mut().find(|(old, _)| *old == kind).unwrap();
        place.1 = content.as_bytes().to_vec();
        self
    }

    /// Takes all headers of a type out.
    pub fn without(mut self, kind: u32) -> Self {
        self.headers.retain(|(old, _)| *old != kind);
        self
    }

    /// Puts a header in front of all others.
    pub fn first(mut self, kind: u32, content: &(impl IntoBytes + Immutable + ?Sized)) -> Self {
        self.headers.insert(0, (kind, content.as_bytes().to_vec()));
        self
    }

    /// Adds a page of file data.
    pub fn page_of(mut self, bytes: &[u8]) -> Self {
        let end = self.data.len() + 4096;
        self.data.extend_from_slice(bytes);
        self.data.resize(end, 0);
        self
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let fixed =
            if self.second { size_of::<IGVM_FIXED_HEADER_V2>() } else { size_of::<IGVM_FIXED_HEADER>() };
        let header_bytes: usize =
            self.headers.iter().map(|(_, content)| 8 + content.len().next_multiple_of(8)).sum();
        let data_start = (fixed + header_bytes) as u32;
        let mut headers = Vec::new();
        for (kind, content) in &self.headers {
            headers.extend([*kind, content.len() as u32].as_bytes());
            for word in content.chunks(4) {
                let value = word.try_into().map(u32::from_le_bytes).unwrap_or(0);
                let moved = if value >> 16 == DATA >> 16 { data_start + (value - DATA) } else { value };
                if word.len() == 4 { headers.extend(moved.to_le_bytes()) } else { headers.extend(word) }
            }
            headers.resize(headers.len().next_multiple_of(8), 0);
        }
        let mut file = vec![0; fixed];
        file.extend(headers);
        file.extend(&self.data);
        let total = file.len() as u32;
        let version = if self.second { 2 } else { 1 };
        let start = [IGVM_MAGIC_VALUE, version, fixed as u32, header_bytes as u32, total, 0, 0, 4096];
        file[..fixed].copy_from_slice(&start.as_bytes()[..fixed]);
        seal(&mut file);
        file
    }
}

/// Puts the right checksum into a file whose header sizes are sound.
pub fn seal(file: &mut [u8]) {
    file[20..24].fill(0);
    let size = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let checksum = crc32::checksum(&[&file[..size(8) + size(12)]]);
    file[20..24].copy_from_slice(&checksum.to_le_bytes());
}

/// Memory at an address.
pub struct TestMemory {
    /// Address of the first byte.
    pub base: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl TestMemory {
    /// Memory filled with a byte that no test writes.
    pub fn new(base: u64, bytes: usize) -> Self {
        Self { base, bytes: vec![0xee; bytes] }
    }

    /// Writes bytes.
    pub fn put(&mut self, gpa: u64, bytes: &[u8]) {
        self.slice_mut(gpa, bytes.len() as u64).unwrap().copy_from_slice(bytes);
    }

    fn range(&self, gpa: u64, bytes: u64) -> Option<core::ops::Range<usize>> {
        let start = gpa.checked_sub(self.base)?;
        let end = start.checked_add(bytes).filter(|end| *end <= self.bytes.len() as u64)?;
        Some(start as usize..end as usize)
    }
}

impl Memory for TestMemory {
    fn slice(&self, gpa: u64, bytes: u64) -> Option<&[u8]> {
        self.bytes.get(self.range(gpa, bytes)?)
    }

    fn slice_mut(&mut self, gpa: u64, bytes: u64) -> Option<&mut [u8]> {
        let range = self.range(gpa, bytes)?;
        self.bytes.get_mut(range)
    }
}

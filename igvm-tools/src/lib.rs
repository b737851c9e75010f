//! Building, reading and measuring Plinth's IGVM images. The program `igvm-tools` is a thin shell over this
//! library.
//!
//! The way of a build: [`recipe`] reads what is wanted and where it comes from, [`kernel`] takes the kernel's
//! ELF file apart, [`program`] leaves out what of a process's file is never loaded, [`layout`] gives every
//! page a place in guest memory and an entry in the first [`page_table`]s, and [`image`] writes the IGVM
//! directives in ascending order of address. The same inputs give the same bytes.
//!
//! Reading ([`inspect`], [`measure`]) uses the loader's own parser, so that a file these tools accept is one
//! the loader accepts.
#![forbid(unsafe_code)]

pub mod guest_image;
pub mod image;
pub mod inspect;
pub mod kernel;
pub mod layout;
pub mod measure;
pub mod ovmf;
pub mod page_table;
pub mod pages;
pub mod program;
pub mod recipe;
pub mod snp;
pub mod snp_image;

/// Bytes in a page.
pub const PAGE_BYTES: u64 = 4096;

/// Rounds up to whole pages; `None` on overflow.
pub fn whole_pages(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(PAGE_BYTES)
}

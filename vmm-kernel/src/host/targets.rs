//! Fuzz targets: what hostile files, processes and hosts give, and what must hold whatever it is. For
//! libFuzzer (`fuzz/`), and for the smoke run in this module's tests.

use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, endian};
use vcpu_abi::run_page::XSAVE_BYTES;
use vcpu_abi::run_page::xsave::{HEADER_END, MXCSR, XSTATE_BV};

use super::PhysicalMemory;
use crate::cpu::{Cpuid, xsave_image};
use crate::layout::{USER_END, USER_START};
use crate::memory::payer::Payer;
use crate::memory::space::Space;
use crate::memory::{frames, host_map, temporary};
pub use crate::platform::backend::fuzz_target::load_registers;
pub use crate::platform::snp::fuzz_target::believe_host;
use crate::task::elf;

mod channels;
mod mappings;
mod pci;
#[cfg(test)]
mod tests;

pub use channels::run as use_channels;
pub use mappings::run as use_mappings;
pub use pci::claim_function;

/// A name, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("kernel_channels", use_channels),
    ("kernel_elf", load_elf),
    ("kernel_host_map", parse_host_map),
    ("kernel_mappings", use_mappings),
    ("kernel_pci", claim_function),
    ("kernel_registers", load_registers),
    ("kernel_snp", believe_host),
    ("kernel_xsave", merge_xsave),
];

/// Pages that loading a file may take: few, so that running out of them is common.
const PAGES: usize = 24;

/// Loads a file into a process's address space. Whatever it is, all frames are free again afterwards; what
/// was loaded is what the file says.
///
/// # Panics
/// If a property does not hold, like the others.
pub fn load_elf(file: &[u8]) {
    let _memory = PhysicalMemory::new(PAGES);
    {
        let Ok(kernel_root) = frames::allocate_zeroed() else { panic!("no frame for the kernel's root") };
        let Ok(space) = Space::try_new(kernel_root, Payer::NOBODY) else { panic!("no frame for the root") };
        if let Ok(entry) = elf::load(&space, file) {
            assert!((USER_START..USER_END).contains(&entry), "an entry outside the user's half");
            check_loaded(&space, file);
        }
        frames::free(kernel_root);
    }
    assert_eq!(PhysicalMemory::free_frames(), PAGES as u64, "frames are lost");
}

/// Compares the first and the last byte of each segment with what is in memory.
fn check_loaded(space: &Space, file: &[u8]) {
    let endian = endian::LittleEndian;
    let Ok(header) = FileHeader64::<LittleEndian>::parse(file) else { panic!("loaded, but no ELF file") };
    let segments = header.program_headers(endian, file).unwrap_or(&[]);
    for segment in segments
        .iter()
        .take(elf::SEGMENTS_MAX)
        .filter(|s| s.p_type(endian) == PT_LOAD && s.p_memsz(endian) > 0)
    {
        let data = segment.data(endian, file).unwrap_or(&[]);
        let ends = [0, data.len().saturating_sub(1)];
        for (at, expected) in ends.into_iter().filter_map(|at| Some((at, data.get(at)?))) {
            let address = segment.p_vaddr(endian) + at as u64;
            let Ok(frame) = space.lookup(address) else { panic!("{address:#x} is not mapped") };
            let mut byte = [0];
            temporary::copy_out(frame, (address % 4096) as usize, &mut byte);
            assert_eq!(byte[0], *expected, "at {address:#x}");
        }
    }
}

/// Parses a memory map, for a processor with as many bits of physical address as the first byte says. What is
/// believed is in order, in whole pages, in the physical address space, and none of it a device's or
/// reserved.
///
/// # Panics
/// If a property does not hold.
pub fn parse_host_map(input: &[u8]) {
    let Some((bits, area)) = input.split_first() else { return };
    let Ok(map) = host_map::parse(area, u32::from(*bits)) else { return };
    let usable = &map.usable;
    let ranges = usable.as_slice();
    for range in ranges {
        assert!(range.start < range.end && range.end <= 1 << 40.min(u32::from(*bits).max(32)), "{range:x?}");
        assert!((range.start | range.end).is_multiple_of(4096), "{range:x?}");
        assert!(usable.contains(range.start, range.end - range.start));
        assert!(!usable.contains(range.start, range.end - range.start + 4096), "{range:x?} goes on");
    }
    assert!(ranges.is_sorted_by(|a, b| a.end < b.start), "{ranges:x?}");
    for device in host_map::NEVER_MEMORY {
        assert!(!usable.overlaps(device), "{device:x?} is RAM");
    }
}

/// Merges an area that a process wrote into one of the kernel's: the header that XRSTOR is given stays the
/// kernel's.
///
/// # Panics
/// If a property does not hold.
pub fn merge_xsave(input: &[u8]) {
    let Some((choice, rest)) = input.split_first_chunk::<4>() else { return };
    let [places, sizes, states, own_bits] = *choice;
    let mut alleged = [0; XSAVE_BYTES];
    alleged.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let mut own = [0xa5; 4096];
    own[MXCSR + 4..MXCSR + 8].copy_from_slice(&0xffff_u32.to_le_bytes());
    own[XSTATE_BV..HEADER_END].fill(0);
    own[XSTATE_BV] = own_bits;
    let before = own;
    let supported = u64::from(states) | 7;
    let place_of = |state: u32| Cpuid {
        eax: u32::from(sizes) << (state % 7),
        ebx: u32::from(places) << (state % 9),
        ecx: 0,
        edx: 0,
    };
    let taken = xsave_image::merge(&alleged, &mut own, supported, place_of);
    assert_eq!(
        own[XSTATE_BV + 8..HEADER_END],
        before[XSTATE_BV + 8..HEADER_END],
        "the header is not the kernel's"
    );
    assert_eq!(own[MXCSR + 4..MXCSR + 8], before[MXCSR + 4..MXCSR + 8], "MXCSR_MASK is not the processor's");
    let has = own[XSTATE_BV] & !before[XSTATE_BV];
    assert_eq!(u64::from(has) & !supported, 0, "a state that the processor has not");
    if taken.is_none() {
        assert_eq!(own, before, "refused, but not left alone");
    }
}

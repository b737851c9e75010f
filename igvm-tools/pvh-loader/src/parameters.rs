//! Parameter areas: what the host knows, as IGVM's structures.

use igvm_defs::{IGVM_VHS_MEMORY_MAP_ENTRY, IgvmEnvironmentInfo};
use zerocopy::IntoBytes;

use crate::PAGE_BYTES;
use crate::file::{Parameter, ParameterKind};
use crate::memory_map::MemoryMap;

/// What the host tells the image.
#[derive(Clone, Debug)]
pub struct HostFacts {
    /// The memory there is.
    pub memory_map: MemoryMap,
    /// Number of virtual processors, at least 1.
    pub vp_count: u32,
}

/// The area is too small for what it should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host's {entries} memory map entries do not fit the area the file has for them")]
pub struct AreaTooSmall {
    /// Entries there are.
    pub entries: usize,
}

/// Writes one parameter into its area, whose bytes are zero where nothing was written yet.
///
/// # Errors
/// [`AreaTooSmall`].
pub fn write(area: &mut [u8], parameter: Parameter, facts: &HostFacts) -> Result<(), AreaTooSmall> {
    let entries = facts.memory_map.entries().len();
    let too_small = AreaTooSmall { entries };
    // The file was checked for this; without that the slice would have to panic.
    let room = area.get_mut(parameter.offset as usize..).ok_or(too_small)?;
    match parameter.kind {
        ParameterKind::MemoryMap => memory_map(room, &facts.memory_map).ok_or(too_small),
        ParameterKind::VpCount => put(room, &facts.vp_count.to_le_bytes()).ok_or(too_small),
        ParameterKind::EnvironmentInfo => {
            // Nothing is confidential on the NATIVE platform: all memory is the host's to see.
            let info = IgvmEnvironmentInfo::new().with_memory_is_shared(true);
            put(room, info.as_bytes()).ok_or(too_small)
        }
    }
}

/// Fills `room` from the front. A map that fills it to the last entry is ended by the area's end.
fn memory_map(room: &mut [u8], map: &MemoryMap) -> Option<()> {
    let size = size_of::<IGVM_VHS_MEMORY_MAP_ENTRY>();
    // A map cut short would hide memory, or what is reserved.
    if map.entries().len() > room.len() / size {
        return None;
    }
    for (place, entry) in room.chunks_exact_mut(size).zip(map.entries()) {
        let entry = IGVM_VHS_MEMORY_MAP_ENTRY {
            starting_gpa_page_number: entry.extent.start / PAGE_BYTES,
            number_of_pages: entry.extent.bytes() / PAGE_BYTES,
            entry_type: entry.kind(),
            flags: 0,
            reserved: 0,
        };
        put(place, entry.as_bytes())?;
    }
    Some(())
}

fn put(room: &mut [u8], bytes: &[u8]) -> Option<()> {
    room.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(())
}

#[cfg(test)]
mod tests;

//! Carrying out a file's directives, in order.

use crate::PAGE_BYTES;
use crate::extents::Extent;
use crate::file::{Directive, FileError, IgvmFile, ParameterAreas};
use crate::memory::Memory;
use crate::parameters::{self, AreaTooSmall, HostFacts};

/// Why loading stopped half-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// A parameter does not fit.
    #[error(transparent)]
    Area(#[from] AreaTooSmall),
    /// The memory is not there. A survey finds this before anything is written.
    #[error("no memory at {0:#x} to load the file into")]
    Memory(u64),
}

/// Loads all pages and parameter areas.
///
/// # Errors
/// [`LoadError`].
pub fn load(file: &IgvmFile<'_>, facts: &HostFacts, memory: &mut impl Memory) -> Result<(), LoadError> {
    let mut areas = ParameterAreas::default();
    for directive in file.directives() {
        let directive = directive?;
        // In the file's order, as QEMU's loader does: where two write the same place, the later one counts.
        if let Some((area, extent)) = areas.follow(&directive)? {
            let room = writable(memory, extent)?;
            // What the host does not fill must not be what lay there.
            room.fill(0);
            for parameter in areas.parameters(area.index) {
                parameters::write(room, parameter, facts)?;
            }
        }
        if let Directive::Page { gpa, data, .. } = directive {
            let page = memory.slice_mut(gpa, PAGE_BYTES).ok_or(LoadError::Memory(gpa))?;
            match data {
                Some(data) if data.len() == page.len() => page.copy_from_slice(data),
                // Written as well: nobody has cleared the memory before.
                _ => page.fill(0),
            }
        }
    }
    Ok(())
}

fn writable(memory: &mut impl Memory, extent: Extent) -> Result<&mut [u8], LoadError> {
    memory.slice_mut(extent.start, extent.bytes()).ok_or(LoadError::Memory(extent.start))
}

#[cfg(test)]
mod tests;

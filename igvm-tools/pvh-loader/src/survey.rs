//! Before anything is written: what the file will write and need, against the memory there is.

use igvm_defs::IgvmNativeVpContextX64;
use zerocopy::FromBytes;

use crate::PAGE_BYTES;
use crate::context::{self, ContextError};
use crate::extents::{Extent, Extents};
use crate::file::{Directive, FileError, IgvmFile, ParameterAreas};
use crate::memory::Memory;
use crate::memory_map::{MAX_ENTRIES, MemoryMap};

/// Most separate runs of pages a file may have.
pub const MAX_RUNS: usize = 64;

/// First address the loader does not reach: it maps the first 4 GiB.
pub const REACH: u64 = 1 << 32;

/// Why a file can't be loaded here. The file may be fine; the machine does not fit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SurveyError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its VP context.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// More than [`MAX_RUNS`] runs of pages.
    #[error("the file's pages are too scattered: more than {MAX_RUNS} separate runs")]
    Scattered,
    /// A page is not in RAM.
    #[error(
        "the file puts {bytes:#x} bytes at {start:#x}, which is not all RAM: give the machine more memory"
    )]
    NotRam {
        /// First byte of the run of pages.
        start: u64,
        /// Length of the run.
        bytes: u64,
    },
    /// Memory the file requires is not in RAM.
    #[error(
        "the file requires {bytes:#x} bytes of RAM at {start:#x}, which are not there: \
         give the machine more memory"
    )]
    Required {
        /// First byte.
        start: u64,
        /// Length.
        bytes: u64,
    },
    /// A page is above 4 GiB.
    #[error("the file puts a page at {0:#x}; this loader reaches the first 4 GiB only")]
    Reach(u64),
    /// The page at address zero, which the loader never touches: the host's tables may be in it.
    #[error("the file puts a page at 0, which this loader leaves alone")]
    FirstPage,
    /// A page would overwrite the loader.
    #[error("the file puts pages at {start:#x}, over the loader itself at {loader:#x}")]
    Loader {
        /// First byte of the run of pages.
        start: u64,
        /// First byte of the loader.
        loader: u64,
    },
    /// The file lies where it wants pages, and there is no room elsewhere.
    #[error("the file has to be moved out of its own way, and there is no room for its {0:#x} bytes")]
    NoRoom(u64),
}

/// What a file writes, all of it in RAM the loader reaches and none of it over the loader, and the context it
/// starts in, one the loader can set.
#[derive(Clone, Debug)]
pub struct Survey {
    context: IgvmNativeVpContextX64,
    writes: Extents<MAX_RUNS>,
    ram: Extents<MAX_ENTRIES>,
    loader: Extent,
}

impl Survey {
    /// Checks `file` against the memory there is and the place the loader takes.
    ///
    /// # Errors
    /// [`SurveyError`].
    pub fn new(file: &IgvmFile<'_>, map: &MemoryMap, loader: Extent) -> Result<Self, SurveyError> {
        let ram = map.ram();
        let mut writes = Extents::default();
        let mut areas = ParameterAreas::default();
        let mut context = None;
        for directive in file.directives() {
            let directive = directive?;
            // An area is written where it is inserted, not where it is declared.
            let inserted = areas.follow(&directive)?;
            let extent = match directive {
                Directive::VpContext { registers } => {
                    context = IgvmNativeVpContextX64::read_from_bytes(registers).ok();
                    None
                }
                Directive::Page { gpa, .. } => Extent::new(gpa, PAGE_BYTES),
                // Only looked for: it is the image's to use, and nothing is written there.
                Directive::RequiredMemory { extent } if !ram.contains(extent) => {
                    return Err(SurveyError::Required { start: extent.start, bytes: extent.bytes() });
                }
                _ => inserted.map(|(_, extent)| extent),
            };
            if let Some(extent) = extent {
                writes.insert(extent).map_err(|_| SurveyError::Scattered)?;
            }
        }
        let context = context.ok_or(FileError::VpContexts(0))?;
        context::check(&context)?;
        let survey = Self { context, writes, ram, loader };
        // Of the union, so that a run of pages is checked once, however many directives it came in.
        survey.writes.as_slice().iter().try_for_each(|run| survey.check(*run))?;
        Ok(survey)
    }

    fn check(&self, run: Extent) -> Result<(), SurveyError> {
        if run.end > REACH {
            return Err(SurveyError::Reach(run.start.max(REACH)));
        }
        if run.start < PAGE_BYTES {
            return Err(SurveyError::FirstPage);
        }
        // The host's own tables and firmware are in what is not RAM.
        if !self.ram.contains(run) {
            return Err(SurveyError::NotRam { start: run.start, bytes: run.bytes() });
        }
        if run.overlaps(self.loader) {
            return Err(SurveyError::Loader { start: run.start, loader: self.loader.start });
        }
        Ok(())
    }

    /// The context the first processor is to start in.
    pub fn context(&self) -> &IgvmNativeVpContextX64 {
        &self.context
    }

    /// The runs of pages that will be written.
    pub fn writes(&self) -> &[Extent] {
        self.writes.as_slice()
    }

    /// The memory that the file has filled, once it is loaded, and no other.
    pub fn loaded<'a, M: Memory>(&'a self, memory: &'a M) -> Loaded<'a, M> {
        Loaded { survey: self, memory }
    }

    /// Where the file has to be moved so that loading does not overwrite it: `None` if it can stay at `now`.
    ///
    /// # Errors
    /// [`SurveyError::NoRoom`].
    pub fn new_place(&self, now: Extent) -> Result<Option<u64>, SurveyError> {
        if self.writes.overlapping(now).is_none() {
            return Ok(None);
        }
        // The first megabyte is left alone: firmware tables are there, whatever the memory map says.
        let low = Extent { start: 0, end: 1 << 20 };
        // The old place too: it is read while the new one is written.
        let taken: [&[Extent]; 2] = [self.writes.as_slice(), &[low, now, self.loader]];
        let place = self.ram.highest_free(now.bytes(), PAGE_BYTES, REACH, &taken);
        place.map(Some).ok_or(SurveyError::NoRoom(now.bytes()))
    }
}

/// A view of memory in which only what the file has filled can be read: the image must not start with what
/// lay in memory before.
#[derive(Clone, Copy, Debug)]
pub struct Loaded<'a, M> {
    survey: &'a Survey,
    memory: &'a M,
}

impl<M: Memory> Memory for Loaded<'_, M> {
    fn slice(&self, gpa: u64, bytes: u64) -> Option<&[u8]> {
        let wanted = Extent::new(gpa, bytes)?;
        if self.survey.writes.contains(wanted) { self.memory.slice(gpa, bytes) } else { None }
    }

    fn slice_mut(&mut self, _gpa: u64, _bytes: u64) -> Option<&mut [u8]> {
        None
    }
}

#[cfg(test)]
mod tests;

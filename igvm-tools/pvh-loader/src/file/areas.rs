//! The life of parameter areas: declared, written by parameters, inserted.

use super::{Directive, FileError, Parameter, ParameterKind};
use crate::extents::Extent;

/// Most parameter areas a file may declare.
pub const MAX_AREAS: usize = 16;

/// Most parameters a file may ask for.
pub const MAX_PARAMETERS: usize = 16;

/// An area that was declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// Its number in the file.
    pub index: u32,
    /// Whole pages.
    pub bytes: u64,
    /// It is in memory and takes no more parameters.
    pub inserted: bool,
}

/// The areas and parameters met so far while going through a file's directives.
#[derive(Clone, Debug, Default)]
pub struct ParameterAreas {
    areas: [Option<Area>; MAX_AREAS],
    parameters: [Option<Parameter>; MAX_PARAMETERS],
}

impl ParameterAreas {
    /// Takes note of the next directive. For a [`Directive::ParameterInsert`] it returns the area and where
    /// it goes.
    ///
    /// # Errors
    /// What is wrong in the order or bounds of the file's parameters.
    pub fn follow(&mut self, directive: &Directive<'_>) -> Result<Option<(Area, Extent)>, FileError> {
        match *directive {
            Directive::ParameterArea { index, bytes } => self.declare(index, bytes)?,
            Directive::Parameter(parameter) => self.add(parameter)?,
            Directive::ParameterInsert { area, gpa } => return self.insert(area, gpa).map(Some),
            _ => {}
        }
        Ok(None)
    }

    /// The parameters of an area, in file order.
    pub fn parameters(&self, area: u32) -> impl Iterator<Item = Parameter> + '_ {
        self.parameters.iter().copied().flatten().filter(move |parameter| parameter.area == area)
    }

    fn declare(&mut self, index: u32, bytes: u64) -> Result<(), FileError> {
        // A number names one area for the whole file, an inserted one too.
        if self.find(index).is_some() {
            return Err(FileError::AreaState(index));
        }
        let free = self.areas.iter_mut().find(|area| area.is_none());
        *free.ok_or(FileError::TooManyParameters)? = Some(Area { index, bytes, inserted: false });
        Ok(())
    }

    fn add(&mut self, parameter: Parameter) -> Result<(), FileError> {
        let area = self.open(parameter.area)?;
        // A memory map takes what is left of the area, and at least the entry that ends it.
        let least = match parameter.kind {
            ParameterKind::MemoryMap => 24,
            ParameterKind::VpCount | ParameterKind::EnvironmentInfo => 4,
        };
        if u64::from(parameter.offset) + least > area.bytes {
            return Err(FileError::ParameterRange { area: parameter.area, offset: parameter.offset });
        }
        let free = self.parameters.iter_mut().find(|parameter| parameter.is_none());
        *free.ok_or(FileError::TooManyParameters)? = Some(parameter);
        Ok(())
    }

    fn insert(&mut self, index: u32, gpa: u64) -> Result<(Area, Extent), FileError> {
        let area = self.open(index)?;
        // What would be written into it now would come too late.
        area.inserted = true;
        let extent = Extent::new(gpa, area.bytes).ok_or(FileError::AreaState(index))?;
        Ok((*area, extent))
    }

    fn open(&mut self, index: u32) -> Result<&mut Area, FileError> {
        self.find(index).filter(|area| !area.inserted).ok_or(FileError::AreaState(index))
    }

    fn find(&mut self, index: u32) -> Option<&mut Area> {
        self.areas.iter_mut().flatten().find(|area| area.index == index)
    }
}

//! From an address to its place in the source: by a program's line tables, or, in assembly, by its symbols.

use std::collections::BTreeMap;
use std::path::Path;

use addr2line::Loader;
use anyhow::{Context, Result, anyhow};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A source file, by its path in the checkout.
    File,
    /// A function.
    Function,
}

/// One program's places.
pub struct Places {
    lines: Loader,
    /// The code's symbols. Assembly has no lines.
    symbols: BTreeMap<u64, String>,
    root: String,
}

impl Places {
    /// The places of a program that was built in the checkout `root`.
    ///
    /// # Errors
    /// When it can't be read, or is no ELF file.
    pub fn of(program: &Path, root: &Path) -> Result<Self> {
        let what = || format!("the lines of {}", program.display());
        let lines = Loader::new(program).map_err(|error| anyhow!("{error}")).with_context(what)?;
        let bytes = std::fs::read(program).with_context(what)?;
        let file = object::File::parse(&*bytes).with_context(what)?;
        // By its section: symbols of assembly have no kind.
        let is_code = |symbol: &object::Symbol<'_, '_>| {
            let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
            section.is_some_and(|section| section.kind() == SectionKind::Text)
        };
        let symbols = file.symbols().filter(is_code);
        let symbols = symbols.filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?.to_owned())));
        let symbols = symbols.filter(|(_, name)| !name.is_empty()).collect();
        Ok(Self { lines, symbols, root: format!("{}/", root.display()) })
    }

    /// The place of an address: of the functions inlined there, the innermost one of the project's, so that
    /// the code of libraries counts where it is used.
    ///
    /// # Errors
    /// When the line tables are damaged.
    pub fn find(&self, address: u64, unit: Unit) -> Result<Option<String>> {
        Ok(self.line(address, unit)?.or_else(|| self.symbol(address).map(str::to_owned)))
    }

    fn line(&self, address: u64, unit: Unit) -> Result<Option<String>> {
        let mut frames = self.lines.find_frames(address).map_err(|error| anyhow!("{error}"))?;
        let mut outer = None;
        // From the innermost function that was inlined here to the one that has the code.
        while let Some(frame) = frames.next()? {
            let Some(file) = frame.location.and_then(|location| location.file) else { continue };
            let ours = file.strip_prefix(&self.root);
            let function = frame.function.as_ref().and_then(|name| name.demangle().ok());
            let place = match unit {
                Unit::File => ours.unwrap_or(file).to_owned(),
                Unit::Function => {
                    function.map_or_else(|| ours.unwrap_or(file).to_owned(), |name| name.into_owned())
                }
            };
            if ours.is_some() {
                return Ok(Some(place));
            }
            // A compiler's own unit of code says nothing of where it comes from.
            if outer.is_none() && !file.contains("-cgu.") {
                outer = Some(place);
            }
        }
        Ok(outer)
    }

    /// The last symbol at or below the address, unless that is behind all of them.
    fn symbol(&self, address: u64) -> Option<&str> {
        let (last, _) = self.symbols.last_key_value()?;
        let (_, name) = self.symbols.range(..=address).next_back()?;
        // What lies behind the last symbol may be another program's.
        (address < *last).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbol;

    #[test]
    fn this_program_has_places() {
        let own = std::env::current_exe().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let places = Places::of(&own, root).unwrap();
        let name = places.symbols.values().find(|name| name.contains("this_program_has_places"));
        let address = symbol::address(&own, name.unwrap()).unwrap();
        let file = places.find(address, Unit::File).unwrap().unwrap();
        assert_eq!(file, "scripts/src/profile/places.rs");
        let function = places.find(address, Unit::Function).unwrap().unwrap();
        assert!(function.contains("this_program_has_places"), "{function}");
        assert!(places.symbol(address).unwrap().contains("this_program_has_places"));
        assert_eq!(places.find(1 << 60, Unit::File).unwrap(), None);
    }
}

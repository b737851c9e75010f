//! Addresses in a program that was built.

use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSymbol};

/// The address of a symbol in an ELF file.
///
/// # Errors
/// When the file can't be read, is no ELF file, or has no such symbol.
pub fn address(program: &Path, name: &str) -> Result<u64> {
    let what = || format!("the address of {name} in {}", program.display());
    let bytes = std::fs::read(program).with_context(what)?;
    let file = object::File::parse(&*bytes).with_context(what)?;
    let mut symbols = file.symbols();
    let symbol = symbols.find(|symbol| symbol.name() == Ok(name)).with_context(what)?;
    Ok(symbol.address())
}

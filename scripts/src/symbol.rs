//! Addresses in a program that was built.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
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

/// Where the code of a symbol is that has no size, as those of assembly have none: up to the next symbol.
///
/// # Errors
/// As [`address`], and when no symbol follows.
pub fn range(program: &Path, name: &str) -> Result<Range<u64>> {
    let start = address(program, name)?;
    let what = || format!("the end of {name} in {}", program.display());
    let bytes = std::fs::read(program).with_context(what)?;
    let file = object::File::parse(&*bytes).with_context(what)?;
    // Not the next in the table, which has no order.
    let behind = file.symbols().map(|symbol| symbol.address()).filter(|other| *other > start).min();
    Ok(start..behind.with_context(what)?)
}

/// The address of a Rust static or function whose path ends with this name; there must be just one.
///
/// # Errors
/// As [`address`].
pub fn address_of_item(program: &Path, name: &str) -> Result<u64> {
    let what = || format!("the address of {name} in {}", program.display());
    let bytes = std::fs::read(program).with_context(what)?;
    let file = object::File::parse(&*bytes).with_context(what)?;
    // By the end of its path, since the crate's name and the modules above may change.
    let end = format!("::{name}");
    let is_it = |symbol: &str| {
        let whole = format!("{:#}", rustc_demangle::demangle(symbol));
        // LLVM may have made it smaller, and calls it NAME.0 then.
        let of_llvm = |part: &str| part.chars().all(|letter| letter.is_ascii_digit());
        let plain = whole.rsplit_once('.').filter(|(_, part)| of_llvm(part));
        plain.map_or(whole.as_str(), |(before, _)| before).ends_with(&end)
    };
    let mut found = file.symbols().filter(|symbol| symbol.name().is_ok_and(is_it));
    let symbol = found.next().with_context(what)?;
    ensure!(found.next().is_none(), "there are several items {name}");
    Ok(symbol.address())
}

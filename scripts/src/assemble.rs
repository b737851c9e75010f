//! Programs in assembly and C, for the bare machine: the test guests, the benchmark's guest, a process in C.
//! gcc and ld are the system's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::output;

/// Options of every C program here: freestanding, no registers but the general ones, nothing that needs a
/// library.
pub const C_FLAGS: [&str; 11] = [
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-mno-red-zone",
    "-mgeneral-regs-only",
    "-fno-pic",
    "-fno-pie",
];

/// Compiles or assembles one source file into the folder `objects`; returns the object file.
///
/// # Errors
/// With the compiler's words.
pub fn object(source: &Path, objects: &Path, flags: &[&str], includes: &[PathBuf]) -> Result<PathBuf> {
    // All objects in one folder, by the source's name.
    let stem = source.file_stem().with_context(|| format!("{} names no file", source.display()))?;
    let object = objects.join(stem).with_extension("o");
    let mut gcc = Command::new("gcc");
    gcc.args(flags);
    for folder in includes {
        gcc.arg("-I").arg(folder);
    }
    gcc.arg("-c").arg("-o").arg(&object).arg(source);
    output(&mut gcc).with_context(|| format!("{} could not be compiled", source.display()))?;
    Ok(object)
}

/// Links object files, in this order, by a linker script.
///
/// # Errors
/// With the linker's words.
pub fn link(script: &Path, flags: &[&str], inputs: &[PathBuf], program: &Path) -> Result<PathBuf> {
    let mut ld = Command::new("ld");
    ld.args(flags).arg("-T").arg(script).arg("-o").arg(program);
    ld.args(inputs.iter().map(OsString::from));
    output(&mut ld).with_context(|| format!("{} could not be linked", program.display()))?;
    Ok(program.into())
}

/// The linker's options for guests: one segment that is writable and executable, at no page's border.
pub const GUEST_LINK: [&str; 2] = ["--no-warn-rwx-segments", "-n"];

/// Assembles the named sources and links them, in this order, into a guest.
///
/// # Errors
/// With the assembler's or linker's words.
pub fn guest(script: &Path, sources: &[PathBuf], objects: &Path, program: &Path) -> Result<PathBuf> {
    let assemble = |source: &PathBuf| object(source, objects, &[], &[]);
    let inputs = sources.iter().map(assemble).collect::<Result<Vec<_>>>()?;
    link(script, &GUEST_LINK, &inputs, program)
}

//! Debian's tpm2-tools for the guest: the one program that has all commands, the libraries that it is linked
//! with, and the library that it loads to reach a device.
//!
//! `cache/tpm2-tools/` holds the files under the names by which the program and its loader look for them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::Endianness;
use object::elf::{DT_NEEDED, DT_SONAME, DynamicTag, FileHeader64};
use object::read::elf::FileHeader;

use super::apt::Apt;
use super::package;
use crate::project::{Project, make_folder, write};
use crate::say;

/// The package, and its program.
const PACKAGE: &str = "tpm2-tools";
const PROGRAM: &str = "tpm2";
/// Loaded by name when it is asked for, so no other file says that it is needed.
const DEVICE: &str = "libtss2-tcti-device.so.0";
/// The loader, which programs name by a path of its own.
pub const LOADER: &str = "ld-linux-x86-64.so.2";
/// The suite that all of it is from: what one suite has goes together.
const SUITE: &str = "bookworm";

/// Returns the program, by the name `tpm2`, and the libraries, by the names that programs call them by.
///
/// # Errors
/// When they are not in the cache and Debian's packages can't be had.
pub fn fetch(project: &Project) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = project.cache.join(PACKAGE);
    if !folder.exists() {
        say::say("fetching tpm2-tools for the guest");
        let files = assemble(&Apt::open(project)?)?;
        // Under another name until it is whole: other checkouts share the cache.
        let new = project.cache.join(format!("{PACKAGE}.{}", std::process::id()));
        make_folder(&new)?;
        for (name, contents) in files {
            write(&new.join(name), contents)?;
        }
        // One that another checkout has put there meanwhile is as good.
        if std::fs::rename(&new, &folder).is_err() {
            ensure!(folder.exists(), "cannot rename {} to {}", new.display(), folder.display());
            std::fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
        }
    }
    read_all(&folder).with_context(|| format!("reading {}", folder.display()))
}

fn read_all(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?));
    }
    Ok(files)
}

/// The files, out of all packages that the package depends on.
fn assemble(apt: &Apt) -> Result<Vec<(String, Vec<u8>)>> {
    // The oldest suite is the last one.
    let version = apt.versions(PACKAGE)?.pop();
    let version =
        version.with_context(|| format!("Debian has no {PACKAGE} to be had; is there a network?"))?;
    let mut packages = apt.with_dependencies(PACKAGE, &version, SUITE)?;
    // What else there is (udev, adduser) has no libraries.
    packages.retain(|(name, _)| name == PACKAGE || name.starts_with("lib") || name.starts_with("zlib"));
    let mut there = BTreeMap::new();
    for deb in apt.fetch_all(&packages)? {
        for (path, contents) in package::files(&deb, is_program_or_library)? {
            there.insert(called(&path, &contents), contents);
        }
    }
    needed(there)
}

/// Whether a path of a package is the program's or a library's. Modules of libraries lie in folders below.
fn is_program_or_library(path: &str) -> bool {
    let (folder, file) = path.rsplit_once('/').unwrap_or_default();
    match folder.trim_start_matches('.').trim_start_matches("/usr") {
        "/bin" => file == PROGRAM,
        "/lib/x86_64-linux-gnu" => file.contains(".so"),
        _ => false,
    }
}

/// The name by which a file is looked for: for a library not its file's, but that in it.
fn called(path: &str, contents: &[u8]) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    dynamic_names(contents, DT_SONAME).into_iter().next().unwrap_or_else(|| file.to_owned())
}

/// Those of the files that the program needs, and that these need.
fn needed(mut there: BTreeMap<String, Vec<u8>>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut wanted = vec![PROGRAM.to_owned(), DEVICE.to_owned(), LOADER.to_owned()];
    let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        if found.contains_key(&name) {
            continue;
        }
        let contents = there.remove(&name).with_context(|| format!("no package has {name}"))?;
        wanted.extend(dynamic_names(&contents, DT_NEEDED));
        found.insert(name, contents);
    }
    Ok(found.into_iter().collect())
}

/// The names that an ELF file's dynamic section has under a tag. None, if it is no such file.
fn dynamic_names(contents: &[u8], tag: DynamicTag) -> Vec<String> {
    let names = || -> object::Result<Vec<String>> {
        let header = FileHeader64::<Endianness>::parse(contents)?;
        let endian = header.endian()?;
        let table = header.sections(endian, contents)?.dynamic_table(endian, contents)?;
        let names = table.iter().filter(|entry| entry.tag == tag).map(|entry| table.string(entry));
        names.map(|name| Ok(String::from_utf8_lossy(name?).into_owned())).collect()
    };
    names().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_of_packages() {
        for (path, is_wanted) in [
            ("./usr/bin/tpm2", true),
            ("./usr/bin/tss2", false),
            ("./lib/x86_64-linux-gnu/libc.so.6", true),
            ("./usr/lib/x86_64-linux-gnu/libz.so.1.2.13", true),
            ("./usr/lib/x86_64-linux-gnu/gconv/UTF-7.so", false),
            ("./usr/lib/x86_64-linux-gnu/libz.a", false),
        ] {
            assert_eq!(is_program_or_library(path), is_wanted, "{path}");
        }
        assert_eq!(called("./lib/x86_64-linux-gnu/libx.so.1", b"no ELF"), "libx.so.1");
    }

    #[test]
    fn the_loader_finds_what_a_program_names() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let libraries = dynamic_names(&program, DT_NEEDED);
        assert!(libraries.iter().any(|name| name.starts_with("libc.so")), "{libraries:?}");
        // Without files of these names there is no program to be had.
        assert!(needed([(PROGRAM.to_owned(), program)].into()).is_err());
    }
}

//! Files out of a Debian package.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Reads the regular files of a .deb whose path `wanted` accepts: names and contents, in the package's order.
///
/// # Errors
/// When dpkg-deb is not there or does not like the package.
pub fn files(deb: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>> {
    let what = || format!("reading {}", deb.display());
    let mut unpack = Command::new("dpkg-deb");
    // By dpkg-deb, which knows every compression that packages have had.
    unpack.arg("--fsys-tarfile").arg(deb).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child =
        unpack.spawn().with_context(|| format!("{} takes dpkg-deb, of the package dpkg", what()))?;
    let mut archive = child.stdout.take().with_context(what)?;
    let found = wanted_files(&mut archive, wanted).with_context(what)?;
    // Behind the end of the archive there may be padding, which dpkg-deb wants to be rid of.
    std::io::copy(&mut archive, &mut std::io::sink()).with_context(what)?;
    let status = child.wait().with_context(what)?;
    if !status.success() {
        bail!("dpkg-deb could not unpack {} ({status}); remove it, and it is fetched again", deb.display());
    }
    Ok(found)
}

/// The one file that `wanted` accepts.
///
/// # Errors
/// When there is none.
pub fn file(deb: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<u8>> {
    let first = files(deb, wanted)?.into_iter().find(|(_, contents)| !contents.is_empty());
    first.map(|(_, contents)| contents).with_context(|| format!("{} lacks what is looked for", deb.display()))
}

fn wanted_files(archive: impl Read, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        // Links lead to what is listed by itself.
        if entry.header().entry_type().is_file() && wanted(&name) {
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents)?;
            found.push((name, contents));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_of_an_archive() {
        let mut builder = tar::Builder::new(Vec::new());
        for name in ["./bin/busybox", "./boot/vmlinuz-6"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_cksum();
            builder.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        let archive = builder.into_inner().unwrap();
        let found = wanted_files(&archive[..], |name| name.contains("/vmlinuz")).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, b"abc");
        assert!(files(Path::new("/nowhere.deb"), |_| true).is_err());
    }
}

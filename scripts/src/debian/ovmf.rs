//! Debian's OVMF images: firmware that has, among much else, what SEV-SNP needs.

use anyhow::{Result, bail};

use super::apt::Apt;
use super::package;
use crate::project::Project;

/// The package of older suites, which has them all.
const PACKAGE: &str = "ovmf";
/// The images that are one ROM each, code and variables: one for any machine, and one that checks what it
/// boots by hashes that were measured; with the package that newer suites have for each.
const FILES: [(&str, &str); 2] = [(GENERIC, "ovmf-generic"), (AMDSEV, "ovmf-amdsev")];
/// The one for any machine.
pub const GENERIC: &str = "OVMF.fd";
/// The one that checks what it boots.
pub const AMDSEV: &str = "OVMF.amdsev.fd";

/// The images for any machine of all versions that the suites have: version and contents, newest first.
///
/// # Errors
/// When Debian's packages can't be had.
pub fn images(project: &Project) -> Result<Vec<(String, Vec<u8>)>> {
    let apt = Apt::open(project)?;
    let mut images = Vec::new();
    for version in apt.versions(PACKAGE)? {
        let deb = apt.fetch(PACKAGE, &version)?;
        images.push((version, package::file(&deb, |path| is_of(path, GENERIC))?));
    }
    Ok(images)
}

/// The newest image of that name: version and contents. It is one of the unstable suite's where the others
/// have none.
///
/// # Errors
/// When there is no such, or Debian's packages can't be had.
pub fn newest(project: &Project, name: &str) -> Result<(String, Vec<u8>)> {
    match newest_of(&Apt::open(project)?, name)? {
        Some(found) => Ok(found),
        None => match newest_of(&Apt::open_unstable(project)?, name)? {
            Some(found) => Ok(found),
            None => bail!("no suite has a package with {name}"),
        },
    }
}

fn newest_of(apt: &Apt, name: &str) -> Result<Option<(String, Vec<u8>)>> {
    let own = FILES.iter().filter(|(file, _)| *file == name).map(|(_, package)| *package);
    for package in own.chain([PACKAGE]) {
        for version in apt.versions(package)? {
            let deb = apt.fetch(package, &version)?;
            // Not every version has every image.
            if let Some((_, rom)) = package::files(&deb, |path| is_of(path, name))?.into_iter().next() {
                return Ok(Some((version, rom)));
            }
        }
    }
    Ok(None)
}

/// Whether a name is that of an image.
pub fn is_known(name: &str) -> bool {
    FILES.iter().any(|(file, _)| *file == name)
}

fn is_of(path: &str, name: &str) -> bool {
    path.ends_with(&format!("/usr/share/ovmf/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(is_known("OVMF.fd") && is_known("OVMF.amdsev.fd") && !is_known("OVMF.ms.fd"));
        assert!(is_of("./usr/share/ovmf/OVMF.fd", GENERIC));
        assert!(!is_of("./usr/share/ovmf/OVMF.amdsev.fd", GENERIC));
    }
}

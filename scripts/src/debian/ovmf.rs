//! Debian's OVMF images: firmware that has, among much else, what SEV-SNP needs.

use anyhow::Result;

use super::apt::Apt;
use super::package;
use crate::project::Project;

/// The package, and the file in it that is one ROM, code and variables.
const PACKAGE: &str = "ovmf";
const FILE: &str = "/usr/share/ovmf/OVMF.fd";

/// The images of all versions that the suites have: version and contents, newest first.
///
/// # Errors
/// When Debian's packages can't be had.
pub fn images(project: &Project) -> Result<Vec<(String, Vec<u8>)>> {
    let apt = Apt::open(project)?;
    let mut images = Vec::new();
    for version in apt.versions(PACKAGE)? {
        let deb = apt.fetch(PACKAGE, &version)?;
        images.push((version, package::file(&deb, |path| path.ends_with(FILE))?));
    }
    Ok(images)
}

//! Guests' kernels: Debian's linux-image-cloud-amd64, unmodified, of the release asked for; or, of a release
//! with `-full` behind it, linux-image-amd64, which has the drivers of all machines.
//!
//! `cache/kernels/RELEASE/` holds `vmlinuz` and `package`, the name and version of the package it is from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::apt::{Apt, is_fresh};
use super::package;
use crate::command::captured;
use crate::project::{Project, make_folder, read, write};
use crate::say;

/// The packages that depend on the newest kernel of each release: for clouds, and for any machine.
const META: &str = "linux-image-cloud-amd64";
const META_FULL: &str = "linux-image-amd64";
const FULL: &str = "-full";

/// Returns the path of a vmlinuz, downloaded if it is not there or old. `release` is `newest` or the start of
/// a version, such as `6.1`; `6.1-full` is the kernel for any machine.
///
/// # Errors
/// When there is no such kernel to be had, nor was.
pub fn fetch(project: &Project, release: &str) -> Result<PathBuf> {
    let folder = folder(project, release);
    let vmlinuz = folder.join("vmlinuz");
    if is_fresh(&vmlinuz) {
        return Ok(vmlinuz);
    }
    match refresh(project, release, &folder) {
        // An old kernel is better than none where there is no network.
        Err(error) if vmlinuz.exists() => {
            say::say(format_args!("keeping the kernel of release {release} fetched before: {error:#}"));
            Ok(vmlinuz)
        }
        result => result.map(|()| vmlinuz),
    }
}

/// Modules of a kernel that [`fetch`] got, by name: those that are in its package. The others are built in.
///
/// # Errors
/// When the package can't be had.
pub fn modules(project: &Project, release: &str, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    fetch(project, release)?;
    let text = read(&folder(project, release).join("package"))?;
    let (name, version) = text.trim().split_once(' ').context("kernels/RELEASE/package is NAME VERSION")?;
    let apt = Apt::open(project)?;
    // Since 7.0 they are in a package of their own, compressed.
    let package = apt.dependency(name, version, |name| numbered(name, "linux-modules-"))?;
    let deb = apt.fetch(package.as_ref().map_or(name, |(name, _)| name), version)?;
    let found = package::files(&deb, |path| module_name(path).is_some_and(|name| names.contains(&name)))?;
    let plain = |(path, contents): (String, Vec<u8>)| {
        let name = module_name(&path).unwrap_or_default().to_owned();
        let contents = if path.ends_with(".xz") { decompressed(project, &contents)? } else { contents };
        Ok((name, contents))
    };
    found.into_iter().map(plain).collect()
}

/// The name of the module in a file, if it is one.
fn module_name(path: &str) -> Option<&str> {
    let file = path.rsplit('/').next()?;
    file.strip_suffix(".ko").or_else(|| file.strip_suffix(".ko.xz"))
}

/// What `xz` makes of a file's contents.
fn decompressed(project: &Project, contents: &[u8]) -> Result<Vec<u8>> {
    let file = project.work.join(format!("module.{}.xz", std::process::id()));
    write(&file, contents)?;
    let output = captured(Command::new("xz").args(["--decompress", "--stdout"]).arg(&file))?;
    std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    ensure!(output.status.success(), "xz cannot unpack a module: {}", output.status);
    Ok(output.stdout)
}

fn folder(project: &Project, release: &str) -> PathBuf {
    project.cache.join("kernels").join(release)
}

/// Fetches the newest such kernel.
fn refresh(project: &Project, release: &str, folder: &Path) -> Result<()> {
    let apt = Apt::open(project)?;
    let lists = project.work.join("apt-lists.log");
    let (name, start) = flavour(release);
    let meta = of_release(apt.versions(name)?, start).with_context(|| {
        format!("no Debian kernel {release} is to be had; apt's words are in {}", lists.display())
    })?;
    let (image, version) = apt
        .dependency(name, &meta, |name| numbered(name, "linux-image-"))?
        .with_context(|| format!("{name} {meta} names no kernel package"))?;
    // The two packages need not have the same version.
    let version = version.unwrap_or(meta);
    // Since 7.0 the kernel itself is in a package of its own.
    let binary = apt.dependency(&image, &version, |name| numbered(name, "linux-binary-"))?;
    let deb = apt.fetch(binary.as_ref().map_or(&image, |(name, _)| name), &version)?;
    let kernel = package::file(&deb, |path| path.contains("/vmlinuz"))?;
    make_folder(folder)?;
    // Whole or not at all: another checkout may be reading it.
    let new = folder.join(format!("vmlinuz.{}", std::process::id()));
    write(&new, kernel)?;
    write(&folder.join("package"), format!("{image} {version}\n"))?;
    std::fs::rename(&new, folder.join("vmlinuz")).context("cannot put the kernel in its place")?;
    say::say(format_args!("guest kernel {release} is {}", image.trim_start_matches("linux-image-")));
    Ok(())
}

/// The package that depends on a release's kernel, and the start of its version.
fn flavour(release: &str) -> (&'static str, &str) {
    release.strip_suffix(FULL).map_or((META, release), |start| (META_FULL, start))
}

/// The first version, newest first, of a release.
fn of_release(versions: Vec<String>, release: &str) -> Option<String> {
    // With the dot: release 6.1 is no beginning of 6.12.
    let start = format!("{release}.");
    versions.into_iter().find(|version| release == "newest" || version.starts_with(&start))
}

/// Whether a package's name is the prefix and a number.
fn numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        let versions = || ["7.3.4-1", "6.12.9-1", "6.1.192-2", "6.1.100-1"].map(str::to_owned).to_vec();
        for (release, version) in [("newest", "7.3.4-1"), ("6.1", "6.1.192-2"), ("6.12", "6.12.9-1")] {
            assert_eq!(of_release(versions(), release).as_deref(), Some(version));
        }
        assert_eq!(of_release(versions(), "5.10"), None);
        assert_eq!(flavour("6.12"), (META, "6.12"));
        assert_eq!(flavour("newest-full"), (META_FULL, "newest"));
        for (path, name) in [
            ("./lib/modules/6.1/kernel/drivers/virtio/virtio.ko", Some("virtio")),
            ("./usr/lib/modules/7.3/kernel/net/core/failover.ko.xz", Some("failover")),
            ("./boot/vmlinuz-6.1", None),
        ] {
            assert_eq!(module_name(path), name);
        }
        assert!(numbered("linux-image-6.1.0-56-cloud-amd64", "linux-image-"));
        assert!(!numbered("linux-image-cloud-amd64", "linux-image-"));
    }
}

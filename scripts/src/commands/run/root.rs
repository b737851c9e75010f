//! The disk that a guest has its root on: the user's own copy of Debian's.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::{DiskFile, Loader, Network, Options};
use crate::debian::disk;
use crate::disk_key::encrypted;
use crate::project::Project;
use crate::say;

/// The options of a guest with its root on a disk: which file that is, and what the kernel is told. Those of
/// other guests stay as they are.
///
/// # Errors
/// When there is no making the disk.
pub fn settled(project: &Project, options: &Options) -> Result<Options> {
    if !options.has_root_disk() || options.loader == Some(Loader::Direct) {
        return Ok(options.clone());
    }
    let asked = options.disk.as_ref();
    ensure!(asked.is_none_or(|disk| !disk.is_ram), "Debian's disk is too large for the machine's memory");
    let is_encrypted = asked.is_some_and(|disk| disk.is_encrypted);
    let is_nvme = asked.is_some_and(|disk| disk.is_nvme);
    let device = if is_nvme { "/dev/nvme0n1" } else { "/dev/vda" };
    Ok(Options {
        disk: Some(DiskFile { file: users(project, is_encrypted)?, is_ram: false, is_encrypted, is_nvme }),
        net: options.net.or(Some(Network::User)),
        append: format!("{} root={device}", options.append),
        ..options.clone()
    })
}

/// The user's disk, made if it is not there.
fn users(project: &Project, is_encrypted: bool) -> Result<PathBuf> {
    let name = if is_encrypted { "debian-encrypted.img" } else { "debian.img" };
    let file = project.work.join(name);
    if file.exists() {
        return Ok(file);
    }
    let disk = disk::fetch(project)?;
    if is_encrypted {
        encrypted::copy(&disk, &file)?;
    } else {
        disk::copy(&disk, &file)?;
    }
    say::say(format_args!("the guest's disk is {}; remove it for a new one", file.display()));
    Ok(file)
}

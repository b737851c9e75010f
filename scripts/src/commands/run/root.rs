//! The disk that a guest has its root on: the user's own copy of Debian's.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use block_crypt::{KeyError, Xts};

use super::{DiskFile, Loader, Network, Options};
use crate::debian::disk;
use crate::project::Project;
use crate::{disk_key, say};

/// Bytes that are encrypted at a time.
const PIECE: usize = 1 << 20;

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
    ensure!(asked.is_none_or(|disk| !disk.is_nvme), "Debian's disk is a virtio one, /dev/vda");
    let is_encrypted = asked.is_some_and(|disk| disk.is_encrypted);
    Ok(Options {
        disk: Some(DiskFile {
            file: users(project, is_encrypted)?,
            is_ram: false,
            is_encrypted,
            is_nvme: false,
        }),
        net: options.net.or(Some(Network::User)),
        append: format!("{} root=/dev/vda", options.append),
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
        encrypt(&disk, &file)?;
    } else {
        disk::copy(&disk, &file)?;
    }
    say::say(format_args!("the guest's disk is {}; remove it for a new one", file.display()));
    Ok(file)
}

/// Makes an encrypted copy of a disk, and its key.
fn encrypt(disk: &Path, file: &Path) -> Result<()> {
    let bytes = fs::metadata(disk).with_context(|| format!("cannot read {}", disk.display()))?.len();
    let new = file.with_extension("new");
    let _ = fs::remove_file(&new);
    disk_key::make_disk(&new, bytes)?;
    let key = disk_key::of_disk(&new)?;
    let read = fs::read(&key).with_context(|| format!("cannot read {}", key.display()))?;
    let cipher = Xts::new(&read).map_err(|error: KeyError| anyhow::anyhow!("{error}"))?;
    let bar = say::bar(bytes, "encrypting the disk");
    let (mut from, mut to) = (File::open(disk)?, File::create(&new)?);
    let (mut piece, mut sector) = (vec![0; PIECE], 0);
    loop {
        // Whole sectors: a disk has no others, and pieces are read whole.
        let count = read_whole(&mut from, &mut piece).context("reading the disk")?;
        let Some(some) = piece.get_mut(..count).filter(|some| !some.is_empty()) else { break };
        cipher.encrypt(sector, some);
        to.write_all(some).with_context(|| format!("cannot write {}", new.display()))?;
        sector += count as u64 / 512;
        bar.inc(count as u64);
    }
    bar.finish_and_clear();
    // The key first: a disk without one would be lost.
    fs::rename(&key, disk_key::key_file(file)).context("the disk's key")?;
    fs::rename(&new, file).with_context(|| format!("cannot write {}", file.display()))
}

/// Reads until the buffer is full or there is no more.
fn read_whole(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match from.read(rest)? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_copy_is_decrypted_by_its_key() {
        let folder = std::env::temp_dir().join(format!("plinth-root-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (disk, file) = (folder.join("disk"), folder.join("copy.img"));
        // More than a piece, and not a whole number of them.
        let plain = crate::testing::bytes_by_chance(PIECE + 1024);
        fs::write(&disk, &plain).unwrap();
        encrypt(&disk, &file).unwrap();
        let mut found = fs::read(&file).unwrap();
        assert!(found.len() == plain.len() && found != plain);
        let key = fs::read(folder.join("copy.img.key")).unwrap();
        Xts::new(&key).unwrap().decrypt(0, &mut found);
        assert!(found == plain);
        fs::remove_dir_all(&folder).unwrap();
    }
}

//! An encrypted copy of a disk.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use block_crypt::{KeyError, Xts};

use crate::say;

/// Bytes that are encrypted at a time.
const PIECE: usize = 1 << 20;

/// Makes it, and its key.
///
/// # Errors
/// With the name of what can't be read or written.
pub fn copy(disk: &Path, file: &Path) -> Result<()> {
    let bytes = fs::metadata(disk).with_context(|| format!("cannot read {}", disk.display()))?.len();
    let new = file.with_extension("new");
    let _ = fs::remove_file(&new);
    super::make_disk(&new, bytes)?;
    let key = super::of_disk(&new)?;
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
    fs::rename(&key, super::key_file(file)).context("the disk's key")?;
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
        let folder = std::env::temp_dir().join(format!("plinth-encrypted-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (disk, file) = (folder.join("disk"), folder.join("copy.img"));
        // More than a piece, and not a whole number of them.
        let plain = crate::testing::bytes_by_chance(PIECE + 1024);
        fs::write(&disk, &plain).unwrap();
        copy(&disk, &file).unwrap();
        let mut found = fs::read(&file).unwrap();
        assert!(found.len() == plain.len() && found != plain);
        let key = fs::read(folder.join("copy.img.key")).unwrap();
        Xts::new(&key).unwrap().decrypt(0, &mut found);
        assert!(found == plain);
        fs::remove_dir_all(&folder).unwrap();
    }
}

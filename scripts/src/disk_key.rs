//! Keys of encrypted disks, each a file beside what it encrypts.

pub mod encrypted;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use block_crypt::KEY_BYTES;

/// What of a disk is looked at for data: file systems and tables of partitions begin there.
const BEGINNING: u64 = 1 << 20;

/// Makes an empty disk if there is no file of that name.
///
/// # Errors
/// With its name.
pub fn make_disk(file: &Path, bytes: u64) -> Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).open(file);
    match made.and_then(|made| made.set_len(bytes)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.with_context(|| format!("cannot make {}", file.display())),
    }
}

/// The key of a disk, `FILE.key`. It is made when there is none and the disk is still empty.
///
/// # Errors
/// When it can't be read or made, when it has not the length of a key, and when there is none but data on the
/// disk: by a new key they would be noise.
pub fn of_disk(disk: &Path) -> Result<PathBuf> {
    let file = key_file(disk);
    match std::fs::metadata(&file) {
        Ok(found) => {
            let (bytes, name) = (found.len(), file.display());
            ensure!(bytes == KEY_BYTES as u64, "the key {name} has {bytes} bytes and not {KEY_BYTES}");
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            ensure!(
                is_empty(disk)?,
                "{} has data, and there is no key {}: a disk that is encrypted begins empty. If these are \
                 data that no key is needed for, make a key yourself: head -c {KEY_BYTES} /dev/urandom",
                disk.display(),
                file.display()
            );
            make(&file)?;
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
    Ok(file)
}

/// The file with a disk's key, whether it is there or not.
pub fn key_file(disk: &Path) -> PathBuf {
    let mut name = disk.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

fn is_empty(disk: &Path) -> Result<bool> {
    let mut bytes = Vec::new();
    let mut read = || File::open(disk)?.take(BEGINNING).read_to_end(&mut bytes);
    read().with_context(|| format!("cannot read {}", disk.display()))?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}

/// Makes a key that nobody but the user may read.
fn make(file: &Path) -> Result<()> {
    let mut key = [0; KEY_BYTES];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).context("/dev/urandom")?;
    write_private(file, &key)
}

/// Writes a file that has a key in it: nobody but the user may read it, from its first byte on.
///
/// # Errors
/// With its name.
pub fn write_private(file: &Path, contents: &[u8]) -> Result<()> {
    // Whole or not at all, and never in a file that others may read already.
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    let write = || {
        let _ = std::fs::remove_file(&new);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?.write_all(contents)?;
        std::fs::rename(&new, file)
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_an_empty_disk() {
        let folder = std::env::temp_dir().join(format!("plinth-key-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let disk = folder.join("disk.img");
        std::fs::write(&disk, [0; 4096]).unwrap();
        let key = of_disk(&disk).unwrap();
        assert_eq!(key, folder.join("disk.img.key"));
        let bytes = std::fs::read(&key).unwrap();
        assert!(bytes.len() == KEY_BYTES && bytes[..32] != bytes[32..]);
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        // It stays, whatever the disk has then.
        std::fs::write(&disk, [1; 4096]).unwrap();
        assert_eq!(of_disk(&disk).unwrap(), key);
        assert_eq!(std::fs::read(&key).unwrap(), bytes);
        std::fs::write(&key, [1; 63]).unwrap();
        assert!(of_disk(&disk).unwrap_err().to_string().contains("has 63 bytes and not 64"));
        std::fs::remove_file(&key).unwrap();
        assert!(of_disk(&disk).unwrap_err().to_string().contains("has data, and there is no key"));
        assert!(!key.exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

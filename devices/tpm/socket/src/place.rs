//! What the engine stands on: the operating system's entropy and clock, and two files.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tpm2_engine::{Platform, PlatformError, RustCrypto, Storage, Tpm};

struct Machine(Instant);

impl Platform for Machine {
    fn entropy(&mut self, out: &mut [u8]) -> Result<(), PlatformError> {
        getrandom::fill(out).map_err(|_| PlatformError)
    }

    fn milliseconds(&mut self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Two files in a folder, each written in place: while one is being written, the other is whole. A write has
/// ended when the disk has it, so that a crash of the machine leaves the old state or the new one.
struct Files {
    folder: PathBuf,
    paths: [PathBuf; 2],
    /// Each once it was written.
    open: [Option<fs::File>; 2],
}

impl Files {
    fn new(folder: &Path) -> Files {
        let paths = ["tpm2-state.0", "tpm2-state.1"].map(|name| folder.join(name));
        Files { folder: folder.to_owned(), paths, open: [None, None] }
    }
}

impl Storage for Files {
    fn read(&mut self, slot: usize) -> Result<Vec<u8>, PlatformError> {
        match fs::read(self.paths.get(slot).ok_or(PlatformError)?) {
            // Nothing was written to the slot yet.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|_| PlatformError),
        }
    }

    fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), PlatformError> {
        let (path, open) = self.paths.get(slot).zip(self.open.get_mut(slot)).ok_or(PlatformError)?;
        // Taken out: after a write that failed nothing is known of the file, and it is opened again. So it is
        // if somebody has removed it, as nothing would be kept by what has no name.
        let file = open.take().filter(|file| file.metadata().is_ok_and(|data| data.nlink() > 0));
        let file = file.map_or_else(|| open_through(&self.folder, path), Ok);
        let written = file.and_then(|file| write_through(&file, bytes).map(|()| file));
        *open = Some(written.map_err(|_| PlatformError)?);
        Ok(())
    }
}

/// Opens a file of a folder for writing. A new one's name is on the disk then.
fn open_through(folder: &Path, path: &Path) -> std::io::Result<fs::File> {
    let is_new = !path.exists();
    let file = fs::File::options().create(true).truncate(false).write(true).open(path)?;
    // The name lies in the folder, and would be lost with the power.
    if is_new {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// Writes all of a file and waits until the disk has its content and its size.
fn write_through(file: &fs::File, bytes: &[u8]) -> std::io::Result<()> {
    // In place: a file that is cut to nothing first costs as much again as the write.
    file.write_all_at(bytes, 0)?;
    let size = bytes.len() as u64;
    if file.metadata()?.len() != size {
        file.set_len(size)?;
    }
    // On the disk before the other slot may be written: one whole state is there at any moment.
    file.sync_all()
}

fn read_key(option: &str) -> Result<[u8; 32]> {
    let path = crate::options::value(option, "file").context("--key file=... is missing")?;
    let bytes = fs::read(path).with_context(|| format!("the key {path} can't be read"))?;
    // 32 bytes are the key itself; 64 digits can't be mistaken for it.
    if let Ok(key) = bytes.as_slice().try_into() {
        return Ok(key);
    }
    let text = String::from_utf8(bytes).context("the key is neither 32 bytes nor hexadecimal")?;
    let digits: Vec<u8> =
        text.trim().chars().map_while(|digit| digit.to_digit(16)).map(|d| d as u8).collect();
    ensure!(digits.len() == 64, "the key has {} hexadecimal digits, not 64", digits.len());
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        *byte = pair.iter().fold(0, |byte, digit| (byte << 4) | digit);
    }
    Ok(key)
}

/// Opens the TPM whose state is in a folder.
///
/// # Errors
///
/// The state can't be read, or is damaged.
pub fn open(tpmstate: &str, key: Option<&str>) -> Result<Tpm> {
    let folder =
        PathBuf::from(crate::options::value(tpmstate, "dir").context("--tpmstate dir=... is missing")?);
    ensure!(folder.is_dir(), "{} is no folder", folder.display());
    // Without a key the HMAC under zeros is a checksum (`Tpm::open`).
    let key = key.map(read_key).transpose()?.unwrap_or_default();
    let (machine, files) = (Box::new(Machine(Instant::now())), Box::new(Files::new(&folder)));
    let tpm = Tpm::open(Box::new(RustCrypto), machine, files, &key)?;
    if tpm.is_new() {
        eprintln!("a new TPM was made in {}", folder.display());
    }
    Ok(tpm)
}

#[cfg(test)]
mod tests {
    use super::{Files, Storage};

    #[test]
    fn a_slot_has_what_was_written_last() {
        let folder = std::env::temp_dir().join(format!("tpm2-socket-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut files = Files::new(&folder);
        assert_eq!(files.read(0).unwrap(), []);
        for bytes in [&b"a long state"[..], b"short", b"longer"] {
            files.write(0, bytes).unwrap();
            assert_eq!(files.read(0).unwrap(), bytes);
        }
        // Somebody removes the file: the next write makes it again, or fails where there is no folder.
        std::fs::remove_file(folder.join("tpm2-state.0")).unwrap();
        files.write(0, b"again").unwrap();
        assert_eq!(files.read(0).unwrap(), b"again");
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(files.write(0, b"lost").is_err());
    }
}

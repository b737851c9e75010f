//! The key of an encrypted disk: a file of the image, until there is somebody who hands keys out to guests
//! that have shown what they are. Who has the image has the key.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use block_crypt::{Encrypted, KeySource};
use devices::disk::Disk;
use runtime::abi::operation::Handle;
use runtime::process;
use zeroize::Zeroizing;

/// A file of the image. Plinth's processes with the handle of its files can read it; the guest can't.
#[derive(Clone, Copy, Debug)]
pub struct KeyFile<'a> {
    /// The image's files.
    pub files: Handle,
    /// Its name.
    pub name: &'a str,
}

impl KeySource for KeyFile<'_> {
    type Error = String;

    fn key(&mut self) -> Result<Zeroizing<Vec<u8>>, String> {
        let bytes = process::open(self.files, self.name).and_then(|file| {
            let bytes = process::read(file);
            process::close(file)?;
            bytes
        });
        bytes.map(Zeroizing::new).map_err(|status| format!("the disk's key {}: {status}", self.name))
    }
}

/// A disk that is encrypted on another one.
///
/// # Errors
/// When there is no key, or the bytes are none.
pub fn encrypted<D: Disk>(
    disk: D,
    mut source: impl KeySource<Error = String>,
) -> Result<Encrypted<D>, String> {
    let key = source.key()?;
    Encrypted::new(disk, &key).map_err(|error| format!("the disk's key: {error}"))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use block_crypt::KEY_BYTES;
    use devices::disk::DiskError;

    use super::*;

    /// Any bytes as a key, or none.
    struct Given(Option<Vec<u8>>);

    impl KeySource for Given {
        type Error = String;

        fn key(&mut self) -> Result<Zeroizing<Vec<u8>>, String> {
            self.0.take().map(Zeroizing::new).ok_or_else(|| "there is none".into())
        }
    }

    struct Nothing;

    impl Disk for Nothing {
        fn bytes(&self) -> u64 {
            0
        }

        fn is_read_only(&self) -> bool {
            true
        }

        fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), DiskError> {
            Err(DiskError)
        }

        fn write(&mut self, _: u64, _: &[u8]) -> Result<(), DiskError> {
            Err(DiskError)
        }

        fn flush(&mut self) -> Result<(), DiskError> {
            Err(DiskError)
        }

        fn discard(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
            Err(DiskError)
        }

        fn write_zeroes(&mut self, _: u64, _: u64) -> Result<(), DiskError> {
            Err(DiskError)
        }
    }

    #[test]
    fn a_disk_without_a_right_key_is_none_in_words() {
        let mut halves = vec![1; KEY_BYTES];
        for (key, expected) in [
            (None, "there is none"),
            (Some(vec![1; 63]), "the disk's key: it has 63 bytes and not 64"),
            (Some(vec![]), "the disk's key: it has 0 bytes and not 64"),
            (Some(halves.clone()), "the disk's key: its halves are the same"),
        ] {
            assert_eq!(encrypted(Nothing, Given(key)).err().as_deref(), Some(expected));
        }
        halves[0] = 2;
        assert!(encrypted(Nothing, Given(Some(halves))).is_ok());
    }
}

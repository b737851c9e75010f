use alloc::vec;

use super::*;
use crate::RustCrypto;

const KEY: [u8; 32] = [7; 32];

/// What is opened of a new TPM's snapshot of a format, with these bytes as its contents' last.
fn reopened(format: u16, end: impl FnOnce(&mut Vec<u8>)) -> Result<Permanent, OpenError> {
    let mut drbg = Drbg::new(&RustCrypto, &[&[1; 48], b"test"]);
    let permanent = Permanent::manufacture(&RustCrypto, &mut drbg);
    let (store, _) = Store::open(&RustCrypto, Box::<[Vec<u8>; 2]>::default(), &KEY, None)?;
    let mut contents = permanent.encode();
    end(&mut contents);
    let snapshot = store.seal(&RustCrypto, format, &[3; IV], contents)?;
    let (_, found) = Store::open(&RustCrypto, Box::new([snapshot, vec![]]), &KEY, None)?;
    found.ok_or(OpenError::Damaged)
}

#[test]
fn former_formats_are_read() {
    // The first one had nothing of the platform's, which is the last field.
    let first = reopened(1, |contents| contents.truncate(contents.len() - 2)).unwrap();
    assert!(first.platform_data.is_empty());
    let second = reopened(2, |contents| {
        contents.truncate(contents.len() - 2);
        contents.extend([0, 3, 7, 8, 9]);
    });
    assert_eq!(second.unwrap().platform_data, [7, 8, 9]);
    assert_eq!(reopened(3, |_| {}).err(), Some(OpenError::Format(3)));
    assert_eq!(reopened(0, |_| {}).err(), Some(OpenError::Format(0)));
    assert_eq!(reopened(2, |contents| contents.push(0)).err(), Some(OpenError::Content));
    let long = |contents: &mut Vec<u8>| {
        contents.truncate(contents.len() - 2);
        contents.extend([0, 65]);
        contents.extend([0; 65]);
    };
    assert_eq!(reopened(2, long).err(), Some(OpenError::Content));
}

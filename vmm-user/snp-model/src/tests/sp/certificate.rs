//! The chain of certificates, taken apart again.

use plinth_snp_abi::id_block::{EcdsaPublicKey, EcdsaSignature};
use plinth_snp_abi::report::CertificateEntry;
use zerocopy::FromBytes;

use super::platform;
use crate::sp::verify;

/// The first value of DER: its tag, its bytes with tag and length, its contents, and what is behind it.
fn first(bytes: &[u8]) -> (u8, &[u8], &[u8], &[u8]) {
    let (start, length) = match bytes[1] {
        0x81 => (3, usize::from(bytes[2])),
        0x82 => (4, usize::from(bytes[2]) << 8 | usize::from(bytes[3])),
        short => (2, usize::from(short)),
    };
    let end = start + length;
    (bytes[0], &bytes[..end], &bytes[start..end], &bytes[end..])
}

/// What is signed of a certificate, the point of its key, and the signature.
fn parts(certificate: &[u8]) -> (&[u8], EcdsaPublicKey, EcdsaSignature) {
    let (tag, _, contents, rest) = first(certificate);
    assert!(tag == 0x30 && rest.is_empty());
    let (_, signed, fields, rest) = first(contents);
    let (_, _, _, signature) = first(rest);
    let (tag, _, signature, rest) = first(signature);
    assert!(tag == 3 && signature[0] == 0 && rest.is_empty());
    let (_, _, numbers, _) = first(&signature[1..]);
    let (_, _, r, rest) = first(numbers);
    let (_, _, s, _) = first(rest);
    let number = |digits: &[u8]| {
        let mut number = [0; 48];
        let digits = if digits.len() > 48 { &digits[1..] } else { digits };
        number[48 - digits.len()..].copy_from_slice(digits);
        number
    };
    // Version, serial number, algorithm, issuer, validity, subject are before the key.
    let key = (0..6).fold(fields, |rest, _| first(rest).3);
    let (_, _, key, _) = first(key);
    let (_, _, point, _) = first(first(key).3);
    assert_eq!((point.len(), point[0], point[1]), (98, 0, 4));
    let coordinate = |at: usize| *point[at..].first_chunk().unwrap();
    let public = EcdsaPublicKey::p384(&coordinate(2), &coordinate(50));
    (signed, public, EcdsaSignature::p384(&number(r), &number(s)))
}

#[test]
fn each_is_signed_by_the_one_above() {
    // More than one seed: numbers with and without a leading zero byte.
    for seed in 0..6 {
        let platform = crate::sp::Platform::new([seed; 32]);
        let chain = platform.chain();
        let [ark, ask, vcek] = [&chain.ark, &chain.ask, &chain.vcek].map(|certificate| parts(certificate));
        for ((signed, _, signature), (_, key, _)) in [(ark, ark), (ask, ark), (vcek, ask)] {
            assert!(verify(&key, signed, &signature), "{seed}");
        }
        assert!(!verify(&ark.1, vcek.0, &vcek.2) && !verify(&vcek.1, vcek.0, &vcek.2));
        let (x, y) = platform.vcek();
        assert_eq!(vcek.1, EcdsaPublicKey::p384(&x, &y));
    }
}

#[test]
fn the_chip_is_in_its_certificate() {
    let vcek = platform().chain().vcek;
    let has = |bytes: &[u8]| vcek.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(&platform().chip_id) && has(b"Milan-B0"));
    // 1.3.6.1.4.1.3704.1.3.3, SNP's part of the TCB, is 24, and 3.8, the microcode, 219 behind a zero.
    assert!(has(&[0x9c, 0x78, 1, 3, 3, 4, 3, 2, 1, 24]));
    assert!(has(&[0x9c, 0x78, 1, 3, 8, 4, 4, 2, 2, 0, 219]));
    // Another TCB is another key.
    let mut other = platform();
    other.tcb.snp += 1;
    assert_ne!(other.vcek(), platform().vcek());
}

#[test]
fn tables() {
    let chain = platform().chain();
    let table = chain.table();
    let entry = |number: usize| CertificateEntry::read_from_bytes(&table[number * 24..][..24]).unwrap();
    for (number, (first, certificate)) in
        [(0x8d, &chain.vcek), (0x79, &chain.ask), (0xa4, &chain.ark)].into_iter().enumerate()
    {
        let entry = entry(number);
        let range = entry.offset as usize..(entry.offset + entry.length) as usize;
        assert_eq!((entry.guid[0], &table[range]), (first, &certificate[..]));
    }
    assert_eq!(entry(3), CertificateEntry::default());
}

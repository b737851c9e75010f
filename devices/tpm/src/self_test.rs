//! Self-tests: each primitive once with a known answer, before anything is done with it.

use crate::crypto::{Crypto, Curve, Hash};

/// FIPS 180-4's "abc": the first four bytes of each digest.
const ABC: [(Hash, [u8; 4]); 4] = [
    (Hash::Sha1, [0xa9, 0x99, 0x3e, 0x36]),
    (Hash::Sha256, [0xba, 0x78, 0x16, 0xbf]),
    (Hash::Sha384, [0xcb, 0x00, 0x75, 0x3f]),
    (Hash::Sha512, [0xdd, 0xaf, 0x35, 0xa1]),
];

fn hashes(crypto: &dyn Crypto) -> bool {
    // A fault in a hash changes all of its bytes, so that a few of them are enough.
    ABC.iter().all(|(hash, start)| crypto.digest(*hash, &[b"ab", b"c"]).starts_with(start))
}

/// RFC 4231, test case 2.
fn hmac(crypto: &dyn Crypto) -> bool {
    let mac = crypto.hmac(Hash::Sha256, b"Jefe", &[b"what do ya want ", b"for nothing?"]);
    mac.starts_with(&[0x5b, 0xdc, 0xc1, 0x46]) && mac.ends_with(&[0xec, 0x38, 0x43])
}

/// FIPS 197, appendices B and C.3.
fn aes(crypto: &dyn Crypto) -> bool {
    let key: [u8; 32] = core::array::from_fn(|at| at as u8);
    let mut block: [u8; 16] = core::array::from_fn(|at| at as u8 * 0x11);
    let Some(cipher) = crypto.aes(&key) else { return false };
    cipher.encrypt(&mut block);
    let is_good = block.starts_with(&[0x8e, 0xa2, 0xb7, 0xca]);
    cipher.decrypt(&mut block);
    is_good && block == core::array::from_fn(|at| at as u8 * 0x11)
}

/// A signature that has to verify, and one of another digest that must not.
fn curves(crypto: &dyn Crypto) -> bool {
    Curve::ALL.into_iter().all(|curve| {
        let (key, nonce) = ([3; 32], [5; 32]);
        let digest = [7; 32];
        let Some(public) = crypto.ecc_multiply(curve, None, &key) else { return false };
        let Some(signature) = crypto.ecdsa_sign(curve, &key, &nonce, &digest) else { return false };
        crypto.ecdsa_verify(curve, &public, &digest, &signature)
            && !crypto.ecdsa_verify(curve, &public, &[8; 32], &signature)
    })
}

type Test = fn(&dyn Crypto) -> bool;

/// Runs all tests and returns what failed.
pub(crate) fn run(crypto: &dyn Crypto) -> Option<&'static str> {
    let tests: [(&'static str, Test); 4] = [
        ("the self-test of the hashes failed", hashes),
        ("the self-test of HMAC failed", hmac),
        ("the self-test of AES failed", aes),
        ("the self-test of ECC failed", curves),
    ];
    tests.into_iter().find(|(_, test)| !test(crypto)).map(|(what, _)| what)
}

//! Self-tests: each primitive once with a known answer, before anything is done with it.

use crate::crypto::ecc::from_hex;
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
        // Fixed, so that a fault shows each time; nothing else is ever signed with them.
        let (key, nonce) = ([3; 32], [5; 32]);
        let digest = [7; 32];
        let Some(public) = crypto.ecc_multiply(curve, None, &key) else { return false };
        let Some(signature) = crypto.ecdsa_sign(curve, &key, &nonce, &digest) else { return false };
        crypto.ecdsa_verify(curve, &public, &digest, &signature)
            && !crypto.ecdsa_verify(curve, &public, &[8; 32], &signature)
    })
}

/// A key of 1024 bits made for this test, and the message's cipher without padding.
const RSA_MODULUS: &str = concat!(
    "97dc467bb7c858c6889e7828e114ee4e74c0c51a9fa917954be90df52163f3f8",
    "1f86675fb9840c1ca9f32c80ff0805d06ccb7df8b9306a81594168dde4ea5170",
    "ee8ede4cb65768767c2df91dfaa2d851c037043f02c92a9553e1bca68de43b9e",
    "9fa973b7f47c79476b5c8df229dcfe3b5773526c2899a81b6c22f8c7522b3603"
);
const RSA_PRIME: &str = concat!(
    "c220c1254d1dcddd715a82ee1f481ff3c68e2b425a0b48bee4c6f293779bfb2d",
    "5f7385b5b947b85688806a114da546eb9b0fb5722bbab46d6a2502867c5e46b9"
);
const RSA_CIPHER: [u8; 8] = [0x22, 0x7d, 0x69, 0xcb, 0x0f, 0xf3, 0xb7, 0x78];

/// The public operation with a known answer, and the private one, which has to undo it.
fn rsa(crypto: &dyn Crypto) -> bool {
    let (modulus, prime) = (from_hex(RSA_MODULUS), from_hex(RSA_PRIME));
    let mut message = [0x2a; 128];
    // Below the modulus.
    message[0] = 0;
    let Some(cipher) = crypto.rsa_public(&modulus, 65537, &message) else { return false };
    // The message stands in for the blind, which may be any number below the modulus.
    let plain = crypto.rsa_private(&modulus, 65537, &prime, &cipher, &message);
    cipher.starts_with(&RSA_CIPHER) && plain.is_some_and(|plain| plain == message)
}

type Test = fn(&dyn Crypto) -> bool;

/// Runs all tests and returns what failed.
pub(crate) fn run(crypto: &dyn Crypto) -> Option<&'static str> {
    let tests: [(&'static str, Test); 5] = [
        ("the self-test of the hashes failed", hashes),
        ("the self-test of HMAC failed", hmac),
        ("the self-test of AES failed", aes),
        ("the self-test of ECC failed", curves),
        ("the self-test of RSA failed", rsa),
    ];
    tests.into_iter().find(|(_, test)| !test(crypto)).map(|(what, _)| what)
}

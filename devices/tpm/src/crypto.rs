//! Cryptography: what the engine asks of a library ([`Crypto`]), and what it builds from that.

mod bn;
pub(crate) mod drbg;
pub(crate) mod ecc;
pub(crate) mod hash;
pub(crate) mod kdf;
mod library;
mod modes;
pub(crate) mod padding;
pub(crate) mod primes;
mod rsa;

use alloc::boxed::Box;
use alloc::vec::Vec;

pub use ecc::{Curve, Point};
pub use hash::Hash;
pub use library::RustCrypto;
pub(crate) use modes::{cfb, cipher_mode};

use zeroize::Zeroizing;

/// A running hash.
pub trait Hasher {
    /// Adds bytes.
    fn update(&mut self, bytes: &[u8]);

    /// Ends it and returns the digest.
    fn finish(self: Box<Self>) -> Vec<u8>;

    /// The state, from which [`Crypto::resume_hash`] makes the same running hash again.
    fn save(&self) -> Vec<u8>;
}

/// A block cipher with its key: AES, blocks of 16 bytes.
pub trait BlockCipher {
    /// Encrypts a block in place.
    fn encrypt(&self, block: &mut [u8; 16]);

    /// Decrypts a block in place.
    fn decrypt(&self, block: &mut [u8; 16]);
}

/// An ECDSA, ECDAA or EC Schnorr signature: two big-endian numbers as long as the curve's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EccSignature {
    /// The first number.
    pub r: Vec<u8>,
    /// The second number.
    pub s: Vec<u8>,
}

/// The primitives that the engine is built on. Numbers are big-endian bytes. Operations with secrets take a
/// time that does not depend on them.
///
/// [`RustCrypto`] is the implementation that comes with the engine; another one must return the same for
/// the same input, or keys that are derived from a saved seed are lost.
pub trait Crypto {
    /// Starts a hash.
    fn hash(&self, algorithm: Hash) -> Box<dyn Hasher>;

    /// A running hash from its saved state; none if the state is not one.
    fn resume_hash(&self, algorithm: Hash, state: &[u8]) -> Option<Box<dyn Hasher>>;

    /// The digest of some bytes, one part after the other.
    fn digest(&self, algorithm: Hash, parts: &[&[u8]]) -> Vec<u8> {
        let mut hasher = self.hash(algorithm);
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finish()
    }

    /// HMAC (RFC 2104) of some bytes.
    fn hmac(&self, algorithm: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8>;

    /// AES with a key of 16, 24 or 32 bytes; none for another length.
    fn aes(&self, key: &[u8]) -> Option<Box<dyn BlockCipher>>;

    /// `input` to the power of `exponent` modulo `modulus`, as long as the modulus. None if the input is not
    /// below the modulus, or the modulus even.
    fn rsa_public(&self, modulus: &[u8], exponent: u32, input: &[u8]) -> Option<Vec<u8>>;

    /// The inverse of [`Crypto::rsa_public`], with one of the two primes of the modulus. `blind` is random
    /// and as long as the modulus.
    fn rsa_private(
        &self,
        modulus: &[u8],
        exponent: u32,
        prime: &[u8],
        input: &[u8],
        blind: &[u8],
    ) -> Option<Vec<u8>>;

    /// The product of two primes of the same length.
    fn rsa_modulus(&self, p: &[u8], q: &[u8]) -> Vec<u8>;

    /// The other prime of a modulus, which is twice as long as the first. None if that does not divide it.
    fn rsa_other_prime(&self, modulus: &[u8], prime: &[u8]) -> Option<Vec<u8>>;

    /// The first number from `candidate` on, in steps of two and at most `steps` of them, that passes
    /// Miller and Rabin's test to each of `bases`, that no odd number below 2^12 divides, and of which one
    /// less has no divisor in common with `exponent`.
    fn find_prime(
        &self,
        candidate: &[u8],
        exponent: u32,
        bases: &[u16],
        steps: usize,
    ) -> Option<Zeroizing<Vec<u8>>>;

    /// `scalar` times a point, or times the generator where there is none. None for a scalar that is zero
    /// or not below the order, and for a point that is not on the curve.
    fn ecc_multiply(&self, curve: Curve, point: Option<&Point>, scalar: &[u8]) -> Option<Point>;

    /// The sum of two points of the curve. None if one is none of the curve, or the sum is at infinity.
    fn ecc_add(&self, curve: Curve, one: &Point, other: &Point) -> Option<Point>;

    /// Whether a point is on the curve.
    fn ecc_is_on_curve(&self, curve: Curve, point: &Point) -> bool;

    /// A number, reduced to a scalar that is not zero: modulo the order less one, and one more.
    fn ecc_scalar(&self, curve: Curve, bytes: &[u8]) -> Zeroizing<Vec<u8>>;

    /// A number modulo another one, as long as that. None if that is zero.
    fn remainder(&self, modulus: &[u8], number: &[u8]) -> Option<Zeroizing<Vec<u8>>>;

    /// `a * b + c` modulo the order. None if one of them is not below it.
    fn ecc_multiply_add(&self, curve: Curve, a: &[u8], b: &[u8], c: &[u8]) -> Option<Zeroizing<Vec<u8>>>;

    /// An ECDSA signature of a digest with a secret nonce. None for a nonce that is of no use.
    fn ecdsa_sign(&self, curve: Curve, key: &[u8], nonce: &[u8], digest: &[u8]) -> Option<EccSignature>;

    /// Whether an ECDSA signature of a digest is good.
    fn ecdsa_verify(&self, curve: Curve, key: &Point, digest: &[u8], signature: &EccSignature) -> bool;
}

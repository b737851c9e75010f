//! The engine's cryptography for fuzzing: what takes long is computed once for the same input, all RSA keys
//! have the same few primes, and all ECC keys and nonces that are drawn one of sixteen scalars.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tpm2_engine::crypto::{BlockCipher, Curve, EccSignature, Hash, Hasher, Point};
use tpm2_engine::{Crypto, RustCrypto};
use zeroize::Zeroizing;

/// Results that are kept at most.
const KEPT: usize = 4096;
/// The usual exponent of RSA.
const EXPONENT: u32 = 65537;

/// An operation, and what it was given.
type Question = (&'static str, Vec<Vec<u8>>);
/// Numbers; none, where the operation has no result.
type Result = Option<Vec<Vec<u8>>>;

thread_local! {
    static RESULTS: RefCell<BTreeMap<Question, Result>> = const { RefCell::new(BTreeMap::new()) };
}

/// The result of an operation, from the time before if there was one.
fn once(name: &'static str, given: &[&[u8]], operate: impl FnOnce() -> Result) -> Result {
    let question = (name, given.iter().map(|part| part.to_vec()).collect());
    if let Some(found) = RESULTS.with_borrow(|results| results.get(&question).cloned()) {
        return found;
    }
    let result = operate();
    RESULTS.with_borrow_mut(|results| {
        if results.len() >= KEPT {
            results.clear();
        }
        results.insert(question, result.clone());
    });
    result
}

/// The only number of a result.
fn one(result: Result) -> Option<Vec<u8>> {
    result?.pop()
}

/// The two numbers of a result.
fn two(result: Result) -> Option<[Vec<u8>; 2]> {
    result?.try_into().ok()
}

/// [`RustCrypto`] with a memory.
pub struct Quick;

impl Crypto for Quick {
    fn hash(&self, algorithm: Hash) -> Box<dyn Hasher> {
        RustCrypto.hash(algorithm)
    }

    fn resume_hash(&self, algorithm: Hash, state: &[u8]) -> Option<Box<dyn Hasher>> {
        RustCrypto.resume_hash(algorithm, state)
    }

    fn digest(&self, algorithm: Hash, parts: &[&[u8]]) -> Vec<u8> {
        RustCrypto.digest(algorithm, parts)
    }

    fn hmac(&self, algorithm: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        RustCrypto.hmac(algorithm, key, parts)
    }

    fn aes(&self, key: &[u8]) -> Option<Box<dyn BlockCipher>> {
        RustCrypto.aes(key)
    }

    fn rsa_public(&self, modulus: &[u8], exponent: u32, input: &[u8]) -> Option<Vec<u8>> {
        RustCrypto.rsa_public(modulus, exponent, input)
    }

    fn rsa_private(
        &self,
        modulus: &[u8],
        exponent: u32,
        prime: &[u8],
        input: &[u8],
        blind: &[u8],
    ) -> Option<Vec<u8>> {
        // Blinded or not, the result is the same.
        let given: [&[u8]; 4] = [modulus, &exponent.to_be_bytes(), prime, input];
        let operate = || Some(vec![RustCrypto.rsa_private(modulus, exponent, prime, input, blind)?]);
        one(once("rsa private", &given, operate))
    }

    fn rsa_modulus(&self, p: &[u8], q: &[u8]) -> Vec<u8> {
        RustCrypto.rsa_modulus(p, q)
    }

    fn rsa_other_prime(&self, modulus: &[u8], prime: &[u8]) -> Option<Vec<u8>> {
        RustCrypto.rsa_other_prime(modulus, prime)
    }

    fn find_prime(
        &self,
        candidate: &[u8],
        exponent: u32,
        bases: &[u16],
        steps: usize,
    ) -> Option<Zeroizing<Vec<u8>>> {
        // From one of two numbers for each size: a key needs two primes that are far from each other.
        let mut start = candidate.to_vec();
        if exponent == EXPONENT {
            let first = if candidate.get(1)? & 1 == 0 { 0xc5 } else { 0xd5 };
            start.fill(first);
        }
        let given: [&[u8]; 2] = [&start, &exponent.to_be_bytes()];
        let operate = || Some(vec![RustCrypto.find_prime(&start, exponent, bases, steps)?.to_vec()]);
        one(once("prime", &given, operate)).map(Zeroizing::new)
    }

    fn ecc_multiply(&self, curve: Curve, point: Option<&Point>, scalar: &[u8]) -> Option<Point> {
        let none = Point::default();
        let Point { x, y } = point.unwrap_or(&none);
        let given: [&[u8]; 5] = [&curve.id().to_be_bytes(), &[u8::from(point.is_some())], x, y, scalar];
        let operate = || {
            let Point { x, y } = RustCrypto.ecc_multiply(curve, point, scalar)?;
            Some(vec![x, y])
        };
        let [x, y] = two(once("multiply", &given, operate))?;
        Some(Point { x, y })
    }

    fn ecc_add(&self, curve: Curve, one: &Point, other: &Point) -> Option<Point> {
        RustCrypto.ecc_add(curve, one, other)
    }

    fn ecc_is_on_curve(&self, curve: Curve, point: &Point) -> bool {
        RustCrypto.ecc_is_on_curve(curve, point)
    }

    fn ecc_scalar(&self, curve: Curve, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        // One of sixteen, so that most products are known.
        let few = [bytes.first().copied().unwrap_or_default() & 0xf; 56];
        RustCrypto.ecc_scalar(curve, &few)
    }

    fn remainder(&self, modulus: &[u8], number: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        RustCrypto.remainder(modulus, number)
    }

    fn ecc_multiply_add(&self, curve: Curve, a: &[u8], b: &[u8], c: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        RustCrypto.ecc_multiply_add(curve, a, b, c)
    }

    fn ecdsa_sign(&self, curve: Curve, key: &[u8], nonce: &[u8], digest: &[u8]) -> Option<EccSignature> {
        let operate = || {
            let EccSignature { r, s } = RustCrypto.ecdsa_sign(curve, key, nonce, digest)?;
            Some(vec![r, s])
        };
        let [r, s] = two(once("sign", &[&curve.id().to_be_bytes(), key, nonce, digest], operate))?;
        Some(EccSignature { r, s })
    }

    fn ecdsa_verify(&self, curve: Curve, key: &Point, digest: &[u8], signature: &EccSignature) -> bool {
        let EccSignature { r, s } = signature;
        let given: [&[u8]; 6] = [&curve.id().to_be_bytes(), &key.x, &key.y, digest, r, s];
        let operate = || RustCrypto.ecdsa_verify(curve, key, digest, signature).then(Vec::new);
        once("verify", &given, operate).is_some()
    }
}

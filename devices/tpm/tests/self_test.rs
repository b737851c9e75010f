//! A library that computes wrongly is noticed before anything is done with it.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod common;

use std::cell::Cell;

use common::{World, plain, run};
use tpm2_engine::crypto::{BlockCipher, Curve, EccSignature, Hash, Hasher, Point};
use tpm2_engine::{Crypto, RustCrypto, Tpm};
use zeroize::Zeroizing;

/// RustCrypto with one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Faulty {
    Nothing,
    Hmac,
    Aes,
    RsaPublic,
    RsaPrivate,
    EcdsaVerify,
    /// [`Faulty::EcdsaVerify`] once [`IS_LATE`].
    Later,
}

thread_local! {
    static IS_LATE: Cell<bool> = const { Cell::new(false) };
}

/// The last byte of a result, changed.
fn spoil(mut bytes: Vec<u8>) -> Vec<u8> {
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

impl Faulty {
    fn change(self, fault: Faulty, bytes: Vec<u8>) -> Vec<u8> {
        if self == fault { spoil(bytes) } else { bytes }
    }
}

impl Crypto for Faulty {
    fn hash(&self, algorithm: Hash) -> Box<dyn Hasher> {
        RustCrypto.hash(algorithm)
    }

    fn resume_hash(&self, algorithm: Hash, state: &[u8]) -> Option<Box<dyn Hasher>> {
        RustCrypto.resume_hash(algorithm, state)
    }

    fn hmac(&self, algorithm: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        self.change(Faulty::Hmac, RustCrypto.hmac(algorithm, key, parts))
    }

    fn aes(&self, key: &[u8]) -> Option<Box<dyn BlockCipher>> {
        RustCrypto.aes(&self.change(Faulty::Aes, key.to_vec()))
    }

    fn rsa_public(&self, modulus: &[u8], exponent: u32, input: &[u8]) -> Option<Vec<u8>> {
        let result = RustCrypto.rsa_public(modulus, exponent, input)?;
        // The first byte, as the known answer is known from there on.
        Some(if *self == Faulty::RsaPublic { result.into_iter().rev().collect() } else { result })
    }

    fn rsa_private(
        &self,
        modulus: &[u8],
        exponent: u32,
        prime: &[u8],
        input: &[u8],
        blind: &[u8],
    ) -> Option<Vec<u8>> {
        let result = RustCrypto.rsa_private(modulus, exponent, prime, input, blind)?;
        Some(self.change(Faulty::RsaPrivate, result))
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
        RustCrypto.find_prime(candidate, exponent, bases, steps)
    }

    fn ecc_multiply(&self, curve: Curve, point: Option<&Point>, scalar: &[u8]) -> Option<Point> {
        RustCrypto.ecc_multiply(curve, point, scalar)
    }

    fn ecc_add(&self, curve: Curve, one: &Point, other: &Point) -> Option<Point> {
        RustCrypto.ecc_add(curve, one, other)
    }

    fn ecc_is_on_curve(&self, curve: Curve, point: &Point) -> bool {
        RustCrypto.ecc_is_on_curve(curve, point)
    }

    fn ecc_scalar(&self, curve: Curve, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        RustCrypto.ecc_scalar(curve, bytes)
    }

    fn remainder(&self, modulus: &[u8], number: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        RustCrypto.remainder(modulus, number)
    }

    fn ecc_multiply_add(&self, curve: Curve, a: &[u8], b: &[u8], c: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        RustCrypto.ecc_multiply_add(curve, a, b, c)
    }

    fn ecdsa_sign(&self, curve: Curve, key: &[u8], nonce: &[u8], digest: &[u8]) -> Option<EccSignature> {
        RustCrypto.ecdsa_sign(curve, key, nonce, digest)
    }

    fn ecdsa_verify(&self, curve: Curve, key: &Point, digest: &[u8], signature: &EccSignature) -> bool {
        let is_faulty = *self == Faulty::EcdsaVerify || *self == Faulty::Later && IS_LATE.get();
        is_faulty || RustCrypto.ecdsa_verify(curve, key, digest, signature)
    }
}

/// The response codes of TPM2_Startup and of a TPM2_GetRandom behind it.
fn start(fault: Faulty) -> [u32; 2] {
    let world = World::new();
    let (platform, storage) = (Box::new(world.clone()), Box::new(world));
    let mut tpm = Tpm::open(Box::new(fault), platform, storage, &[9; 32]).unwrap();
    [plain(0x144, &[0, 0]), plain(0x17b, &[0, 8])].map(|command| run(&mut tpm, &command).0)
}

#[test]
fn a_fault_is_failure_mode() {
    assert_eq!(start(Faulty::Nothing), [0, 0]);
    let faults = [Faulty::Hmac, Faulty::Aes, Faulty::RsaPublic, Faulty::RsaPrivate, Faulty::EcdsaVerify];
    for fault in faults {
        assert_eq!(start(fault), [0x101, 0x101], "{fault:?}");
    }
}

#[test]
fn what_was_tested_is_tested_again_only_if_all_is_asked_for() {
    let world = World::new();
    let (platform, storage) = (Box::new(world.clone()), Box::new(world));
    let mut tpm = Tpm::open(Box::new(Faulty::Later), platform, storage, &[9; 32]).unwrap();
    let mut self_test = |is_full: u8| run(&mut tpm, &plain(0x143, &[is_full])).0;
    // TPM_RC_INITIALIZE.
    assert_eq!(self_test(0), 0x100);
    assert_eq!(run(&mut tpm, &plain(0x144, &[0, 0])).0, 0);
    let mut self_test = |is_full: u8| run(&mut tpm, &plain(0x143, &[is_full])).0;
    assert_eq!(self_test(1), 0);
    IS_LATE.set(true);
    assert_eq!([self_test(0), self_test(1), self_test(0)], [0, 0x101, 0x101]);
}

//! The primitives from the RustCrypto project's crates.

use alloc::boxed::Box;
use alloc::vec::Vec;

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use ecdsa::hazmat::{sign_prehashed, verify_prehashed};
use ecdsa::{EcdsaCurve, Signature};
use elliptic_curve::ff::PrimeField;
use elliptic_curve::group::Group;
use elliptic_curve::point::AffineCoordinates;
use elliptic_curve::{CurveArithmetic, FieldBytes, NonZeroScalar};
use p256::NistP256;
use p384::NistP384;
use sha2::digest::Digest;
use sha2::digest::common::hazmat::SerializableState;
use zeroize::{Zeroize, Zeroizing};

use super::ecc::{from_hex, parameters};
use super::{BlockCipher, Crypto, Curve, EccSignature, Hash, Hasher, Point, bn, rsa};

/// [`Crypto`] by RustCrypto's crates.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

struct Running<D>(D);

impl<D: Digest + SerializableState + 'static> Hasher for Running<D> {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }

    fn save(&self) -> Vec<u8> {
        self.0.serialize().to_vec()
    }
}

fn resume<D: Digest + SerializableState + 'static>(state: &[u8]) -> Option<Box<dyn Hasher>> {
    let state = state.try_into().ok()?;
    Some(Box::new(Running(D::deserialize(&state).ok()?)))
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().fold(D::new(), |hash, part| hash.chain_update(part)).finalize().to_vec()
}

fn hmac<D: Digest>(key: &[u8], parts: &[&[u8]], block: usize) -> Vec<u8> {
    // The longest block is that of SHA-384 and SHA-512.
    let mut pad = Zeroizing::new([0u8; 128]);
    if key.len() > block {
        let digest = D::digest(key);
        pad.iter_mut().zip(digest.iter()).for_each(|(pad, byte)| *pad = *byte);
    } else {
        pad.iter_mut().zip(key).for_each(|(pad, byte)| *pad = *byte);
    }
    let pad = pad.get_mut(..block).unwrap_or_default();
    pad.iter_mut().for_each(|byte| *byte ^= 0x36);
    let inner = parts.iter().fold(D::new().chain_update(&*pad), |hash, part| hash.chain_update(part));
    let inner = inner.finalize();
    // From the inner padding to the outer one: the key is kept nowhere else.
    pad.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
    D::new().chain_update(&*pad).chain_update(inner).finalize().to_vec()
}

struct Aes<C>(C);

impl<C: BlockCipherEncrypt + BlockCipherDecrypt> BlockCipher for Aes<C>
where
    for<'a> &'a mut [u8; 16]: TryInto<&'a mut aes::cipher::Block<C>>,
{
    fn encrypt(&self, block: &mut [u8; 16]) {
        // Never fails: AES has blocks of 16 bytes, which the bound can't say.
        if let Ok(block) = block.try_into() {
            self.0.encrypt_block(block);
        }
    }

    fn decrypt(&self, block: &mut [u8; 16]) {
        if let Ok(block) = block.try_into() {
            self.0.decrypt_block(block);
        }
    }
}

fn field<C: CurveArithmetic>(bytes: &[u8]) -> Option<FieldBytes<C>> {
    let mut field = FieldBytes::<C>::default();
    // Callers give numbers with zeros in front or without.
    let bytes = bytes.get(bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())..)?;
    let start = field.len().checked_sub(bytes.len())?;
    field.get_mut(start..)?.copy_from_slice(bytes);
    Some(field)
}

fn scalar<C: CurveArithmetic>(bytes: &[u8]) -> Option<C::Scalar> {
    let mut field = field::<C>(bytes)?;
    // None for what is not below the order: reduced, it would be another number than the caller's.
    let scalar = C::Scalar::from_repr(field).into_option();
    field.zeroize();
    scalar
}

fn affine<C: CurveArithmetic>(point: &Point) -> Option<C::AffinePoint> {
    // It looks whether the point is on the curve: so nobody multiplies one of another curve.
    C::AffinePoint::from_coordinates(&field::<C>(&point.x)?, &field::<C>(&point.y)?).into_option()
}

fn coordinates<C: CurveArithmetic>(point: C::ProjectivePoint) -> Option<Point> {
    // It has no affine coordinates, and as a shared secret it would be known to everybody.
    if bool::from(point.is_identity()) {
        return None;
    }
    let affine: C::AffinePoint = point.into();
    Some(Point { x: affine.x().to_vec(), y: affine.y().to_vec() })
}

fn multiply<C: CurveArithmetic>(point: Option<&Point>, bytes: &[u8]) -> Option<Point> {
    let mut number = scalar::<C>(bytes)?;
    let product = match point {
        Some(point) => C::ProjectivePoint::from(affine::<C>(point)?) * number,
        None => C::ProjectivePoint::mul_by_generator(&number),
    };
    number.zeroize();
    coordinates::<C>(product)
}

fn add<C: CurveArithmetic>(one: &Point, other: &Point) -> Option<Point> {
    let (one, other) = (affine::<C>(one)?, affine::<C>(other)?);
    coordinates::<C>(C::ProjectivePoint::from(one) + C::ProjectivePoint::from(other))
}

fn multiply_add<C: CurveArithmetic>(a: &[u8], b: &[u8], c: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let sum = scalar::<C>(a)? * scalar::<C>(b)? + scalar::<C>(c)?;
    Some(Zeroizing::new(sum.to_repr().to_vec()))
}

/// The leftmost bytes of a digest, as long as the order, or zeros before a shorter one.
fn leftmost<C: CurveArithmetic>(digest: &[u8]) -> Option<FieldBytes<C>> {
    let size = FieldBytes::<C>::default().len();
    // ECDSA takes as many bits as the order has, from the left.
    let cut = digest.get(..size.min(digest.len()))?;
    let mut padded = FieldBytes::<C>::default();
    padded.get_mut(size - cut.len()..)?.copy_from_slice(cut);
    Some(padded)
}

fn sign<C: EcdsaCurve + CurveArithmetic>(key: &[u8], nonce: &[u8], digest: &[u8]) -> Option<EccSignature> {
    let mut key = NonZeroScalar::<C>::new(scalar::<C>(key)?).into_option()?;
    let mut nonce = NonZeroScalar::<C>::new(scalar::<C>(nonce)?).into_option()?;
    let result = sign_prehashed::<C>(&key, &nonce, &leftmost::<C>(digest)?);
    key.zeroize();
    nonce.zeroize();
    // Only now, as an early return would leave key and nonce in memory.
    let (r, s) = result.ok()?.0.split_bytes();
    Some(EccSignature { r: r.to_vec(), s: s.to_vec() })
}

fn verify<C: EcdsaCurve + CurveArithmetic>(
    key: &Point,
    digest: &[u8],
    signature: &EccSignature,
) -> Option<bool> {
    let (r, s) = (field::<C>(&signature.r)?, field::<C>(&signature.s)?);
    // None of numbers that are zero or not below the order: such could fit any digest.
    let signature = Signature::<C>::from_scalars(r, s).ok()?;
    let key = C::ProjectivePoint::from(affine::<C>(key)?);
    Some(verify_prehashed::<C>(&key, &leftmost::<C>(digest)?, &signature).is_ok())
}

macro_rules! by_curve {
    ($curve:expr, $function:ident($($argument:expr),*)) => {
        match $curve {
            Curve::P256 => $function::<NistP256>($($argument),*),
            Curve::P384 => $function::<NistP384>($($argument),*),
            Curve::BnP256 => bn::$function($($argument),*),
        }
    };
}

/// Calls a function for the number of 64-bit words in a prime and in a modulus.
macro_rules! by_size {
    ($size:expr, $f:ident, [$($which:ident),*], ($($argument:expr),*)) => {
        match $size {
            64 => by_size!(@call $f, [$($which),*], 8, 16, ($($argument),*)),
            128 => by_size!(@call $f, [$($which),*], 16, 32, ($($argument),*)),
            192 => by_size!(@call $f, [$($which),*], 24, 48, ($($argument),*)),
            256 => by_size!(@call $f, [$($which),*], 32, 64, ($($argument),*)),
            _ => None,
        }
    };
    (@call $f:ident, [half], $half:literal, $whole:literal, ($($a:expr),*)) => { rsa::$f::<$half>($($a),*) };
    (@call $f:ident, [whole], $half:literal, $whole:literal, ($($a:expr),*)) => {
        rsa::$f::<$whole>($($a),*)
    };
    (@call $f:ident, [half, whole], $half:literal, $whole:literal, ($($a:expr),*)) => {
        rsa::$f::<$half, $whole>($($a),*)
    };
}

impl Crypto for RustCrypto {
    fn hash(&self, algorithm: Hash) -> Box<dyn Hasher> {
        match algorithm {
            Hash::Sha1 => Box::new(Running(sha1::Sha1::new())),
            Hash::Sha256 => Box::new(Running(sha2::Sha256::new())),
            Hash::Sha384 => Box::new(Running(sha2::Sha384::new())),
            Hash::Sha512 => Box::new(Running(sha2::Sha512::new())),
        }
    }

    fn resume_hash(&self, algorithm: Hash, state: &[u8]) -> Option<Box<dyn Hasher>> {
        match algorithm {
            Hash::Sha1 => resume::<sha1::Sha1>(state),
            Hash::Sha256 => resume::<sha2::Sha256>(state),
            Hash::Sha384 => resume::<sha2::Sha384>(state),
            Hash::Sha512 => resume::<sha2::Sha512>(state),
        }
    }

    fn digest(&self, algorithm: Hash, parts: &[&[u8]]) -> Vec<u8> {
        // On the stack: most digests are of a few bytes, and a hash's state has some hundred.
        match algorithm {
            Hash::Sha1 => digest::<sha1::Sha1>(parts),
            Hash::Sha256 => digest::<sha2::Sha256>(parts),
            Hash::Sha384 => digest::<sha2::Sha384>(parts),
            Hash::Sha512 => digest::<sha2::Sha512>(parts),
        }
    }

    fn hmac(&self, algorithm: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        match algorithm {
            Hash::Sha1 => hmac::<sha1::Sha1>(key, parts, algorithm.block()),
            Hash::Sha256 => hmac::<sha2::Sha256>(key, parts, algorithm.block()),
            Hash::Sha384 => hmac::<sha2::Sha384>(key, parts, algorithm.block()),
            Hash::Sha512 => hmac::<sha2::Sha512>(key, parts, algorithm.block()),
        }
    }

    fn aes(&self, key: &[u8]) -> Option<Box<dyn BlockCipher>> {
        Some(match key.len() {
            16 => Box::new(Aes(aes::Aes128::new_from_slice(key).ok()?)),
            24 => Box::new(Aes(aes::Aes192::new_from_slice(key).ok()?)),
            32 => Box::new(Aes(aes::Aes256::new_from_slice(key).ok()?)),
            _ => return None,
        })
    }

    fn rsa_public(&self, modulus: &[u8], exponent: u32, input: &[u8]) -> Option<Vec<u8>> {
        // By the size of a prime, as for the private operation.
        by_size!(modulus.len() / 2, public, [whole], (modulus, exponent, input))
    }

    fn rsa_private(
        &self,
        modulus: &[u8],
        exponent: u32,
        prime: &[u8],
        input: &[u8],
        blind: &[u8],
    ) -> Option<Vec<u8>> {
        by_size!(prime.len(), private, [half, whole], (modulus, exponent, prime, input, blind))
    }

    fn rsa_modulus(&self, p: &[u8], q: &[u8]) -> Vec<u8> {
        by_size!(p.len(), product, [half], (p, q)).unwrap_or_default()
    }

    fn rsa_other_prime(&self, modulus: &[u8], prime: &[u8]) -> Option<Vec<u8>> {
        by_size!(prime.len(), other_prime, [half, whole], (modulus, prime))
    }

    fn find_prime(
        &self,
        candidate: &[u8],
        exponent: u32,
        bases: &[u16],
        steps: usize,
    ) -> Option<Zeroizing<Vec<u8>>> {
        by_size!(candidate.len(), find_prime, [half], (candidate, exponent, bases, steps))
    }

    fn ecc_multiply(&self, curve: Curve, point: Option<&Point>, scalar: &[u8]) -> Option<Point> {
        by_curve!(curve, multiply(point, scalar))
    }

    fn ecc_add(&self, curve: Curve, one: &Point, other: &Point) -> Option<Point> {
        by_curve!(curve, add(one, other))
    }

    fn ecc_is_on_curve(&self, curve: Curve, point: &Point) -> bool {
        match curve {
            Curve::P256 => affine::<NistP256>(point).is_some(),
            Curve::P384 => affine::<NistP384>(point).is_some(),
            Curve::BnP256 => bn::is_on_curve(point),
        }
    }

    fn ecc_scalar(&self, curve: Curve, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        let [.., order] = parameters(curve);
        rsa::scalar(&from_hex(order), bytes).unwrap_or_default()
    }

    fn remainder(&self, modulus: &[u8], number: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        rsa::remainder(modulus, number)
    }

    fn ecc_multiply_add(&self, curve: Curve, a: &[u8], b: &[u8], c: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        by_curve!(curve, multiply_add(a, b, c))
    }

    fn ecdsa_sign(&self, curve: Curve, key: &[u8], nonce: &[u8], digest: &[u8]) -> Option<EccSignature> {
        by_curve!(curve, sign(key, nonce, digest))
    }

    fn ecdsa_verify(&self, curve: Curve, key: &Point, digest: &[u8], signature: &EccSignature) -> bool {
        by_curve!(curve, verify(key, digest, signature)).unwrap_or(false)
    }
}

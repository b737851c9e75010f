//! What keys do: encrypt, sign, verify.

use alloc::vec::Vec;

use super::Object;
use crate::constants::alg;
use crate::crypto::{Curve, EccSignature, Hash, Point, padding};
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::secret::{Secret, same};
use crate::structures::public::Parameters;
use crate::structures::scheme::Scheme;
use crate::structures::signature::Signature;

/// Bytes drawn beyond a curve's order, so that the scalar is as good as even (FIPS 186-5, A.2.1).
const EXTRA_BYTES: usize = 8;

/// Draws after which a nonce of no use is an error; a single one is already less than likely.
const TRIES: usize = 8;

impl Tpm {
    /// A random key of a curve.
    pub(crate) fn new_ecc_key(&mut self, curve: Curve) -> Result<(Point, Secret)> {
        let drawn = Secret::from(self.random(curve.size() + EXTRA_BYTES));
        let scalar = Secret::copy(&self.crypto.ecc_scalar(curve, &drawn));
        let point = self.crypto.ecc_multiply(curve, None, &scalar).ok_or(Rc::NO_RESULT)?;
        Ok((point, scalar))
    }

    /// RSAEP of a block as long as the modulus.
    pub(crate) fn rsa_public(&self, key: &Object, block: &[u8]) -> Result<Vec<u8>> {
        let exponent = key.public.parameters.exponent();
        self.crypto.rsa_public(key.public.bytes(), exponent, block).ok_or(Rc::VALUE)
    }

    /// RSADP of a block as long as the modulus.
    pub(crate) fn rsa_private(&mut self, key: &Object, block: &[u8]) -> Result<Secret> {
        let modulus = key.public.bytes();
        // A random factor that changes each time, so that the time of the exponentiation says nothing about a
        // block that the caller chose.
        let mut blind = self.random(modulus.len());
        if let Some(first) = blind.first_mut() {
            // Below the modulus, whose highest bit is set.
            *first &= 0x7f;
        }
        let exponent = key.public.parameters.exponent();
        let prime = &key.secret()?.data;
        let plain = self.crypto.rsa_private(modulus, exponent, prime, block, &blind);
        Ok(plain.ok_or(Rc::VALUE)?.into())
    }

    pub(crate) fn oaep_encrypt(
        &mut self,
        key: &Object,
        hash: Hash,
        message: &[u8],
        label: &[u8],
    ) -> Result<Vec<u8>> {
        let seed = self.random(hash.size());
        let size = key.public.bytes().len();
        let block = padding::oaep(&*self.crypto, hash, message, label, &seed, size).ok_or(Rc::VALUE)?;
        self.rsa_public(key, &block)
    }

    pub(crate) fn oaep_decrypt(
        &mut self,
        key: &Object,
        hash: Hash,
        block: &[u8],
        label: &[u8],
    ) -> Result<Secret> {
        if block.len() != key.public.bytes().len() {
            return Err(Rc::SIZE);
        }
        let block = self.rsa_private(key, block)?;
        let message = padding::open_oaep(&*self.crypto, hash, &block, label).ok_or(Rc::VALUE)?;
        Ok(Secret::copy(&message))
    }

    /// Signs a digest by a scheme that has been checked to fit the key.
    pub(crate) fn sign(&mut self, key: &Object, scheme: Scheme, digest: &[u8]) -> Result<Signature> {
        // Every scheme that signs has one.
        let hash = scheme.hash.ok_or(Rc::SCHEME)?;
        match key.public.parameters {
            Parameters::Rsa { .. } => {
                let block = self.sign_padding(key, scheme.id, hash, digest)?;
                let bytes = self.rsa_private(key, &block)?.to_vec();
                Ok(Signature::Rsa { scheme: scheme.id, hash, bytes })
            }
            Parameters::Ecc { curve, .. } if scheme.id == alg::ECDAA => {
                let numbers = self.sign_ecdaa(key, curve, hash, scheme.extra, digest)?;
                Ok(Signature::Ecc { scheme: scheme.id, hash, numbers })
            }
            Parameters::Ecc { curve, .. } => {
                let numbers = self.sign_ecc(key, curve, scheme.id, hash, digest)?;
                Ok(Signature::Ecc { scheme: scheme.id, hash, numbers })
            }
            Parameters::KeyedHash { .. } => {
                let digest = self.crypto.hmac(hash, &key.secret()?.data, &[digest]);
                Ok(Signature::Hmac { hash, digest })
            }
            Parameters::SymCipher { .. } => Err(Rc::KEY),
        }
    }

    fn sign_padding(&mut self, key: &Object, scheme: u16, hash: Hash, digest: &[u8]) -> Result<Vec<u8>> {
        let size = key.public.bytes().len();
        if scheme == alg::RSASSA {
            return padding::ssa(hash, digest, size).ok_or(Rc::SIZE);
        }
        let salt_size = padding::pss_salt_size(hash, size).ok_or(Rc::SIZE)?;
        // New each time, so that two signatures of one digest differ.
        let salt = self.random(salt_size);
        padding::pss(&*self.crypto, hash, digest, &salt, size).ok_or(Rc::SIZE)
    }

    fn sign_ecc(
        &mut self,
        key: &Object,
        curve: Curve,
        scheme: u16,
        hash: Hash,
        digest: &[u8],
    ) -> Result<EccSignature> {
        for _ in 0..TRIES {
            // A new one for each try: a nonce that is used twice gives the private key away.
            let (point, nonce) = self.new_ecc_key(curve)?;
            let private = &key.secret()?.data;
            let signature = if scheme == alg::ECDSA {
                self.crypto.ecdsa_sign(curve, private, &nonce, digest)
            } else {
                self.schnorr(curve, hash, &point, digest).and_then(|r| {
                    let s = self.crypto.ecc_multiply_add(curve, &r, private, &nonce)?;
                    Some(EccSignature { r: r.to_vec(), s: s.to_vec() })
                })
            };
            if let Some(signature) = signature {
                return Ok(signature);
            }
        }
        Err(Rc::NO_RESULT)
    }

    /// The challenge of an EC Schnorr signature (part 1, C.4.4): the digest of the commitment's x-coordinate
    /// and the message's, cut to the order's length and reduced. None if it is of no use.
    fn schnorr(&self, curve: Curve, hash: Hash, commitment: &Point, digest: &[u8]) -> Option<Vec<u8>> {
        let challenge = self.crypto.digest(hash, &[&commitment.x, digest]);
        let zero = [0; 1];
        let cut = challenge.get(..curve.size().min(challenge.len()))?;
        let reduced = self.crypto.ecc_multiply_add(curve, &[1], cut, &zero)?;
        (!reduced.iter().all(|byte| *byte == 0)).then(|| reduced.to_vec())
    }

    /// Whether a signature of a digest is good. A signature of another kind than the key's is `SCHEME`.
    pub(crate) fn verify(&self, key: &Object, digest: &[u8], signature: &Signature) -> Result<bool> {
        let hash = signature.hash().ok_or(Rc::SCHEME)?;
        // The signature says by which scheme it was made. That of the key is for signing.
        if !Scheme::is_of(signature.scheme(), key.public.kind()) {
            return Err(Rc::SCHEME);
        }
        match signature {
            Signature::Rsa { scheme, bytes, .. } => {
                Ok(self.verify_rsa(key, *scheme, hash, digest, bytes).unwrap_or(false))
            }
            Signature::Ecc { scheme, numbers, .. } => {
                let (curve, point) = key.public.point().ok_or(Rc::KEY)?;
                if *scheme == alg::ECDSA {
                    return Ok(self.crypto.ecdsa_verify(curve, point, digest, numbers));
                }
                Ok(self.verify_schnorr(curve, point, hash, digest, numbers).unwrap_or(false))
            }
            Signature::Hmac { digest: given, .. } => {
                let good = self.crypto.hmac(hash, &key.secret()?.data, &[digest]);
                // In constant time: the right HMAC is a secret, which could be guessed byte by byte.
                Ok(same(&good, given))
            }
            Signature::Null => Err(Rc::SCHEME),
        }
    }

    fn verify_rsa(&self, key: &Object, scheme: u16, hash: Hash, digest: &[u8], bytes: &[u8]) -> Option<bool> {
        let size = key.public.bytes().len();
        let block = (bytes.len() == size).then(|| self.rsa_public(key, bytes).ok())??;
        if scheme == alg::RSASSA {
            // The padding is made again and compared as a whole: no byte of the block is left for a forger to
            // choose.
            return Some(padding::ssa(hash, digest, size)? == block);
        }
        Some(padding::is_pss(&*self.crypto, hash, digest, &block))
    }

    fn verify_schnorr(
        &self,
        curve: Curve,
        key: &Point,
        hash: Hash,
        digest: &[u8],
        signature: &EccSignature,
    ) -> Option<bool> {
        // The commitment is s*G - r*Q, and -r is (order - 1) * r.
        let order = crate::crypto::ecc::from_hex(crate::crypto::ecc::parameters(curve)[5]);
        let mut minus_one = order;
        *minus_one.last_mut()? -= 1;
        let minus_r = self.crypto.ecc_multiply_add(curve, &minus_one, &signature.r, &[0])?;
        let one = self.crypto.ecc_multiply(curve, None, &signature.s)?;
        let other = self.crypto.ecc_multiply(curve, Some(key), &minus_r)?;
        let commitment = self.crypto.ecc_add(curve, &one, &other)?;
        let challenge = self.schnorr(curve, hash, &commitment, digest)?;
        // Callers give numbers with zeros in front or without.
        let start = |bytes: &[u8]| bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let trimmed = |bytes: &[u8]| bytes.get(start(bytes)..).map(<[u8]>::to_vec);
        Some(trimmed(&challenge)? == trimmed(&signature.r)?)
    }
}

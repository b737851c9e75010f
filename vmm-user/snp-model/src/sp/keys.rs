//! Secrets and keys from a seed, and signatures.

use p384::ecdsa::signature::{Signer, Verifier};
use p384::ecdsa::{Signature, VerifyingKey};
use plinth_snp_abi::id_block::{EcdsaPublicKey, EcdsaSignature};
use sha2::{Digest, Sha256, Sha384};

pub(super) use p384::ecdsa::SigningKey;

/// 32 bytes that depend on the seed and on each part, and on where one ends and the next begins.
pub(super) fn derive(seed: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new().chain_update(seed);
    for part in parts {
        hash = hash.chain_update((part.len() as u64).to_le_bytes()).chain_update(part);
    }
    hash.finalize().into()
}

/// A key of P-384: the first of a row of numbers that is one. All but one in 2^190 are.
pub(super) fn signing_key(seed: &[u8; 32], parts: &[&[u8]]) -> SigningKey {
    let mut material = derive(seed, parts);
    loop {
        let digest = Sha384::digest(material);
        if let Ok(key) = SigningKey::from_slice(&digest) {
            return key;
        }
        material = derive(&material, &[b"next"]);
    }
}

/// A key's point, big-endian.
pub(super) fn public(key: &SigningKey) -> ([u8; 48], [u8; 48]) {
    let point = key.verifying_key().to_sec1_point(false);
    let coordinates = point.as_bytes().get(1..).unwrap_or_default();
    let (mut x, mut y) = ([0; 48], [0; 48]);
    for (place, byte) in x.iter_mut().chain(y.iter_mut()).zip(coordinates) {
        *place = *byte;
    }
    (x, y)
}

/// Signs bytes with ECDSA over P-384 and SHA-384, the nonce by RFC 6979: the same in each run.
pub(super) fn sign(key: &SigningKey, bytes: &[u8]) -> EcdsaSignature {
    let signature: Signature = key.sign(bytes);
    let (r, s) = signature.split_bytes();
    EcdsaSignature::p384(&r.into(), &s.into())
}

/// Whether a signature of ECDSA over P-384 and SHA-384 is by this key.
#[must_use]
pub fn verify(key: &EcdsaPublicKey, bytes: &[u8], signature: &EcdsaSignature) -> bool {
    let (Some((x, y)), Some((r, s))) = (key.to_p384(), signature.to_p384()) else { return false };
    let mut point = [4; 97];
    for (place, byte) in point.iter_mut().skip(1).zip(x.iter().chain(&y)) {
        *place = *byte;
    }
    let Ok(key) = VerifyingKey::from_sec1_bytes(&point) else { return false };
    let Ok(signature) = Signature::from_scalars(r, s) else { return false };
    key.verify(bytes, &signature).is_ok()
}

//! Key derivation (part 1, 11.4.10) and mask generation.

use alloc::vec::Vec;

use super::{Crypto, Hash};
use crate::secret::Secret;

/// KDFa: SP 800-108 in counter mode with HMAC. `label` is without its terminating zero.
pub(crate) fn kdfa(
    crypto: &dyn Crypto,
    hash: Hash,
    key: &[u8],
    label: &str,
    contexts: [&[u8]; 2],
    bits: usize,
) -> Secret {
    let size = bits.div_ceil(8);
    let mut out: Vec<u8> = Vec::with_capacity(size + hash.size());
    // Part of the input, so that a longer key does not begin as a shorter one.
    let length = (bits as u32).to_be_bytes();
    let mut counter = 0u32;
    while out.len() < size {
        counter += 1;
        let [u, v] = contexts;
        // The zero ends the label, so that it does not run into the contexts.
        out.extend(crypto.hmac(hash, key, &[&counter.to_be_bytes(), label.as_bytes(), &[0], u, v, &length]));
    }
    out.truncate(size);
    mask_first_byte(&mut out, bits);
    Secret::from(out)
}

/// KDFe: SP 800-56A's concatenation, for secrets from a Diffie-Hellman exchange.
pub(crate) fn kdfe(
    crypto: &dyn Crypto,
    hash: Hash,
    z: &[u8],
    label: &str,
    parties: [&[u8]; 2],
    bits: usize,
) -> Secret {
    let size = bits.div_ceil(8);
    let mut out: Vec<u8> = Vec::with_capacity(size + hash.size());
    let mut counter = 0u32;
    while out.len() < size {
        counter += 1;
        let [u, v] = parties;
        out.extend(crypto.digest(hash, &[&counter.to_be_bytes(), z, label.as_bytes(), &[0], u, v]));
    }
    out.truncate(size);
    mask_first_byte(&mut out, bits);
    Secret::from(out)
}

fn mask_first_byte(out: &mut [u8], bits: usize) {
    // Numbers are big-endian: bits beyond a length that is no multiple of eight are the first byte's upper
    // ones (part 1, 11.4.10).
    if let (Some(first), extra @ 1..) = (out.first_mut(), bits % 8) {
        *first &= (1 << extra) - 1;
    }
}

/// MGF1 (RFC 8017, B.2.1), XORed into `target`.
pub(crate) fn mgf1(crypto: &dyn Crypto, hash: Hash, seed: &[u8], target: &mut [u8]) {
    for (counter, chunk) in (0u32..).zip(target.chunks_mut(hash.size())) {
        let mask = crypto.digest(hash, &[seed, &counter.to_be_bytes()]);
        chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// The obfuscation by exclusive or (part 1, 11.4.7.3); it is its own inverse.
pub(crate) fn obfuscate(crypto: &dyn Crypto, hash: Hash, key: &[u8], nonces: [&[u8]; 2], data: &mut [u8]) {
    // With both nonces, so that no mask is used twice.
    let mask = kdfa(crypto, hash, key, "XOR", nonces, data.len() * 8);
    data.iter_mut().zip(mask.iter()).for_each(|(byte, mask)| *byte ^= mask);
}

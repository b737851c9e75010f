//! The search for an RSA key's primes: part of the format of the saved state, as primary keys are made again
//! from their seed each time. `crypto/tests.rs` holds it by golden vectors.
//!
//! A candidate is as many bytes of the DRBG as half of the modulus has, with its two highest bits and its
//! lowest bit set. The search from there is [`Crypto::find_prime`]; when it ends without a prime, the next
//! candidate is drawn. The second prime must differ from the first in its upper 100 bits.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::Crypto;
use super::drbg::Drbg;

/// Bases of Miller and Rabin's test. Candidates are random, so that fixed ones do (FIPS 186-5, appendix B.3,
/// asks for five rounds with 1024 bits, and for fewer with more).
const BASES: [u16; 8] = [2, 3, 5, 7, 11, 13, 17, 19];

/// Candidates that one search looks at.
const STEPS: usize = 1 << 14;

/// Searches after which a DRBG that finds nothing is given up: never, but for one that is broken.
const SEARCHES: usize = 64;

fn prime(crypto: &dyn Crypto, drbg: &mut Drbg, size: usize, exponent: u32) -> Option<Zeroizing<Vec<u8>>> {
    (0..SEARCHES).find_map(|_| {
        let mut candidate = Zeroizing::new(drbg.bytes(crypto, size));
        // With two high bits each, the product of two primes has its full length.
        *candidate.first_mut()? |= 0xc0;
        *candidate.last_mut()? |= 1;
        crypto.find_prime(&candidate, exponent, &BASES, STEPS)
    })
}

/// The modulus and the first prime of a key.
pub(crate) fn rsa_key(
    crypto: &dyn Crypto,
    drbg: &mut Drbg,
    bits: u16,
    exponent: u32,
) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let size = usize::from(bits) / 16;
    let p = prime(crypto, drbg, size, exponent)?;
    // 13 bytes cover the 100 bits: primes close together are found by Fermat's method (FIPS 186-5, A.1.3).
    let is_far = |q: &Zeroizing<Vec<u8>>| q.get(..13) != p.get(..13);
    let q = (0..SEARCHES).find_map(|_| prime(crypto, drbg, size, exponent).filter(is_far))?;
    Some((crypto.rsa_modulus(&p, &q), p))
}

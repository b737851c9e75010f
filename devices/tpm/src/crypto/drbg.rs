//! HMAC_DRBG with SHA-256 (SP 800-90A, 10.1.2).
//!
//! Random numbers come from one that is seeded by the platform's entropy. A primary key comes from one that
//! is seeded by its hierarchy's seed and its template: part of the format of the saved state.

use alloc::vec;
use alloc::vec::Vec;

use super::{Crypto, Hash};
use crate::secret::Secret;

const HASH: Hash = Hash::Sha256;

/// Calls between two reseedings; the standard allows 2^48.
pub(crate) const RESEED_INTERVAL: u64 = 1 << 16;

#[cfg_attr(feature = "fork", derive(Clone))]
pub(crate) struct Drbg {
    key: Secret,
    value: Secret,
    calls: u64,
}

impl Drbg {
    pub(crate) fn new(crypto: &dyn Crypto, seed: &[&[u8]]) -> Self {
        // The standard's initial values.
        let mut drbg = Drbg { key: vec![0; 32].into(), value: vec![1; 32].into(), calls: 0 };
        drbg.reseed(crypto, seed);
        drbg
    }

    /// Mixes in new entropy.
    pub(crate) fn reseed(&mut self, crypto: &dyn Crypto, seed: &[&[u8]]) {
        self.update(crypto, seed);
        // Only entropy ends the count of calls; `mix` does not.
        self.calls = 0;
    }

    /// Mixes in additional input. It need not have any entropy, so the next reseeding stays due when it was.
    pub(crate) fn mix(&mut self, crypto: &dyn Crypto, input: &[&[u8]]) {
        self.update(crypto, input);
    }

    pub(crate) const fn is_due(&self) -> bool {
        self.calls >= RESEED_INTERVAL
    }

    fn update(&mut self, crypto: &dyn Crypto, seed: &[&[u8]]) {
        // Without input one round only (SP 800-90A, 10.1.2.2, step 3).
        let rounds: &[u8] = if seed.iter().all(|part| part.is_empty()) { &[0] } else { &[0, 1] };
        for round in rounds {
            let round = [*round];
            let mut parts: Vec<&[u8]> = vec![&self.value, &round];
            parts.extend(seed);
            let key = Secret::from(crypto.hmac(HASH, &self.key, &parts));
            self.value = crypto.hmac(HASH, &key, &[&self.value]).into();
            self.key = key;
        }
    }

    pub(crate) fn fill(&mut self, crypto: &dyn Crypto, out: &mut [u8]) {
        for chunk in out.chunks_mut(HASH.size()) {
            self.value = crypto.hmac(HASH, &self.key, &[&self.value]).into();
            chunk.iter_mut().zip(self.value.iter()).for_each(|(byte, value)| *byte = *value);
        }
        // So that who reads the state later can't compute what was drawn before.
        self.update(crypto, &[]);
        self.calls += 1;
    }

    pub(crate) fn bytes(&mut self, crypto: &dyn Crypto, count: usize) -> Vec<u8> {
        let mut out = vec![0; count];
        self.fill(crypto, &mut out);
        out
    }
}

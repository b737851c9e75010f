//! Commitments (part 1, C.2): the first halves of ECDAA signatures and of exchanges in two phases. The scalar
//! of each is derived again from a secret nonce and its number, so that only the numbers are kept.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::constants::alg;
use crate::crypto::kdf::kdfa;
use crate::crypto::{Curve, EccSignature, Hash, ecc};
use crate::engine::Tpm;
use crate::object::Object;
use crate::proof::HASH;
use crate::rc::{Rc, Result};
use crate::secret::Secret;

/// Commitments that can be open at a time (TPM_PT_SPLIT_MAX).
pub(crate) const LIMIT: usize = 128;

/// Bytes drawn beyond a curve's order, so that the scalar is as good as even.
const EXTRA_BYTES: usize = 8;

/// The open commitments; they end with the power.
#[derive(Clone, Default)]
pub(crate) struct Commitments {
    /// New at each power-on, so that no scalar is used twice.
    pub(crate) nonce: Secret,
    next: u64,
    open: VecDeque<u64>,
}

impl Tpm {
    fn committed_scalar(&self, curve: Curve, name: &[u8], number: u64) -> Secret {
        let nonce = &self.volatile.commitments.nonce;
        let bits = (curve.size() + EXTRA_BYTES) * 8;
        // A curve of its own for each: the same bits as scalars of two curves would be one secret used twice.
        let number = [&curve.id().to_be_bytes()[..], &number.to_be_bytes()].concat();
        let drawn = kdfa(&*self.crypto, HASH, nonce, "ECDAA Commit", [name, &number], bits);
        Secret::copy(&self.crypto.ecc_scalar(curve, &drawn))
    }

    /// The scalar of the next commitment of a key, by its name, or of none.
    pub(crate) fn next_commitment(&self, curve: Curve, name: &[u8]) -> Result<Secret> {
        if self.volatile.commitments.open.len() >= LIMIT {
            return Err(Rc::NO_RESULT);
        }
        Ok(self.committed_scalar(curve, name, self.volatile.commitments.next))
    }

    /// Makes the next commitment, and returns its number as the caller sees it.
    pub(crate) fn make_commitment(&mut self) -> u16 {
        let all = &mut self.volatile.commitments;
        let number = all.next;
        all.next += 1;
        // Of two with the same 16 bits, the caller could only mean the later.
        all.open.retain(|open| *open as u16 != number as u16);
        all.open.push_back(number);
        number as u16
    }

    /// The scalar of an open commitment.
    pub(crate) fn open_commitment(&self, curve: Curve, name: &[u8], number: u16) -> Option<Secret> {
        let number = self.volatile.commitments.open.iter().find(|open| **open as u16 == number)?;
        Some(self.committed_scalar(curve, name, *number))
    }

    /// Ends a commitment: it is never used again.
    pub(crate) fn end_commitment(&mut self, number: u16) {
        self.volatile.commitments.open.retain(|open| *open as u16 != number);
    }

    /// An ECDAA signature (part 1, C.4.2): a nonce k, and r + T * d, where r is the commitment's scalar, d
    /// the private key and T the digest of k and of what is signed.
    pub(crate) fn sign_ecdaa(
        &mut self,
        key: &Object,
        curve: Curve,
        hash: Hash,
        number: u16,
        digest: &[u8],
    ) -> Result<EccSignature> {
        let scalar = self.open_commitment(curve, &key.name, number).ok_or(Rc::VALUE)?;
        let drawn = self.random(curve.size() + EXTRA_BYTES);
        // Of the TPM's own choice, so that the caller has no say in the challenge.
        let nonce = self.crypto.ecc_scalar(curve, &drawn).to_vec();
        let challenge = self.digest(hash, &[&nonce, digest]);
        let order = ecc::from_hex(ecc::parameters(curve)[5]);
        let challenge = self.crypto.remainder(&order, &challenge).ok_or(Rc::NO_RESULT)?;
        let private = &key.secret()?.data;
        let sum = self.crypto.ecc_multiply_add(curve, &challenge, private, &scalar);
        // Before the result is looked at: two signatures with one scalar would give the private key away.
        self.end_commitment(number);
        let s: Vec<u8> = sum.ok_or(Rc::NO_RESULT)?.to_vec();
        // Such a signature is of no use; the next commitment gives another one.
        if s.iter().all(|byte| *byte == 0) {
            return Err(Rc::NO_RESULT);
        }
        Ok(EccSignature { r: nonce, s })
    }
}

/// Whether a key is one whose signatures begin with a commitment.
pub(crate) fn is_split(key: &Object) -> bool {
    key.public.parameters.scheme().id == alg::ECDAA
}

//! Sequences of hashing and of HMAC (part 1, 32).

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::constants::limit;
use crate::crypto::{Crypto, Hash, Hasher};
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::wire::{Reader, Writer};

/// What a sequence computes.
pub(crate) enum Running {
    /// One digest. Whether what was hashed begins as a structure of the TPM's own is found from its first
    /// bytes.
    Hash { hash: Hash, hasher: Box<dyn Hasher>, start: Vec<u8> },
    /// A keyed digest: the inner hash is running, and the key is for the outer one.
    Hmac { hash: Hash, hasher: Box<dyn Hasher>, key: Secret, is_restricted: bool, start: Vec<u8> },
    /// A digest of each bank, for TPM2_EventSequenceComplete.
    Event(Vec<(Hash, Box<dyn Hasher>)>),
}

/// A sequence with its authorization.
pub(crate) struct Sequence {
    pub(crate) auth: Secret,
    pub(crate) running: Running,
}

/// What the start of hashed data is kept for: it must not begin as what the TPM itself attests to.
const START: usize = 4;

/// The key of HMAC, of the length of a block, XORed with a byte.
fn padded(crypto: &dyn Crypto, hash: Hash, key: &[u8], byte: u8) -> Secret {
    let mut pad = if key.len() > hash.block() { crypto.digest(hash, &[key]) } else { key.to_vec() };
    pad.resize(hash.block(), 0);
    pad.iter_mut().for_each(|pad| *pad ^= byte);
    pad.into()
}

impl Running {
    pub(crate) fn hash(crypto: &dyn Crypto, hash: Hash) -> Running {
        Running::Hash { hash, hasher: crypto.hash(hash), start: Vec::new() }
    }

    pub(crate) fn hmac(crypto: &dyn Crypto, hash: Hash, key: &[u8], is_restricted: bool) -> Running {
        let mut hasher = crypto.hash(hash);
        hasher.update(&padded(crypto, hash, key, 0x36));
        // For the end: what is kept until then is the padded key, and not the object's own.
        let key = padded(crypto, hash, key, 0x5c);
        Running::Hmac { hash, hasher, key, is_restricted, start: Vec::new() }
    }

    pub(crate) fn event(crypto: &dyn Crypto) -> Running {
        // Of all banks, since nobody knows yet which PCR it is for, and the response has all of them.
        Running::Event(Hash::ALL.into_iter().map(|hash| (hash, crypto.hash(hash))).collect())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Running::Hash { hasher, start, .. } | Running::Hmac { hasher, start, .. } => {
                // Collected over several updates, or somebody could split what a restricted key must not
                // sign.
                let missing = START.saturating_sub(start.len()).min(bytes.len());
                start.extend_from_slice(bytes.get(..missing).unwrap_or_default());
                hasher.update(bytes);
            }
            Running::Event(hashers) => hashers.iter_mut().for_each(|(_, hasher)| hasher.update(bytes)),
        }
    }

    fn save(&self, w: &mut Writer) {
        match self {
            Running::Hash { hash, hasher, start } => {
                w.u8(0).u16(hash.id()).sized(&hasher.save()).sized(start);
            }
            Running::Hmac { hash, hasher, key, is_restricted, start } => {
                w.u8(1).u16(hash.id()).sized(&hasher.save()).sized(start);
                w.sized(key).yes_no(*is_restricted);
            }
            Running::Event(hashers) => {
                w.u8(2).list(hashers, |w, (hash, hasher)| {
                    w.u16(hash.id()).sized(&hasher.save());
                });
            }
        }
    }

    fn load(crypto: &dyn Crypto, r: &mut Reader) -> Result<Running> {
        let one = |r: &mut Reader| {
            let hash = Hash::read(r)?;
            let hasher = crypto.resume_hash(hash, r.sized(limit::COMMAND)?).ok_or(Rc::INTEGRITY)?;
            Ok((hash, hasher))
        };
        match r.u8()? {
            0 => {
                let (hash, hasher) = one(r)?;
                Ok(Running::Hash { hash, hasher, start: r.bytes(START)? })
            }
            1 => {
                let ((hash, hasher), start) = (one(r)?, r.bytes(START)?);
                let key = Secret::copy(r.sized(limit::COMMAND)?);
                Ok(Running::Hmac { hash, hasher, key, is_restricted: r.yes_no()?, start })
            }
            // As many as there are algorithms, and a bound for what it takes to read a context that is
            // damaged.
            _ => Ok(Running::Event((0..r.u32()?.min(8)).map(|_| one(r)).collect::<Result<_>>()?)),
        }
    }
}

impl Sequence {
    /// The digest at the end, and whether the data may be signed by a restricted key.
    pub(crate) fn finish(self, crypto: &dyn Crypto) -> Option<(Hash, Vec<u8>, bool)> {
        match self.running {
            Running::Hash { hash, hasher, start } => Some((hash, hasher.finish(), is_foreign(&start))),
            Running::Hmac { hash, hasher, key, start, .. } => {
                let inner = hasher.finish();
                // The key has its padding for the outer hash since the start.
                Some((hash, crypto.digest(hash, &[&key, &inner]), is_foreign(&start)))
            }
            Running::Event(_) => None,
        }
    }

    pub(crate) fn save(&self, w: &mut Writer) {
        w.sized(&self.auth);
        self.running.save(w);
    }

    pub(crate) fn read(crypto: &dyn Crypto, r: &mut Reader) -> Result<Sequence> {
        Ok(Sequence { auth: Secret::auth(r.sized(limit::DIGEST)?), running: Running::load(crypto, r)? })
    }
}

/// Whether data with this start can't be taken for a structure that the TPM made itself.
pub(crate) fn is_foreign(start: &[u8]) -> bool {
    !start.starts_with(&crate::constants::GENERATED.to_be_bytes())
}

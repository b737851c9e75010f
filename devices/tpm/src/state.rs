//! The state that is kept: one snapshot, encrypted and authenticated, with a format version, in two slots
//! that are written by turns. The newest slot that is whole counts.
//!
//! A new TPM is written to both slots before it is used. So a slot that is damaged while the other was never
//! written is what a loss of power left of the making of a TPM that nobody has used, and it is made again;
//! any other storage without a whole slot is damaged, and fatal.

mod encoding;
pub(crate) mod permanent;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::crypto::drbg::Drbg;
use crate::crypto::kdf::kdfa;
use crate::crypto::{Crypto, Hash};
use crate::object::protect::encrypt;
use crate::platform::{PlatformError, Storage};
use crate::secret::{Secret, same};
use crate::wire::{Reader, Writer};
use permanent::Permanent;

/// The version of the format. Whoever changes what a seed, a field or an encoding means counts it up, and
/// keeps reading the former ones.
pub const FORMAT: u16 = 2;

const MAGIC: &[u8; 6] = b"TPM2RS";
const MAC: usize = 32;
const IV: usize = 16;

/// Why a saved state could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The platform has no entropy.
    NoEntropy,
    /// The storage could not be read or written.
    Storage,
    /// Neither slot is whole, or the key is another one.
    Damaged,
    /// The newest snapshot has that number, or there is none; a newer one was there before.
    Old(Option<u64>),
    /// The state has a format that this version does not know.
    Format(u16),
    /// The state is authentic, but says what no version of this engine has written.
    Content,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NoEntropy => f.write_str("the platform has no entropy"),
            OpenError::Storage => f.write_str("the storage of the TPM's state can't be read or written"),
            OpenError::Damaged => f.write_str("the TPM's state is damaged, or was saved with another key"),
            OpenError::Old(None) => f.write_str("the TPM's state is gone: it was there before"),
            OpenError::Old(Some(number)) => {
                write!(f, "the TPM's state is an old copy: snapshot {number}, and there was a newer one")
            }
            OpenError::Format(version) => write!(f, "the TPM's state has the unknown format {version}"),
            OpenError::Content => f.write_str("the TPM's state is authentic, but makes no sense"),
        }
    }
}

impl core::error::Error for OpenError {}

impl From<PlatformError> for OpenError {
    fn from(_: PlatformError) -> Self {
        OpenError::Storage
    }
}

/// The storage with its keys and the turn of the slots.
pub(crate) struct Store {
    storage: Box<dyn Storage>,
    encryption: Secret,
    authentication: Secret,
    /// Counts snapshots: the slot to write next is its lowest bit.
    sequence: u64,
}

/// What a slot turned out to hold.
enum Found {
    Nothing,
    Damaged,
    /// Number, format, contents.
    Snapshot(u64, u16, Secret),
}

impl Store {
    /// Opens a storage: the state that is kept there, or none if it was never used. `least`: the number of a
    /// snapshot that was there before, if one was.
    pub(crate) fn open(
        crypto: &dyn Crypto,
        storage: Box<dyn Storage>,
        key: &[u8; 32],
        least: Option<u64>,
    ) -> Result<(Store, Option<Permanent>), OpenError> {
        // A key for each purpose, as CFB and HMAC must not share one.
        let derived = |label| kdfa(crypto, Hash::Sha256, key, label, [&[], &[]], 256);
        let (encryption, authentication) = (derived("STATE ENCRYPTION"), derived("STATE INTEGRITY"));
        let mut store = Store { storage, encryption, authentication, sequence: 0 };
        let slots = [store.look(crypto, 0)?, store.look(crypto, 1)?];
        // The second slot is written last, when a TPM is made: one whose second slot is empty was never used.
        let is_unfinished = matches!(slots, [_, Found::Nothing]);
        let whole = slots.into_iter().filter_map(|slot| match slot {
            Found::Snapshot(sequence, format, plain) => Some((sequence, format, plain)),
            _ => None,
        });
        match whole.max_by_key(|(sequence, ..)| *sequence) {
            // Authentic, and so somebody's who has kept it.
            Some((sequence, ..)) if least.is_some_and(|least| sequence < least) => {
                Err(OpenError::Old(Some(sequence)))
            }
            Some((sequence, format, plain)) => {
                // The slot to write next is the other one, so that the newest stays whole whatever happens to
                // the write.
                store.sequence = sequence.checked_add(1).ok_or(OpenError::Content)?;
                let permanent = Permanent::decode(crypto, format, &plain).ok_or(OpenError::Content)?;
                Ok((store, Some(permanent)))
            }
            None if is_unfinished && least.is_some() => Err(OpenError::Old(None)),
            None if is_unfinished => Ok((store, None)),
            None => Err(OpenError::Damaged),
        }
    }

    fn look(&mut self, crypto: &dyn Crypto, slot: usize) -> Result<Found, OpenError> {
        let bytes = self.storage.read(slot)?;
        if bytes.is_empty() {
            return Ok(Found::Nothing);
        }
        let Some((body, mac)) = bytes.split_last_chunk::<MAC>() else { return Ok(Found::Damaged) };
        // Before a byte of it is parsed or decrypted: the storage may be anybody's.
        if !same(&crypto.hmac(Hash::Sha256, &self.authentication, &[body]), mac) {
            return Ok(Found::Damaged);
        }
        self.parse(crypto, body)
    }

    fn parse(&self, crypto: &dyn Crypto, body: &[u8]) -> Result<Found, OpenError> {
        let content = |_| OpenError::Content;
        let mut r = Reader::new(body);
        if r.take(MAGIC.len()).map_err(content)? != MAGIC {
            return Err(OpenError::Content);
        }
        // The HMAC was right, so that another version is a newer engine's and no damage.
        let format = r.u16().map_err(content)?;
        if !(1..=FORMAT).contains(&format) {
            return Err(OpenError::Format(format));
        }
        let (sequence, iv) = (r.u64().map_err(content)?, r.take(IV).map_err(content)?);
        let mut plain = r.rest().to_vec();
        encrypt(crypto, &self.encryption, iv, &mut plain, true).map_err(content)?;
        Ok(Found::Snapshot(sequence, format, plain.into()))
    }

    /// Writes a snapshot into the slot whose turn it is.
    pub(crate) fn write(
        &mut self,
        crypto: &dyn Crypto,
        drbg: &mut Drbg,
        permanent: &Permanent,
    ) -> Result<(), PlatformError> {
        // The key is always the same, and CFB with the same key and IV twice shows where two states differ.
        let iv = drbg.bytes(crypto, IV);
        let snapshot = self.seal(crypto, FORMAT, &iv, permanent.encode())?;
        self.storage.write((self.sequence & 1) as usize, &snapshot)?;
        // Only after a success, so that a write that failed never leads to the slot of the last whole state.
        self.sequence += 1;
        Ok(())
    }

    /// Makes a snapshot of a format out of its contents.
    fn seal(
        &self,
        crypto: &dyn Crypto,
        format: u16,
        iv: &[u8],
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, PlatformError> {
        encrypt(crypto, &self.encryption, iv, &mut data, false).map_err(|_| PlatformError)?;
        let mut w = Writer::new();
        w.raw(MAGIC).u16(format).u64(self.sequence).raw(iv).raw(&data);
        let mac = crypto.hmac(Hash::Sha256, &self.authentication, &[w.as_slice()]);
        w.raw(&mac);
        Ok(w.into_vec())
    }

    /// The same with another storage, which has the same in it.
    #[cfg(feature = "fork")]
    pub(crate) fn over(&self, storage: Box<dyn Storage>) -> Store {
        let Store { encryption, authentication, sequence, .. } = self;
        Store {
            storage,
            encryption: encryption.clone(),
            authentication: authentication.clone(),
            sequence: *sequence,
        }
    }

    /// The number of the newest snapshot, if there is one.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.sequence.checked_sub(1)
    }

    /// Writes a new TPM's first snapshots.
    pub(crate) fn write_both(
        &mut self,
        crypto: &dyn Crypto,
        drbg: &mut Drbg,
        permanent: &Permanent,
    ) -> Result<(), PlatformError> {
        self.write(crypto, drbg, permanent)?;
        self.write(crypto, drbg, permanent)
    }
}

#[cfg(test)]
mod tests;

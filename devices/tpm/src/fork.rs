//! A second TPM in the state of a first one: for tests, which try much from the same state.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::crypto::Crypto;
use crate::engine::{Tpm, Volatile};
use crate::object::Slot;
use crate::object::sequence::Sequence;
use crate::platform::{Platform, Storage};
use crate::wire::{Reader, Writer};

impl Slot {
    /// The same; none for a sequence of a hash that can't be resumed.
    fn copied(&self, crypto: &dyn Crypto) -> Option<Slot> {
        match self {
            Slot::Object(object) => Some(Slot::Object(object.clone())),
            Slot::Sequence(sequence) => {
                let mut saved = Writer::new();
                sequence.save(&mut saved);
                Sequence::read(crypto, &mut Reader::new(saved.as_slice())).ok().map(Slot::Sequence)
            }
        }
    }
}

impl Volatile {
    fn copied(&self, crypto: &dyn Crypto) -> Volatile {
        let drtm = self.drtm.as_ref().map(|running| {
            let copied = |(hash, hasher): &(_, Box<dyn crate::crypto::Hasher>)| {
                Some((*hash, crypto.resume_hash(*hash, &hasher.save())?))
            };
            running.iter().filter_map(copied).collect::<Vec<_>>()
        });
        Volatile {
            null: self.null.clone(),
            pcrs: self.pcrs.clone(),
            objects: self.objects.each_ref().map(|slot| slot.as_ref().and_then(|slot| slot.copied(crypto))),
            sessions: self.sessions.clone(),
            audit_digest: self.audit_digest.clone(),
            drtm,
            commitments: self.commitments.clone(),
            ..*self
        }
    }
}

impl Tpm {
    /// A second TPM in the state of this one, over a storage that has a copy of what this one's has: two
    /// slots with the same bytes.
    ///
    /// Both have the same secrets, and from here on the same random numbers: whoever uses both for anything
    /// but a test gives their keys away.
    #[must_use]
    pub fn fork(
        &self,
        crypto: Box<dyn Crypto>,
        platform: Box<dyn Platform>,
        storage: Box<dyn Storage>,
    ) -> Tpm {
        let volatile = self.volatile.copied(&*crypto);
        Tpm {
            crypto,
            platform,
            store: self.store.over(storage),
            drbg: self.drbg.clone(),
            permanent: self.permanent.clone(),
            volatile,
            is_dirty: self.is_dirty,
            is_new: self.is_new,
        }
    }
}

//! The snapshot's bytes, in the order of the fields.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::permanent::{Kept, Orderly, Permanent};
use crate::constants::limit;
use crate::crypto::{Crypto, Hash};
use crate::hierarchy::{AuthPolicy, Hierarchy, SEED};
use crate::lockout::Lockout;
use crate::nv::NvIndex;
use crate::object::Object;
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::structures::pcr_selection;
use crate::wire::{Reader, Writer};

/// More than any list of the state has.
const LONGEST_LIST: u32 = 4096;

impl Hierarchy {
    fn save(&self, w: &mut Writer) {
        w.sized(&self.seed).sized(&self.proof).sized(&self.auth);
        w.u16(Hash::id_or_null(self.policy.hash)).sized(&self.policy.digest);
    }

    fn read(r: &mut Reader) -> Result<Hierarchy> {
        Ok(Hierarchy {
            seed: Secret::copy(r.sized(SEED)?),
            proof: Secret::copy(r.sized(SEED)?),
            auth: Secret::auth(r.sized(limit::DIGEST)?),
            policy: AuthPolicy { hash: Hash::read_or_null(r)?, digest: r.bytes(limit::DIGEST)? },
        })
    }
}

impl Lockout {
    fn save(&self, w: &mut Writer) {
        w.u32(self.failed_tries).u32(self.max_tries).u32(self.recovery_time).u32(self.lockout_recovery);
        w.yes_no(self.is_enabled);
    }

    fn read(r: &mut Reader) -> Result<Lockout> {
        Ok(Lockout {
            failed_tries: r.u32()?,
            max_tries: r.u32()?,
            recovery_time: r.u32()?,
            lockout_recovery: r.u32()?,
            is_enabled: r.yes_no()?,
        })
    }
}

fn read_list<T>(r: &mut Reader, read: impl Fn(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
    let count = r.u32()?;
    // A snapshot that was damaged must not have the TPM take all memory before it is found out.
    if count > LONGEST_LIST {
        return Err(Rc::SIZE);
    }
    (0..count).map(|_| read(r)).collect()
}

impl Kept {
    fn save(&self, w: &mut Writer) {
        w.list(&self.pcrs, |w, (hash, index, value)| {
            w.u16(hash.id()).u8(*index).sized(value);
        });
        w.u32(self.pcr_counter);
        for enabled in self.enables {
            w.yes_no(enabled);
        }
        w.sized(&self.null_seed).sized(&self.null_proof).u64(self.context_counter).u32(self.clear_count);
        w.sized(&self.audit_digest);
        w.list(&self.sessions, |w, (handle, context)| {
            w.u32(*handle).u64(*context);
        });
        w.u8(self.startup_locality);
    }

    fn read(r: &mut Reader) -> Result<Kept> {
        Ok(Kept {
            pcrs: read_list(r, |r| Ok((Hash::read(r)?, r.u8()?, r.bytes(limit::DIGEST)?)))?,
            pcr_counter: r.u32()?,
            enables: [r.yes_no()?, r.yes_no()?, r.yes_no()?, r.yes_no()?],
            null_seed: Secret::copy(r.sized(SEED)?),
            null_proof: Secret::copy(r.sized(SEED)?),
            context_counter: r.u64()?,
            clear_count: r.u32()?,
            audit_digest: r.bytes(limit::DIGEST)?,
            sessions: read_list(r, |r| Ok((r.u32()?, r.u64()?)))?,
            startup_locality: r.u8()?,
        })
    }
}

impl Orderly {
    fn save(&self, w: &mut Writer) {
        match self {
            Orderly::No => {
                w.u8(0);
            }
            Orderly::Clear => {
                w.u8(1);
            }
            Orderly::State(kept) => kept.save(w.u8(2)),
        }
    }

    fn read(r: &mut Reader) -> Result<Orderly> {
        match r.u8()? {
            0 => Ok(Orderly::No),
            1 => Ok(Orderly::Clear),
            2 => Ok(Orderly::State(Kept::read(r)?)),
            _ => Err(Rc::VALUE),
        }
    }
}

impl Permanent {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        for hierarchy in [&self.owner, &self.endorsement, &self.platform, &self.lockout] {
            hierarchy.save(&mut w);
        }
        w.yes_no(self.is_clear_disabled);
        self.lockout_state.save(&mut w);
        pcr_selection::write(&mut w, &self.banks);
        w.u64(self.total_reset_count).u32(self.reset_count).u32(self.restart_count);
        w.u64(self.clock).yes_no(self.is_clock_safe);
        self.orderly.save(&mut w);
        // In the order of their handles: the same state has the same bytes.
        let nv: Vec<&NvIndex> = self.nv.values().collect();
        w.list(&nv, |w, index| index.save(w)).u64(self.max_counter);
        let persistent: Vec<(&u32, &Object)> = self.persistent.iter().collect();
        w.list(&persistent, |w, (handle, object)| object.save(w.u32(**handle)));
        let presence: Vec<u32> = self.presence.iter().copied().collect();
        w.list(&presence, |w, code| {
            w.u32(*code);
        });
        w.u16(self.audit_hash.id());
        let audited: Vec<u32> = self.audited.iter().copied().collect();
        w.list(&audited, |w, code| {
            w.u32(*code);
        })
        .u64(self.audit_counter)
        .sized(&self.platform_data);
        w.into_vec()
    }

    /// Takes the bytes of a snapshot of that format apart.
    pub(super) fn decode(crypto: &dyn Crypto, format: u16, bytes: &[u8]) -> Option<Permanent> {
        let mut r = Reader::new(bytes);
        let permanent = Permanent::read(crypto, format, &mut r).ok()?;
        // Bytes behind the last field would be a field that this version does not know.
        r.is_empty().then_some(permanent)
    }

    fn read(crypto: &dyn Crypto, format: u16, r: &mut Reader) -> Result<Permanent> {
        // In the order of `encode`: the fields of such an expression are evaluated as they stand here.
        Ok(Permanent {
            owner: Hierarchy::read(r)?,
            endorsement: Hierarchy::read(r)?,
            platform: Hierarchy::read(r)?,
            lockout: Hierarchy::read(r)?,
            is_clear_disabled: r.yes_no()?,
            lockout_state: Lockout::read(r)?,
            banks: pcr_selection::read(r)?,
            total_reset_count: r.u64()?,
            reset_count: r.u32()?,
            restart_count: r.u32()?,
            clock: r.u64()?,
            is_clock_safe: r.yes_no()?,
            orderly: Orderly::read(r)?,
            nv: indices(read_list(r, NvIndex::read)?),
            max_counter: r.u64()?,
            persistent: read_list(r, |r| Ok((r.u32()?, Object::read(crypto, r)?)))?.into_iter().collect(),
            presence: read_list(r, |r| r.u32())?.into_iter().collect(),
            audit_hash: Hash::read(r)?,
            audited: read_list(r, |r| r.u32())?.into_iter().collect(),
            audit_counter: r.u64()?,
            // The first format had none.
            platform_data: if format < 2 { Vec::new() } else { r.bytes(limit::PLATFORM_DATA)? },
        })
    }
}

fn indices(all: Vec<NvIndex>) -> BTreeMap<u32, NvIndex> {
    all.into_iter().map(|index| (index.public.index, index)).collect()
}

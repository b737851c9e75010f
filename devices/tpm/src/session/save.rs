//! Sessions as they are saved in contexts.

use super::policy::{Needed, Policy, Tied};
use super::{Bound, Kind, Session};
use crate::clock::Moment;
use crate::constants::limit;
use crate::crypto::Hash;
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::structures::scheme::Symmetric;
use crate::wire::{Reader, Writer};

/// Bytes of a name, at most.
const NAME: usize = limit::DIGEST + 2;

impl Policy {
    fn save(&self, w: &mut Writer) {
        // No command has the code 0.
        w.sized(&self.digest).u32(self.command.unwrap_or(0));
        match &self.tied {
            Tied::Nothing => w.u8(0),
            Tied::Parameters(digest) => w.u8(1).sized(digest),
            Tied::Names(digest) => w.u8(2).sized(digest),
            Tied::Template(digest) => w.u8(3).sized(digest),
        };
        w.u8(self.needed as u8).u8(self.locality).u64(self.timeout);
        w.u64(self.start.time).u64(self.start.epoch);
        // Three states in a byte: 2 is that nothing was said of it.
        w.yes_no(self.needs_presence).u8(self.nv_written.map_or(2, u8::from));
        w.yes_no(self.pcr_counter.is_some()).u32(self.pcr_counter.unwrap_or(0));
    }

    fn read(r: &mut Reader) -> Result<Policy> {
        let digest = r.bytes(limit::DIGEST)?;
        let command = Some(r.u32()?).filter(|command| *command != 0);
        let tied = match r.u8()? {
            0 => Tied::Nothing,
            1 => Tied::Parameters(r.bytes(limit::DIGEST)?),
            2 => Tied::Names(r.bytes(limit::DIGEST)?),
            _ => Tied::Template(r.bytes(limit::DIGEST)?),
        };
        // No more checks than these: a context is authenticated before it is read, so it is what `save`
        // wrote.
        let needed = match r.u8()? {
            0 => Needed::Nothing,
            1 => Needed::Value,
            _ => Needed::Password,
        };
        let (locality, timeout) = (r.u8()?, r.u64()?);
        let start = Moment { time: r.u64()?, epoch: r.u64()? };
        let needs_presence = r.yes_no()?;
        let nv_written = Some(r.u8()?).filter(|written| *written < 2).map(|written| written == 1);
        let (has_counter, counter) = (r.yes_no()?, r.u32()?);
        let pcr_counter = has_counter.then_some(counter);
        Ok(Policy {
            digest,
            command,
            tied,
            needed,
            locality,
            timeout,
            start,
            needs_presence,
            nv_written,
            pcr_counter,
        })
    }
}

impl Session {
    pub(crate) fn save(&self, w: &mut Writer) {
        w.u8(self.kind as u8).u16(self.hash.id());
        self.symmetric.write(w);
        w.sized(&self.nonce).sized(&self.key).yes_no(self.bound.is_some());
        if let Some(bound) = &self.bound {
            w.sized(&bound.name).sized(&bound.auth);
        }
        // These too: a session that forgot them while it was saved could be used to guess uncounted.
        w.yes_no(self.is_bound_to_protected).yes_no(self.is_bound_to_lockout).sized(&self.audit);
        self.policy.save(w);
    }

    pub(crate) fn read(r: &mut Reader) -> Result<Session> {
        let kind = match r.u8()? {
            0 => Kind::Hmac,
            1 => Kind::Policy,
            3 => Kind::Trial,
            _ => return Err(Rc::VALUE),
        };
        let (hash, symmetric) = (Hash::read(r)?, Symmetric::read_session(r)?);
        let (nonce, key) = (r.bytes(limit::NONCE)?, Secret::copy(r.sized(limit::COMMAND)?));
        let bound = if r.yes_no()? {
            Some(Bound { name: r.bytes(NAME)?, auth: Secret::auth(r.sized(limit::DIGEST)?) })
        } else {
            None
        };
        Ok(Session {
            kind,
            hash,
            symmetric,
            nonce,
            key,
            bound,
            is_bound_to_protected: r.yes_no()?,
            is_bound_to_lockout: r.yes_no()?,
            audit: r.bytes(limit::DIGEST)?,
            policy: Policy::read(r)?,
        })
    }
}

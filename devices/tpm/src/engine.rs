//! The TPM as a whole: opening its state, power, and one command after the other.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::commitment::Commitments;
use crate::constants::limit;
use crate::crypto::drbg::Drbg;
use crate::crypto::{Crypto, Hash};
use crate::hierarchy::Hierarchy;
use crate::object::Slot;
use crate::pcr::Pcrs;
use crate::platform::{Platform, PlatformError, Storage};
use crate::rc::{Rc, Result};
use crate::session::SessionSlot;
use crate::state::permanent::Permanent;
use crate::state::{OpenError, Store};

/// Which hierarchies can be used until the next TPM Reset (TPM2_HierarchyControl).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enables {
    pub(crate) platform: bool,
    pub(crate) owner: bool,
    pub(crate) endorsement: bool,
    pub(crate) platform_nv: bool,
}

impl Enables {
    pub(crate) const ALL: Enables =
        Enables { platform: true, owner: true, endorsement: true, platform_nv: true };
}

/// What is lost with the power.
pub(crate) struct Volatile {
    pub(crate) is_started: bool,
    /// Why the TPM has failed, for good.
    pub(crate) failure: Option<&'static str>,
    pub(crate) null: Hierarchy,
    pub(crate) enables: Enables,
    pub(crate) pcrs: Pcrs,
    /// Whether other PCRs are to be there from the next reset on (TPM2_PCR_Allocate).
    pub(crate) is_reallocated: bool,
    pub(crate) objects: [Option<Slot>; limit::TRANSIENT],
    pub(crate) sessions: BTreeMap<u32, SessionSlot>,
    /// Number of the context that was saved last.
    pub(crate) context_counter: u64,
    /// Counts what makes objects with stClear useless.
    pub(crate) clear_count: u32,
    pub(crate) exclusive_audit: Option<u32>,
    pub(crate) audit_digest: Vec<u8>,
    /// The platform's clock when the TPM was powered on, and when it was last looked at.
    pub(crate) time_at_start: u64,
    pub(crate) time_seen: u64,
    /// Another one whenever the time begins anew.
    pub(crate) time_epoch: u64,
    pub(crate) is_clock_safe: bool,
    /// The clock when it was last saved.
    pub(crate) clock_saved: u64,
    /// When a failed try is next forgotten, and until when lockout's own authorization is refused.
    pub(crate) lockout: crate::lockout::Timers,
    /// Hash sequence of _TPM_Hash_Start, where one runs.
    pub(crate) drtm: Option<Vec<(Hash, Box<dyn crate::crypto::Hasher>)>>,
    pub(crate) startup_locality: u8,
    pub(crate) commitments: Commitments,
}

/// A TPM 2.0.
pub struct Tpm {
    pub(crate) crypto: Box<dyn Crypto>,
    pub(crate) platform: Box<dyn Platform>,
    pub(crate) store: Store,
    pub(crate) drbg: Drbg,
    pub(crate) permanent: Permanent,
    pub(crate) volatile: Volatile,
    pub(crate) is_dirty: bool,
    pub(crate) is_new: bool,
}

impl core::fmt::Debug for Tpm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tpm").field("failure", &self.volatile.failure).finish_non_exhaustive()
    }
}

impl Tpm {
    /// Opens the state in a storage, or makes a new TPM where the storage was never written, and powers it
    /// on. `key` authenticates and encrypts the state; who has no place for a key gives zeros, and then has
    /// a checksum.
    ///
    /// # Errors
    ///
    /// The state can't be read, is damaged, is another key's or of another format. Nothing is made anew over
    /// it.
    pub fn open(
        crypto: Box<dyn Crypto>,
        platform: Box<dyn Platform>,
        storage: Box<dyn Storage>,
        key: &[u8; 32],
    ) -> core::result::Result<Tpm, OpenError> {
        Tpm::open_again(crypto, platform, storage, key, None)
    }

    /// The same where a snapshot of that number ([`Tpm::snapshot`]) is known to have been in the storage: an
    /// older one is refused, and so is a storage that was never written. Whoever keeps the number out of
    /// reach of the storage's owner knows that nobody turns the state back.
    ///
    /// # Errors
    ///
    /// As [`Tpm::open`], and [`OpenError::Old`].
    pub fn open_again(
        crypto: Box<dyn Crypto>,
        mut platform: Box<dyn Platform>,
        storage: Box<dyn Storage>,
        key: &[u8; 32],
        least: Option<u64>,
    ) -> core::result::Result<Tpm, OpenError> {
        // 32 bytes for a strength of 256 bits, and 16 more in place of the nonce (SP 800-90A, 8.6.7).
        let mut entropy = zeroize::Zeroizing::new([0; 48]);
        platform.entropy(&mut *entropy).map_err(|_| OpenError::NoEntropy)?;
        let mut drbg = Drbg::new(&*crypto, &[&*entropy, b"random numbers"]);
        let (mut store, saved) = Store::open(&*crypto, storage, key, least)?;
        let (permanent, is_new) = match saved {
            Some(permanent) => (permanent, false),
            None => {
                let permanent = Permanent::manufacture(&*crypto, &mut drbg);
                // Into both slots: while the second is empty, `Store::open` may take damage for a TPM that
                // was never used.
                store.write_both(&*crypto, &mut drbg, &permanent)?;
                (permanent, true)
            }
        };
        let volatile = Volatile::new(&permanent, platform.milliseconds());
        let mut tpm = Tpm { crypto, platform, store, drbg, permanent, volatile, is_dirty: false, is_new };
        tpm.power_on();
        Ok(tpm)
    }

    /// Whether [`Tpm::open`] found no state and made a new TPM.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.is_new
    }

    /// The number of the newest snapshot in the storage. It goes up by one with each that is written, before
    /// the command that needed it reports success.
    #[must_use]
    pub fn snapshot(&self) -> u64 {
        // A TPM that was opened has one.
        self.store.newest().unwrap_or(0)
    }

    /// Why the TPM has failed for good, if it has.
    #[must_use]
    pub const fn failure(&self) -> Option<&'static str> {
        self.volatile.failure
    }

    /// _TPM_Init: the power comes back, or the machine's reset line was driven. TPM2_Startup has to follow.
    pub fn power_on(&mut self) {
        let (now, failure) = (self.platform.milliseconds(), self.volatile.failure);
        self.volatile = Volatile::new(&self.permanent, now);
        // A reset does not heal a failure: what is in memory may not be what is in the storage.
        self.volatile.failure = failure;
        // New ones at each reset, so that nothing of the null hierarchy outlives it; TPM2_Startup after a
        // TPM2_Shutdown(STATE) takes the former ones back (part 3, 9.3).
        self.volatile.null.seed = self.new_seed();
        self.volatile.null.proof = self.new_seed();
        self.volatile.commitments.nonce = self.new_seed();
        // A number by chance: nothing has to be saved for it, and none comes again.
        let epoch = self.random(8);
        self.volatile.time_epoch = epoch.first_chunk().map_or(0, |epoch| u64::from_be_bytes(*epoch));
    }

    /// Executes a command and returns its response.
    ///
    /// `locality` is 0 to 4, or 32 to 255. Whatever the command changed for good is in the storage when
    /// this returns success.
    pub fn execute(&mut self, locality: u8, command: &[u8], response: &mut Vec<u8>) {
        // Before the command, so that a lockout whose time has passed does not refuse it.
        self.tick();
        crate::dispatch::execute(self, locality, command, response);
    }

    /// What the platform keeps beside the TPM's own state: whatever [`Tpm::set_platform_data`] was last
    /// given, and nothing in a new TPM.
    #[must_use]
    pub fn platform_data(&self) -> &[u8] {
        &self.permanent.platform_data
    }

    /// Keeps at most 64 bytes of the platform's in the snapshots, authenticated as the state is, and saves
    /// them. No command reads or changes them.
    ///
    /// # Errors
    ///
    /// There are more, the TPM has failed, or the storage can't be written.
    pub fn set_platform_data(&mut self, data: &[u8]) -> core::result::Result<(), PlatformError> {
        if data.len() > limit::PLATFORM_DATA || self.volatile.failure.is_some() {
            return Err(PlatformError);
        }
        self.permanent.platform_data = data.to_vec();
        self.touch();
        self.commit().map_err(|_| PlatformError)
    }

    pub(crate) fn fail(&mut self, reason: &'static str) -> Rc {
        // The first reason stays, as later ones mostly follow from it.
        self.volatile.failure.get_or_insert(reason);
        Rc::FAILURE
    }

    /// Records that what is kept for good has changed.
    pub(crate) fn touch(&mut self) {
        self.is_dirty = true;
    }

    /// Saves the state if it has changed.
    pub(crate) fn commit(&mut self) -> Result<()> {
        // What a TPM that has failed holds in memory is not to be trusted.
        if !self.is_dirty || self.volatile.failure.is_some() {
            return Ok(());
        }
        if self.store.write(&*self.crypto, &mut self.drbg, &self.permanent).is_err() {
            // For good: from here on memory is ahead of the storage, and whatever a command reports could be
            // lost.
            return Err(self.fail("the state can't be written"));
        }
        self.is_dirty = false;
        self.volatile.clock_saved = self.permanent.clock;
        Ok(())
    }

    /// Random bytes.
    pub(crate) fn random(&mut self, count: usize) -> Vec<u8> {
        if self.drbg.is_due() {
            let mut entropy = zeroize::Zeroizing::new([0; 32]);
            match self.platform.entropy(&mut *entropy) {
                Ok(()) => self.drbg.reseed(&*self.crypto, &[&*entropy]),
                // The command runs to its end with what the generator has, and then fails (`execute` in
                // `dispatch`).
                Err(_) => drop(self.fail("there is no entropy")),
            }
        }
        self.drbg.bytes(&*self.crypto, count)
    }

    pub(crate) fn digest(&self, hash: Hash, parts: &[&[u8]]) -> Vec<u8> {
        self.crypto.digest(hash, parts)
    }
}

impl Volatile {
    pub(crate) fn new(permanent: &Permanent, now: u64) -> Volatile {
        Volatile {
            is_started: false,
            failure: None,
            null: Hierarchy::default(),
            enables: Enables::ALL,
            pcrs: Pcrs::new(&permanent.banks, 0),
            is_reallocated: false,
            objects: [const { None }; limit::TRANSIENT],
            sessions: BTreeMap::new(),
            context_counter: 0,
            clear_count: 0,
            exclusive_audit: None,
            audit_digest: Vec::new(),
            time_at_start: now,
            time_seen: now,
            time_epoch: 0,
            is_clock_safe: true,
            clock_saved: permanent.clock,
            lockout: crate::lockout::Timers::default(),
            drtm: None,
            startup_locality: 0,
            commitments: Commitments::default(),
        }
    }
}

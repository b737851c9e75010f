//! A launch that is measured by the hardware interface: _TPM_Hash_Start, _TPM_Hash_Data, _TPM_Hash_End
//! (part 3, 22.9 to 22.11).

use crate::crypto::Hash;
use crate::engine::Tpm;
use crate::pcr::{COUNT, DRTM, attributes_of};

/// The locality of a launch's measurements, as it stands in PCR 0 after one before TPM2_Startup.
const LOCALITY: u8 = 4;

impl Tpm {
    /// _TPM_Hash_Start: begins to measure a launch. One that was begun before is given up.
    pub fn hash_start(&mut self) {
        let crypto = &*self.crypto;
        self.volatile.drtm = Some(Hash::ALL.into_iter().map(|hash| (hash, crypto.hash(hash))).collect());
    }

    /// _TPM_Hash_Data: adds bytes to what is measured.
    pub fn hash_data(&mut self, bytes: &[u8]) {
        for (_, hasher) in self.volatile.drtm.iter_mut().flatten() {
            hasher.update(bytes);
        }
    }

    /// _TPM_Hash_End: resets the PCRs of a dynamic launch and extends PCR 17, or, before TPM2_Startup, PCR 0.
    pub fn hash_end(&mut self) {
        let Some(hashers) = self.volatile.drtm.take() else { return };
        // Before TPM2_Startup it is the platform's own first code that was measured.
        let index = if self.volatile.is_started { DRTM } else { 0 };
        if self.volatile.is_started {
            (0..COUNT).filter(|at| attributes_of(*at).is_drtm).for_each(|at| self.volatile.pcrs.reset(at));
        } else {
            // TPM2_Startup leaves the PCRs alone when it finds this locality: they hold the measurement
            // already (part 1, 34).
            self.volatile.startup_locality = LOCALITY;
            self.volatile.pcrs = crate::pcr::Pcrs::new(&self.permanent.banks, LOCALITY);
        }
        for (hash, hasher) in hashers {
            self.volatile.pcrs.extend(&*self.crypto, hash, index, &hasher.finish());
        }
    }
}

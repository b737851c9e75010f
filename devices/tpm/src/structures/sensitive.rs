//! TPMT_SENSITIVE (part 2, 12.3) and TPMS_SENSITIVE_CREATE.

use crate::constants::{alg, limit};
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::wire::{Reader, Writer};

/// The secret part of an object.
#[derive(Clone, Debug)]
pub(crate) struct Sensitive {
    pub(crate) kind: u16,
    pub(crate) auth: Secret,
    pub(crate) seed: Secret,
    /// A private key, a prime, or data.
    pub(crate) data: Secret,
}

impl Sensitive {
    pub(crate) fn read(r: &mut Reader) -> Result<Self> {
        let kind = r.u16()?;
        let limit = match kind {
            alg::RSA => limit::RSA_BYTES / 2 * 5,
            alg::ECC => crate::crypto::ecc::MAX_COORDINATE,
            alg::KEYEDHASH => limit::SENSITIVE_DATA,
            alg::SYMCIPHER => 32,
            _ => return Err(Rc::TYPE),
        };
        Ok(Sensitive {
            kind,
            auth: Secret::auth(r.sized(limit::DIGEST)?),
            seed: Secret::copy(r.sized(limit::DIGEST)?),
            data: Secret::copy(r.sized(limit)?),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.u16(self.kind).sized(&self.auth).sized(&self.seed).sized(&self.data);
    }

    /// As TPM2B_SENSITIVE, with the authorization padded to `auth_size`, so that its length tells nothing.
    pub(crate) fn marshal(&self, auth_size: usize) -> Secret {
        let mut auth = Secret::copy(&self.auth).to_vec();
        // Padded, so that the size of the private area does not tell that of the value.
        auth.resize(auth_size.max(auth.len()), 0);
        let auth = Secret::from(auth);
        let mut w = Writer::new();
        w.inside(|w| {
            w.u16(self.kind).sized(&auth).sized(&self.seed).sized(&self.data);
        });
        w.into_vec().into()
    }
}

/// What a caller gives for a new object: TPMS_SENSITIVE_CREATE.
pub(crate) struct SensitiveCreate {
    pub(crate) auth: Secret,
    pub(crate) data: Secret,
}

impl SensitiveCreate {
    pub(crate) fn read(r: &mut Reader) -> Result<Self> {
        r.inside(|r| {
            Ok(SensitiveCreate {
                auth: Secret::auth(r.sized(limit::DIGEST)?),
                data: Secret::copy(r.sized(limit::SENSITIVE_DATA)?),
            })
        })
    }
}

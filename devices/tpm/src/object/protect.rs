//! Wrapping of what leaves the TPM: private areas for a parent, duplicates, credentials (part 1, 22 to 24).

use alloc::vec::Vec;

use super::Object;
use crate::constants::{alg, limit};
use crate::crypto::kdf::{kdfa, kdfe};
use crate::crypto::{Crypto, Hash, Point, cfb};
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::secret::{Secret, same};
use crate::structures::public::{Parameters, Public};
use crate::structures::scheme::Symmetric;
use crate::structures::sensitive::Sensitive;
use crate::wire::{Reader, Writer};

const BLOCK: usize = 16;

/// AES in CFB mode with a key and an IV.
pub(crate) fn encrypt(crypto: &dyn Crypto, key: &[u8], iv: &[u8], data: &mut [u8], undo: bool) -> Result<()> {
    let cipher = crypto.aes(key).ok_or(Rc::SYMMETRIC)?;
    let mut iv: [u8; BLOCK] = iv.try_into().map_err(|_| Rc::SIZE)?;
    cfb(&*cipher, &mut iv, data, undo);
    Ok(())
}

/// What protects secrets from a seed: an encryption and a HMAC over the ciphertext and a name.
pub(crate) struct Wrapping<'a> {
    pub(crate) hash: Hash,
    pub(crate) symmetric: Symmetric,
    pub(crate) seed: &'a [u8],
    pub(crate) name: &'a [u8],
}

impl Wrapping<'_> {
    fn keys(&self, crypto: &dyn Crypto) -> (Secret, Secret) {
        let bits = self.symmetric.key_size() * 8;
        let key = kdfa(crypto, self.hash, self.seed, "STORAGE", [self.name, &[]], bits);
        (key, self.mac_key(crypto))
    }

    fn mac_key(&self, crypto: &dyn Crypto) -> Secret {
        // Without the name, unlike the encryption's key: the HMAC covers the name itself.
        kdfa(crypto, self.hash, self.seed, "INTEGRITY", [&[], &[]], self.hash.size() * 8)
    }

    /// Integrity value, IV if one is given, and ciphertext. Without an IV it is zeros, as for what has a new
    /// seed each time.
    pub(crate) fn seal(&self, crypto: &dyn Crypto, iv: Option<&[u8]>, data: &[u8]) -> Result<Vec<u8>> {
        let (key, mac_key) = self.keys(crypto);
        let mut data = data.to_vec();
        encrypt(crypto, &key, iv.unwrap_or(&[0; BLOCK]), &mut data, false)?;
        // The HMAC is over the ciphertext: what is forged is refused before it is decrypted.
        let mut body = Writer::new();
        if let Some(iv) = iv {
            body.sized(iv);
        }
        body.raw(&data);
        // The name is covered, so that a private area can't be loaded with another public area (part 1, 22).
        let mac = crypto.hmac(self.hash, &mac_key, &[body.as_slice(), self.name]);
        let mut w = Writer::new();
        w.sized(&mac).raw(body.as_slice());
        Ok(w.into_vec())
    }

    /// The inverse of [`Wrapping::seal`].
    pub(crate) fn open(&self, crypto: &dyn Crypto, has_iv: bool, sealed: &[u8]) -> Result<Secret> {
        let (key, mac_key) = self.keys(crypto);
        let mut r = Reader::new(sealed);
        let mac = r.sized(limit::DIGEST)?;
        let good = crypto.hmac(self.hash, &mac_key, &[r.rest(), self.name]);
        // Before anything of it is decrypted or parsed.
        if !same(&good, mac) {
            return Err(Rc::INTEGRITY);
        }
        let iv = if has_iv { r.sized(BLOCK)? } else { &[0; BLOCK] };
        let mut data = r.rest().to_vec();
        encrypt(crypto, &key, iv, &mut data, true)?;
        Ok(data.into())
    }
}

/// The symmetric algorithm that a parent protects its children with.
fn protection(parent: &Object) -> Result<Symmetric> {
    Some(parent.public.parameters.symmetric()).filter(Symmetric::is_cfb).ok_or(Rc::SYMMETRIC)
}

impl Tpm {
    /// TPM2B_PRIVATE's content: a sensitive area, wrapped for its parent.
    pub(crate) fn wrap(&mut self, parent: u32, public: &Public, sensitive: &Sensitive) -> Result<Vec<u8>> {
        // The key depends on parent and name only, and TPM2_ObjectChangeAuth wraps under the same name again.
        let iv = self.random(BLOCK);
        let (name, parent) = (public.name(&*self.crypto), self.object(parent)?);
        let plain = sensitive.marshal(public.name_alg.map_or(0, Hash::size));
        let wrapping = Wrapping {
            hash: parent.hash()?,
            symmetric: protection(parent)?,
            seed: parent.protection_seed()?,
            name: &name,
        };
        wrapping.seal(&*self.crypto, Some(&iv), &plain)
    }

    /// The inverse.
    pub(crate) fn unwrap(&self, parent: &Object, name: &[u8], private: &[u8]) -> Result<Sensitive> {
        let wrapping = Wrapping {
            hash: parent.hash()?,
            symmetric: protection(parent)?,
            seed: parent.protection_seed()?,
            name,
        };
        let plain = wrapping.open(&*self.crypto, true, private)?;
        Reader::new(&plain).inside(Sensitive::read)
    }

    /// A new secret that only `key` can recover, and that secret encrypted (part 1, annexes B.10.3 and
    /// C.6.4).
    pub(crate) fn share_secret(&mut self, key: u32, label: &str) -> Result<(Secret, Vec<u8>)> {
        let key = self.object(key)?.clone();
        let hash = key.public.name_alg.ok_or(Rc::HASH)?;
        match &key.public.parameters {
            Parameters::Rsa { scheme, .. } => {
                let secret = Secret::from(self.random(hash.size()));
                // The zero that ends the label is part of it (part 1, annex B.4).
                let label = [label.as_bytes(), &[0]].concat();
                let hash = scheme.hash.unwrap_or(hash);
                let encrypted = self.oaep_encrypt(&key, hash, &secret, &label)?;
                Ok((secret, encrypted))
            }
            Parameters::Ecc { curve, .. } => {
                let (_, point) = key.public.point().ok_or(Rc::KEY)?;
                // For this secret alone: who learns the key later still lacks the other half.
                let (ephemeral, private) = self.new_ecc_key(*curve)?;
                let shared = self.crypto.ecc_multiply(*curve, Some(point), &private).ok_or(Rc::KEY)?;
                // From both public points, so that the secret belongs to this exchange.
                let seed =
                    kdfe(&*self.crypto, hash, &shared.x, label, [&ephemeral.x, &point.x], hash.size() * 8);
                let mut w = Writer::new();
                ephemeral.write(&mut w);
                Ok((seed, w.into_vec()))
            }
            _ => Err(Rc::TYPE),
        }
    }

    /// The secret that [`Tpm::share_secret`] made for a key.
    pub(crate) fn recover_secret(&mut self, key: u32, encrypted: &[u8], label: &str) -> Result<Secret> {
        let key = self.object(key)?.clone();
        let hash = key.public.name_alg.ok_or(Rc::HASH)?;
        match key.public.kind() {
            alg::RSA => {
                let label = [label.as_bytes(), &[0]].concat();
                let hash_of_scheme = key.public.parameters.scheme().hash.unwrap_or(hash);
                let secret = self.oaep_decrypt(&key, hash_of_scheme, encrypted, &label)?;
                // No other than such a secret is made for this key.
                if secret.len() > hash.size() {
                    return Err(Rc::VALUE);
                }
                Ok(secret)
            }
            alg::ECC => {
                let mut r = Reader::new(encrypted);
                let ephemeral = Point::read(&mut r)?;
                let (curve, own) = key.public.point().ok_or(Rc::KEY)?;
                if !r.is_empty() {
                    return Err(Rc::SIZE);
                }
                // A point of another, weak curve would give the private key away a few bits at a time.
                if !self.crypto.ecc_is_on_curve(curve, &ephemeral) {
                    return Err(Rc::ECC_POINT);
                }
                let shared = self.crypto.ecc_multiply(curve, Some(&ephemeral), &key.secret()?.data);
                let shared = shared.ok_or(Rc::NO_RESULT)?;
                let bits = hash.size() * 8;
                Ok(kdfe(&*self.crypto, hash, &shared.x, label, [&ephemeral.x, &own.x], bits))
            }
            _ => Err(Rc::TYPE),
        }
    }
}

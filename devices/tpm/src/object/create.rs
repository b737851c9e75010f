//! Making objects: random ones, and those that are derived from a seed again and again.
//!
//! A derived object is made from a DRBG that is seeded by the hierarchy's seed (or the parent's), a label
//! and the template. This is part of the format of the saved state (`docs/vtpm.md`): golden vectors in
//! `tests/golden.rs` hold it.

use alloc::vec::Vec;

use super::{Object, check};
use crate::constants::{alg, object};
use crate::crypto::drbg::Drbg;
use crate::crypto::primes::rsa_key;
use crate::crypto::{Crypto, Hash, Point};
use crate::engine::Tpm;
use crate::rc::{Rc, Result};
use crate::secret::Secret;
use crate::structures::public::{Parameters, Public, Unique};
use crate::structures::sensitive::{Sensitive, SensitiveCreate};

/// Bytes drawn beyond a curve's order.
const EXTRA_BYTES: usize = 8;

const PRIMARY_LABEL: &[u8] = b"primary object, format 1";
const DERIVED_LABEL: &[u8] = b"derived object, format 1";

/// The secret of an object: its size is the caller's, or the algorithm's.
fn symmetric_secret(
    crypto: &dyn Crypto,
    drbg: &mut Drbg,
    public: &Public,
    given: &SensitiveCreate,
) -> Result<Secret> {
    let size = match &public.parameters {
        Parameters::SymCipher { symmetric } => symmetric.key_size(),
        // A key for HMACs is as long as the digest.
        parameters => parameters.scheme().hash.or(public.name_alg).map_or(0, Hash::size),
    };
    if given.data.is_empty() || public.has(object::SENSITIVE_DATA_ORIGIN) {
        return Ok(drbg.bytes(crypto, size).into());
    }
    // A cipher's key has one size; a HMAC's key, and what is sealed, may have any.
    if public.kind() == alg::SYMCIPHER && given.data.len() != size {
        return Err(Rc::KEY_SIZE);
    }
    Ok(given.data.clone())
}

/// Makes an object's secret part and fills in what of the public part follows from it.
fn generate(
    crypto: &dyn Crypto,
    drbg: &mut Drbg,
    public: &mut Public,
    given: &SensitiveCreate,
) -> Result<Sensitive> {
    let hash = public.name_alg.ok_or(Rc::HASH)?;
    let mut data = Secret::default();
    match public.parameters {
        Parameters::Rsa { bits, .. } => {
            let exponent = public.parameters.exponent();
            let (modulus, prime) = rsa_key(crypto, drbg, bits, exponent).ok_or(Rc::NO_RESULT)?;
            // The other prime is not kept: it is the quotient of the two (part 1, annex B).
            public.unique = Unique::Bytes(modulus);
            data = Secret::copy(&prime);
        }
        Parameters::Ecc { curve, .. } => {
            let drawn = Secret::from(drbg.bytes(crypto, curve.size() + EXTRA_BYTES));
            data = Secret::copy(&crypto.ecc_scalar(curve, &drawn));
            let point = crypto.ecc_multiply(curve, None, &data).ok_or(Rc::NO_RESULT)?;
            public.unique = Unique::Point(point);
        }
        _ => {}
    }
    let mut seed = Secret::default();
    // After the key: the order of the draws is part of the saved state's format, as primary keys are made
    // again.
    if !public.is_asymmetric() || public.is_storage() {
        seed = drbg.bytes(crypto, hash.size()).into();
    }
    if !public.is_asymmetric() {
        data = symmetric_secret(crypto, drbg, public, given)?;
        // The seed hides the data: without it, anybody could try values of a short sealed secret against the
        // name.
        public.unique = Unique::Bytes(crypto.digest(hash, &[&seed, &data]));
    }
    Ok(Sensitive { kind: public.kind(), auth: given.auth.clone(), seed, data })
}

impl Tpm {
    /// Makes an object that is new each time.
    pub(crate) fn create_ordinary(
        &mut self,
        public: &mut Public,
        given: &SensitiveCreate,
    ) -> Result<Sensitive> {
        let seed = Secret::from(self.random(64));
        // A generator of its own, so that the same code makes objects of all kinds.
        let mut drbg = Drbg::new(&*self.crypto, &[&seed, b"ordinary object"]);
        generate(&*self.crypto, &mut drbg, public, given)
    }

    /// Makes the primary object of a hierarchy and a template: the same each time.
    pub(crate) fn create_primary(
        &mut self,
        hierarchy: u32,
        public: &mut Public,
        given: &SensitiveCreate,
    ) -> Result<Sensitive> {
        let seed = &self.hierarchy(hierarchy)?.seed;
        let template = public.name(&*self.crypto);
        // As a digest, so that template and data have a fixed length and nothing can move between them. The
        // authorization value is left out: a key stays the same when its value changes.
        let data = self.crypto.digest(Hash::Sha256, &[&given.data]);
        let mut drbg = Drbg::new(&*self.crypto, &[seed, PRIMARY_LABEL, &template, &data]);
        generate(&*self.crypto, &mut drbg, public, given)
    }

    /// Makes the object that a derivation parent has for a label and context: the same each time.
    pub(crate) fn create_derived(
        &mut self,
        parent: &Object,
        public: &mut Public,
        given: &SensitiveCreate,
        label_and_context: [&[u8]; 2],
    ) -> Result<Sensitive> {
        let [label, context] = label_and_context;
        // The size is in the seed, so that bytes can't move between label and context.
        let size = (label.len() as u16).to_be_bytes();
        let mut template = public.clone();
        // Label and context may stand there or come with the caller's data; the same ones have to give the
        // same key.
        template.unique = match template.unique {
            Unique::Bytes(_) => Unique::Bytes(Vec::new()),
            Unique::Point(_) => Unique::Point(Point::default()),
        };
        let template = template.name(&*self.crypto);
        let secret = &parent.secret()?.data;
        let seed: [&[u8]; 6] = [secret, DERIVED_LABEL, &size, label, context, &template];
        let mut drbg = Drbg::new(&*self.crypto, &seed);
        generate(&*self.crypto, &mut drbg, public, given)
    }

    /// Checks that a secret part belongs to a public part.
    pub(crate) fn check_pair(&self, public: &Public, sensitive: &Sensitive) -> Result<()> {
        if sensitive.kind != public.kind() {
            return Err(Rc::TYPE);
        }
        let hash = public.name_alg;
        if sensitive.auth.len() > hash.map_or(crate::constants::limit::DIGEST, Hash::size) {
            return Err(Rc::SIZE);
        }
        let is_pair = match &public.parameters {
            Parameters::Rsa { bits, .. } => {
                if sensitive.data.len() != usize::from(*bits) / 16 {
                    return Err(Rc::KEY_SIZE);
                }
                // One prime is all of the secret: it is of this key if it divides the modulus.
                self.crypto.rsa_other_prime(public.bytes(), &sensitive.data).is_some()
            }
            Parameters::Ecc { curve, .. } => {
                let found = self.crypto.ecc_multiply(*curve, None, &sensitive.data);
                let own = public.point().map(|(_, point)| point);
                found.zip(own).is_some_and(|(found, own)| is_same_point(&found, own))
            }
            // By the digest that `generate` has made; without a name algorithm there is none.
            _ => hash.is_none_or(|hash| {
                self.crypto.digest(hash, &[&sensitive.seed, &sensitive.data]) == public.bytes()
            }),
        };
        if is_pair { Ok(()) } else { Err(Rc::BINDING) }
    }

    /// Checks a public part as such: the size of a modulus, the point on its curve.
    pub(crate) fn check_public(&self, public: &Public) -> Result<()> {
        match &public.parameters {
            Parameters::Rsa { bits, .. } => {
                let modulus = public.bytes();
                // The blinding and all arithmetic count on an odd modulus of full length.
                // A modulus with zeros in front would be a shorter, weaker key that calls itself a long one.
                let is_full = modulus.len() == usize::from(*bits) / 8;
                let is_good = is_full
                    && modulus.first().is_some_and(|byte| byte & 0x80 != 0)
                    && modulus.last().is_some_and(|byte| byte & 1 != 0);
                if is_good { Ok(()) } else { Err(Rc::KEY) }
            }
            Parameters::Ecc { curve, .. } => match public.point() {
                Some((_, point)) if self.crypto.ecc_is_on_curve(*curve, point) => Ok(()),
                _ => Err(Rc::ECC_POINT),
            },
            _ => Ok(()),
        }
    }

    /// Checks and makes the object for TPM2_Create and the like.
    pub(crate) fn check_template(
        &self,
        public: &Public,
        parent: Option<&Object>,
        given: &SensitiveCreate,
    ) -> Result<()> {
        check::policy_size(public)?;
        check::origin(public, !given.data.is_empty(), parent.is_none())?;
        check::attributes(public, parent, true)
    }
}

fn is_same_point(one: &Point, other: &Point) -> bool {
    // Coordinates come with zeros in front or without.
    let trimmed = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        bytes.get(start..).map(<[u8]>::to_vec)
    };
    trimmed(&one.x) == trimmed(&other.x) && trimmed(&one.y) == trimmed(&other.y)
}

//! Which attributes, schemes and parameters of an object go together (part 2, 8.3; part 1, 25; part 3, 12.1).

use super::Object;
use crate::constants::{alg, object};
use crate::rc::{Rc, Result};
use crate::structures::public::{Parameters, Public};
use crate::structures::scheme::{Scheme, Symmetric};

/// The least exponent of an RSA key that is accepted beside zero, which stands for it.
const LEAST_EXPONENT: u32 = 65537;

fn ensure(is_good: bool, error: Rc) -> Result<()> {
    if is_good { Ok(()) } else { Err(error) }
}

/// Checks that a policy is as long as a digest of the object's algorithm.
pub(crate) fn policy_size(public: &Public) -> Result<()> {
    let size = public.policy.len();
    ensure(size == 0 || public.name_alg.is_some_and(|hash| hash.size() == size), Rc::SIZE)
}

/// Checks the attributes of a new, loaded or imported object against each other and those of its parent;
/// without a parent it is a primary or external object.
pub(crate) fn attributes(public: &Public, parent: Option<&Object>, is_below_tpm: bool) -> Result<()> {
    let has = |attribute| public.has(attribute);
    policy_size(public)?;
    // A primary object's parent is a hierarchy's seed, which never leaves the TPM.
    let is_parent_fixed = parent.map_or(is_below_tpm, |parent| parent.has(object::FIXED_TPM));
    if is_parent_fixed {
        // Below a parent that can't leave the TPM, not to leave the parent and not to leave the TPM are the
        // same.
        ensure(has(object::FIXED_TPM) == has(object::FIXED_PARENT), Rc::ATTRIBUTES)?;
    } else {
        // A parent that can leave takes its children along.
        ensure(!has(object::FIXED_TPM), Rc::ATTRIBUTES)?;
    }
    if has(object::FIXED_TPM) {
        // What is never duplicated can promise nothing about it.
        ensure(!has(object::ENCRYPTED_DUPLICATION), Rc::ATTRIBUTES)?;
    } else if let Some(parent) = parent.filter(|parent| !parent.has(object::FIXED_TPM)) {
        // A child travels with its parent: if the parent may travel unencrypted, the child's own bit would
        // promise too much.
        let is_same = has(object::ENCRYPTED_DUPLICATION) == parent.has(object::ENCRYPTED_DUPLICATION);
        ensure(is_same, Rc::ATTRIBUTES)?;
    }
    if has(object::RESTRICTED) {
        ensure(has(object::DECRYPT) != has(object::SIGN), Rc::ATTRIBUTES)?;
    }
    ensure(!has(object::X509_SIGN) || has(object::SIGN), Rc::ATTRIBUTES)?;
    if let Some(parent) = parent.filter(|parent| parent.is_parent()) {
        parents(public, &parent.public)?;
    }
    schemes(public)
}

/// A storage key that can't leave its parent protects its children no less than that (part 3, 12.1).
fn parents(public: &Public, parent: &Public) -> Result<()> {
    if !public.is_parent() || !public.has(object::FIXED_PARENT) {
        return Ok(());
    }
    ensure(public.name_alg == parent.name_alg, Rc::HASH)?;
    ensure(public.parameters.symmetric() == parent.parameters.symmetric(), Rc::SYMMETRIC)
}

/// Checks the parameters against the attributes.
pub(crate) fn schemes(public: &Public) -> Result<()> {
    match &public.parameters {
        Parameters::SymCipher { symmetric } => {
            ensure(!public.is_storage() || symmetric.is_cfb(), Rc::SYMMETRIC)?;
            ensure(!public.has(object::RESTRICTED) || public.is_storage(), Rc::ATTRIBUTES)
        }
        Parameters::KeyedHash { scheme } => keyed_hash(public, *scheme),
        Parameters::Rsa { symmetric, scheme, exponent, .. } => {
            // Zero stands for the usual one.
            ensure(*exponent == 0 || (*exponent >= LEAST_EXPONENT && exponent % 2 == 1), Rc::RANGE)?;
            asymmetric(public, *symmetric, *scheme)
        }
        Parameters::Ecc { symmetric, scheme, kdf, .. } => {
            // No command uses a key's own KDF (part 2, 12.2.3.6).
            ensure(kdf.is_null(), Rc::KDF)?;
            asymmetric(public, *symmetric, *scheme)
        }
    }
}

fn keyed_hash(public: &Public, scheme: Scheme) -> Result<()> {
    let (signs, decrypts) = (public.has(object::SIGN), public.has(object::DECRYPT));
    let is_restricted = public.has(object::RESTRICTED);
    match scheme.id {
        // One that is for both, or for neither, has no scheme of its own; one for one purpose has one.
        alg::NULL => ensure(signs == decrypts, Rc::SCHEME),
        _ if signs == decrypts => Err(Rc::SCHEME),
        alg::HMAC => ensure(signs, Rc::SCHEME),
        _ => ensure(decrypts && (!is_restricted || scheme.extra == alg::KDF1_SP800_108), Rc::SCHEME),
    }
}

fn asymmetric(public: &Public, symmetric: Symmetric, scheme: Scheme) -> Result<()> {
    let (signs, decrypts) = (public.has(object::SIGN), public.has(object::DECRYPT));
    if public.is_storage() {
        ensure(symmetric.is_cfb(), Rc::SYMMETRIC)?;
        // A storage key protects its children and does nothing else, so that it has no scheme.
        return ensure(scheme.is_null(), Rc::SCHEME);
    }
    ensure(symmetric == Symmetric::Null, Rc::SYMMETRIC)?;
    if scheme.is_null() {
        // A restricted signing key must not sign with a hash that somebody chooses.
        return ensure(!(public.has(object::RESTRICTED) && signs), Rc::SCHEME);
    }
    ensure(signs != decrypts, Rc::SCHEME)?;
    ensure(if signs { scheme.signs() } else { scheme.decrypts() }, Rc::SCHEME)
}

/// Checks where the secret of a new object comes from: from the caller or from the TPM. A primary object may
/// have data of the caller's beside the seed that it is made of.
pub(crate) fn origin(public: &Public, has_data: bool, is_primary: bool) -> Result<()> {
    let has = |attribute| public.has(attribute);
    let is_own = has(object::SENSITIVE_DATA_ORIGIN);
    ensure(is_own || has_data, Rc::ATTRIBUTES)?;
    ensure(!is_own || !has_data || is_primary, Rc::ATTRIBUTES)?;
    match public.kind() {
        alg::KEYEDHASH => {
            let is_data = !has(object::SIGN) && !has(object::DECRYPT);
            // Data to be sealed come from the caller.
            ensure(!(is_data && is_own), Rc::ATTRIBUTES)
        }
        alg::SYMCIPHER => {
            // A parent whose key somebody else may know must not promise to be of this TPM alone.
            let is_fixed = has(object::FIXED_TPM) || has(object::FIXED_PARENT);
            ensure(is_own || !has(object::RESTRICTED) || !is_fixed, Rc::ATTRIBUTES)
        }
        // A private key that a caller chose is one that somebody else may know.
        // And one that is for nothing would be no key.
        _ => ensure(is_own && (has(object::SIGN) || has(object::DECRYPT)), Rc::ATTRIBUTES),
    }
}

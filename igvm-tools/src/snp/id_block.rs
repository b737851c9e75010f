//! The ID block: what a launch has to fit, signed, so that the AMD-SP refuses any other, and reports who
//! signed (SNP ABI, 8.18 and chapter 10).

use igvm::IgvmDirectiveHeader;
use igvm_defs::{IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY, IGVM_VHS_SNP_ID_BLOCK_SIGNATURE};
use p384::ecdsa::signature::{Signer, Verifier};
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};
use p384::pkcs8::DecodePrivateKey;
use plinth_snp_abi::id_block::{
    ECDSA_P384_SHA384, EcdsaPublicKey, EcdsaSignature, GuestPolicy, ID_BLOCK_VERSION, IdBlock,
};
use sha2::{Digest, Sha384};
use zerocopy::{FromZeros, IntoBytes};

/// The line that begins a key in the older of the two formats.
const SEC1: &str = "-----BEGIN EC PRIVATE KEY-----";

/// What is wrong with a key or a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdBlockError {
    /// No private key of P-384 in PEM (PKCS#8 or SEC1).
    #[error("no private key of ECDSA P-384 in PEM: {0}")]
    Key(String),
    /// A key or a signature that no other program could use either.
    #[error("the {0} can't be written as the AMD-SP has it")]
    Number(&'static str),
    /// Another algorithm or version than there is.
    #[error("the ID block has algorithms {id_key} and {author_key}, version {version}; 1 is known of each")]
    Algorithm {
        /// Of the ID key.
        id_key: u32,
        /// Of the author's key.
        author_key: u32,
        /// Of the block.
        version: u32,
    },
    /// A key is none of P-384.
    #[error("the {0} is no key of ECDSA P-384")]
    PublicKey(&'static str),
    /// A signature is not the key's.
    #[error("the signature of the {0} is wrong")]
    Signature(&'static str),
}

/// A private key of ECDSA P-384.
pub struct Key(SigningKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// [`IdBlockError::Key`].
    pub fn from_pem(pem: &str) -> Result<Self, IdBlockError> {
        let wrong = |error: &dyn std::fmt::Display| IdBlockError::Key(error.to_string());
        // `openssl ecparam -genkey` writes the curve's name in front of the key.
        if let Some(start) = pem.find(SEC1) {
            let secret = pem.get(start..).map(p384::SecretKey::from_sec1_pem);
            let secret = secret.ok_or_else(|| wrong(&"it is cut off"))?;
            return secret.map(|secret| Self(secret.into())).map_err(|error| wrong(&error));
        }
        SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|error| wrong(&error))
    }

    fn public(&self) -> Result<EcdsaPublicKey, IdBlockError> {
        let point = self.0.verifying_key().to_sec1_point(false);
        let coordinates = (point.x(), point.y());
        let (Some(x), Some(y)) = coordinates else { return Err(IdBlockError::Number("key")) };
        Ok(EcdsaPublicKey::p384(&(*x).into(), &(*y).into()))
    }

    /// Signs; the same bytes give the same signature (RFC 6979).
    fn sign(&self, bytes: &[u8]) -> EcdsaSignature {
        let signature: Signature = self.0.sign(bytes);
        let (r, s) = signature.split_bytes();
        EcdsaSignature::p384(&r.into(), &s.into())
    }
}

/// Whatever identifies the guest for its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The family.
    pub family_id: [u8; 16],
    /// The image.
    pub image_id: [u8; 16],
    /// The security version.
    pub guest_svn: u32,
}

/// Makes the block for a launch digest, signed by the ID key, and that by the author's key if there is one.
///
/// # Errors
/// [`IdBlockError::Number`].
pub fn sign(
    launch_digest: [u8; 48],
    policy: GuestPolicy,
    identity: &Identity,
    id_key: &Key,
    author_key: Option<&Key>,
) -> Result<IGVM_VHS_SNP_ID_BLOCK, IdBlockError> {
    let block = block(launch_digest, policy, identity);
    let id_public = id_key.public()?;
    let mut header = IGVM_VHS_SNP_ID_BLOCK {
        compatibility_mask: 0,
        author_key_enabled: author_key.is_some().into(),
        reserved: [0; 3],
        ld: launch_digest,
        family_id: identity.family_id,
        image_id: identity.image_id,
        version: ID_BLOCK_VERSION,
        guest_svn: identity.guest_svn,
        id_key_algorithm: ECDSA_P384_SHA384,
        author_key_algorithm: 0,
        id_key_signature: signature_header(&id_key.sign(block.as_bytes())),
        id_public_key: key_header(&id_public),
        author_key_signature: IGVM_VHS_SNP_ID_BLOCK_SIGNATURE::new_zeroed(),
        author_public_key: IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY::new_zeroed(),
    };
    if let Some(author) = author_key {
        header.author_key_algorithm = ECDSA_P384_SHA384;
        // All of the key as the AMD-SP has it, its reserved bytes too.
        header.author_key_signature = signature_header(&author.sign(id_public.as_bytes()));
        header.author_public_key = key_header(&author.public()?);
    }
    Ok(header)
}

/// Checks the signatures, as the AMD-SP does; the policy is that of the file.
///
/// # Errors
/// [`IdBlockError`]: which of them is wrong.
pub fn verify(header: &IGVM_VHS_SNP_ID_BLOCK, policy: GuestPolicy) -> Result<(), IdBlockError> {
    let author_algorithm = if header.author_key_enabled == 0 { 0 } else { ECDSA_P384_SHA384 };
    if header.id_key_algorithm != ECDSA_P384_SHA384
        || header.author_key_algorithm != author_algorithm
        || header.version != ID_BLOCK_VERSION
    {
        return Err(IdBlockError::Algorithm {
            id_key: header.id_key_algorithm,
            author_key: header.author_key_algorithm,
            version: header.version,
        });
    }
    let identity =
        Identity { family_id: header.family_id, image_id: header.image_id, guest_svn: header.guest_svn };
    let block = block(header.ld, policy, &identity);
    check(&header.id_public_key, "ID key", &header.id_key_signature, block.as_bytes(), "ID block")?;
    if header.author_key_enabled != 0 {
        let id_key = public_key(&header.id_public_key);
        let signature = &header.author_key_signature;
        check(&header.author_public_key, "author's key", signature, id_key.as_bytes(), "ID key")?;
    }
    Ok(())
}

/// The digest of a key as it is in attestation reports (ID_KEY_DIGEST, AUTHOR_KEY_DIGEST).
pub fn key_digest(key: &IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY) -> [u8; 48] {
    Sha384::digest(public_key(key).as_bytes()).into()
}

/// The block as a directive.
pub(crate) fn directive(header: &IGVM_VHS_SNP_ID_BLOCK, mask: u32) -> IgvmDirectiveHeader {
    IgvmDirectiveHeader::SnpIdBlock {
        compatibility_mask: mask,
        author_key_enabled: header.author_key_enabled,
        reserved: [0; 3],
        ld: header.ld,
        family_id: header.family_id,
        image_id: header.image_id,
        version: header.version,
        guest_svn: header.guest_svn,
        id_key_algorithm: header.id_key_algorithm,
        author_key_algorithm: header.author_key_algorithm,
        id_key_signature: Box::new(header.id_key_signature),
        id_public_key: Box::new(header.id_public_key),
        author_key_signature: Box::new(header.author_key_signature),
        author_public_key: Box::new(header.author_public_key),
    }
}

fn block(launch_digest: [u8; 48], policy: GuestPolicy, identity: &Identity) -> IdBlock {
    IdBlock {
        launch_digest,
        family_id: identity.family_id,
        image_id: identity.image_id,
        version: ID_BLOCK_VERSION,
        guest_svn: identity.guest_svn,
        policy: policy.bits(),
    }
}

fn check(
    key: &IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY,
    key_name: &'static str,
    signature: &IGVM_VHS_SNP_ID_BLOCK_SIGNATURE,
    bytes: &[u8],
    name: &'static str,
) -> Result<(), IdBlockError> {
    let point = public_key(key).to_p384();
    let key = point.and_then(|(x, y)| {
        // An uncompressed point: 4, and both coordinates (SEC 1, 2.3.3).
        VerifyingKey::from_sec1_bytes(&[&[4][..], &x, &y].concat()).ok()
    });
    let key = key.ok_or(IdBlockError::PublicKey(key_name))?;
    let numbers = EcdsaSignature { r: signature.r_comp, s: signature.s_comp, ..FromZeros::new_zeroed() };
    let numbers = numbers.to_p384();
    let signature = numbers.and_then(|(r, s)| Signature::from_scalars(r, s).ok());
    let valid = signature.is_some_and(|signature| key.verify(bytes, &signature).is_ok());
    if valid { Ok(()) } else { Err(IdBlockError::Signature(name)) }
}

/// A key as the AMD-SP has it, which is without the four bytes that IGVM has behind the curve.
fn public_key(key: &IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY) -> EcdsaPublicKey {
    EcdsaPublicKey { curve: key.curve, qx: key.qx, qy: key.qy, ..FromZeros::new_zeroed() }
}

fn key_header(key: &EcdsaPublicKey) -> IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY {
    IGVM_VHS_SNP_ID_BLOCK_PUBLIC_KEY { curve: key.curve, reserved: 0, qx: key.qx, qy: key.qy }
}

fn signature_header(signature: &EcdsaSignature) -> IGVM_VHS_SNP_ID_BLOCK_SIGNATURE {
    IGVM_VHS_SNP_ID_BLOCK_SIGNATURE { r_comp: signature.r, s_comp: signature.s }
}

#[cfg(test)]
pub(crate) mod tests;

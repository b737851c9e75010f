//! Public areas of objects.

use super::random::Random;
use crate::wire::sized;

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A P-256 storage key.
    Storage,
    /// An RSA storage key.
    RsaStorage,
    /// A P-256 key that signs.
    Sign,
    /// A P-256 key that signs what the TPM made.
    Attest,
    /// A P-384 key that signs.
    Sign384,
    /// A BN P-256 key that signs by ECDAA.
    Anonymous,
    /// An RSA key that signs.
    RsaSign,
    /// A P-256 key for ECDH.
    Exchange,
    /// An RSA key that decrypts.
    RsaDecrypt,
    /// A key for HMAC.
    Keyed,
    /// Sealed data.
    Sealed,
    /// An AES key.
    Cipher,
    /// A sequence.
    Sequence,
}

impl Role {
    /// Whether it can be a parent.
    pub const fn is_parent(self) -> bool {
        matches!(self, Role::Storage | Role::RsaStorage)
    }

    /// Whether it signs by an asymmetric scheme.
    pub const fn signs(self) -> bool {
        matches!(self, Role::Sign | Role::Attest | Role::Sign384 | Role::RsaSign | Role::Anonymous)
    }

    /// Whether it decrypts or exchanges keys.
    pub const fn decrypts(self) -> bool {
        matches!(self, Role::Exchange | Role::RsaDecrypt)
    }
}

/// TPMA_OBJECT: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA.
const ORDINARY: u32 = 0x472;
const ORIGIN: u32 = 1 << 5;
const USER: u32 = 1 << 6;
const RESTRICTED: u32 = 1 << 16;
const DECRYPT: u32 = 1 << 17;
const SIGN: u32 = 1 << 18;

/// Attributes that a template may have, with a bit that is reserved.
const FLIPPED: [u32; 12] =
    [1 << 1, 1 << 2, 1 << 4, ORIGIN, USER, 1 << 7, 1 << 10, 1 << 11, RESTRICTED, DECRYPT, SIGN, 1 << 21];

/// An object's kind, its attributes for what it does, and what follows its policy.
fn shape(role: Role) -> (u16, u32, Vec<u8>) {
    let aes = [0, 6, 0, 0x80, 0, 0x43];
    let null = [0, 0x10];
    let ecdsa = [0, 0x18, 0, 0x0b];
    let ecc = |symmetric: &[u8], scheme: &[u8], curve: u8| {
        [symmetric, scheme, &[0, curve], &null, &[0, 0, 0, 0]].concat()
    };
    let rsa = |symmetric: &[u8], scheme: &[u8]| [symmetric, scheme, &[8, 0, 0, 0, 0, 0, 0, 0]].concat();
    match role {
        Role::Storage => (0x23, RESTRICTED | DECRYPT, ecc(&aes, &null, 3)),
        Role::Sign => (0x23, SIGN, ecc(&null, &null, 3)),
        Role::Attest => (0x23, RESTRICTED | SIGN, ecc(&null, &ecdsa, 3)),
        Role::Sign384 => (0x23, SIGN, ecc(&null, &[0, 0x18, 0, 0x0c], 4)),
        Role::Anonymous => (0x23, SIGN, ecc(&null, &[0, 0x1a, 0, 0x0b, 0, 0], 0x10)),
        Role::Exchange => (0x23, DECRYPT, ecc(&null, &null, 3)),
        Role::RsaStorage => (1, RESTRICTED | DECRYPT, rsa(&aes, &null)),
        Role::RsaSign => (1, SIGN, rsa(&null, &[0, 0x14, 0, 0x0b])),
        Role::RsaDecrypt => (1, DECRYPT, rsa(&null, &null)),
        Role::Keyed => (8, SIGN, vec![0, 5, 0, 0x0b, 0, 0]),
        Role::Sealed | Role::Sequence => (8, 0, vec![0, 0x10, 0, 0]),
        Role::Cipher => (0x25, DECRYPT | SIGN, vec![0, 6, 0, 0x80, 0, 0x10, 0, 0]),
    }
}

/// A role by chance: RSA keys, which take long to make, are rare.
pub fn role(random: &mut Random) -> Role {
    use Role::*;
    if random.once_in(150) {
        return random.pick(&[RsaStorage, RsaSign, RsaDecrypt]);
    }
    random.pick(&[
        Storage, Storage, Storage, Sign, Sign, Attest, Attest, Sign384, Anonymous, Exchange, Keyed, Sealed,
        Sealed, Cipher,
    ])
}

/// TPMT_PUBLIC of a new object; `has_data`: whether its caller gives its secret.
pub fn template(random: &mut Random, role: Role, has_data: bool, policy: &[u8]) -> Vec<u8> {
    let (kind, purpose, rest) = shape(role);
    let mut attributes = ORDINARY | purpose;
    if has_data {
        attributes &= !ORIGIN;
    }
    if !policy.is_empty() && random.once_in(2) {
        attributes &= !USER;
    }
    // What may be duplicated has neither of the two.
    if random.once_in(3) {
        attributes &= !0x12;
    }
    if random.once_in(6) {
        attributes ^= random.pick(&FLIPPED);
    }
    let hash = if random.once_in(12) { random.pick(&[4, 0x0c, 0x0d, 0x10, 0x12]) } else { 0x0bu16 };
    [&kind.to_be_bytes()[..], &hash.to_be_bytes(), &attributes.to_be_bytes(), &sized(policy), &rest].concat()
}

//! ID block, ID authentication and guest policy (SNP ABI, 4.3 and 8.18; keys and signatures: chapter 10).

use bitflags::bitflags;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

bitflags! {
    /// The guest policy. Beside these bits it has the oldest version of the ABI.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct GuestPolicy: u64 {
        /// Simultaneous multithreading may be on.
        const SMT = 1 << 16;
        /// Reserved, and must be set.
        const RESERVED_ONE = 1 << 17;
        /// A migration agent may be bound.
        const MIGRATE_MA = 1 << 18;
        /// The host may debug the guest.
        const DEBUG = 1 << 19;
        /// The guest runs on one socket alone.
        const SINGLE_SOCKET = 1 << 20;
        /// CXL devices may be there.
        const CXL_ALLOW = 1 << 21;
        /// Memory must be encrypted by AES-256-XTS.
        const MEM_AES_256_XTS = 1 << 22;
        /// Power readings must be off.
        const RAPL_DISABLED = 1 << 23;
        /// Ciphertext must be hidden.
        const CIPHERTEXT_HIDING = 1 << 24;
        /// The host must not move or swap pages.
        const PAGE_SWAP_DISABLED = 1 << 25;
        // Fields and what is reserved.
        const _ = !0;
    }
}

impl GuestPolicy {
    /// What most guests have: multithreading allowed, nothing else.
    pub const DEFAULT: Self = Self::SMT.union(Self::RESERVED_ONE);

    /// Bits 7:0, the oldest minor version.
    #[must_use]
    pub const fn abi_minor(self) -> u8 {
        self.bits().to_le_bytes()[0]
    }

    /// Bits 15:8, the oldest major version.
    #[must_use]
    pub const fn abi_major(self) -> u8 {
        self.bits().to_le_bytes()[1]
    }

    /// Whether the firmware takes it: bit 17 set, and no bit from 26 on.
    #[must_use]
    pub const fn is_well_formed(self) -> bool {
        self.contains(Self::RESERVED_ONE) && self.bits() >> 26 == 0
    }
}

/// `version` of an ID block.
pub const ID_BLOCK_VERSION: u32 = 1;

/// The ID block, which the launch has to fit.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct IdBlock {
    /// The expected launch digest.
    pub launch_digest: [u8; 48],
    /// Whatever identifies the guest's family.
    pub family_id: [u8; 16],
    /// Whatever identifies the image.
    pub image_id: [u8; 16],
    /// [`ID_BLOCK_VERSION`].
    pub version: u32,
    /// The guest's security version.
    pub guest_svn: u32,
    /// [`GuestPolicy`].
    pub policy: u64,
}

assert_layout!(
    IdBlock, 0x60, 0: launch_digest, 0x30: family_id, 0x40: image_id, 0x50: version, 0x54: guest_svn,
    0x58: policy,
);

/// `algorithm` of keys in [`IdAuth`]: ECDSA over P-384 with SHA-384.
pub const ECDSA_P384_SHA384: u32 = 1;
/// `curve` of [`EcdsaPublicKey`]: P-384.
pub const CURVE_P384: u32 = 2;

/// An ECDSA public key; numbers are little-endian.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EcdsaPublicKey {
    /// [`CURVE_P384`].
    pub curve: u32,
    /// The point's x.
    pub qx: [u8; 72],
    /// The point's y.
    pub qy: [u8; 72],
    /// Reserved.
    pub reserved: [u8; 0x370],
}

assert_layout!(EcdsaPublicKey, 0x404, 0: curve, 4: qx, 0x4c: qy, 0x94: reserved);

/// An ECDSA signature; numbers are little-endian.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct EcdsaSignature {
    /// R.
    pub r: [u8; 72],
    /// S.
    pub s: [u8; 72],
    /// Reserved.
    pub reserved: [u8; 0x170],
}

assert_layout!(EcdsaSignature, 0x200, 0: r, 0x48: s, 0x90: reserved);

/// Copies a big-endian number of P-384 into the 72 little-endian bytes of a field.
fn to_field(number: &[u8; 48]) -> [u8; 72] {
    let mut field = [0; 72];
    for (place, byte) in field.iter_mut().zip(number.iter().rev()) {
        *place = *byte;
    }
    field
}

/// The reverse; None if the number is too large.
fn from_field(field: &[u8; 72]) -> Option<[u8; 48]> {
    let (low, high) = field.split_first_chunk::<48>()?;
    let mut number = *low;
    number.reverse();
    high.iter().all(|byte| *byte == 0).then_some(number)
}

impl EcdsaPublicKey {
    /// The key at a point of P-384; coordinates are big-endian.
    #[must_use]
    pub fn p384(x: &[u8; 48], y: &[u8; 48]) -> Self {
        Self { curve: CURVE_P384, qx: to_field(x), qy: to_field(y), ..Self::new_zeroed() }
    }

    /// The point's coordinates, big-endian; None if it is no key of P-384.
    #[must_use]
    pub fn to_p384(&self) -> Option<([u8; 48], [u8; 48])> {
        if self.curve != CURVE_P384 {
            return None;
        }
        Some((from_field(&self.qx)?, from_field(&self.qy)?))
    }
}

impl EcdsaSignature {
    /// A signature of P-384; numbers are big-endian.
    #[must_use]
    pub fn p384(r: &[u8; 48], s: &[u8; 48]) -> Self {
        Self { r: to_field(r), s: to_field(s), ..Self::new_zeroed() }
    }

    /// R and S, big-endian; None if one is too large for P-384.
    #[must_use]
    pub fn to_p384(&self) -> Option<([u8; 48], [u8; 48])> {
        Some((from_field(&self.r)?, from_field(&self.s)?))
    }
}

/// The ID authentication information: who signed the ID block, and who that key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct IdAuth {
    /// [`ECDSA_P384_SHA384`].
    pub id_key_algorithm: u32,
    /// The same for the author's key.
    pub author_key_algorithm: u32,
    /// Reserved.
    pub reserved_008: [u8; 0x38],
    /// The signature of the ID block.
    pub id_block_signature: EcdsaSignature,
    /// The key that it is by.
    pub id_key: EcdsaPublicKey,
    /// Reserved.
    pub reserved_644: [u8; 0x3c],
    /// The signature of `id_key`, all its 404h bytes.
    pub id_key_signature: EcdsaSignature,
    /// The key that it is by.
    pub author_key: EcdsaPublicKey,
    /// Reserved.
    pub reserved_c84: [u8; 0x37c],
}

assert_layout!(
    IdAuth, 0x1000, 0: id_key_algorithm, 4: author_key_algorithm, 0x40: id_block_signature, 0x240: id_key,
    0x680: id_key_signature, 0x880: author_key,
);

//! What TPM2_GetCapability reports: algorithms and properties (part 2, 6.13 and 8.2).

use alloc::vec::Vec;

use crate::clock::UPDATE_INTERVAL;
use crate::constants::{alg, handle, limit, nv};
use crate::crypto::{Curve, Hash};
use crate::engine::Tpm;
use crate::table::COMMANDS;

/// TPMA_ALGORITHM.
const ASYMMETRIC: u32 = 1 << 0;
const SYMMETRIC: u32 = 1 << 1;
const HASH: u32 = 1 << 2;
const OBJECT: u32 = 1 << 3;
const SIGNING: u32 = 1 << 8;
const ENCRYPTING: u32 = 1 << 9;
const METHOD: u32 = 1 << 10;

/// The algorithms with what they are, in the order of their identifiers.
pub(crate) const ALGORITHMS: [(u16, u32); 29] = [
    (alg::RSA, ASYMMETRIC | OBJECT),
    (Hash::Sha1.id(), HASH),
    (alg::HMAC, HASH | SIGNING),
    (alg::AES, SYMMETRIC),
    (alg::MGF1, HASH | METHOD),
    (alg::KEYEDHASH, HASH | OBJECT | SIGNING | ENCRYPTING),
    (alg::XOR, HASH | SYMMETRIC),
    (Hash::Sha256.id(), HASH),
    (Hash::Sha384.id(), HASH),
    (Hash::Sha512.id(), HASH),
    (alg::NULL, 0),
    (alg::RSASSA, ASYMMETRIC | SIGNING),
    (alg::RSAES, ASYMMETRIC | ENCRYPTING),
    (alg::RSAPSS, ASYMMETRIC | SIGNING),
    (alg::OAEP, ASYMMETRIC | HASH | ENCRYPTING),
    (alg::ECDSA, ASYMMETRIC | SIGNING | METHOD),
    (alg::ECDH, ASYMMETRIC | METHOD),
    (alg::ECDAA, ASYMMETRIC | SIGNING),
    (alg::ECSCHNORR, ASYMMETRIC | SIGNING),
    (alg::KDF1_SP800_56A, HASH | METHOD),
    (0x21, HASH | METHOD),
    (alg::KDF1_SP800_108, HASH | METHOD),
    (alg::ECC, ASYMMETRIC | OBJECT),
    (alg::SYMCIPHER, SYMMETRIC | OBJECT),
    (alg::CTR, SYMMETRIC | ENCRYPTING),
    (alg::OFB, SYMMETRIC | ENCRYPTING),
    (alg::CBC, SYMMETRIC | ENCRYPTING),
    (alg::CFB, SYMMETRIC | ENCRYPTING),
    (alg::ECB, SYMMETRIC | ENCRYPTING),
];

/// Four characters as a number.
const fn text(characters: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*characters)
}

const FIXED: u32 = 0x100;
const VARIABLE: u32 = 0x200;

/// Revision 1.38 of the library specification, of day 273 of 2016.
const REVISION: u32 = 138;
const DAY_OF_YEAR: u32 = 273;
const YEAR: u32 = 2016;

/// What never changes: (number within the group, value).
const FIXED_VALUES: [(u32, u32); 45] = [
    (0x00, text(b"2.0\0")),
    (0x01, 0),
    (0x02, REVISION),
    (0x03, DAY_OF_YEAR),
    (0x04, YEAR),
    (0x05, text(b"PLTH")),
    (0x06, text(b"TPM2")),
    (0x07, text(b"-eng")),
    (0x08, text(b"ine\0")),
    (0x09, 0),
    (0x0a, 1),
    (0x0b, 0x0000_0001),
    (0x0c, 0),
    (0x0d, limit::BUFFER as u32),
    (0x0e, limit::TRANSIENT as u32),
    (0x0f, limit::PERSISTENT as u32),
    (0x10, limit::LOADED_SESSIONS as u32),
    (0x11, limit::ACTIVE_SESSIONS as u32),
    (0x12, crate::pcr::COUNT as u32),
    (0x13, (crate::pcr::COUNT / 8) as u32),
    (0x14, limit::CONTEXT_GAP as u32),
    (0x16, 0),
    (0x17, limit::NV_INDEX_SIZE as u32),
    // Objects are not in NV while they are used, and neither are sessions.
    (0x18, 6),
    (0x19, UPDATE_INTERVAL as u32),
    (0x1a, Hash::Sha256.id() as u32),
    (0x1b, alg::AES as u32),
    (0x1c, 256),
    (0x1d, crate::nv::ORDERLY_COUNT as u32),
    (0x1e, limit::COMMAND as u32),
    (0x1f, limit::COMMAND as u32),
    (0x20, limit::DIGEST as u32),
    (0x21, 2048),
    (0x22, 1024),
    // The PC Client platform profile.
    (0x23, 1),
    (0x24, 0),
    (0x25, 0x0100),
    (0x26, 0),
    (0x27, 0),
    (0x28, crate::commitment::LIMIT as u32),
    (0x29, COMMANDS.len() as u32),
    (0x2a, COMMANDS.len() as u32),
    (0x2b, 0),
    (0x2c, limit::NV_BUFFER as u32),
    (0x2d, 0),
];

fn count(all: usize) -> u32 {
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// TPMA_PERMANENT.
fn permanent(tpm: &Tpm) -> u32 {
    let state = &tpm.permanent;
    let bits = [
        (!state.owner.auth.is_empty(), 0),
        (!state.endorsement.auth.is_empty(), 1),
        (!state.lockout.auth.is_empty(), 2),
        (state.is_clear_disabled, 8),
        (tpm.is_locked_out(), 9),
        // The endorsement seed was drawn by this TPM, not put in by its maker (tpmGeneratedEPS).
        (true, 10),
    ];
    bits.iter().fold(0, |all, (is_set, bit)| all | (u32::from(*is_set) << bit))
}

/// TPMA_STARTUP_CLEAR.
fn startup_clear(tpm: &Tpm) -> u32 {
    let enables = tpm.volatile.enables;
    let bits = [
        (enables.platform, 0),
        (enables.owner, 1),
        (enables.endorsement, 2),
        (enables.platform_nv, 3),
        (!matches!(tpm.permanent.orderly, crate::state::permanent::Orderly::No), 31),
    ];
    bits.iter().fold(0, |all, (is_set, bit)| all | (u32::from(*is_set) << bit))
}

fn variable(tpm: &Tpm) -> [u32; 21] {
    let loaded = tpm.loaded_sessions();
    let active = tpm.volatile.sessions.len();
    let free = tpm.volatile.objects.iter().filter(|slot| slot.is_none()).count();
    let persistent = tpm.handles(handle::PERSISTENT).len();
    let counters = tpm.permanent.nv.values().filter(|index| index.public.kind() == nv::COUNTER).count();
    let lockout = &tpm.permanent.lockout_state;
    [
        permanent(tpm),
        startup_clear(tpm),
        count(tpm.permanent.nv.len()),
        count(loaded),
        count(limit::LOADED_SESSIONS.saturating_sub(loaded)),
        count(active),
        count(limit::ACTIVE_SESSIONS.saturating_sub(active)),
        count(free),
        count(persistent),
        count(limit::PERSISTENT.saturating_sub(persistent)),
        count(counters),
        // Any index may be a counter: there is room for as many of these.
        count(limit::NV_INDICES.saturating_sub(tpm.permanent.nv.len())),
        0,
        count(Curve::ALL.len()),
        lockout.failed_tries,
        lockout.max_tries,
        lockout.recovery_time,
        lockout.lockout_recovery,
        0,
        (tpm.permanent.audit_counter >> 32) as u32,
        tpm.permanent.audit_counter as u32,
    ]
}

/// All properties, in order.
pub(super) fn all(tpm: &Tpm) -> Vec<(u32, u32)> {
    let fixed = FIXED_VALUES.iter().map(|(at, value)| (FIXED + at, *value));
    fixed.chain((VARIABLE..).zip(variable(tpm))).collect()
}

/// A property of PCRs, and which have it.
type PcrProperty = (u32, fn(usize) -> bool);

/// The properties of PCRs, each with whether a PCR has it: (TPM_PT_PCR, test).
pub(super) fn pcr_properties() -> Vec<PcrProperty> {
    macro_rules! locality {
        ($($field:ident $bit:literal),*) => {
            [$(|at| crate::pcr::attributes_of(at).$field & (1 << $bit) != 0),*]
        };
    }
    let by_locality: [fn(usize) -> bool; 10] = locality![
        extend 0, reset 0, extend 1, reset 1, extend 2, reset 2, extend 3, reset 3, extend 4, reset 4
    ];
    let mut all: Vec<PcrProperty> = alloc::vec![(0, |at| crate::pcr::attributes_of(at).is_saved)];
    all.extend((1..).zip(by_locality));
    all.push((0x11, |at| crate::pcr::attributes_of(at).is_uncounted));
    all.push((0x12, |at| crate::pcr::attributes_of(at).is_drtm));
    all.push((0x13, |_| false));
    all.push((0x14, |_| false));
    all
}

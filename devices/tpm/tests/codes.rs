//! Response codes and rules that a comparison with swtpm has found wrong (`tpm2-compare`).
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod common;

use common::{
    NULL, OWNER, PLATFORM, World, command, create_primary, define, handle, plain, run, sized, split, started,
    storage_template, succeed, write,
};
use tpm2_engine::crypto::Hash;
use tpm2_engine::{Crypto, RustCrypto, Tpm};

const INDEX: u32 = 0x0150_0001;
const CONTINUE: u8 = 1;
const ENCRYPT: u8 = 0x40;
const AUDIT: u8 = 0x80;

/// TPM2_StartAuthSession, neither salted nor bound. `kind`: 0 for HMAC, 1 for a policy, 3 for a trial.
fn start(tpm: &mut Tpm, kind: u8, symmetric: &[u8], hash: Hash) -> (u32, Vec<u8>) {
    let handles = [NULL.to_be_bytes(), NULL.to_be_bytes()].concat();
    let body = [&handles[..], &sized(&[7; 16]), &[0, 0, kind], symmetric, &hash.id().to_be_bytes()].concat();
    let response = succeed(tpm, &plain(0x176, &body));
    (handle(&response), split(&response[4..]).0.to_vec())
}

/// A command with passwords, and a session behind them.
fn with_session(code: u32, handles: &[u32], passwords: usize, session: (u32, u8), rest: &[u8]) -> Vec<u8> {
    let password = [0x40, 0, 0, 9, 0, 0, 1, 0, 0].repeat(passwords);
    let (session, attributes) = session;
    let area = [&password, &session.to_be_bytes()[..], &sized(&[8; 16]), &[attributes, 0, 0]].concat();
    let handles: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
    let body = [&handles[..], &(area.len() as u32).to_be_bytes(), &area, rest].concat();
    let head = [&[0x80, 2][..], &(10 + body.len() as u32).to_be_bytes(), &code.to_be_bytes()].concat();
    [head, body].concat()
}

/// TPM2_CreatePrimary of a template, with data of the caller's.
fn primary(template: &[u8], data: &[u8]) -> Vec<u8> {
    let sensitive = sized(&[&[0, 0][..], &sized(data)].concat());
    command(0x131, &[OWNER], &[b""], &[&sensitive[..], &sized(template), &[0; 6]].concat())
}

/// A key for HMACs, whose scheme is given.
fn keyed(scheme: &[u8]) -> Vec<u8> {
    [&[0, 8, 0, 0x0b, 0, 4, 0x04, 0x72, 0, 0][..], scheme, &[0, 0]].concat()
}

#[test]
fn obfuscation_is_by_the_sessions_algorithm() {
    let mut tpm = started(&World::new());
    // SHA-1's session, with SHA-256 beside XOR.
    let (session, _) = start(&mut tpm, 0, &[0, 0x0a, 0, 0x0b], Hash::Sha1);
    let rest = [&sized(b"abc")[..], &[0, 0x0b], &NULL.to_be_bytes()].concat();
    let response = succeed(&mut tpm, &with_session(0x17d, &[], 0, (session, CONTINUE | ENCRYPT), &rest));
    let (hidden, ticket) = split(&response[4..]);
    // Behind the ticket: the new nonce.
    let (nonce, _) = split(&ticket[8..]);
    let bits = 256u32.to_be_bytes();
    let block = |counter: u8| {
        let parts: [&[u8]; 6] = [&[0, 0, 0, counter], b"XOR\0", nonce, &[8; 16], &bits, &[]];
        RustCrypto.hmac(Hash::Sha1, &[], &parts)
    };
    let mask = [block(1), block(2)].concat();
    let shown: Vec<u8> = hidden.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    assert_eq!(shown, RustCrypto.digest(Hash::Sha256, &[b"abc"]));
}

#[test]
fn what_a_session_can_not_be_used_for() {
    let mut tpm = started(&World::new());
    let aes = [0, 6, 0, 0x80, 0, 0x43];
    let (trial, _) = start(&mut tpm, 3, &aes, Hash::Sha256);
    let (policy, _) = start(&mut tpm, 1, &aes, Hash::Sha256);
    let (hmac, _) = start(&mut tpm, 0, &[0, 0x10], Hash::Sha256);
    let key = handle(&succeed(&mut tpm, &create_primary(OWNER, true)));
    let random = |session, attributes| with_session(0x17b, &[], 0, (session, attributes), &[0, 8]);
    let sign = with_session(0x15d, &[key], 1, (policy, CONTINUE | ENCRYPT), &[0; 8]);
    for (command, code, why) in [
        (random(trial, CONTINUE | ENCRYPT), 0x982, "a trial session is for nothing"),
        (random(policy, CONTINUE | AUDIT), 0x982, "a policy session does not audit"),
        (random(hmac, CONTINUE | ENCRYPT), 0x996, "it has no algorithm"),
        (random(policy, CONTINUE | ENCRYPT), 0, "it has one"),
        (random(policy, CONTINUE), 0x982, "it is used for nothing"),
        (sign, 0xa82, "a signature has no size in front, and can't be encrypted"),
        (with_session(0x153, &[key], 0, (policy, CONTINUE), &[0; 8]), 0x99d, "the key has no policy"),
    ] {
        assert_eq!(run(&mut tpm, &command).0, code, "{why}");
    }
}

#[test]
fn handles_are_of_their_kind_before_any_is_looked_for() {
    let mut tpm = started(&World::new());
    for (command, code, why) in [
        (command(0x14e, &[INDEX, OWNER], &[b""], &[0; 4]), 0x284, "the owner is no index"),
        (plain(0x165, &0x8000_0008u32.to_be_bytes()), 0x1c4, "there are eight transient objects"),
        (plain(0x165, &0x8000_0007u32.to_be_bytes()), 0x1cb, "this one is not there"),
        (plain(0x165, &0x0200_0040u32.to_be_bytes()), 0x1c4, "there are 64 sessions"),
        (plain(0x165, &[0x80, 0, 0, 8, 0]), 0x1c4, "values before sizes"),
        (plain(0x161, &[0; 18]), 0x1c4, "no saved handle"),
        (plain(0x17a, &[0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1]), 0x2c4, "policies are those of hierarchies"),
        (plain(0x178, &[0, 0x77]), 0x1e6, "no curve"),
    ] {
        assert_eq!(run(&mut tpm, &command).0, code, "{why}");
    }
}

#[test]
fn who_may_do_what_with_objects() {
    let mut tpm = started(&World::new());
    let key = handle(&succeed(&mut tpm, &create_primary(OWNER, true)));
    let place = 0x8100_0000u32;
    let evict = |by: u32, source: u32| command(0x120, &[by, source], &[b""], &place.to_be_bytes());
    let keep = handle(&succeed(&mut tpm, &primary(&keyed(&[0, 5, 0, 0x0b]), b"")));
    let ticket = [0x80, 0x24, 0x40, 0, 0, 1, 0, 1, 9];
    let sign = |ticket: &[u8]| {
        command(0x15d, &[keep], &[b""], &[&sized(&[9; 32])[..], &[0, 5, 0, 0x0b], ticket].concat())
    };
    let duplicate = command(0x14b, &[key, NULL], &[b""], &[0, 0, 0, 0x10]);
    for (command, code, why) in [
        (evict(PLATFORM, key), 0x285, "the platform can't keep the owner's"),
        (evict(OWNER, key), 0, "the owner can"),
        (evict(PLATFORM, place), 0, "and the platform can remove it"),
        (primary(&keyed(&[0, 0x10]), b""), 0x2d2, "a key for one purpose has a scheme"),
        (
            primary(&storage_template(true), b"more of chance"),
            0,
            "a primary key may have data beside the seed",
        ),
        (sign(&ticket), 0x3e0, "a ticket must be right also where none is needed"),
        (sign(&[0x80, 0x24, 0x40, 0, 0, 7, 0, 0]), 0, "none is needed"),
        (duplicate, 0x124, "only a policy lets duplicate"),
        (command(0x158, &[NULL], &[b""], &[0, 0, 0, 0x10, 0, 0, 0, 0]), 0x2d2, "nobody quotes by no scheme"),
    ] {
        assert_eq!(run(&mut tpm, &command).0, code, "{why}");
    }
}

#[test]
fn who_may_do_what_with_indices_and_pcrs() {
    let mut tpm = started(&World::new());
    let public = [&INDEX.to_be_bytes()[..], &[0, 0x0b, 0x02, 0x02, 0, 0x02, 0, 0, 0, 8]].concat();
    let by_platform = command(0x12a, &[PLATFORM], &[b""], &[&[0, 0][..], &sized(&public)].concat());
    succeed(&mut tpm, &define(INDEX, 0x0202_0002, 8));
    succeed(&mut tpm, &define(INDEX + 1, 0x0002_4004, 8));
    succeed(&mut tpm, &write(INDEX, &[1; 8]));
    let read = |offset: u8| command(0x14e, &[OWNER, INDEX], &[b""], &[0, 1, 0, offset]);
    let write_far = command(0x137, &[OWNER, INDEX], &[b""], &[0, 1, 5, 0, 9]);
    let all = [&[0, 0, 0, 1, 0, 4, 3, 0, 0, 0][..]].concat();
    for (command, code, why) in [
        (by_platform, 0x182, "who defines an index is able to remove it"),
        (read(9), 0x2c4, "the offset is beyond the index"),
        (read(8), 0x146, "the end is"),
        (write_far, 0x2c4, "the offset is beyond the index"),
        (command(0x13b, &[INDEX], &[b""], &[0, 0]), 0x124, "only a policy changes the value"),
        (command(0x138, &[INDEX + 1, INDEX + 1], &[b""], &[]), 0, "locked"),
        (command(0x137, &[OWNER, INDEX + 1], &[b""], &[0, 0, 0, 0]), 0x148, "who may write matters no more"),
        (command(0x12b, &[PLATFORM], &[b""], &all), 0, "no SHA-1 from the next reset on"),
        (plain(0x145, &[0, 1]), 0x1ca, "and so no state of PCRs is kept"),
        (plain(0x145, &[0, 0]), 0, "without PCRs it can be shut down"),
    ] {
        assert_eq!(run(&mut tpm, &command).0, code, "{why}");
    }
}

#[test]
fn what_keys_can_be_made() {
    let mut tpm = started(&World::new());
    let parent = handle(&succeed(&mut tpm, &create_primary(OWNER, true)));
    let create = |template: &[u8]| {
        command(0x153, &[parent], &[b""], &[&[0, 4, 0, 0, 0, 0][..], &sized(template), &[0; 6]].concat())
    };
    // A storage key whose name is by SHA-1, one that encrypts by AES-256, and a key that is for nothing.
    let (mut named, mut strong, mut idle) =
        (storage_template(true), storage_template(true), storage_template(true));
    named[3] = 4;
    strong[12] = 1;
    strong[13] = 0;
    idle[5] = 0;
    idle.splice(10..16, [0, 0x10]);
    for (command, code, why) in [
        (create(&storage_template(true)), 0, "it is as its parent"),
        (create(&named), 0x2c3, "it has another hash than its parent"),
        (create(&strong), 0x2d6, "it has another cipher than its parent"),
        (create(&idle), 0x2c2, "it neither signs nor decrypts"),
        (plain(0x14e, &[0, 0, 0, 0x55]), 0x184, "the first handle is none, and the second is not there"),
    ] {
        assert_eq!(run(&mut tpm, &command).0, code, "{why}");
    }
}

#[test]
fn the_platform_is_back_after_each_start() {
    let mut tpm = started(&World::new());
    // TPM2_HierarchyControl: the owner may turn its hierarchy on, which it is, and the platform its own off.
    let control = |by: u32, on: u8| command(0x121, &[by], &[b""], &[&by.to_be_bytes()[..], &[on]].concat());
    succeed(&mut tpm, &control(OWNER, 1));
    succeed(&mut tpm, &control(PLATFORM, 0));
    assert_eq!(run(&mut tpm, &control(PLATFORM, 0)).0, 0x185);
    succeed(&mut tpm, &plain(0x145, &[0, 1]));
    tpm.power_on();
    succeed(&mut tpm, &plain(0x144, &[0, 1]));
    succeed(&mut tpm, &control(PLATFORM, 1));
}

//! Sessions: lockout for the value that one is bound to, TPM2_PolicySecret, and what is audited.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod common;

use common::{
    ENDORSEMENT, LOCKOUT, NULL, OWNER, World, command, create_primary, define, handle, parameters, plain,
    run, sized, split, started, succeed,
};
use tpm2_engine::crypto::Hash;
use tpm2_engine::{Crypto, RustCrypto, Tpm};

const INDEX: u32 = 0x0150_0003;
const GET_RANDOM: u32 = 0x17b;
const POLICY_SECRET: u32 = 0x151;
const CONTINUE: u8 = 1;
const ENCRYPT: u8 = 0x40;
const AUDIT: u8 = 0x80;

/// TPM2_StartAuthSession without a salt. `kind`: 0 for HMAC, 1 for a policy.
fn start(tpm: &mut Tpm, bind: u32, kind: u8, symmetric: &[u8]) -> u32 {
    let handles = [NULL.to_be_bytes(), bind.to_be_bytes()].concat();
    let body = [&handles[..], &sized(&[7; 16]), &[0, 0, kind], symmetric, &[0, 0x0b]].concat();
    handle(&succeed(tpm, &plain(0x176, &body)))
}

/// A command with one session.
fn with_session(
    code: u32,
    handles: &[u32],
    session: u32,
    attributes: u8,
    hmac: &[u8],
    rest: &[u8],
) -> Vec<u8> {
    let area = [&session.to_be_bytes()[..], &sized(&[8; 16]), &[attributes], &sized(hmac)].concat();
    let handles: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
    let body = [&handles[..], &(area.len() as u32).to_be_bytes(), &area, rest].concat();
    let head = [&[0x80, 2][..], &(10 + body.len() as u32).to_be_bytes(), &code.to_be_bytes()].concat();
    [head, body].concat()
}

/// The codes of wrong HMACs by a session: as many as tries, for the owner, and at last one that only audits.
fn guesses(tpm: &mut Tpm, session: u32, tries: usize) -> Vec<u32> {
    let owner = with_session(0x129, &[OWNER], session, CONTINUE, &[1; 32], &sized(b""));
    let audit = with_session(GET_RANDOM, &[], session, CONTINUE | AUDIT, &[1; 32], &[0, 8]);
    let mut codes: Vec<_> = (0..tries).map(|_| run(tpm, &owner).0).collect();
    codes.push(run(tpm, &audit).0);
    codes
}

#[test]
fn a_bound_session_is_refused_in_lockout() {
    let world = World::new();
    let mut tpm = started(&world);
    // Neither index nor key has noDA.
    succeed(&mut tpm, &define(INDEX, 0x0004_0004, 8));
    let key = handle(&succeed(&mut tpm, &create_primary(OWNER, true)));
    for bind in [INDEX, key] {
        let is_protected = bind == INDEX;
        let session = start(&mut tpm, bind, 0, &[0, 0x10]);
        let expected = if is_protected { [0x98e, 0x98e, 0x98e, 0x921, 0x921] } else { [0x9a2; 5] };
        assert_eq!(guesses(&mut tpm, session, 4), expected, "bound to {bind:#x}");
        succeed(&mut tpm, &command(0x139, &[LOCKOUT], &[b""], &[]));
        let code = guesses(&mut tpm, session, 0)[0];
        assert_eq!(code, expected[0], "after the reset");
        succeed(&mut tpm, &command(0x139, &[LOCKOUT], &[b""], &[]));
    }
    let session = start(&mut tpm, LOCKOUT, 0, &[0, 0x10]);
    assert_eq!(guesses(&mut tpm, session, 2), [0x98e, 0x921, 0x921], "bound to lockout");
}

/// A policy session with TPM2_PolicyCommandCode for TPM2_PolicySecret and perhaps TPM2_PolicyPassword, whose
/// digest is made the owner's policy.
fn owners_policy(tpm: &mut Tpm, has_password: bool) -> u32 {
    let session = start(tpm, NULL, 1, &[0, 0x10]);
    succeed(tpm, &plain(0x16c, &[session.to_be_bytes(), POLICY_SECRET.to_be_bytes()].concat()));
    if has_password {
        succeed(tpm, &plain(0x18c, &session.to_be_bytes()));
    }
    let digest = succeed(tpm, &plain(0x189, &session.to_be_bytes()));
    succeed(tpm, &command(0x12e, &[OWNER], &[b""], &[&digest[..], &[0, 0x0b]].concat()));
    session
}

#[test]
fn a_secret_is_shown_by_a_policy_that_asks_for_it() {
    let mut tpm = started(&World::new());
    let shown_to = start(&mut tpm, NULL, 1, &[0, 0x10]);
    for (has_password, code) in [(false, 0x989), (true, 0)] {
        let session = owners_policy(&mut tpm, has_password);
        let secret = with_session(POLICY_SECRET, &[OWNER, shown_to], session, CONTINUE, &[], &[0; 10]);
        assert_eq!(run(&mut tpm, &secret).0, code, "asks for a password: {has_password}");
        succeed(&mut tpm, &plain(0x165, &session.to_be_bytes()));
    }
}

/// TPM2_GetCommandAuditDigest without a signature, so that the digest goes on.
fn audit_digest(tpm: &mut Tpm) -> Vec<u8> {
    let get = command(0x133, &[ENDORSEMENT, NULL], &[b"", b""], &[0, 0, 0, 0x10]);
    let response = succeed(tpm, &get);
    let (attest, _) = split(parameters(&response, false));
    let (_, rest) = split(&attest[6..]);
    let (_, rest) = split(rest);
    // Clock and firmware version, then the counter and the algorithm.
    assert_eq!(rest[17 + 8 + 8..][..2], [0, 0x0b]);
    split(&rest[17 + 8 + 8 + 2..]).0.to_vec()
}

#[test]
fn the_audited_response_is_the_encrypted_one() {
    let mut tpm = started(&World::new());
    let set = [&[0, 0x10][..], &[0, 0, 0, 1], &GET_RANDOM.to_be_bytes(), &[0, 0, 0, 0]].concat();
    succeed(&mut tpm, &command(0x140, &[OWNER], &[b""], &set));
    let before = audit_digest(&mut tpm);
    // XOR with SHA-256.
    let session = start(&mut tpm, NULL, 0, &[0, 0x0a, 0, 0x0b]);
    let response =
        succeed(&mut tpm, &with_session(GET_RANDOM, &[], session, CONTINUE | ENCRYPT, &[], &[0, 16]));
    let code = GET_RANDOM.to_be_bytes();
    let digest = |parts: &[&[u8]]| RustCrypto.digest(Hash::Sha256, parts);
    let cp_hash = digest(&[&code, &[0, 16]]);
    let rp_hash = digest(&[&[0; 4], &code, parameters(&response, false)]);
    assert_eq!(audit_digest(&mut tpm), digest(&[&before, &cp_hash, &rp_hash]));
}

#[test]
fn stirring_is_no_entropy_and_without_entropy_a_command_fails() {
    let world = World::new();
    let mut tpm = started(&world);
    world.is_drained.set(true);
    // The generator is due after 65536 calls.
    for round in 0..=1 << 16 {
        if round % 1000 == 0 {
            succeed(&mut tpm, &plain(0x146, &sized(b"known to the caller")));
        }
        let (code, rest) = run(&mut tpm, &plain(GET_RANDOM, &[0, 8]));
        if tpm.failure().is_some() {
            assert_eq!((code, rest), (0x101, vec![]));
            // TPM2_GetTestResult still tells of it.
            succeed(&mut tpm, &plain(0x17c, &[]));
            return;
        }
        assert_eq!(code, 0);
    }
    panic!("no new entropy was asked for");
}

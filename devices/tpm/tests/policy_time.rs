//! When authorizations by TPM2_PolicySecret end, and their tickets: at their time, with the time's epoch, and
//! with a TPM Reset.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod common;

use common::{NULL, OWNER, World, command, handle, parameters, plain, run, sized, split, started, succeed};
use tpm2_engine::Tpm;

const POLICY_SECRET: u32 = 0x151;
/// TPM_RC_EXPIRED of a policy session, of parameter 4 and of parameter 1, and TPM_RC_TICKET of parameter 5.
const EXPIRED: u32 = 0x9a3;
const EXPIRED_EXPIRATION: u32 = 0x4e3;
const EXPIRED_TIMEOUT: u32 = 0x1e3;
const NO_TICKET: u32 = 0x5e0;

/// A policy session, and its nonce.
fn start(tpm: &mut Tpm) -> (u32, Vec<u8>) {
    let handles = [NULL.to_be_bytes(), NULL.to_be_bytes()].concat();
    let body = [&handles[..], &sized(&[7; 16]), &[0, 0, 1, 0, 0x10, 0, 0x0b]].concat();
    let response = succeed(tpm, &plain(0x176, &body));
    (handle(&response), split(&response[4..]).0.to_vec())
}

/// TPM2_PolicySecret of the owner, with an empty reference and without a digest of parameters.
fn secret(session: u32, nonce: &[u8], seconds: i32) -> Vec<u8> {
    let parameters = [&sized(nonce)[..], &[0; 4], &seconds.to_be_bytes()].concat();
    command(POLICY_SECRET, &[OWNER, session], &[b""], &parameters)
}

/// The timeout and the ticket that TPM2_PolicySecret returns.
fn ticket(tpm: &mut Tpm, session: u32, nonce: &[u8], seconds: i32) -> (Vec<u8>, Vec<u8>) {
    let response = succeed(tpm, &secret(session, nonce, seconds));
    let (timeout, ticket) = split(parameters(&response, false));
    (timeout.to_vec(), ticket.to_vec())
}

/// The code of TPM2_PolicyTicket in a new session.
fn shown(tpm: &mut Tpm, (timeout, ticket): &(Vec<u8>, Vec<u8>)) -> u32 {
    let (session, _) = start(tpm);
    let name = OWNER.to_be_bytes();
    let head = [&session.to_be_bytes()[..], &sized(timeout), &[0; 4], &sized(&name)].concat();
    let (code, _) = run(tpm, &plain(0x172, &[&head[..], ticket].concat()));
    succeed(tpm, &plain(0x165, &session.to_be_bytes()));
    code
}

/// The power is lost, with a shutdown before: 0 for a TPM Reset, 1 for a TPM Resume.
fn cycle(tpm: &mut Tpm, kind: u8) {
    succeed(tpm, &plain(0x145, &[0, kind]));
    tpm.power_on();
    succeed(tpm, &plain(0x144, &[0, kind]));
}

#[test]
fn tickets_end_at_their_time_and_with_the_power() {
    let world = World::new();
    let mut tpm = started(&world);
    for has_nonce in [false, true] {
        let now = world.time.get();
        let (session, nonce) = start(&mut tpm);
        let nonce = if has_nonce { nonce } else { Vec::new() };
        let seconds = if has_nonce { -10 } else { -10 - (now / 1000) as i32 };
        let made = ticket(&mut tpm, session, &nonce, seconds);
        // Without the nonce it ends with a TPM Reset, also where the time went on.
        assert_eq!(made.0[0] & 0x80 == 0, has_nonce);
        assert_eq!(shown(&mut tpm, &made), 0);
        let mut longer = made.clone();
        longer.0[6] ^= 1;
        assert_eq!(shown(&mut tpm, &longer), NO_TICKET, "another time");
        let mut unbound = made.clone();
        unbound.0[0] ^= 0x80;
        assert_eq!(shown(&mut tpm, &unbound), NO_TICKET, "bound otherwise");
        world.time.set(now + 10_000);
        assert_eq!(shown(&mut tpm, &made), 0);
        world.time.set(now + 11_001);
        assert_eq!(shown(&mut tpm, &made), EXPIRED_TIMEOUT);
        for kind in [0, 1] {
            let (session, nonce) = start(&mut tpm);
            let nonce = if has_nonce { nonce } else { Vec::new() };
            let made = ticket(&mut tpm, session, &nonce, -1000);
            cycle(&mut tpm, kind);
            assert_eq!(shown(&mut tpm, &made), NO_TICKET, "the time began anew");
        }
    }
}

#[test]
fn a_time_without_a_nonce_does_not_end_too_early() {
    let world = World::new();
    let mut tpm = started(&world);
    world.time.set(2_700);
    let (session, _) = start(&mut tpm);
    let (timeout, _) = ticket(&mut tpm, session, &[], -2);
    assert_eq!(timeout, (2_700u64 | 1 << 63).to_be_bytes());
    assert_eq!(run(&mut tpm, &secret(session, &[], 1)).0, EXPIRED_EXPIRATION);
}

#[test]
fn a_restarted_policy_begins_when_the_session_did() {
    let world = World::new();
    let mut tpm = started(&world);
    let (session, nonce) = start(&mut tpm);
    world.time.set(6_000);
    succeed(&mut tpm, &plain(0x180, &session.to_be_bytes()));
    succeed(&mut tpm, &secret(session, &nonce, 10));
    world.time.set(12_000);
    succeed(&mut tpm, &plain(0x180, &session.to_be_bytes()));
    assert_eq!(run(&mut tpm, &secret(session, &nonce, 10)).0, EXPIRED_EXPIRATION);
}

/// TPM2_HierarchyChangeAuth of the owner to the empty value, authorized by a policy session.
fn change(session: u32) -> Vec<u8> {
    let area = [&session.to_be_bytes()[..], &[0, 0, 1, 0, 0]].concat();
    let body = [&OWNER.to_be_bytes()[..], &(area.len() as u32).to_be_bytes(), &area, &[0, 0]].concat();
    let size = (10 + body.len() as u32).to_be_bytes();
    [&[0x80, 2][..], &size, &0x129u32.to_be_bytes(), &body].concat()
}

#[test]
fn a_saved_session_is_past_its_time_when_the_time_began_anew() {
    let world = World::new();
    let mut tpm = started(&world);
    let (session, _) = start(&mut tpm);
    succeed(&mut tpm, &secret(session, &[], 0));
    let digest = succeed(&mut tpm, &plain(0x189, &session.to_be_bytes()));
    succeed(&mut tpm, &command(0x12e, &[OWNER], &[b""], &[&digest[..], &[0, 0x0b]].concat()));
    succeed(&mut tpm, &plain(0x165, &session.to_be_bytes()));
    for (seconds, is_resumed, code) in [(100, false, 0), (0, true, 0), (100, true, EXPIRED)] {
        let (session, nonce) = start(&mut tpm);
        succeed(&mut tpm, &secret(session, &nonce, seconds));
        let context = succeed(&mut tpm, &plain(0x162, &session.to_be_bytes()));
        if is_resumed {
            cycle(&mut tpm, 1);
        }
        succeed(&mut tpm, &plain(0x161, &context));
        assert_eq!(run(&mut tpm, &change(session)).0, code, "{seconds} s, resumed: {is_resumed}");
        // What is shown to a session of before has no time of before, either.
        if code != 0 {
            assert_eq!(run(&mut tpm, &secret(session, &nonce, 100)).0, EXPIRED_EXPIRATION);
        }
    }
}

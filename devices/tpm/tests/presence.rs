//! Physical presence: what is asked for is kept, and carried out at the next start.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod common;

use common::{
    ENDORSEMENT, OWNER, PLATFORM, World, command, create_primary, define, open, plain, run, started, succeed,
};
use tpm2_engine::Tpm;
use tpm2_engine::presence::{
    Confirmation, FAILED, Presence, REFUSED, Request, Submitted, close_platform, confirmation, operation,
};

const INDEX: u32 = 0x0150_0001;

/// The machine's next start.
fn restarted(tpm: &mut Tpm, is_allowed: bool) -> Presence {
    tpm.power_on();
    succeed(tpm, &plain(0x144, &[0, 0]));
    let mut presence = Presence::of(tpm);
    presence.carry_out(tpm, is_allowed).unwrap();
    presence
}

/// Asks for an operation, and starts the machine again.
fn operate(tpm: &mut Tpm, operation: u32, parameter: u32) -> Presence {
    let request = Request { operation, parameter };
    assert_eq!(Presence::of(tpm).submit(tpm, request, true), Submitted::Success);
    restarted(tpm, true)
}

/// TPM2_NV_ReadPublic.
fn is_defined(tpm: &mut Tpm) -> bool {
    run(tpm, &plain(0x169, &INDEX.to_be_bytes())).0 == 0
}

/// Which banks TPM2_GetCapability has PCRs of: a bit each, from SHA-1 on.
fn banks(tpm: &mut Tpm) -> u32 {
    let response = succeed(tpm, &plain(0x17a, &[0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1]));
    let selections = response[9..].chunks_exact(6).filter(|selection| selection[3..] != [0; 3]);
    let bits = selections.map(|selection| [0x4, 0xb, 0xc, 0xd].iter().position(|id| *id == selection[1]));
    bits.fold(0, |all, bit| all | 1 << bit.unwrap())
}

#[test]
fn a_request_outlives_the_machine_and_is_carried_out_once() {
    let world = World::new();
    let mut tpm = started(&world);
    succeed(&mut tpm, &define(INDEX, 0x0002_0002, 8));
    let request = Request { operation: operation::CLEAR, parameter: 0 };
    assert_eq!(Presence::of(&tpm).submit(&mut tpm, request, true), Submitted::Success);
    assert!(is_defined(&mut tpm), "nothing happens before the machine starts again");
    drop(tpm);

    let mut tpm = open(&world).unwrap();
    assert_eq!(Presence::of(&tpm).pending, request);
    let presence = restarted(&mut tpm, true);
    assert_eq!((presence.pending.operation, presence.last, presence.response), (0, operation::CLEAR, 0));
    assert!(!is_defined(&mut tpm));
    succeed(&mut tpm, &define(INDEX, 0x0002_0002, 8));
    drop(tpm);

    let mut tpm = open(&world).unwrap();
    let presence = restarted(&mut tpm, true);
    assert_eq!((presence.last, presence.response), (operation::CLEAR, 0), "the last response stays");
    assert!(is_defined(&mut tpm), "it was carried out once");
}

#[test]
fn hierarchies_stay_disabled_until_they_are_enabled() {
    let mut tpm = started(&World::new());
    let can_create =
        |tpm: &mut Tpm| [OWNER, ENDORSEMENT].map(|which| run(tpm, &create_primary(which, true)).0);
    const DISABLED: u32 = 0x185;
    for (operation, expected) in [
        (operation::DISABLE, [DISABLED; 2]),
        // Nothing is asked for: it is as before.
        (operation::NONE, [DISABLED; 2]),
        // TPM2_Clear enables both, until what the platform wants is done again.
        (operation::CLEAR, [DISABLED; 2]),
        (operation::DISABLE_ENDORSEMENT, [0, DISABLED]),
        (operation::ENABLE, [0; 2]),
        (operation::DISABLE, [DISABLED; 2]),
        (operation::ENABLE_CLEAR[0], [0; 2]),
    ] {
        assert_eq!(operate(&mut tpm, operation, 0).response, 0);
        assert_eq!(can_create(&mut tpm), expected, "after operation {operation}");
    }
}

#[test]
fn banks_are_allocated_at_once() {
    let mut tpm = started(&World::new());
    assert_eq!(banks(&mut tpm), 0xf);
    for (parameter, response, expected) in [(2, 0, 2), (0, FAILED, 2), (0x12, FAILED, 2), (0xc, 0, 0xc)] {
        assert_eq!(operate(&mut tpm, operation::SET_PCR_BANKS, parameter).response, response);
        assert_eq!(banks(&mut tpm), expected, "parameter {parameter:#x}");
    }
    assert_eq!(operate(&mut tpm, operation::LOG_ALL_DIGESTS, 0).response, 0);
    assert_eq!(banks(&mut tpm), 0xf);
}

#[test]
fn the_endorsement_seed_is_changed() {
    let mut tpm = started(&World::new());
    // The public area, which has the key's point.
    let key = |tpm: &mut Tpm| {
        let response = succeed(tpm, &create_primary(ENDORSEMENT, true));
        succeed(tpm, &plain(0x165, &response[..4]));
        response[8..100].to_vec()
    };
    let before = key(&mut tpm);
    assert_eq!(key(&mut tpm), before);
    assert_eq!(operate(&mut tpm, operation::CHANGE_EPS, 0).response, 0);
    assert_ne!(key(&mut tpm), before);
}

#[test]
fn what_is_not_allowed_is_not_done() {
    let world = World::new();
    let mut tpm = started(&world);
    succeed(&mut tpm, &define(INDEX, 0x0002_0002, 8));
    let request = Request { operation: operation::CLEAR, parameter: 0 };
    let mut presence = Presence::of(&tpm);
    assert_eq!(presence.submit(&mut tpm, request, false), Submitted::Blocked);
    for unknown in [3, 4, 6, 13, 15, 17, 18, 25, 32, 35, 96, 128, u32::MAX] {
        let request = Request { operation: unknown, parameter: 0 };
        assert_eq!(presence.submit(&mut tpm, request, true), Submitted::NotImplemented);
        assert_eq!(confirmation(unknown, true), Confirmation::NotImplemented);
    }
    assert_eq!(presence, Presence::default());
    assert_eq!(presence.submit(&mut tpm, request, true), Submitted::Success);
    // The configuration is another one when the machine starts again.
    let presence = restarted(&mut tpm, false);
    assert_eq!(
        (presence.pending.operation, presence.last, presence.response),
        (0, operation::CLEAR, REFUSED)
    );
    assert!(is_defined(&mut tpm));
    let mut presence = Presence::of(&tpm);
    assert_eq!(presence.submit(&mut tpm, request, true), Submitted::Success);
    // Taken back.
    assert_eq!(presence.submit(&mut tpm, Request::default(), false), Submitted::Success);
    assert_eq!(restarted(&mut tpm, true).response, REFUSED, "that of the last one that there was");
    assert!(is_defined(&mut tpm));
    world.budget.set(0);
    assert_eq!(presence.submit(&mut tpm, request, true), Submitted::Failure);
    assert_eq!(presence.pending, Request::default());
}

#[test]
fn the_platform_is_closed_until_the_next_start() {
    let mut tpm = started(&World::new());
    assert_eq!(close_platform(&mut tpm), 0);
    // TPM2_Clear by the platform: TPM_RC_HIERARCHY.
    let clear = command(0x126, &[PLATFORM], &[b""], &[]);
    assert_eq!(run(&mut tpm, &clear).0, 0x185);
    assert_ne!(close_platform(&mut tpm), 0, "it takes the platform's authorization");
    tpm.power_on();
    succeed(&mut tpm, &plain(0x144, &[0, 0]));
    assert_eq!(run(&mut tpm, &clear).0, 0);
}

#[test]
fn the_platform_keeps_64_bytes() {
    let world = World::new();
    let mut tpm = started(&world);
    assert!(tpm.platform_data().is_empty());
    tpm.set_platform_data(&[7; 64]).unwrap();
    assert!(tpm.set_platform_data(&[8; 65]).is_err());
    // Whatever else is kept changes nothing of it.
    succeed(&mut tpm, &command(0x126, &[PLATFORM], &[b""], &[]));
    drop(tpm);
    assert_eq!(open(&world).unwrap().platform_data(), [7; 64]);
}

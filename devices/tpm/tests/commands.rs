//! Commands by hand: start-up, PCRs, authorization, locks, and the codes of what is refused.

mod common;

use common::{
    LOCKOUT, OWNER, PLATFORM, World, command, create_primary, define, handle, open, parameters, plain, read,
    run, sized, split, started, succeed, write,
};

const INDEX: u32 = 0x0150_0002;
const OWNER_READ_WRITE: u32 = 0x0202_0002;

#[test]
fn nothing_works_before_startup_and_startup_once() {
    let mut tpm = open(&World::new()).unwrap();
    assert_eq!(run(&mut tpm, &plain(0x17b, &[0, 8])).0, 0x100);
    assert_eq!(run(&mut tpm, &plain(0x144, &[0, 1])).0, 0x1c4, "no state was saved");
    assert_eq!(run(&mut tpm, &plain(0x144, &[0, 0])).0, 0);
    assert_eq!(run(&mut tpm, &plain(0x144, &[0, 0])).0, 0x100);
}

#[test]
fn what_is_malformed_is_refused() {
    let mut tpm = started(&World::new());
    let mut long = plain(0x17b, &[0, 8]);
    long[5] += 1;
    let cases: [(Vec<u8>, u32); 12] = [
        (vec![], 0x142),
        (b"\0\xc1\0\0\0\x0a\0\0\0\x99".to_vec(), 0x1e),
        (long, 0x142),
        (plain(0x1ff, &[]), 0x143),
        (plain(0x17b, &[0]), 0x1da),
        (plain(0x17b, &[0, 8, 0]), 0x95),
        (plain(0x131, &[]), 0x19a),
        (plain(0x131, &[0; 4]), 0x184),
        (create_primary(OWNER, true)[..].to_vec(), 0),
        (plain(0x131, &OWNER.to_be_bytes()), 0x125),
        (plain(0x173, &0x8000_0005u32.to_be_bytes()), 0x910),
        (plain(0x169, &INDEX.to_be_bytes()), 0x18b),
    ];
    for (bytes, code) in cases {
        assert_eq!(run(&mut tpm, &bytes).0, code, "{bytes:02x?}");
    }
}

fn pcr(tpm: &mut tpm2_engine::Tpm, index: u8) -> Vec<u8> {
    let mut selection = vec![0, 0, 0, 1, 0, 0x0b, 3, 0, 0, 0];
    selection[7 + usize::from(index / 8)] = 1 << (index % 8);
    let response = succeed(tpm, &plain(0x17e, &selection));
    split(&response[4 + 10 + 4..]).0.to_vec()
}

fn extend(index: u32) -> Vec<u8> {
    let digest = [&[0, 0, 0, 1, 0, 0x0b][..], &[1; 32]].concat();
    command(0x182, &[index], &[b""], &digest)
}

#[test]
fn pcrs_extend_reset_and_resume() {
    let world = World::new();
    let mut tpm = started(&world);
    assert_eq!(pcr(&mut tpm, 17), [0xff; 32]);
    succeed(&mut tpm, &extend(3));
    succeed(&mut tpm, &extend(16));
    let extended = pcr(&mut tpm, 3);
    assert_eq!(extended, pcr(&mut tpm, 16));
    assert_ne!(extended, [0; 32]);
    assert_eq!(run(&mut tpm, &extend(17)).0, 0x907, "locality 0 may not");
    succeed(&mut tpm, &command(0x13d, &[16], &[b""], &[]));
    assert_eq!(pcr(&mut tpm, 16), [0; 32]);
    assert_eq!(run(&mut tpm, &command(0x13d, &[3], &[b""], &[])).0, 0x907);
    // Shutdown and Startup of the state keep PCR 3; of a clear start nothing.
    succeed(&mut tpm, &plain(0x145, &[0, 1]));
    drop(tpm);
    let mut tpm = open(&world).unwrap();
    succeed(&mut tpm, &plain(0x144, &[0, 1]));
    assert_eq!(pcr(&mut tpm, 3), extended);
    tpm.power_on();
    assert_eq!(run(&mut tpm, &plain(0x144, &[0, 1])).0, 0x1c4);
    succeed(&mut tpm, &plain(0x144, &[0, 0]));
    assert_eq!(pcr(&mut tpm, 3), [0; 32]);
}

#[test]
fn a_measured_launch_is_in_pcr_17() {
    let mut tpm = started(&World::new());
    tpm.hash_start();
    tpm.hash_data(b"launched");
    tpm.hash_end();
    assert_ne!(pcr(&mut tpm, 17), [0xff; 32]);
    assert_eq!(pcr(&mut tpm, 18), [0; 32]);
}

#[test]
fn indices_are_written_read_and_locked() {
    let mut tpm = started(&World::new());
    succeed(&mut tpm, &define(INDEX, OWNER_READ_WRITE | 1 << 14, 8));
    assert_eq!(run(&mut tpm, &define(INDEX, OWNER_READ_WRITE, 8)).0, 0x14c);
    assert_eq!(run(&mut tpm, &read(INDEX, 8)).0, 0x14a, "not written yet");
    assert_eq!(run(&mut tpm, &write(INDEX, &[1; 9])).0, 0x146);
    succeed(&mut tpm, &write(INDEX, &[1; 8]));
    let response = succeed(&mut tpm, &read(INDEX, 8));
    assert_eq!(split(parameters(&response, false)).0, [1; 8]);
    succeed(&mut tpm, &command(0x138, &[OWNER, INDEX], &[b""], &[]));
    assert_eq!(run(&mut tpm, &write(INDEX, &[2; 8])).0, 0x148);
    assert_eq!(run(&mut tpm, &command(0x134, &[OWNER, INDEX], &[b""], &[])).0, 0x148);
    succeed(&mut tpm, &command(0x122, &[OWNER, INDEX], &[b""], &[]));
    assert_eq!(run(&mut tpm, &read(INDEX, 8)).0, 0x28b);
}

#[test]
fn a_counter_never_falls_back() {
    let mut tpm = started(&World::new());
    let increment = command(0x134, &[OWNER, INDEX], &[b""], &[]);
    for round in 1..=2u64 {
        succeed(&mut tpm, &define(INDEX, OWNER_READ_WRITE | 1 << 4, 8));
        (0..3).for_each(|_| drop(succeed(&mut tpm, &increment)));
        let response = succeed(&mut tpm, &read(INDEX, 8));
        assert_eq!(split(parameters(&response, false)).0, (round * 3).to_be_bytes());
        succeed(&mut tpm, &command(0x122, &[OWNER, INDEX], &[b""], &[]));
    }
}

/// A sealed object below a primary key, with a password.
fn sealed(tpm: &mut tpm2_engine::Tpm) -> u32 {
    let parent = handle(&succeed(tpm, &create_primary(OWNER, true)));
    let sensitive = sized(&[sized(b"right"), sized(b"secret")].concat());
    // KEYEDHASH, SHA-256, fixedTPM, fixedParent, userWithAuth; no scheme.
    let template = [0, 8, 0, 0x0b, 0, 0, 0, 0x52, 0, 0, 0, 0x10, 0, 0];
    let parameters_of = [&sensitive[..], &sized(&template), &[0, 0, 0, 0, 0, 0]].concat();
    let response = succeed(tpm, &command(0x153, &[parent], &[b""], &parameters_of));
    let (private, rest) = split(parameters(&response, false));
    let (public, _) = split(rest);
    let load = [sized(private), sized(public)].concat();
    handle(&succeed(tpm, &command(0x157, &[parent], &[b""], &load)))
}

#[test]
fn wrong_values_are_counted_and_forgotten_in_time() {
    let world = World::new();
    let mut tpm = started(&world);
    let object = sealed(&mut tpm);
    let unseal = |password: &[u8]| command(0x15e, &[object], &[password], &[]);
    let response = succeed(&mut tpm, &unseal(b"right"));
    assert_eq!(split(parameters(&response, false)).0, b"secret");
    for _ in 0..3 {
        assert_eq!(run(&mut tpm, &unseal(b"wrong")).0, 0x98e);
    }
    assert_eq!(run(&mut tpm, &unseal(b"right")).0, 0x921, "locked out");
    world.time.set(world.time.get() + 1_000_000);
    succeed(&mut tpm, &unseal(b"right"));
    assert_eq!(run(&mut tpm, &unseal(b"wrong")).0, 0x98e);
    assert_eq!(run(&mut tpm, &unseal(b"right")).0, 0x921);
    succeed(&mut tpm, &command(0x139, &[LOCKOUT], &[b""], &[]));
    succeed(&mut tpm, &unseal(b"right"));
}

#[test]
fn a_failed_try_outlives_the_power() {
    let world = World::new();
    let mut tpm = started(&world);
    let object = sealed(&mut tpm);
    assert_eq!(run(&mut tpm, &command(0x15e, &[object], &[b"wrong"], &[])).0, 0x98e);
    drop(tpm);
    let mut tpm = started(&world);
    // TPM_PT_LOCKOUT_COUNTER.
    let response = succeed(&mut tpm, &plain(0x17a, &[0, 0, 0, 6, 0, 0, 2, 0x0e, 0, 0, 0, 1]));
    assert!(response.ends_with(&[0, 0, 2, 0x0e, 0, 0, 0, 1]));
}

#[test]
fn clear_takes_the_owners_keys_and_indices() {
    let mut tpm = started(&World::new());
    let before = succeed(&mut tpm, &create_primary(OWNER, true));
    succeed(&mut tpm, &define(INDEX, OWNER_READ_WRITE, 8));
    succeed(&mut tpm, &command(0x127, &[PLATFORM], &[b""], &[1]));
    assert_eq!(run(&mut tpm, &command(0x126, &[LOCKOUT], &[b""], &[])).0, 0x120);
    succeed(&mut tpm, &command(0x127, &[PLATFORM], &[b""], &[0]));
    succeed(&mut tpm, &command(0x126, &[LOCKOUT], &[b""], &[]));
    assert_eq!(run(&mut tpm, &read(INDEX, 8)).0, 0x28b);
    assert_ne!(succeed(&mut tpm, &create_primary(OWNER, true)), before);
}

#[test]
fn contexts_are_good_until_the_reset() {
    let mut tpm = started(&World::new());
    let object = handle(&succeed(&mut tpm, &create_primary(OWNER, true)));
    let context = succeed(&mut tpm, &plain(0x162, &object.to_be_bytes()));
    let loaded = handle(&succeed(&mut tpm, &plain(0x161, &context)));
    assert_ne!(loaded, object);
    let mut damaged = context.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(run(&mut tpm, &plain(0x161, &damaged)).0, 0x1df);
    tpm.power_on();
    succeed(&mut tpm, &plain(0x144, &[0, 0]));
    assert_eq!(run(&mut tpm, &plain(0x161, &context)).0, 0x1df);
}

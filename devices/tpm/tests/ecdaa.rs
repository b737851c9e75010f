//! ECDAA and the commands in two phases: TPM2_Commit, TPM2_EC_Ephemeral, TPM2_ZGen_2Phase.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod common;

use common::{OWNER, World, command, handle, parameters, plain, run, sized, split, started, succeed};
use tpm2_engine::crypto::{Curve, Hash, Point};
use tpm2_engine::{Crypto, RustCrypto, Tpm};

const DIGEST: [u8; 32] = [0x6d; 32];

/// TPMS_SIG_SCHEME_ECDAA with SHA-256.
const ECDAA: [u8; 4] = [0, 0x1a, 0, 0x0b];

/// `BASE` is what SHA-256 takes to an x-coordinate of BN P-256; this is the y-coordinate.
const BASE: &[u8] = b"basename 1";
const BASE_X: &str = "c39d7cbea0f78c9af356ff784a61c1f7a7c920a4c44ffaa7962f34b7efef6a55";
const BASE_Y: &str = "82088bda7b01b5fc280734aad4fc975f05eef2c30f9b871d73fdd46cb524f96e";

fn from_hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// A primary key of a curve with some scheme and attributes, and its public point.
fn key(tpm: &mut Tpm, curve: Curve, scheme: &[u8], attributes: u32) -> (u32, Point) {
    let head = [&[0, 0x23, 0, 0x0b][..], &attributes.to_be_bytes(), &[0, 0, 0, 0x10]].concat();
    let template = [&head[..], scheme, &curve.id().to_be_bytes(), &[0, 0x10, 0, 0, 0, 0]].concat();
    let create = [&[0, 4, 0, 0, 0, 0][..], &sized(&template), &[0; 6]].concat();
    let response = succeed(tpm, &command(0x131, &[OWNER], &[b""], &create));
    let public = split(parameters(&response, true)).0;
    let unique = &public[head.len() + scheme.len() + 4..];
    (handle(&response), point(unique).0)
}

fn signing_key(tpm: &mut Tpm, curve: Curve) -> (u32, Point) {
    key(tpm, curve, &[&ECDAA[..], &[0, 0]].concat(), 0x0004_0072)
}

/// TPMS_ECC_POINT, and what follows it.
fn point(bytes: &[u8]) -> (Point, &[u8]) {
    let (x, rest) = split(bytes);
    let (y, rest) = split(rest);
    (Point { x: x.to_vec(), y: y.to_vec() }, rest)
}

/// TPM2B_ECC_POINT, and what follows it.
fn sized_point(bytes: &[u8]) -> (Point, &[u8]) {
    let (inner, rest) = split(bytes);
    (point(inner).0, rest)
}

fn write_point(point: &Point) -> Vec<u8> {
    sized(&[sized(&point.x), sized(&point.y)].concat())
}

fn commit(key: u32, p1: &Point, s2: &[u8], y2: &[u8]) -> Vec<u8> {
    command(0x18b, &[key], &[b""], &[write_point(p1), sized(s2), sized(y2)].concat())
}

/// K, L, E and the counter of a commitment.
fn committed(tpm: &mut Tpm, command: &[u8]) -> ([Point; 3], u16) {
    let response = succeed(tpm, command);
    let (k, rest) = sized_point(parameters(&response, false));
    let (l, rest) = sized_point(rest);
    let (e, rest) = sized_point(rest);
    ([k, l, e], u16::from_be_bytes(rest.try_into().unwrap()))
}

fn sign(key: u32, scheme: &[u8]) -> Vec<u8> {
    // The ticket is the null ticket of hashes.
    let ticket = [0x80, 0x24, 0x40, 0, 0, 7, 0, 0];
    command(0x15d, &[key], &[b""], &[&sized(&DIGEST)[..], scheme, &ticket].concat())
}

fn by_commitment(number: u16) -> Vec<u8> {
    [&ECDAA[..], &number.to_be_bytes()].concat()
}

/// The two numbers of an ECDAA signature.
fn signature(response: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let bytes = parameters(response, false);
    assert_eq!(bytes[..4], ECDAA);
    let (k, rest) = split(&bytes[4..]);
    let (s, rest) = split(rest);
    assert!(rest.is_empty());
    (k.to_vec(), s.to_vec())
}

/// The order of a curve.
fn order(tpm: &mut Tpm, curve: Curve) -> Vec<u8> {
    let response = succeed(tpm, &plain(0x178, &curve.id().to_be_bytes()));
    let kdf = if curve == Curve::BnP256 { 2 } else { 4 };
    let mut rest = &response[4 + kdf + 2..];
    (0..5).for_each(|_| rest = split(rest).1);
    split(rest).0.to_vec()
}

#[test]
fn signatures_hold_for_what_was_committed() {
    let crypto = RustCrypto;
    for curve in Curve::ALL {
        let mut tpm = started(&World::new());
        let (key, public) = signing_key(&mut tpm, curve);
        let ([k, l, e], number) = committed(&mut tpm, &commit(key, &Point::default(), b"", b""));
        assert_eq!((k, l), (Point::default(), Point::default()));
        let (nonce, s) = signature(&succeed(&mut tpm, &sign(key, &by_commitment(number))));
        let challenge = crypto.digest(Hash::Sha256, &[&nonce, &DIGEST]);
        let challenge = crypto.remainder(&order(&mut tpm, curve), &challenge).unwrap();
        // s * G = E + T * Q.
        let right = crypto.ecc_multiply(curve, Some(&public), &challenge).unwrap();
        let sum = crypto.ecc_add(curve, &e, &right);
        assert_eq!(crypto.ecc_multiply(curve, None, &s), sum, "{curve:?}");
    }
}

#[test]
fn a_signature_needs_a_commitment_that_was_not_used() {
    let mut tpm = started(&World::new());
    let (key, _) = signing_key(&mut tpm, Curve::BnP256);
    assert_eq!(run(&mut tpm, &sign(key, &by_commitment(0))).0, 0x84, "nothing was committed");
    // TPM_RC_SCHEME about parameter 2: no scheme, ECDSA, and ECDAA with another hash.
    for scheme in [&[0, 0x10][..], &[0, 0x18, 0, 0x0b], &[0, 0x1a, 0, 0x0c, 0, 0]] {
        assert_eq!(run(&mut tpm, &sign(key, scheme)).0, 0x2d2);
    }
    let (_, number) = committed(&mut tpm, &commit(key, &Point::default(), b"", b""));
    let (_, other) = committed(&mut tpm, &commit(key, &Point::default(), b"", b""));
    assert_ne!(number, other);
    succeed(&mut tpm, &sign(key, &by_commitment(number)));
    assert_eq!(run(&mut tpm, &sign(key, &by_commitment(number))).0, 0x84, "it was used");
    tpm.power_on();
    succeed(&mut tpm, &plain(0x144, &[0, 0]));
    let (key, _) = signing_key(&mut tpm, Curve::BnP256);
    assert_eq!(run(&mut tpm, &sign(key, &by_commitment(other))).0, 0x84, "the power went");
}

#[test]
fn a_commitment_is_to_the_callers_points() {
    let (crypto, curve) = (RustCrypto, Curve::BnP256);
    let mut tpm = started(&World::new());
    let (key, public) = signing_key(&mut tpm, curve);
    let p1 = crypto.ecc_multiply(curve, None, &[77]).unwrap();
    let p2 = Point { x: from_hex(BASE_X), y: from_hex(BASE_Y) };
    let ([k, l, e], number) = committed(&mut tpm, &commit(key, &p1, BASE, &p2.y));
    let (nonce, s) = signature(&succeed(&mut tpm, &sign(key, &by_commitment(number))));
    let challenge = crypto.digest(Hash::Sha256, &[&nonce, &DIGEST]);
    let challenge = crypto.remainder(&order(&mut tpm, curve), &challenge).unwrap();
    // s * P2 = L + T * K, and s * P1 = E + T * 77 * Q, as P1 is 77 * G.
    let sum = crypto.ecc_add(curve, &l, &crypto.ecc_multiply(curve, Some(&k), &challenge).unwrap());
    assert_eq!(crypto.ecc_multiply(curve, Some(&p2), &s), sum);
    let multiple = crypto.ecc_multiply(curve, Some(&public), &[77]).unwrap();
    let sum = crypto.ecc_add(curve, &e, &crypto.ecc_multiply(curve, Some(&multiple), &challenge).unwrap());
    assert_eq!(crypto.ecc_multiply(curve, Some(&p1), &s), sum);
    let ([.., e], _) = committed(&mut tpm, &commit(key, &Point::default(), BASE, &p2.y));
    assert_eq!(e, Point::default());
}

#[test]
fn commitments_that_make_no_sense_are_refused() {
    let mut tpm = started(&World::new());
    let (key, public) = signing_key(&mut tpm, Curve::BnP256);
    let none = Point::default();
    let (y, off) = (from_hex(BASE_Y), Point { x: vec![1], y: vec![3] });
    assert_eq!(run(&mut tpm, &commit(key, &none, BASE, b"")).0, 0x3d5);
    assert_eq!(run(&mut tpm, &commit(key, &none, b"", &y)).0, 0x3d5);
    assert_eq!(run(&mut tpm, &commit(key, &none, b"other", &y)).0, 0x2e7);
    assert_eq!(run(&mut tpm, &commit(key, &off, b"", b"")).0, 0x1e7);
    assert_eq!(run(&mut tpm, &commit(key, &public, b"", b"")).0, 0);
    // A key that may sign by ECDAA, but by other schemes as well.
    let (key, _) = self::key(&mut tpm, Curve::BnP256, &[0, 0x10], 0x0004_0072);
    assert_eq!(run(&mut tpm, &commit(key, &none, b"", b"")).0, 0x192);
    let (key, _) = signing_key(&mut tpm, Curve::BnP256);
    for _ in 1..128 {
        succeed(&mut tpm, &commit(key, &none, b"", b""));
    }
    assert_eq!(run(&mut tpm, &commit(key, &none, b"", b"")).0, 0x154, "no more than TPM_PT_SPLIT_MAX");
    succeed(&mut tpm, &sign(key, &by_commitment(5)));
    succeed(&mut tpm, &commit(key, &none, b"", b""));
}

#[test]
fn an_exchange_in_two_phases_is_once_by_the_ephemeral_key() {
    let (crypto, curve) = (RustCrypto, Curve::P256);
    let mut tpm = started(&World::new());
    let (key, public) = self::key(&mut tpm, curve, &[0, 0x19, 0, 0x0b], 0x0002_0072);
    let response = succeed(&mut tpm, &plain(0x18e, &curve.id().to_be_bytes()));
    let (ephemeral, number) = sized_point(&response);
    let theirs =
        [[5; 32], [9; 32]].map(|scalar| (scalar, crypto.ecc_multiply(curve, None, &scalar).unwrap()));
    let exchange = |points: [&Point; 2], scheme: u16, number: &[u8]| {
        let points = [write_point(points[0]), write_point(points[1])].concat();
        command(0x18d, &[key], &[b""], &[&points[..], &scheme.to_be_bytes(), number].concat())
    };
    let points = [&theirs[0].1, &theirs[1].1];
    let off = Point { x: vec![1], y: vec![3] };
    assert_eq!(run(&mut tpm, &exchange([&off, points[1]], 0x19, number)).0, 0x1e7);
    assert_eq!(run(&mut tpm, &exchange([points[0], &off], 0x19, number)).0, 0x2e7);
    assert_eq!(run(&mut tpm, &exchange(points, 0x1d, number)).0, 0x3d2);
    assert_eq!(run(&mut tpm, &exchange(points, 0x19, &[0x12, 0x34])).0, 0x4c4);
    let response = succeed(&mut tpm, &exchange(points, 0x19, number));
    let (z1, rest) = sized_point(parameters(&response, false));
    let (z2, _) = sized_point(rest);
    assert_eq!(Some(z1), crypto.ecc_multiply(curve, Some(&public), &theirs[0].0));
    assert_eq!(Some(z2), crypto.ecc_multiply(curve, Some(&ephemeral), &theirs[1].0));
    assert_eq!(run(&mut tpm, &exchange(points, 0x19, number)).0, 0x4c4, "it was used");
}

#[test]
fn the_curve_is_listed_and_described() {
    let mut tpm = started(&World::new());
    let curves = succeed(&mut tpm, &plain(0x17a, &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9]));
    assert!(curves.ends_with(&[0, 0, 0, 3, 0, 3, 0, 4, 0, 0x10]));
    let order = order(&mut tpm, Curve::BnP256);
    assert_eq!(order, from_hex("fffffffffffcf0cd46e5f25eee71a49e0cdc65fb1299921af62d536cd10b500d"));
}

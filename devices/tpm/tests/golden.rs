//! Golden vectors of the format: the primary keys of a TPM whose seeds are known. A change here loses every
//! key that somebody has sealed something with; it needs a new format version and the old derivation beside
//! it.

mod common;

use common::{ENDORSEMENT, OWNER, World, create_primary, handle, parameters, split, started, succeed};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a primary storage key.
fn name(hierarchy: u32, is_ecc: bool) -> String {
    let mut tpm = started(&World::new());
    let response = succeed(&mut tpm, &create_primary(hierarchy, is_ecc));
    assert_eq!(handle(&response), 0x8000_0000);
    let public = parameters(&response, true);
    let (_, rest) = split(public);
    let (_, rest) = split(rest);
    let (_, rest) = split(rest);
    // The creation ticket: tag, hierarchy, digest.
    let (_, rest) = split(&rest[6..]);
    hex(split(rest).0)
}

/// P-256 of owner and endorsement, RSA-2048 of owner and endorsement.
const GOLDEN: [&str; 4] = [
    "000bf02cfa755c9729723b420a433a442dd8248ed48907db9d3e5b6c247b21c3d36b",
    "000bf9e387a7b83f919ae518c36c6f3a9faad7a3fa9eae0a2d2440d8af8405d3e814",
    "000b1b477cc307065367d17a1e534de1919537a9ce9f8eb148cb981713fe74c95500",
    "000b2bf59328faea139cf6001c8b263adb62a64163d2906104528824ebac481ccd64",
];

#[test]
fn primary_keys_are_what_they_were() {
    let names = [name(OWNER, true), name(ENDORSEMENT, true), name(OWNER, false), name(ENDORSEMENT, false)];
    assert_eq!(names, GOLDEN);
}

#[test]
fn primary_keys_outlive_the_power() {
    let world = World::new();
    let first = succeed(&mut started(&world), &create_primary(OWNER, true));
    let second = succeed(&mut started(&world), &create_primary(OWNER, true));
    // Creation data and ticket are the same too, as the PCRs are.
    assert_eq!(first, second);
}

//! The TPM on the host, and what tests it.

pub mod compare;
pub mod server;
pub mod suite;
pub mod tools;

use std::process::Command;

use crate::command::succeeds;

/// What Debian's packages have to be there for, and a program or file of each.
const NEEDED: [(&str, &str); 3] = [
    ("tpm2-tools", "command -v tpm2_getrandom"),
    ("swtpm", "command -v swtpm"),
    ("libtss2-dev", "test -e /usr/include/tss2/tss2_esys.h"),
];

/// A package that is missing for tests by tpm2-tools, swtpm and the crate tss-esapi.
pub fn missing() -> Option<&'static str> {
    // By what is used of each.
    let is_there = |test: &str| succeeds(Command::new("sh").args(["-c", test]));
    NEEDED.iter().find(|(_, test)| !is_there(test)).map(|(package, _)| *package)
}

//! What is left to the general way: nothing here gets as far as a port.

use super::*;

const HEADER: u64 = PortWrite::CODE as u64;
const HANDLE: Handle = 5;

fn access(words: [u64; 8]) -> (bool, [u64; 8]) {
    let accesses = PortAccesses {
        ports: HostPorts { first: 0x3f8, count: 8 },
        is_write: true,
        header: HEADER,
        handle: HANDLE,
    };
    let mut words = words;
    // SAFETY: an operation of the test's own.
    let done = unsafe { accesses.access(words.as_mut_ptr().expose_provenance() as u64) };
    (done, words)
}

#[test]
fn what_is_different_or_wrong_is_not_done() {
    let like = [HEADER, HANDLE as u64, 1 << 32, 0, 0, 0, 0, 0];
    for (what, index, word) in [
        ("another operation", 0, u64::from(PortRead::CODE)),
        ("another flag", 0, HEADER | 1 << 32),
        ("another handle", 1, 6),
        ("no width", 2, 0),
        ("an odd width", 2, 3 << 32),
        ("behind the window", 2, 8 | 1 << 32),
        ("over its end", 2, 7 | 2 << 32),
        ("around the end", 2, 0xffff_ffff | 1 << 32),
        ("something reserved", 3, 1 << 32),
    ] {
        let mut words = like;
        words[index] = word;
        assert_eq!(access(words), (false, words), "{what}");
    }
}

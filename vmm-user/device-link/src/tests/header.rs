//! The header for devices in C has the numbers of this crate.

use crate::answer::{NEVER, code as answers};
use crate::claim::kind;
use crate::request::code;

const HEADER: &str = include_str!("../../../c-runtime/plinth-device.h");

/// A number of the header's, by its name without the common beginning.
fn number(name: &str) -> Option<u64> {
    let define = |line: &str| {
        let mut words = line.strip_prefix("#define PLINTH_DEVICE_")?.split_whitespace();
        let is_it = words.next()? == name;
        words.next().filter(|_| is_it)?.parse().ok()
    };
    HEADER.lines().find_map(define)
}

#[test]
fn numbers_are_the_same() {
    let numbers = [
        ("VERSION", crate::VERSION),
        ("GREET", code::GREET.into()),
        ("CLAIM", code::CLAIM.into()),
        ("PORT_READ", code::PORT_READ.into()),
        ("PORT_WRITE", code::PORT_WRITE.into()),
        ("MMIO_READ", code::MMIO_READ.into()),
        ("MMIO_WRITE", code::MMIO_WRITE.into()),
        ("LOOK", code::LOOK.into()),
        ("DONE", answers::DONE.into()),
        ("STRANGER", answers::STRANGER.into()),
        ("NO_CLAIM", answers::NO_CLAIM.into()),
        ("REFUSED", answers::REFUSED.into()),
        ("CLAIM_PORTS", kind::PORTS.into()),
        ("CLAIM_RANGE", kind::RANGE.into()),
        ("CLAIM_LINE", kind::LINE.into()),
        ("CLAIM_TIMER", kind::TIMER.into()),
    ];
    for (name, value) in numbers {
        assert_eq!(number(name), Some(value), "{name}");
    }
    // Beside these: the guard, and what is no decimal number.
    assert_eq!(HEADER.matches("#define").count(), numbers.len() + 2);
    assert_eq!(NEVER, u64::MAX);
}

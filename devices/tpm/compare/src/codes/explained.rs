//! Differences between this engine and swtpm 0.7.1 that are no faults; `docs/vtpm.md` has them with the
//! specification's sections.

use super::world::Pair;
use crate::wire::number;

/// TPM_RC_FAILURE.
const FAILURE: u32 = 0x101;

/// A reason, and whether it explains the codes of a command.
type Reason = (&'static str, fn(command: u32, ours: u32, theirs: u32) -> bool);

const REASONS: [Reason; 16] = [
    ("swtpm goes into failure mode", |_, _, theirs| theirs == FAILURE),
    ("the size of the authorization area has a code of its own (part 2, 6.6.3)", |_, ours, theirs| {
        ours == 0x144 && matches!(theirs, 0x95 | 0x9a)
    }),
    ("what the code is about has its number (part 2, 6.6.2)", |_, ours, theirs| {
        ours & 0x80 != 0 && theirs & 0xf40 == 0 && theirs & 0x80 != 0 && ours & 0x3f == theirs & 0x3f
    }),
    ("swtpm's TPM2_HMAC is TPM2_MAC, of revision 1.59", |command, ours, theirs| {
        matches!(command, 0x155 | 0x15b) && (ours == 0x2c3 || matches!(theirs, 0x2c4 | 0x2d2 | 0x2d6))
    }),
    ("a parameter that ends too early is that (part 2, 6.6.3)", |_, ours, theirs| {
        let is_same = theirs & 0x80 != 0 && ours & 0xf40 == theirs & 0xf40;
        // Or it has a size that is too large, of bytes that are not there.
        is_same && (ours & 0xbf == 0x9a || (ours & 0xbf == 0x95 && theirs & 0xbf == 0x9a))
    }),
    ("swtpm has three places for objects, of which one is for a persistent parent", |_, _, theirs| {
        theirs == 0x902
    }),
    ("swtpm knows more curves", |command, ours, _| ours & 0xbf == 0xa6 || command == 0x18b && ours == 0x3d5),
    ("the algorithm of the command audit is another one at first", |command, ours, theirs| {
        command == 0x140 && [ours, theirs].contains(&0) && [ours, theirs].contains(&0x1c4)
    }),
    ("swtpm numbers a sequence as a parameter", |command, ours, theirs| {
        command == 0x15c && ours == 0x189 && theirs == 0x1c9
    }),
    ("swtpm has fewer handles of transient objects", |command, ours, theirs| {
        let is_beyond = matches!(ours, 0x910..=0x912) && theirs & 0x8f == 0x84;
        is_beyond || command == 0x165 && ours == 0x1cb && theirs == 0x1c4
    }),
    ("a sequence is no object and has no policy (part 1, 32.4)", |_, ours, theirs| {
        ours == 0x12f && theirs & 0xff == 0x9d
    }),
    ("a tag that is none is the wrong tag (part 2, 10.7)", |_, ours, theirs| {
        ours & 0xbf == 0x97 && theirs & 0xbf == 0x84 && ours & 0xf40 == theirs & 0xf40
    }),
    ("swtpm knows Triple DES", |command, ours, theirs| {
        matches!(command, 0x131 | 0x153 | 0x191) && ours == 0x2d6 && theirs == 0x2c4
    }),
    ("swtpm activates a credential for a sequence", |command, ours, _| command == 0x147 && ours == 0x18a),
    ("swtpm certifies a sequence, or verifies by one", |command, ours, _| {
        matches!(command, 0x148 | 0x160) && ours == 0x18b
    }),
    ("swtpm has less room for orderly indices", |command, ours, theirs| {
        command == 0x12a && ours == 0 && theirs == 0x14b
    }),
];

/// AES with a key of 192 bits.
const AES_192: [u8; 4] = [0, 6, 0, 0xc0];

/// Why the codes differ, if that is known. `command` is as it was sent.
pub fn explain(command: &[u8], codes: Pair<u32>) -> Option<&'static str> {
    let [ours, theirs] = codes;
    // TPM_RC_VALUE, of whichever parameter.
    if theirs & 0xbf == 0x84 && command.windows(4).any(|bytes| bytes == AES_192) {
        return Some("swtpm has no AES-192");
    }
    let code = number(command, 6);
    REASONS.iter().find(|(_, explains)| explains(code, ours, theirs)).map(|(reason, _)| *reason)
}

//! Who may do what.

use decoder::Mode;
use decoder::walk::{Access, Kind, WalkError, walk};
use decoder_oracle::TestMachine;
use decoder_oracle::page_tables::{Builder, Style};

const LINEAR: u64 = 0x1234_5678;
const AC: u64 = 1 << 18;

const WP: u64 = 1 << 16;
const SMEP: u64 = 1 << 20;
const SMAP: u64 = 1 << 21;

const SUPERVISOR_READ: Access = Access::explicit(Kind::Read, 0, 0);
const SUPERVISOR_WRITE: Access = Access::explicit(Kind::Write, 0, 0);
const USER_READ: Access = Access::explicit(Kind::Read, 3, 0);
const USER_WRITE: Access = Access::explicit(Kind::Write, 3, 0);
const READ_WITH_AC: Access = Access::explicit(Kind::Read, 0, AC);
const IMPLICIT_READ: Access = Access::implicit(Kind::Read);
const SUPERVISOR_FETCH: Access = Access::fetch(0);
const USER_FETCH: Access = Access::fetch(3);

/// Flags of the leaf, bits of CR0.WP and CR4, the access, and the error code it ends with.
type Case = (u64, u64, u64, Access, Option<u32>);

const NX: u64 = 1 << 63;

const CASES: &[Case] = &[
    // Supervisor pages.
    (3, WP, 0, SUPERVISOR_READ, None),
    (3, WP, 0, SUPERVISOR_WRITE, None),
    (3, WP, SMEP | SMAP, SUPERVISOR_FETCH, None),
    (3, WP, 0, USER_READ, Some(5)),
    (3, WP, 0, USER_WRITE, Some(7)),
    (3, WP, 0, USER_FETCH, Some(0x15)),
    (3, WP, SMAP, IMPLICIT_READ, None),
    // Read-only ones.
    (1, WP, 0, SUPERVISOR_WRITE, Some(3)),
    (1, 0, 0, SUPERVISOR_WRITE, None),
    (5, WP, 0, USER_READ, None),
    (5, 0, 0, USER_WRITE, Some(7)),
    (5, WP, 0, USER_WRITE, Some(7)),
    // User pages under SMEP and SMAP.
    (7, WP, 0, SUPERVISOR_READ, None),
    (7, WP, 0, SUPERVISOR_FETCH, None),
    (7, WP, SMEP, SUPERVISOR_FETCH, Some(0x11)),
    (7, WP, SMEP, USER_FETCH, None),
    (7, WP, SMAP, SUPERVISOR_READ, Some(1)),
    (7, WP, SMAP, SUPERVISOR_WRITE, Some(3)),
    (7, WP, SMAP, READ_WITH_AC, None),
    (7, WP, SMAP, IMPLICIT_READ, Some(1)),
    (7, WP, SMAP, USER_READ, None),
    // No execution.
    (7 | NX, WP, 0, USER_READ, None),
    (7 | NX, WP, 0, USER_FETCH, Some(0x15)),
    (3 | NX, WP, 0, SUPERVISOR_FETCH, Some(0x11)),
];

fn check(style: Style, flags: u64, cr0: u64, cr4: u64, access: Access, pkru: u32) -> Option<u32> {
    let mut machine = TestMachine::new(Mode::Bits64);
    let mut builder = Builder::new(&mut machine, style, 0x10_0000);
    builder.map(&mut machine, LINEAR, 0x5000, flags, style.levels().len());
    machine.paging.cr0 = (machine.paging.cr0 & !WP) | cr0;
    machine.paging.cr4 |= cr4;
    machine.paging.pkru = pkru;
    let paging = machine.paging;
    match walk(&mut machine, &paging, LINEAR, access) {
        Ok(translation) => {
            let rights = (translation.writable, translation.user, translation.executable);
            assert_eq!(rights, (flags & 2 != 0, flags & 4 != 0, flags & NX == 0));
            None
        }
        Err(WalkError::Fault { error_code, address: LINEAR }) => Some(error_code),
        error => panic!("{error:?}"),
    }
}

#[test]
fn table() {
    for &(flags, cr0, cr4, access, expected) in CASES {
        for style in [Style::Pae, Style::Four, Style::Five] {
            let found = check(style, flags, cr0, cr4, access, 0);
            assert_eq!(found, expected, "{style:?} {flags:x} {cr0:x} {cr4:x} {access:?}");
        }
        if flags & NX == 0 {
            // Without execute-disable, the bit for fetches is only reported with SMEP.
            let expected = expected.map(|code| if cr4 & SMEP == 0 { code & !0x10 } else { code });
            let found = check(Style::Bits32, flags, cr0, cr4, access, 0);
            assert_eq!(found, expected, "{flags:x} {cr0:x} {cr4:x} {access:?}");
        }
    }
}

/// What failing tests and fuzzing print.
#[test]
fn accesses_are_legible() {
    let access = Access::explicit(Kind::Write, 3, AC).probe();
    assert_eq!(format!("{access:?}"), "Access { kind: Write, user: true, smap_off: true, probe: true }");
    let access = Access::implicit(Kind::Read);
    assert_eq!(format!("{access:?}"), "Access { kind: Read, user: false, smap_off: false, probe: false }");
}

#[test]
fn protection_keys() {
    const PKE: u64 = 1 << 22;
    /// The page's key.
    const KEY: u64 = 5 << 59;
    const NO_ACCESS: u32 = 1 << 10;
    const NO_WRITE: u32 = 2 << 10;
    /// Flags, CR0, CR4, PKRU, access, error code.
    type Case = (u64, u64, u64, u32, Access, Option<u32>);
    let table: &[Case] = &[
        (7, WP, PKE, 0, USER_WRITE, None),
        (7, WP, PKE, NO_ACCESS, USER_READ, Some(0x25)),
        (7, WP, PKE, NO_ACCESS, SUPERVISOR_READ, Some(0x21)),
        (7, WP, PKE, NO_ACCESS, USER_FETCH, None),
        (7, WP, PKE, NO_WRITE, USER_READ, None),
        (7, WP, PKE, NO_WRITE, USER_WRITE, Some(0x27)),
        (7, WP, PKE, NO_WRITE, SUPERVISOR_WRITE, Some(0x23)),
        (7, 0, PKE, NO_WRITE, SUPERVISOR_WRITE, None),
        (7, 0, PKE, NO_WRITE, USER_WRITE, Some(0x27)),
        (7, WP, 0, NO_ACCESS, USER_READ, None),
        (7, WP, PKE, 3 << 8 | 3 << 12, USER_WRITE, None),
        (3, WP, PKE, NO_ACCESS, SUPERVISOR_READ, None),
        (5, WP, PKE, NO_ACCESS, USER_WRITE, Some(0x27)),
    ];
    for &(flags, cr0, cr4, pkru, access, expected) in table {
        for style in [Style::Four, Style::Five] {
            let found = check(style, flags | KEY, cr0, cr4, access, pkru);
            assert_eq!(found, expected, "{flags:x} {cr0:x} {cr4:x} {pkru:x} {access:?}");
        }
    }
}

/// A right must be given by every level.
#[test]
fn upper_levels_count() {
    for style in [Style::Bits32, Style::Pae, Style::Four, Style::Five] {
        let levels = style.levels().len();
        for level in 0..levels {
            if style == Style::Pae && level == 0 {
                continue;
            }
            for (cleared, error_code) in [(2, 7), (4, 7)] {
                let mut machine = TestMachine::new(Mode::Bits64);
                let mut builder = Builder::new(&mut machine, style, 0x10_0000);
                let path = builder.map(&mut machine, LINEAR, 0x5000, 7, levels);
                let old = builder.get(&machine, path[level]);
                builder.set(&mut machine, path[level], old & !cleared);
                let paging = machine.paging;
                let expected = Err(WalkError::Fault { error_code, address: LINEAR });
                assert_eq!(walk(&mut machine, &paging, LINEAR, USER_WRITE), expected, "{style:?} {level}");
            }
        }
    }
}

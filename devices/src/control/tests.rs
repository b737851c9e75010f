//! Tables: before, written, after.

use super::*;

const WP: u64 = 1 << 16;
const AM: u64 = 1 << 18;
const TS: u64 = 1 << 3;
const EM: u64 = 1 << 2;

fn real_mode() -> Control {
    Control { cr0: ET | NW | CD, ..Control::default() }
}

fn protected() -> Control {
    Control { cr0: ET | PE, ..Control::default() }
}

/// 64-bit mode.
fn long() -> Control {
    Control { cr0: PG | PE | ET | WP, cr4: PAE, efer: LME | LMA, code_is_long: true }
}

/// About to turn paging on with LME set.
fn before_long() -> Control {
    Control { cr4: PAE, efer: LME, ..protected() }
}

#[test]
fn cr0() {
    let compatible = Control { code_is_long: false, ..long() };
    for (before, value, after) in [
        (real_mode(), PE, Ok((ET | PE, 0))),
        (real_mode(), 0, Ok((ET, 0))),
        (real_mode(), 0x1ffa_ffc0, Ok((ET, 0))),
        (real_mode(), CD, Ok((ET | CD, 0))),
        (real_mode(), CD | NW, Ok((ET | CD | NW, 0))),
        (real_mode(), NW, Err(GeneralProtection)),
        (real_mode(), PG, Err(GeneralProtection)),
        (real_mode(), PE | 1 << 32, Err(GeneralProtection)),
        (real_mode(), PE | 1 << 63, Err(GeneralProtection)),
        (protected(), PG | PE, Ok((PG | PE | ET, 0))),
        (before_long(), PG | PE, Ok((PG | PE | ET, LME | LMA))),
        (before_long(), PE | WP, Ok((PE | WP | ET, LME))),
        (Control { cr4: 0, ..before_long() }, PG | PE, Err(GeneralProtection)),
        (Control { code_is_long: true, ..before_long() }, PG | PE, Err(GeneralProtection)),
        (long(), PG | PE | AM, Ok((PG | PE | ET | AM, LME | LMA))),
        (long(), PE, Err(GeneralProtection)),
        (long(), PG, Err(GeneralProtection)),
        (compatible, PE, Ok((PE | ET, LME))),
        // Outside of long mode CS.L means nothing.
        (Control { cr0: PG | PE | ET, code_is_long: true, ..real_mode() }, PE, Ok((PE | ET, 0))),
    ] {
        let made = before.with_cr0(value).map(|after| (after.cr0, after.efer));
        assert_eq!(made, after, "{value:#x} over {before:x?}");
        let rest =
            before.with_cr0(value).map_or((before.cr4, before.code_is_long), |c| (c.cr4, c.code_is_long));
        assert_eq!(rest, (before.cr4, before.code_is_long));
    }
}

#[test]
fn status_word() {
    for (before, value, after) in [
        (real_mode(), 1, ET | NW | CD | PE),
        (long(), 0, PG | PE | ET | WP),
        (long(), 0xffff, PG | PE | ET | WP | 0xf),
        (Control { cr0: PG | PE | ET | TS | EM, ..long() }, TS, PG | PE | ET | TS),
    ] {
        let made = before.with_status_word(value).map(|after| after.cr0);
        assert_eq!(made, Ok(after), "{value:#x} over {before:x?}");
    }
}

#[test]
fn cr4() {
    let allowed = 0x7ff | PAE | 1 << 18;
    for (before, value, after) in [
        (real_mode(), 0, Ok(0)),
        (real_mode(), 0x7ff, Ok(0x7ff)),
        (real_mode(), 1 << 18, Ok(1 << 18)),
        (real_mode(), 1 << 11, Err(GeneralProtection)),
        (real_mode(), 1 << 22, Err(GeneralProtection)),
        (real_mode(), 1 << 63, Err(GeneralProtection)),
        (long(), PAE | 0x80, Ok(PAE | 0x80)),
        (long(), 0x80, Err(GeneralProtection)),
        (Control { efer: LME, ..long() }, 0, Ok(0)),
    ] {
        let made = before.with_cr4(value, allowed);
        assert_eq!(made, after.map(|cr4| Control { cr4, ..before }), "{value:#x} over {before:x?}");
    }
}

//! Prefixes, and the sizes they select (APM 3, 1.2).

use super::{Cursor, Rejection};
use crate::{Attributes, Mode, Segment, Size};

/// The last of the two repeat prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    None,
    /// F2.
    NotEqual,
    /// F3.
    Equal,
}

impl Repeat {
    pub(super) fn attributes(self) -> Attributes {
        match self {
            Repeat::None => Attributes::empty(),
            Repeat::NotEqual => Attributes::REPNE,
            Repeat::Equal => Attributes::REP,
        }
    }
}

/// Which prefix selects among the instructions of one SSE opcode: the last of F2 and F3, or else 66.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mandatory {
    None,
    P66,
    F3,
    F2,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Prefixes {
    /// The REX prefix, or 0; only one right before the opcode counts.
    pub(super) rex: u8,
    pub(super) operand: bool,
    pub(super) address: bool,
    pub(super) lock: bool,
    pub(super) repeat: Repeat,
    /// The override in force: ES, CS, SS and DS are none in 64-bit mode.
    pub(super) segment: Option<Segment>,
}

impl Prefixes {
    pub(super) fn read(cursor: &mut Cursor, mode: Mode) -> Result<Prefixes, Rejection> {
        let mut prefixes = Prefixes {
            rex: 0,
            operand: false,
            address: false,
            lock: false,
            repeat: Repeat::None,
            segment: None,
        };
        // Ends with the bytes, or at the fifteenth.
        while prefixes.take(cursor.peek()?, mode) {
            cursor.next()?;
        }
        Ok(prefixes)
    }

    /// Takes `byte` if it is a prefix; returns whether it is.
    #[inline]
    fn take(&mut self, byte: u8, mode: Mode) -> bool {
        let is_long = mode == Mode::Bits64;
        let mut rex = 0;
        match byte {
            // Allowed and without effect in 64-bit mode; an FS or GS override before one of them stays in
            // force (APM 3, 1.2.4).
            0x26 | 0x2e | 0x36 | 0x3e if is_long => {}
            0x26 => self.segment = Some(Segment::Es),
            0x2e => self.segment = Some(Segment::Cs),
            0x36 => self.segment = Some(Segment::Ss),
            0x3e => self.segment = Some(Segment::Ds),
            0x40..=0x4f if is_long => rex = byte,
            0x64 => self.segment = Some(Segment::Fs),
            0x65 => self.segment = Some(Segment::Gs),
            0x66 => self.operand = true,
            0x67 => self.address = true,
            0xf0 => self.lock = true,
            0xf2 => self.repeat = Repeat::NotEqual,
            0xf3 => self.repeat = Repeat::Equal,
            _ => return false,
        }
        // A REX prefix in front of another prefix counts for nothing, so each prefix takes away the one
        // before.
        self.rex = rex;
        true
    }

    pub(super) fn rex_w(&self) -> bool {
        self.rex & 8 != 0
    }

    /// What REX adds to ModRM.reg.
    pub(super) fn rex_r(&self) -> u8 {
        (self.rex & 4) << 1
    }

    /// What REX adds to ModRM.rm or a base.
    pub(super) fn rex_b(&self) -> u8 {
        (self.rex & 1) << 3
    }

    pub(super) fn address_size(&self, mode: Mode) -> Size {
        match (mode, self.address) {
            (Mode::Bits64, false) => Size::B8,
            (Mode::Bits64 | Mode::Bits16, true) | (Mode::Bits32, false) => Size::B4,
            (Mode::Bits32, true) | (Mode::Bits16, false) => Size::B2,
        }
    }

    /// Two or four bytes, as operand-size prefix and mode say, without REX.W.
    pub(super) fn narrow_size(&self, mode: Mode) -> Size {
        // The prefix selects the size that the mode has not.
        if self.operand == (mode == Mode::Bits16) { Size::B4 } else { Size::B2 }
    }

    pub(super) fn mandatory(&self) -> Mandatory {
        match (self.repeat, self.operand) {
            (Repeat::Equal, _) => Mandatory::F3,
            (Repeat::NotEqual, _) => Mandatory::F2,
            (Repeat::None, true) => Mandatory::P66,
            (Repeat::None, false) => Mandatory::None,
        }
    }
}

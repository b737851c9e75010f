//! What the log says of a guest's oddities: each once, since a guest can repeat them without end.

use alloc::collections::BTreeSet;

/// The most that are told apart.
const MAX: usize = 256;

/// Kinds of oddity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An MSR that nobody knows; told apart by its number.
    UnknownMsr,
    /// An instruction that is not decoded; told apart by its address.
    NotEmulated,
    /// An instruction that is decoded, but not carried out; told apart by its address.
    Refused,
}

/// What was said before.
#[derive(Debug, Default)]
pub struct Notices {
    said: BTreeSet<(Kind, u64)>,
}

impl Notices {
    /// Whether to say it: it is new, and not too much has been said yet.
    pub fn is_new(&mut self, kind: Kind, which: u64) -> bool {
        // Bounded: a guest can be odd at as many addresses as it likes.
        self.said.len() < MAX && self.said.insert((kind, which))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_said_once() {
        let mut notices = Notices::default();
        for (kind, which, is_new) in [
            (Kind::UnknownMsr, 1, true),
            (Kind::UnknownMsr, 1, false),
            (Kind::NotEmulated, 1, true),
            (Kind::UnknownMsr, 2, true),
            (Kind::NotEmulated, 1, false),
        ] {
            assert_eq!(notices.is_new(kind, which), is_new, "{kind:?} {which}");
        }
    }

    #[test]
    fn there_is_an_end_to_what_is_said() {
        let mut notices = Notices::default();
        assert_eq!((0..10_000).filter(|rip| notices.is_new(Kind::Refused, *rip)).count(), MAX);
    }
}

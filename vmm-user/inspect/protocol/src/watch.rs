//! What the live view asks the VMM by a channel, and what it is told: words of a message.
//!
//! A call asks for one thing, so that nothing is shared: the next row of the table of exits, or the next exit
//! of the trace. The VMM's words are parsed as strictly as the host's: a VMM that was taken over says what it
//! wants, but no more than that. Nothing here takes memory: the thread that answers may have interrupted one
//! that is in the middle of taking some.

use core::fmt;

/// Words of a message.
pub const WORDS: usize = 12;
/// Longest name that is told; a longer one is cut.
const NAME_BYTES: usize = 16;

/// A name, cut if it is longer than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name([u8; NAME_BYTES]);

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        let mut bytes = [0; NAME_BYTES];
        bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        Self(bytes)
    }
}

impl fmt::Display for Name {
    /// What is no letter is shown as a question mark.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |byte: u8| if matches!(byte, 0x20..=0x7e) { char::from(byte) } else { '?' };
        self.0.into_iter().take_while(|byte| *byte != 0).try_for_each(|byte| write!(f, "{}", letter(byte)))
    }
}

impl Name {
    fn words(self) -> [u64; 2] {
        let (low, high) = self.0.split_at(NAME_BYTES / 2);
        [low, high].map(|half| half.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
    }

    fn of(words: [u64; 2]) -> Self {
        let mut bytes = [0; NAME_BYTES];
        let all = words.into_iter().flat_map(u64::to_le_bytes);
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        Self(bytes)
    }
}

/// A key of the table: vCPU, reason, and place. In this order rows are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The vCPU.
    pub vcpu: u32,
    /// The reason, by number.
    pub reason: u32,
    /// Port, page, MSR or leaf.
    pub place: Option<u64>,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The row behind this one; the first.
    Row(Option<Key>),
    /// The exit with this number, or the next one that is remembered.
    Exit(u64),
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub key: Key,
    /// How many exits.
    pub count: u64,
    /// What they took in all, in ticks of the TSC.
    pub ticks: u64,
    /// Who handled them.
    pub by: Name,
}

/// An exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneExit {
    /// Its number.
    pub number: u64,
    /// Where it belongs.
    pub key: Key,
    /// When it began.
    pub tsc: u64,
    /// What it took, in ticks of the TSC.
    pub ticks: u64,
    /// The guest's RIP.
    pub rip: u64,
    /// Who handled it.
    pub by: Name,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A row.
    Row(Row),
    /// An exit.
    Exit(OneExit),
    /// There is none behind.
    None,
    /// Somebody counts at this moment: ask again.
    Busy,
}

/// What the first word says.
mod kind {
    pub const FIRST_ROW: u64 = 1;
    pub const ROW: u64 = 2;
    pub const EXIT: u64 = 3;
    pub const NONE: u64 = 4;
    pub const BUSY: u64 = 5;
}

impl Key {
    fn words(self) -> [u64; 3] {
        let has_place = u64::from(self.place.is_some()) << 63;
        [has_place | u64::from(self.vcpu), u64::from(self.reason), self.place.unwrap_or(0)]
    }

    fn parse(words: [u64; 3]) -> Option<Self> {
        let [vcpu, reason, place] = words;
        // The place where there is none is zero, so that every key has one form in words.
        let place = if vcpu >> 63 == 1 { Some(place) } else { (place == 0).then_some(None)? };
        Some(Self { vcpu: (vcpu & !(1 << 63)).try_into().ok()?, reason: reason.try_into().ok()?, place })
    }
}

impl Ask {
    /// The words of a message.
    pub fn words(self) -> [u64; WORDS] {
        match self {
            Self::Row(None) => [kind::FIRST_ROW, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Self::Row(Some(key)) => {
                let [a, b, c] = key.words();
                [kind::ROW, a, b, c, 0, 0, 0, 0, 0, 0, 0, 0]
            }
            Self::Exit(number) => [kind::EXIT, number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }

    /// Reads them back.
    pub fn parse(words: &[u64; WORDS]) -> Option<Self> {
        let [what, a, b, c, ..] = *words;
        match what {
            kind::FIRST_ROW => Some(Self::Row(None)),
            kind::ROW => Key::parse([a, b, c]).map(|key| Self::Row(Some(key))),
            kind::EXIT => Some(Self::Exit(a)),
            _ => None,
        }
    }
}

impl Told {
    /// The words of a message.
    pub fn words(&self) -> [u64; WORDS] {
        match self {
            Self::Row(row) => {
                let ([a, b, c], [low, high]) = (row.key.words(), row.by.words());
                [kind::ROW, a, b, c, row.count, row.ticks, low, high, 0, 0, 0, 0]
            }
            Self::Exit(exit) => {
                let ([a, b, c], [low, high]) = (exit.key.words(), exit.by.words());
                [kind::EXIT, a, b, c, exit.number, exit.tsc, low, high, exit.ticks, exit.rip, 0, 0]
            }
            Self::None => [kind::NONE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            Self::Busy => [kind::BUSY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }

    /// Reads them back.
    pub fn parse(words: &[u64; WORDS]) -> Option<Self> {
        let [what, a, b, c, d, e, low, high, f, g, ..] = *words;
        let (key, by) = (Key::parse([a, b, c]), Name::of([low, high]));
        match what {
            kind::ROW => Some(Self::Row(Row { key: key?, count: d, ticks: e, by })),
            kind::EXIT => Some(Self::Exit(OneExit { number: d, key: key?, tsc: e, ticks: f, rip: g, by })),
            kind::NONE => Some(Self::None),
            kind::BUSY => Some(Self::Busy),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const KEY: Key = Key { vcpu: 3, reason: 4, place: Some(u64::MAX) };

    #[test]
    fn words_come_back() {
        let bare = Key { place: None, ..KEY };
        for ask in [Ask::Row(None), Ask::Row(Some(KEY)), Ask::Row(Some(bare)), Ask::Exit(u64::MAX)] {
            assert_eq!(Ask::parse(&ask.words()), Some(ask));
        }
        let by = Name::from("sixteen letters!");
        let exit = OneExit { number: 1, key: bare, tsc: 2, ticks: 3, rip: 4, by };
        let row = Row { key: KEY, count: 5, ticks: 6, by: Name::from("") };
        for told in [Told::Exit(exit), Told::Row(row), Told::None, Told::Busy] {
            assert_eq!(Told::parse(&told.words()), Some(told));
        }
        assert_eq!(Name::of(by.words()).to_string(), "sixteen letters!");
        assert_eq!(Name::from("longer than sixteen").to_string(), "longer than sixt");
    }

    #[test]
    fn what_is_none_is_refused() {
        for words in [[0; WORDS], [6; WORDS], [u64::MAX; WORDS]] {
            assert_eq!((Ask::parse(&words), Told::parse(&words)), (None, None));
        }
        // A vCPU or a reason of more than 32 bits; a place where there is said to be none.
        for (at, value) in [(1, 1 << 32), (2, 1 << 32), (3, 1)] {
            let mut words = Ask::Row(Some(Key { place: None, ..KEY })).words();
            words[at] = value;
            assert_eq!(Ask::parse(&words), None, "{at}");
        }
        assert_eq!(Name::of([0x0a1b_2041, 0]).to_string(), "A ??");
    }
}

//! One lie, made from a seed.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

/// An entry of the memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number of the first page.
    pub page: u64,
    /// How many pages; 0 ends the map.
    pub pages: u64,
    /// 0 is memory.
    pub kind: u16,
}

impl Entry {
    /// Memory from one address to another.
    pub const fn memory(bytes: Range<u64>) -> Self {
        Self { page: bytes.start >> 12, pages: (bytes.end - bytes.start) >> 12, kind: 0 }
    }

    fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.page.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.pages.to_le_bytes());
        // Flags and a reserved field follow, which stay 0.
        bytes[16..18].copy_from_slice(&self.kind.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Self { page: word(0)?, pages: word(8)?, kind: word(16)? as u16 })
    }
}

/// What is done to the true map.
#[derive(Clone, Debug)]
enum Change {
    /// One entry more, at its place in the order.
    Add(Entry),
    /// One entry more, at the end.
    Append(Entry),
    /// One less, counted around.
    Remove(usize),
    /// Two change places.
    Swap(usize, usize),
    /// One is of another kind.
    Kind(usize, u16),
    /// One is longer or shorter.
    Resize(usize, i64),
    /// All bytes are noise, of this seed.
    Noise(u64),
}

/// Something that the host does while the machine runs.
#[derive(Clone, Debug)]
pub struct Event {
    /// How long after the one before.
    pub after: Duration,
    /// What.
    pub act: Act,
}

/// What a host does to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A line for QEMU's monitor.
    Monitor(String),
    /// An interrupt of any vector, which no device has raised.
    Vector {
        /// The local APIC's number.
        processor: u8,
        /// Its vector.
        vector: u8,
    },
    /// A processor stands still while the other runs: it is late with its answers to interrupts.
    Hold {
        /// The one that runs, counted from 1.
        runs: u32,
        /// For how long.
        time: Duration,
    },
}

/// What the host says and does.
#[derive(Clone, Debug, Default)]
pub struct Lie {
    changes: Vec<Change>,
    /// How many processors there are, if that is a lie.
    pub processors: Option<u32>,
    /// How long the second processor stands still at boot: it comes late to its start.
    pub late: Option<Duration>,
    /// What it does.
    pub events: Vec<Event>,
}

/// Places that a host may call memory, and better had not.
const PLACES: [Range<u64>; 10] = [
    // Interrupt controllers and timers, PCI's windows, VGA and ROMs, the firmware's flash; then addresses
    // above all RAM, at borders that page tables and processors have.
    0xfec0_0000..0xff00_0000,
    0xfee0_0000..0xfee0_1000,
    0xfed0_0000..0xfed0_1000,
    0xe000_0000..0xf000_0000,
    0xb000_0000..0xc000_0000,
    0xa_0000..0x10_0000,
    0xffc0_0000..0x1_0000_0000,
    0x4_0000_0000..0x4_4000_0000,
    0xff_ffff_f000..0x100_0000_0000,
    0x800_0000_0000..0x801_0000_0000,
];

impl Lie {
    /// The truth, and one entry of memory more.
    pub fn with_memory(bytes: Range<u64>) -> Self {
        Self { changes: vec![Change::Add(Entry::memory(bytes))], ..Self::default() }
    }

    /// The truth, but nothing of it is memory beyond what is in the first place: not even where Plinth runs.
    pub fn without_more_memory() -> Self {
        // Kind 1: reserved by the platform. Places are counted around, so the first is memory again at last.
        let reserved = (0..8).map(|index| Change::Kind(index, 1));
        Self { changes: reserved.chain([Change::Kind(0, 0)]).collect(), ..Self::default() }
    }

    /// The truth, but for the number of processors.
    pub fn with_processors(count: u32) -> Self {
        Self { processors: Some(count), ..Self::default() }
    }

    /// The truth, and these lines of QEMU's monitor while the machine runs.
    pub fn with_events(after: Duration, command: &str, count: usize) -> Self {
        Self::with_acts(after, vec![Act::Monitor(command.to_owned()); count])
    }

    /// The truth, and these deeds at even distances.
    pub fn with_acts(after: Duration, acts: Vec<Act>) -> Self {
        Self { events: acts.into_iter().map(|act| Event { after, act }).collect(), ..Self::default() }
    }

    /// The truth, and a second processor that comes late.
    pub fn with_late_processor(late: Duration) -> Self {
        Self { late: Some(late), ..Self::default() }
    }

    /// One of many.
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut lie = Self::default();
        // A part has the true map, so that the other lies come to something by themselves.
        if random.u8(..4) != 0 {
            lie.changes = (0..random.usize(1..5)).map(|_| change(&mut random)).collect();
        }
        if random.u8(..3) == 0 {
            // Around what is true, around powers of two, and without any sense.
            let odd = [0, 1, 2, 3, 23, 63, 64, 65, 255, 256, u32::MAX, random.u32(..)];
            lie.processors = Some(odd[random.usize(..odd.len())]);
        }
        lie.events = events(&mut random);
        // Lies come to more in the order in which they were thought of: a seed's older ones stay.
        if random.u8(..4) == 0 {
            lie.events.extend((0..random.usize(1..100)).map(|_| later_event(&mut random)));
        }
        if random.u8(..8) == 0 {
            lie.late = Some(Duration::from_millis(random.u64(..800)));
        }
        lie
    }

    /// Whether the host reports a broken processor, which ends the machine.
    pub fn has_machine_check(&self) -> bool {
        self.events.iter().any(|event| matches!(&event.act, Act::Monitor(line) if line.starts_with("mce")))
    }

    /// The map as the host gives it, where this is the true one and Plinth's window begins at `window`.
    pub fn map(&self, truth: &[u8], window: u64) -> Vec<u8> {
        let mut entries: Vec<Entry> =
            truth.chunks_exact(24).filter_map(Entry::read).take_while(|entry| entry.pages != 0).collect();
        for change in &self.changes {
            match *change {
                Change::Noise(seed) => {
                    // Nothing of the other changes would be seen in it.
                    let mut random = Rng::with_seed(seed ^ window);
                    return truth.iter().map(|_| random.u8(..)).collect();
                }
                ref change => apply(&mut entries, change),
            }
        }
        let mut bytes: Vec<u8> = entries.into_iter().flat_map(Entry::bytes).collect();
        // Zeros end the map; what has no room any more leaves it without an end.
        bytes.resize(truth.len().max(24), 0);
        bytes.truncate(truth.len());
        bytes
    }
}

/// NMIs, or a machine check, or nothing.
fn events(random: &mut Rng) -> Vec<Event> {
    let command = match random.u8(..24) {
        0..6 => "nmi",
        6 => "mce 0 0 0xb200000000000000 0x0 0x0 0x0",
        _ => return Vec::new(),
    };
    // A machine check ends the machine, and needs no second one.
    let count = if command == "nmi" { random.usize(1..200) } else { 1 };
    let mut event = || {
        // Within what a boot takes, so that most of them come while something happens.
        let after = Duration::from_micros(random.u64(..20_000));
        Event { after, act: Act::Monitor(command.to_owned()) }
    };
    (0..count).map(|_| event()).collect()
}

/// A vector out of nowhere, or a processor that stands still.
fn later_event(random: &mut Rng) -> Event {
    let after = Duration::from_micros(random.u64(..20_000));
    let act = if random.u8(..8) != 0 {
        // A local APIC takes none below 16.
        Act::Vector { processor: random.u8(..2), vector: random.u8(16..) }
    } else {
        Act::Hold { runs: random.u32(1..3), time: Duration::from_millis(random.u64(..100)) }
    };
    Event { after, act }
}

fn change(random: &mut Rng) -> Change {
    // A place that matters, one near memory, or any at all.
    let entry = match random.u8(..3) {
        0 => Entry::memory(PLACES[random.usize(..PLACES.len())].clone()),
        1 => Entry { page: random.u64(..1 << 20), pages: random.u64(..1 << 12), kind: random.u16(..3) },
        _ => Entry { page: random.u64(..), pages: random.u64(..), kind: random.u16(..4) },
    };
    match random.u8(..16) {
        0..6 => Change::Add(entry),
        6..8 => Change::Append(entry),
        8 => Change::Remove(random.usize(..8)),
        9 => Change::Swap(random.usize(..8), random.usize(..8)),
        10 => Change::Kind(random.usize(..8), random.u16(..6)),
        11..15 => Change::Resize(random.usize(..8), random.i64(-0x1_0000..0x4_0000)),
        _ => Change::Noise(random.u64(..)),
    }
}

fn apply(entries: &mut Vec<Entry>, change: &Change) {
    // Indices were drawn without knowing how many entries there are.
    let count = entries.len().max(1);
    match *change {
        Change::Add(entry) => {
            let place = entries.partition_point(|other| other.page <= entry.page);
            entries.insert(place, entry);
        }
        Change::Append(entry) => entries.push(entry),
        Change::Remove(index) if !entries.is_empty() => drop(entries.remove(index % count)),
        Change::Swap(left, right) if !entries.is_empty() => entries.swap(left % count, right % count),
        Change::Kind(index, kind) => {
            if let Some(entry) = entries.get_mut(index % count) {
                entry.kind = kind;
            }
        }
        Change::Resize(index, pages) => {
            if let Some(entry) = entries.get_mut(index % count) {
                entry.pages = entry.pages.saturating_add_signed(pages);
            }
        }
        Change::Remove(_) | Change::Swap(..) | Change::Noise(_) => {}
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x?}", self.changes)?;
        if let Some(processors) = self.processors {
            write!(f, ", {processors} processors")?;
        }
        if let Some(late) = self.late {
            write!(f, ", the second one {late:?} late")?;
        }
        // Not all of them: hundreds would hide the rest.
        let first = self.events.first().map(|event| &event.act);
        let last = self.events.last().map(|event| &event.act).filter(|last| Some(*last) != first);
        for (words, act) in [("from", first), ("to", last)] {
            if let Some(act) = act {
                write!(f, ", {words} {act:x?}")?;
            }
        }
        write!(f, ", {} events", self.events.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: [Entry; 2] = [Entry::memory(0..0xa_0000), Entry::memory(0x10_0000..0x1000_0000)];

    fn truth() -> Vec<u8> {
        let mut bytes: Vec<u8> = TRUTH.into_iter().flat_map(Entry::bytes).collect();
        bytes.resize(24 * 8, 0);
        bytes
    }

    fn told(lie: &Lie) -> Vec<Entry> {
        let map = lie.map(&truth(), 0x20_0000);
        assert_eq!(map.len(), 24 * 8);
        map.chunks_exact(24).filter_map(Entry::read).take_while(|entry| entry.pages != 0).collect()
    }

    #[test]
    fn no_change_is_the_truth() {
        assert_eq!(told(&Lie::default()), TRUTH);
    }

    #[test]
    fn an_entry_comes_at_its_place() {
        let added = Entry::memory(0xfec0_0000..0xff00_0000);
        assert_eq!(told(&Lie::with_memory(0xfec0_0000..0xff00_0000)), [TRUTH[0], TRUTH[1], added]);
        let added = Entry::memory(0xa_0000..0x10_0000);
        assert_eq!(told(&Lie::with_memory(0xa_0000..0x10_0000)), [TRUTH[0], added, TRUTH[1]]);
    }

    #[test]
    fn a_seed_is_one_lie_and_most_differ() {
        let lies: Vec<String> = (0..200).map(|seed| Lie::from_seed(seed).to_string()).collect();
        assert_eq!(lies, (0..200).map(|seed| Lie::from_seed(seed).to_string()).collect::<Vec<_>>());
        let others = lies.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert!(others > 150, "{others}");
        (0..200).for_each(|seed| drop(told(&Lie::from_seed(seed))));
    }
}
